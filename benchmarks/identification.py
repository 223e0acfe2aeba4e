"""Who is identified in poor recordings: ``python -m benchmarks.identification --data CORPUS... --weights FOLDER...``.

Each speaker is enrolled by one clear recording. Another recording of each is identified as it is, and as files
and lines of low quality leave it. Scores are compared within a corpus, and accepted from the gallery's threshold.
Resemblyzer, which has no threshold, has its equal error rate (EER) on the same recordings.
"""

import argparse
import io
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from tqdm import tqdm

from saic import audio
from saic.audio import SAMPLE_RATE
from saic.data import manifest
from saic.evaluation.data.codec import encode
from saic.evaluation.data.degradations import TELEPHONE_HZ, through_telephone
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.evaluation.linkage.material import corpus_name
from saic.evaluation.metrics import Estimate, estimate_eer, estimate_mean
from saic.pipeline import Pipeline

MIN_S = 3.0


def as_file(wav: np.ndarray, rate_hz: int, subtype: str) -> np.ndarray:
    """(N,) wav written as a WAV file and read again."""
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(wav, SAMPLE_RATE, rate_hz), rate_hz, format="WAV", subtype=subtype)
    file.seek(0)
    return audio.load(file)


def as_mp3(wav: np.ndarray, kbps: int) -> np.ndarray:
    """(N,) wav encoded as MP3 and read again."""
    return audio.load(encode(wav, "mp3", "libmp3lame", "fltp", kbps))


QUALITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "clear": lambda wav: wav,
    "8 kHz": lambda wav: as_file(wav, TELEPHONE_HZ, "PCM_16"),
    "A-law, 8 kHz": lambda wav: as_file(wav, TELEPHONE_HZ, "ALAW"),
    "MP3, 16 kb/s": lambda wav: as_mp3(wav, 16),
    "telephone line": through_telephone,
}
"""What a (N,) float32 wav at 16 kHz becomes, at the same rate; a telephone line also loses what is below 300 Hz."""


def read_pairs(paths: list[Path], split: str, limit: int) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Corpus and speaker to two recordings of the first ``limit`` speakers of each corpus that have two."""
    pairs = {}
    for path in paths:
        clips = defaultdict(list)
        for clip in manifest.read(path, [split]):
            if clip.duration_s >= MIN_S:
                clips[clip.speaker].append(clip)
        with_two = ((name, own[:2]) for name, own in sorted(clips.items()) if len(own) > 1)
        for name, (first, second) in islice(with_two, limit):
            pairs[corpus_name(path), name] = audio.load(first.path), audio.load(second.path)
    return pairs


def compare(embed: Callable[[np.ndarray], np.ndarray], enrolled: list[np.ndarray], tried: list[np.ndarray]):
    """(R, C) cosine similarities of enrolled and tried recordings."""
    rows, columns = (np.stack([embed(wav) for wav in wavs]).astype(np.float64) for wavs in (enrolled, tried))
    rows, columns = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True) for matrix in (rows, columns))
    return rows @ columns.T


def figures(scores: np.ndarray, corpora: list[str], names: list[str], threshold: float | None) -> dict[str, Estimate]:
    """EER, and the shares that are accepted: of recordings by their own speaker, and of pairs of two speakers.

    Parameters
    ----------
    scores
        (S, S) similarity of each enrolled speaker (row) and each tried recording (column).
    corpora, names
        Corpus and name of each of the S speakers.
    threshold
        Lowest similarity that is accepted; None leaves the two shares out.
    """
    counts = np.equal.outer(corpora, corpora)
    found = {"EER": estimate_eer(np.where(counts, scores, np.nan), names, names)}
    if threshold is None:
        return found
    accepted = 100.0 * (scores >= threshold)
    others = counts & ~np.eye(len(names), dtype=bool)
    by_recording = [accepted[others[:, k], k].mean() for k in range(len(names)) if others[:, k].any()]
    tried = [name for k, name in enumerate(names) if others[:, k].any()]
    return found | {
        "own accepted": estimate_mean(accepted.diagonal(), names, "%", are_hits=True),
        "others accepted": estimate_mean(by_recording, tried, "%"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="manifests, or folders of speaker/clip")
    parser.add_argument("--weights", nargs="+", default=["bundled"], help='folders; "bundled" for the bundled weights')
    parser.add_argument("--split", default="dev")
    parser.add_argument("--limit", type=int, default=20, help="speakers of each corpus")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pairs = read_pairs(arguments.data, arguments.split, arguments.limit)
    corpora, names = [corpus for corpus, _ in pairs], ["/".join(key) for key in pairs]
    enrolled = [first for first, _ in pairs.values()]
    judges = {"Resemblyzer": (Resemblyzer().embed, None)}
    for weights in arguments.weights:
        pipeline = Pipeline.from_pretrained(None if weights == "bundled" else weights)
        embed = lambda wav, own=pipeline: own.embed((wav, SAMPLE_RATE)).speaker  # noqa: E731
        judges[weights] = embed, pipeline.gallery.threshold
    for quality, degrade in tqdm(QUALITIES.items(), desc="qualities"):
        tried = [degrade(second) for _, second in pairs.values()]
        for name, (embed, threshold) in judges.items():
            found = figures(compare(embed, enrolled, tried), corpora, names, threshold)
            print(f"{quality}, {name}: " + ", ".join(f"{figure} {_text(value)}" for figure, value in found.items()))


def _text(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" [{estimate.low:.0f}, {estimate.high:.0f}]"
    return f"{estimate.value:.0f} %{interval}"


if __name__ == "__main__":
    main()
