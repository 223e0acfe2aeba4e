"""Make the gallery of voices for finished weights: ``python -m train.voices --data MANIFEST --weights DIR``.

Voices are speakers of the train split, of which only embeddings and content codes are kept; the threshold of
``identify`` is set on the dev split, whose speakers never trained.
"""

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from tqdm import tqdm

from saic import audio
from saic.data import manifest
from saic.data.manifest import Clip
from saic.errors import DataError
from saic.evaluation.metrics import equal_error_rate
from saic.gallery import Voices, content_windows
from saic.pipeline import Embedding, Pipeline
from saic.signal.f0 import (
    measure_f0_stats,
    track_f0,
)
from saic.signal.mel import FRAMES_PER_S, SAMPLE_RATE, log_mel
from saic.signal.mel_statistics import measure_mel_statistics
from saic.signal.vad import speech_frames
from saic.weights import VOICES, write_sums
from train.entry import DataOption, run

N_VOICES = 40
N_POINTS = 4
WINDOW_S = 2.0
PART_S = 2.4  # a voice's points are parts of this length: 2 s of content with room around


def main(
    data: DataOption, weights: Annotated[Path, typer.Option("--weights", help="Folder of finished weights.")]
) -> None:
    """Write voices.safetensors beside the weights and bring SHA256SUMS up to date."""
    pipeline = Pipeline.from_pretrained(weights)
    window = int(WINDOW_S * FRAMES_PER_S) // pipeline.model.config.content_stride
    chosen = _choose(manifest.read(data, splits=["train"]))
    heard = [_hear(pipeline, clips) for clips in tqdm(chosen, desc="voices", unit="voice")]
    points = [own for own, _, _ in heard]
    voices = Voices(
        names=tuple(f"Voice {k + 1:02d}" for k in range(N_VOICES)),
        sexes=tuple(clips[0].sex or "?" for clips in chosen),
        speaker=np.stack([[e.speaker for e in p] for p in points]),
        content=np.stack([[content_windows(e.content, window)[0] for e in p] for p in points]),
        register=np.stack([register for _, register, _ in heard]),
        timbre=np.stack([spectrum for _, _, spectrum in heard]),
        threshold=_threshold(pipeline, manifest.read(data, splits=["dev"])),
    )
    voices.save(weights / VOICES)
    write_sums(weights)
    print(f"{N_VOICES} voices, {N_POINTS} points each; threshold {voices.threshold:.3f}")


def _choose(clips: list[Clip]) -> list[list[Clip]]:
    """The speakers with most audio, half of either sex where the corpus says it."""
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


def _hear(pipeline: Pipeline, clips: list[Clip]) -> tuple[list[Embedding], np.ndarray, np.ndarray]:
    """Embeddings of evenly spaced parts of a speaker's audio, and the register and timbre of all of it."""
    wav = np.concatenate([audio.load(clip.path) for clip in clips[:N_POINTS]])
    size = int(PART_S * SAMPLE_RATE)
    starts = np.linspace(0, len(wav) - size, N_POINTS).astype(int)
    register = measure_f0_stats(torch.from_numpy(track_f0(wav)))
    mel = log_mel(torch.from_numpy(wav))[None]
    mask = torch.from_numpy(speech_frames(wav)).float()[None, None]
    spectrum = measure_mel_statistics(mel, mask)[0]
    embeddings = [pipeline.embed((wav[start : start + size], SAMPLE_RATE)) for start in starts]
    return embeddings, register.numpy(), spectrum.numpy()


def _threshold(pipeline: Pipeline, clips: list[Clip]) -> float:
    """Cosine at the equal error rate over pairs of 4 s parts of unseen speakers."""
    size = 4 * SAMPLE_RATE
    embeddings, speakers = [], []
    counts: dict[str, int] = defaultdict(int)
    for clip in tqdm(clips, desc="threshold", unit="clip"):
        wav = audio.load(clip.path)
        for start in range(0, len(wav) - size + 1, size):
            if counts[clip.speaker] < 8:  # a few speakers own most of the audio
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
