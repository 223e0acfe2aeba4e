"""What other weights gain: ``python -m benchmarks.compare_weights --data CORPUS... --weights FIRST SECOND...``.

One recording of each of a few speakers of a split is converted to a pseudonym, and to the voice of the
next speaker of its corpus. Words are compared with the recognizer's own transcript of the recording, and
the errors of a recording count at most as many as it has words. The differences are paired by speaker:
each of the other weights against the first, with 95 % intervals of a bootstrap of speakers.
"""

import argparse
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from saic import audio
from saic.data import manifest
from saic.errors import AudioError
from saic.evaluation.evaluators.dnsmos import Dnsmos
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.evaluation.evaluators.moonshine import MoonshineASR
from saic.evaluation.evaluators.normalizer import normalize
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.linkage.material import corpus_name
from saic.evaluation.measures.text_errors import word_errors
from saic.evaluation.metrics import Estimate, estimate_mean
from saic.pipeline import Pipeline
from saic.profiles import BALANCED, PROFILES

MIN_S, MAX_S = 4.0, 12.0
_UNITS = {"OVRL": "MOS"}  # of figures that are not in %


@dataclass(frozen=True)
class Recording:
    """A recording of a speaker, and one of the next speaker of the corpus."""

    corpus: str
    speaker: str
    wav: np.ndarray
    target: np.ndarray


def read_recordings(paths: list[Path], split: str, limit: int) -> Iterator[Recording]:
    """One recording of each of at most ``limit`` speakers of each corpus."""
    for path in paths:
        chosen = {}
        for clip in manifest.read(path, [split]):
            if clip.speaker not in chosen and MIN_S <= clip.duration_s <= MAX_S:
                chosen[clip.speaker] = audio.load(clip.path)
        names = sorted(chosen)[:limit]
        for name, target in zip(names, [*names[1:], *names[:1]], strict=True):
            yield Recording(corpus_name(path), name, chosen[name], chosen[target])


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
        """All figures of an output, against the transcripts of its recording, and its speaker against the target."""
        found = {"OVRL": self._quality.score(output)["ovrl"]}
        for name, text in self.transcribe(output).items():
            errors = word_errors(texts[name], text)
            if errors.length:
                found[name] = 100 * min(errors.errors / errors.length, 1.0)
        if not has_target:
            return found
        source, target, own = (self._embedder.embed(wav) for wav in (recording.wav, recording.target, output))
        return found | {"nearer to the source": 100.0 * float(own @ source > own @ target)}


def outputs(pipeline: Pipeline, recording: Recording, profile: str, seed: int) -> dict[str, Callable[[], np.ndarray]]:
    """The two conversions of a recording, by name; the voice of the pseudonym is drawn by the seed."""
    bits = hashlib.sha256(f"{seed}/{recording.corpus}/{recording.speaker}".encode()).digest()
    voice = pipeline.gallery.pseudonym(bits, "any").to(pipeline.device)
    source, target = ((wav, audio.SAMPLE_RATE) for wav in (recording.wav, recording.target))

    def converted(to: object) -> np.ndarray:
        return pipeline.convert(source, to, profile=profile, reconstruct=False).wav

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
    judges, rows = Judges(arguments.asr), {}
    texts = [judges.transcribe(recording.wav) for recording in tqdm(recordings, desc="recordings")]
    for weights in arguments.weights:
        pipeline = Pipeline.from_pretrained(None if weights == "bundled" else weights)
        for recording, own_texts in zip(tqdm(recordings, desc=weights), texts, strict=True):
            for system, convert in outputs(pipeline, recording, arguments.profile, arguments.seed).items():
                try:
                    figures = judges.figures(convert(), recording, own_texts, has_target=system == "convert")
                except AudioError:
                    figures = {}
                rows[weights, system, recording.corpus, recording.speaker] = figures
    first = arguments.weights[0]
    for system in ("pseudonym", "convert"):
        for weights in arguments.weights:
            print(f"\n{system}, {weights}")
            own = {key[2:]: value for key, value in rows.items() if key[:2] == (weights, system)}
            base = {key[2:]: value for key, value in rows.items() if key[:2] == (first, system)}
            for name in dict.fromkeys(name for figures in own.values() for name in figures):
                print(f"  {name}: {_line(name, own, None if weights == first else base)}")


def _line(name: str, own: dict[tuple[str, str], dict[str, float]], base: dict | None) -> str:
    """Means by corpus, the mean of all, and the paired difference of all to the first weights."""
    parts = []
    for corpus in dict.fromkeys(corpus for corpus, _ in own):
        values = [figures[name] for (of, _), figures in own.items() if of == corpus and name in figures]
        parts.append(f"{corpus} {np.mean(values):.2f}" if values else f"{corpus} -")
    keys = [key for key in own if name in own[key] and (base is None or name in base[key])]
    line = ", ".join(parts) + f"; all {_text(_mean(name, [own[key][name] for key in keys], keys))}"
    if base is None:
        return line
    differences = [own[key][name] - base[key][name] for key in keys]
    return f"{line}; difference {_text(_mean(name, differences, keys))}"


def _mean(name: str, values: list[float], keys: list[tuple[str, str]]) -> Estimate:
    return estimate_mean(values, ["/".join(key) for key in keys], _UNITS.get(name, "%"))


def _text(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{interval} ({estimate.n} speakers)"


if __name__ == "__main__":
    main()
