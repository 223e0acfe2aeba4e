"""Who is identified in poor recordings: ``python -m benchmarks.identification --data CORPUS... --weights FOLDER...``.

Each speaker is enrolled by one clear recording. Another recording of each is identified as it is, and as files
and lines of low quality leave it. Scores are compared within a corpus, and accepted from the gallery's threshold.
Resemblyzer, which has no threshold, has its equal error rate (EER) on the same recordings. A speaker with a
recording that cannot be used, in any quality, is left out of all figures and counted.
"""

import argparse
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
from saic.data.left_out import reason_of
from saic.data.manifest import Clip, clips_by_speaker, paths_by_name
from saic.errors import AudioError, DataError
from saic.evaluation.data.codec import encode
from saic.evaluation.data.degradations import TELEPHONE_HZ, through_telephone
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.evaluation.linkage.report import percent
from saic.evaluation.metrics import Estimate, estimate_eer, estimate_mean, estimate_mean_of_pairs
from saic.pipeline import Pipeline

MIN_S = 3.0
"""Seconds of the shortest recording that is taken."""

Embed = Callable[[np.ndarray], np.ndarray]
"""(N,) float32 wav at 16 kHz to (E,) speaker embedding; raises AudioError if there is not enough speech."""


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


def read_clips(paths: list[Path], split: str, limit: int) -> Iterator[tuple[str, str, list[Clip]]]:
    """Corpus, name and clips of the first ``limit`` speakers of each corpus that have two clips of 3 s.

    Raises
    ------
    DataError
        Two corpora have one name, or one has no two such speakers.
    """
    for corpus, path in paths_by_name(paths).items():
        clips = clips_by_speaker([clip for clip in manifest.read(path, [split]) if clip.duration_s >= MIN_S])
        with_two = [(name, own) for name, own in sorted(clips.items()) if len(own) > 1]
        if len(with_two) < 2:
            raise DataError(f"{corpus}: two speakers with two recordings of {MIN_S:g} s are needed.")
        for name, own in islice(with_two, limit):
            yield corpus, name, own


def load_pair(clips: list[Clip]) -> tuple[np.ndarray, np.ndarray] | None:
    """The first recording, and the next one that is not a copy of it; None if all are."""
    first = audio.load(clips[0].path)
    for clip in clips[1:]:
        if not np.array_equal(second := audio.load(clip.path), first):
            return first, second
    return None


def embed_speakers(
    speakers: Sequence[tuple[str, str, list[Clip]]], embedders: Mapping[str, Embed]
) -> tuple[dict[tuple[str, str], dict[str, np.ndarray]], Counter[str]]:
    """Embed two recordings of each speaker, the second one in each of the Q qualities.

    Returns
    -------
    Corpus and speaker to each embedder's (1 + Q, E), that of the enrolled recording first; how many speakers are
    left out, by reason.
    """
    found, left_out = {}, Counter()
    for corpus, name, clips in tqdm(speakers, desc="speakers"):
        try:
            if (pair := load_pair(clips)) is None:
                left_out["with copies of one recording"] += 1
                continue
            wavs = [pair[0], *(degrade(pair[1]) for degrade in QUALITIES.values())]
            found[corpus, name] = {
                embedder: np.stack([embed(wav) for wav in wavs]) for embedder, embed in embedders.items()
            }
        except AudioError as error:
            left_out[reason_of(error)] += 1
    return found, left_out


def cosines(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(R, C) cosine similarities of (R, E) and (C, E) embeddings."""
    rows, columns = (matrix.astype(np.float64) for matrix in (rows, columns))
    return (rows @ columns.T) / np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(columns, axis=1))


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
    enrolled, tried = np.nonzero(others)
    sides = [[names[k] for k in side] for side in (tried, enrolled)]
    return found | {
        "own accepted": estimate_mean(accepted.diagonal(), names, "%", are_hits=True),
        "others accepted": estimate_mean_of_pairs(accepted[enrolled, tried], *sides, "%", are_hits=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="manifests, or folders of speaker/clip")
    parser.add_argument("--weights", nargs="+", default=["bundled"], help='folders; "bundled" for the bundled weights')
    parser.add_argument("--split", default="test", help="of manifests; the threshold was set on dev")
    parser.add_argument("--limit", type=int, default=40, help="speakers of each corpus")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    speakers = list(read_clips(arguments.data, arguments.split, arguments.limit))
    embedders: dict[str, Embed] = {"Resemblyzer": Resemblyzer().embed}
    thresholds: dict[str, float | None] = {"Resemblyzer": None}
    for weights in arguments.weights:
        pipeline = Pipeline.from_pretrained(None if weights == "bundled" else weights)
        embedders[weights], thresholds[weights] = partial(_embed, pipeline), pipeline.gallery.threshold
    embedded, left_out = embed_speakers(speakers, embedders)
    print(f"{len(embedded)} speakers" + "".join(f", {n} {reason} left out" for reason, n in left_out.items()))
    if not embedded:
        return
    corpora, names = [corpus for corpus, _ in embedded], ["/".join(key) for key in embedded]
    for k, quality in enumerate(QUALITIES, 1):
        for embedder, threshold in thresholds.items():
            points = np.array([own[embedder] for own in embedded.values()])
            found = figures(cosines(points[:, 0], points[:, k]), corpora, names, threshold)
            print(f"{quality}, {embedder}: " + ", ".join(f"{figure} {_text(value)}" for figure, value in found.items()))


def _embed(pipeline: Pipeline, wav: np.ndarray) -> np.ndarray:
    return pipeline.embed((wav, SAMPLE_RATE)).speaker


def _text(estimate: Estimate) -> str:
    return "-" if estimate.value is None else percent(estimate)


if __name__ == "__main__":
    main()
