"""Make the gallery of finished weights: ``python -m train.voices --data MANIFEST --weights DIR``.

Its voices are speakers of the train split: their embeddings, content codes and statistics. The
threshold of ``identify`` is set on the dev split, whose speakers are not in training."""

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from saic import audio
from saic.conversion import Speech
from saic.data import manifest
from saic.data.manifest import Clip
from saic.errors import DataError
from saic.evaluation.metrics import equal_error_rate
from saic.gallery import Gallery, content_windows
from saic.pipeline import Embedding, Pipeline
from saic.signal.f0 import measure_f0_stats
from saic.signal.mel import FRAMES_PER_S, SAMPLE_RATE
from saic.weights import VOICES, write_sums
from train.entry import DataOption, run

N_VOICES = 40
N_POINTS = 4  # per voice
WINDOW_S = 2.0
PART_S = 2.4  # speech that gives one point: 2 s of content codes and a margin


def main(
    data: DataOption, weights: Annotated[Path, typer.Option("--weights", help="Folder of finished weights.")]
) -> None:
    """Write voices.safetensors to the weights folder and update SHA256SUMS."""
    pipeline = Pipeline.from_pretrained(weights)
    window = int(WINDOW_S * FRAMES_PER_S) // pipeline.model.config.content_stride
    chosen = _choose(manifest.read(data, splits=["train"]))
    measured = [_measure(pipeline, clips) for clips in tqdm(chosen, desc="voices", unit="voice")]
    points = [own for own, _, _ in measured]
    gallery = Gallery(
        names=tuple(f"Voice {k + 1:02d}" for k in range(N_VOICES)),
        sexes=tuple(clips[0].sex or "?" for clips in chosen),
        speaker=np.stack([[e.speaker for e in p] for p in points]),
        content=np.stack([[content_windows(e.content, window)[0] for e in p] for p in points]),
        f0_stats=np.stack([f0_stats for _, f0_stats, _ in measured]),
        mel_statistics=np.stack([statistics for _, _, statistics in measured]),
        threshold=_threshold(pipeline, manifest.read(data, splits=["dev"])),
    )
    gallery.save(weights / VOICES)
    write_sums(weights)
    print(f"{N_VOICES} voices, {N_POINTS} points each; threshold {gallery.threshold:.3f}")


def _choose(clips: list[Clip]) -> list[list[Clip]]:
    """The 40 speakers with most audio, half of each sex if the corpus names it."""
    by_speaker = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    ranked = sorted(by_speaker.values(), key=lambda own: -sum(clip.duration_s for clip in own))
    ranked = [own for own in ranked if sum(clip.duration_s for clip in own) >= N_POINTS * PART_S]
    half = N_VOICES // 2
    women, men = ([own for own in ranked if own[0].sex == sex][:half] for sex in ("F", "M"))
    chosen = (women + men + [own for own in ranked if own not in women + men])[:N_VOICES]
    if len(chosen) < N_VOICES:
        raise DataError(f"A gallery needs {N_VOICES} training speakers with {N_POINTS * PART_S:.0f} s of speech each.")
    return chosen


def _measure(pipeline: Pipeline, clips: list[Clip]) -> tuple[list[Embedding], np.ndarray, np.ndarray]:
    """Embeddings of four parts of a speaker's audio; F0 and mel statistics of the whole of it.

    The parts are evenly spaced. The audio is at most four clips.
    """
    wav = np.concatenate([audio.load(clip.path) for clip in clips[:N_POINTS]])
    size = int(PART_S * SAMPLE_RATE)
    starts = np.linspace(0, len(wav) - size, N_POINTS).astype(int)
    speech = Speech.from_wav(wav)
    embeddings = [pipeline.embed((wav[start : start + size], SAMPLE_RATE)) for start in starts]
    return embeddings, measure_f0_stats(speech.f0[0]).numpy(), speech.mel_statistics[0].numpy()


def _threshold(pipeline: Pipeline, clips: list[Clip]) -> float:
    """Cosine similarity at the equal error rate, over pairs of 4 s parts of unseen speakers."""
    size = 4 * SAMPLE_RATE
    embeddings, speakers = [], []
    counts: dict[str, int] = defaultdict(int)
    for clip in tqdm(clips, desc="threshold", unit="clip"):
        wav = audio.load(clip.path)
        for start in range(0, len(wav) - size + 1, size):
            if counts[clip.speaker] < 8:  # a few speakers have most of the audio
                counts[clip.speaker] += 1
                embeddings.append(pipeline.embed((wav[start : start + size], SAMPLE_RATE)).speaker)
                speakers.append(clip.speaker)
    units = np.stack(embeddings) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(len(units), k=1)
    same = np.array(speakers)[first] == np.array(speakers)[second]
    scores = (units @ units.T)[first, second]
    rate, threshold = equal_error_rate(scores[same], scores[~same])
    print(f"threshold: equal error rate {rate:.1%} over {same.sum()} same and {(~same).sum()} different pairs")
    return threshold


if __name__ == "__main__":
    run(main)
