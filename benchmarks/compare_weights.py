"""What other weights gain: ``python -m benchmarks.compare_weights --data CORPUS... --weights FIRST SECOND...``.

One recording of each of a few speakers of a split is converted to a pseudonym, and to the voice of the
next speaker of its corpus. Words are compared with the recognizer's own transcript of the recording. The
WER of a recording counts as 100 % at most. An output without speech counts for the words alone. A conversion
that is refused does not count. The other weights are compared with the first: differences are paired by
speaker, with 95 % intervals of a bootstrap of speakers.
"""

import argparse
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from saic import audio
from saic.data import manifest
from saic.data.manifest import Clip, paths_by_name
from saic.errors import AudioError, DataError
from saic.evaluation.evaluators.dnsmos import Dnsmos
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.evaluation.evaluators.moonshine import MoonshineASR
from saic.evaluation.evaluators.normalizer import normalize
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.measures.text_errors import word_errors
from saic.evaluation.metrics import Estimate, estimate_mean
from saic.pipeline import Pipeline
from saic.profiles import BALANCED, PROFILES

MIN_S, MAX_S = 4.0, 12.0
QUALITY = "OVRL"
NEARER = "nearer to the source"
SIMILARITY = "similarity to the target"

Rows = Mapping[tuple[str, str], Mapping[str, float]]
"""(corpus, speaker) to the figures of that speaker's output."""


@dataclass(frozen=True)
class Recording:
    """A recording of a speaker, and one of the next speaker of the corpus."""

    corpus: str
    speaker: str
    wav: np.ndarray
    target: np.ndarray


def read_recordings(paths: list[Path], split: str, limit: int) -> Iterator[Recording]:
    """One recording of each of at most ``limit`` speakers of each corpus.

    Raises
    ------
    DataError
        Two corpora have one name, or one has no two speakers with a recording of 4 to 12 s.
    """
    for corpus, path in paths_by_name(paths).items():
        first: dict[str, Clip] = {}
        for clip in manifest.read(path, [split]):
            if MIN_S <= clip.duration_s <= MAX_S:
                first.setdefault(clip.speaker, clip)
        names = sorted(first)[:limit]
        if len(names) < 2:
            raise DataError(f"{corpus}: two speakers with a recording of {MIN_S:g} to {MAX_S:g} s are needed.")
        wavs = [audio.load(first[name].path) for name in names]
        for name, wav, target in zip(names, wavs, [*wavs[1:], *wavs[:1]], strict=True):
            yield Recording(corpus, name, wav, target)


class Judges:
    """DNSMOS, recognizers and a speaker embedder, none of which has a part in training."""

    def __init__(self, whisper: str | None) -> None:
        self._quality, self._embedder = Dnsmos(), Resemblyzer()
        self._recognizers = {"WER, Moonshine": MoonshineASR()}
        if whisper:
            self._recognizers["WER, Whisper"] = WhisperASR(whisper, threads=1)

    def transcribe(self, wav: np.ndarray) -> dict[str, str]:
        """Each recognizer's transcript, normalized."""
        return {name: normalize(own.transcribe(wav)) for name, own in self._recognizers.items()}

    def figures(
        self, output: np.ndarray, recording: Recording, texts: dict[str, str], *, has_target: bool
    ) -> dict[str, float]:
        """The figures of an output: its words against the transcripts of the recording, quality, nearest speaker."""
        found = {}
        for name, text in self.transcribe(output).items():
            errors = word_errors(texts[name], text)
            if errors.length:
                found[name] = 100 * min(errors.errors / errors.length, 1.0)
        with suppress(AudioError):  # no speech
            found[QUALITY] = self._quality.score(output)["ovrl"]
            if has_target:
                source, target, own = (self._embedder.embed(wav) for wav in (recording.wav, recording.target, output))
                found[NEARER] = 100.0 * float(own @ source > own @ target)
                found[SIMILARITY] = float(own @ target)
        return found


