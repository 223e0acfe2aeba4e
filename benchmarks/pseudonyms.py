"""How distinct random pseudonyms are: ``python -m benchmarks.pseudonyms --data MANIFEST...``.

One recording of every speaker of the splits is converted to two pseudonyms of its own, one of each
register. Three questions are asked of two speaker embedders that have no part in the conversion:

- How often are the outputs of two speakers of one corpus confused, as of two subjects of a study? The
  threshold is the similarity that 5 % of the pairs of real strangers of one sex and one corpus reach.
- How near is an output to the nearest speaker of the train split of its corpus, beside the real
  recordings of the same unseen speakers?
- How many of the real speakers of one sex are mutually distinct, and how many of their outputs of one
  register?

Intervals are 95 %, from a bootstrap by speaker.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from saic import audio
from saic.data import manifest
from saic.data.manifest import clips_by_speaker, corpus_name
from saic.errors import AudioError
from saic.evaluation.evaluators.embedders import CamPlusPlus, Embedder, Resemblyzer
from saic.evaluation.metrics import RESAMPLES, interval
from saic.pipeline import Pipeline

SECONDS = 6
CONFUSED = 0.05  # share of pairs of real strangers above the threshold
REGISTERS = ("lower", "higher")


@dataclass(frozen=True)
class Speaker:
    """A speaker and ``SECONDS`` of audio."""

    corpus: str
    name: str
    sex: str | None
    wav: np.ndarray


def read_speakers(paths: Iterable[Path], splits: Sequence[str], limit: int) -> list[Speaker]:
    """Speakers of splits with ``SECONDS`` of audio, at most ``limit`` of each corpus and sex."""
    found, size = [], SECONDS * audio.SAMPLE_RATE
    for path in paths:
        count: Counter[str | None] = Counter()
        for name, own in sorted(clips_by_speaker(manifest.read(path, splits)).items()):
            if sum(clip.duration_s for clip in own) < SECONDS or count[own[0].sex] >= limit:
                continue
            wav = np.zeros(0, dtype=np.float32)
            for clip in own:
                wav = wav if len(wav) >= size else np.concatenate([wav, audio.load(clip.path)])
            if len(wav) >= size:
                found.append(Speaker(corpus_name(path), name, own[0].sex, wav[:size]))
                count[own[0].sex] += 1
    return found


def convert(pipeline: Pipeline, speakers: list[Speaker], seed: int) -> dict[str, list[np.ndarray | None]]:
    """Register to the outputs (N,) of the speakers; None where a recording cannot be used."""
    outputs = {register: [] for register in REGISTERS}
    for speaker in speakers:
        for register, own in outputs.items():
            bits = hashlib.sha256(f"{seed}/{register}/{speaker.corpus}/{speaker.name}".encode()).digest()
            voice = pipeline.gallery.pseudonym(bits, register).to(pipeline.device)
            try:
                own.append(pipeline.convert((speaker.wav, audio.SAMPLE_RATE), voice).wav)
            except AudioError:
                own.append(None)
    return outputs


def embed(embedder: Embedder, wavs: Iterable[np.ndarray | None]) -> np.ndarray:
    """(n, E) embeddings of length 1; NaN for a wav that cannot be used."""
    embedded = []
    for wav in wavs:
        try:
            embedded.append(None if wav is None else embedder.embed(wav))
        except AudioError:
            embedded.append(None)
    size = next(len(e) for e in embedded if e is not None)
    return np.stack([np.full(size, np.nan) if e is None else e / np.linalg.norm(e) for e in embedded])


def threshold_of(real: np.ndarray, strangers: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Similarity that `CONFUSED` of the pairs of ``strangers``, (n, n) bool, reach in ``real``; NaN is left out.

    ``weights`` (n,) says how often each speaker counts.
    """
    i, j = np.nonzero(strangers & ~np.isnan(real))
    own = None if weights is None else weights[i] * weights[j]
    return float(np.quantile(real[i, j], 1 - CONFUSED, weights=own, method="inverted_cdf"))


def confusion(similarity: np.ndarray, counted: np.ndarray, real: np.ndarray, strangers: np.ndarray) -> dict[str, float]:
    """Share of the ``counted`` pairs, (n, n) bool, that reach the threshold, with its interval; NaN is left out.

    The threshold is that of the speakers that the bootstrap draws.
    """
    usable = counted & ~np.isnan(similarity) & ~np.eye(len(similarity), dtype=bool)
    known = np.nan_to_num(similarity, nan=-2.0)

    def rate(weights: np.ndarray) -> float:
        confused = usable & (known >= threshold_of(real, strangers, weights))
        return float((weights @ confused @ weights) / (weights @ usable @ weights))

    n, random = len(usable), np.random.default_rng(0)
    drawn = random.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float)
    low, high = interval([rate(weights) for weights in drawn])
    return {"rate": rate(np.ones(n)), "low": low, "high": high, "pairs": int(usable.sum() // 2)}


def n_distinct(similarity: np.ndarray, threshold: float) -> int:
    """Size of a set without a confused pair: each is added, in order, if it is distinct from all before."""
    chosen: list[int] = []
    for k in np.flatnonzero(~np.isnan(similarity.diagonal())):
        if (similarity[k, chosen] < threshold).all():
            chosen.append(int(k))
    return len(chosen)


def measure(
    embedder: Embedder, speakers: list[Speaker], train: list[Speaker], outputs: dict[str, list[np.ndarray | None]]
) -> dict[str, object]:
    """All figures by one embedder."""
    real = embed(embedder, (speaker.wav for speaker in speakers))
    group = np.array([f"{speaker.corpus} {speaker.sex}" for speaker in speakers])
    strangers = (group[:, None] == group[None]) & np.triu(np.ones((len(group),) * 2, dtype=bool), k=1)
    strangers &= np.array([speaker.sex is not None for speaker in speakers])[:, None]
    similarity = real @ real.T
    threshold = threshold_of(similarity, strangers)
    figures: dict[str, object] = {
        "threshold": threshold,
        "strangers": {"pairs": int(strangers.sum()), "median": float(np.nanmedian(similarity[strangers]))},
    }
    embedded = {register: embed(embedder, own) for register, own in outputs.items()}
    corpus = np.array([speaker.corpus for speaker in speakers])
    of_one_corpus = corpus[:, None] == corpus[None]
    for register, own in embedded.items():
        between = own @ own.T
        pairs = between[of_one_corpus & np.triu(np.ones_like(of_one_corpus), k=1)]
        figures[register] = {
            **confusion(between, of_one_corpus, similarity, strangers),
            "median": float(np.nanmedian(pairs)),
        }
    for sex in "FM":
        rows = [k for k, speaker in enumerate(speakers) if speaker.sex == sex]
        figures[f"distinct of {len(rows)} {sex}"] = {
            name: n_distinct(own[rows] @ own[rows].T, threshold) for name, own in {"real": real, **embedded}.items()
        }
    if train:
        trained = embed(embedder, (speaker.wav for speaker in train))
        corpora = np.array([speaker.corpus for speaker in train])
        rows = [k for k, speaker in enumerate(speakers) if speaker.corpus in corpora]
        figures["nearest training speaker"] = of_nearest = {}
        for name, own in {"real": real, **embedded}.items():
            nearest = [np.nanmax(trained[corpora == speakers[k].corpus] @ own[k]) for k in rows]
            median, high = np.nanquantile(nearest, (0.5, 0.95))
            of_nearest[name] = {"median": median, "95 %": high}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="manifests with the split train")
    parser.add_argument("--split", nargs="+", required=True, dest="splits")
    parser.add_argument("--limit", type=int, default=32, help="speakers of each corpus and sex")
    parser.add_argument("--train-limit", type=int, default=1000, help="train speakers of each corpus and sex")
    parser.add_argument("--weights")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = Pipeline.from_pretrained(arguments.weights)
    speakers = read_speakers(arguments.data, arguments.splits, arguments.limit)
    train = read_speakers(arguments.data, ["train"], arguments.train_limit)
    outputs = convert(pipeline, speakers, arguments.seed)
    print(f"{len(speakers)} speakers, {SECONDS} s of each; {len(train)} training speakers")
    for embedder in (Resemblyzer(), CamPlusPlus()):
        figures = measure(embedder, speakers, train, outputs)
        rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 3))
        print(json.dumps({embedder.name: rounded}, indent=2))


if __name__ == "__main__":
    main()