def outputs(pipeline: Pipeline, recording: Recording, profile: str, seed: int) -> dict[str, Callable[[], np.ndarray]]:
    """The two conversions of a recording, by name; the voice of the pseudonym is drawn by the seed."""
    bits = hashlib.sha256(f"{seed}/{recording.corpus}/{recording.speaker}".encode()).digest()
    voice = pipeline.gallery.pseudonym(bits, "any").to(pipeline.device)
    source, target = ((wav, audio.SAMPLE_RATE) for wav in (recording.wav, recording.target))

    def converted(to: object) -> np.ndarray:
        return pipeline.convert(source, to, profile=profile).wav

    return {"pseudonym": partial(converted, voice), "convert": partial(converted, target)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="manifests, or folders of speaker/clip")
    parser.add_argument("--weights", nargs="+", required=True, help='folders; "bundled" for the bundled weights')
    parser.add_argument("--split", default="dev")
    parser.add_argument("--limit", type=int, default=12, help="speakers of each corpus")
    parser.add_argument("--profile", choices=PROFILES, default=BALANCED)
    parser.add_argument("--asr", help="folder of Whisper, for a second recognizer")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recordings = list(read_recordings(arguments.data, arguments.split, arguments.limit))
    judges, rows = Judges(arguments.asr), defaultdict(dict)
    texts = [judges.transcribe(recording.wav) for recording in tqdm(recordings, desc="recordings")]
    for weights in arguments.weights:
        pipeline = Pipeline.from_pretrained(None if weights == "bundled" else weights)
        for recording, own_texts in zip(tqdm(recordings, desc=weights), texts, strict=True):
            for system, convert in outputs(pipeline, recording, arguments.profile, arguments.seed).items():
                try:
                    figures = judges.figures(convert(), recording, own_texts, has_target=system == "convert")
                except AudioError:
                    figures = {}
                rows[system, weights][recording.corpus, recording.speaker] = figures
    for system in ("pseudonym", "convert"):
        for weights in arguments.weights:
            own = rows[system, weights]
            base = None if weights == arguments.weights[0] else rows[system, arguments.weights[0]]
            print(f"\n{system}, {weights}")
            for name in dict.fromkeys(name for figures in own.values() for name in figures):
                print(f"  {name}: {_line(name, own, base)}")


def mean(name: str, rows: Rows) -> Estimate:
    """Mean of a figure over the speakers who have it."""
    values = {key: figures[name] for key, figures in rows.items() if name in figures}
    return _estimate(name, values, are_hits=name == NEARER)


def difference(name: str, own: Rows, base: Rows) -> Estimate:
    """Mean of a figure of ``own`` less that of ``base``, over the speakers who have both."""
    shared = [key for key in own if name in own[key] and name in base.get(key, {})]
    return _estimate(name, {key: own[key][name] - base[key][name] for key in shared})


def _estimate(name: str, values: Mapping[tuple[str, str], float], *, are_hits: bool = False) -> Estimate:
    unit = {QUALITY: "MOS", SIMILARITY: "cosine"}.get(name, "%")
    return estimate_mean(list(values.values()), ["/".join(key) for key in values], unit, are_hits=are_hits)


def _line(name: str, own: Rows, base: Rows | None) -> str:
    """The mean of each corpus and of all; with a ``base``, the paired difference from it."""
    corpora = dict.fromkeys(corpus for corpus, _ in own)
    means = {corpus: mean(name, {key: own[key] for key in own if key[0] == corpus}).value for corpus in corpora}
    parts = [f"{corpus} {'-' if value is None else f'{value:.2f}'}" for corpus, value in means.items()]
    line = f"{', '.join(parts)}; all {_text(mean(name, own))}"
    return line if base is None else f"{line}; difference {_text(difference(name, own, base))}"


def _text(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{interval} ({estimate.n} speakers)"


if __name__ == "__main__":
    main()
