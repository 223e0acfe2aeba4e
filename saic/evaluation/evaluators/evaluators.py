"""All evaluators of a run.

They are loaded before the run begins, so that a missing package is reported at once.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from saic import files
from saic.errors import SilentAudio, TooShort, UsageError
from saic.evaluation.cache_keys import code_fingerprint
from saic.evaluation.evaluators.distillmos import DistillMos
from saic.evaluation.evaluators.dnsmos import Dnsmos
from saic.evaluation.evaluators.embedders import CamPlusPlus, Embedder, Resemblyzer
from saic.evaluation.evaluators.moonshine import MoonshineASR
from saic.evaluation.evaluators.normalizer import ENGLISH, base_language, normalize
from saic.evaluation.evaluators.whisper import NO_ASR, WhisperASR

RECOGNIZERS = {"asr": "", "moonshine": "moonshine_"}
"""Attribute of :class:`Evaluators` that holds a recognizer, to the prefix of its figures: "moonshine_wer"."""

_CODE = ("signal", *(f"evaluation/evaluators/{name}.py" for name in ("distillmos", "dnsmos", "moonshine", "whisper")))

_log = logging.getLogger(__name__)


class Recognizer(Protocol):
    """A speech recognizer.

    Attributes
    ----------
    identity
        Key in caches: it changes with everything that may change a transcript.
    languages
        Codes of the languages that it knows, without regions.
    """

    identity: str
    languages: Container[str]

    def transcribe(self, wav: np.ndarray, *, language: str) -> str:
        """Transcribe a (N,) float32 wav at 16 kHz, in one of ``languages``."""


@dataclass(frozen=True)
class Evaluators:
    """The evaluators of one run. None of them is used in training.

    Attributes
    ----------
    embedders
        Speaker embedders; the first is the paper's and gives the figures of "identity".
    asr, moonshine
        Speech recognizers, of two families. Whisper gives the figures ``wer`` etc., Moonshine
        ``moonshine_wer`` etc.; without a recognizer that knows the language they have no value.
    dnsmos, distillmos
        Quality predictors, or None: then their scores have no value.
    """

    embedders: Sequence[Embedder]
    asr: Recognizer | None = None
    dnsmos: Dnsmos | None = None
    moonshine: Recognizer | None = None
    distillmos: DistillMos | None = None

    @classmethod
    def load(
        cls, asr: str | None = None, *, moonshine: bool = True, quality: bool = True, device: str = "cpu"
    ) -> "Evaluators":
        """Load all evaluators.

        Parameters
        ----------
        asr
            Folder or pinned Hub id of the recognizer, see
            :class:`~saic.evaluation.evaluators.whisper.WhisperASR`; "none" does without Whisper.
        moonshine
            Whether to load Moonshine, the second recognizer.
        quality
            Whether to load DNSMOS and Distill-MOS.

        Raises
        ------
        UsageError, WeightsError
            A package is missing, or the recognizer cannot be loaded. If Moonshine's is missing, this
            is logged instead: its package does not run on every system.
        """
        recognizer = None if asr == NO_ASR else WhisperASR(asr, device)
        return cls(
            (Resemblyzer(), CamPlusPlus()),
            recognizer,
            Dnsmos() if quality else None,
            _moonshine() if moonshine else None,
            DistillMos() if quality else None,
        )


class CachedEvaluators:
    """Transcripts and quality scores, cached on disk. The key is a hash of evaluator, its code, and samples."""

    def __init__(self, evaluators: Evaluators, folder: Path):
        self._evaluators = evaluators
        self._folder = folder
        self._code = code_fingerprint(*_CODE)

    def transcripts(self, wav: np.ndarray, language: str = ENGLISH) -> dict[str, str]:
        """Prefix of each loaded recognizer (:data:`RECOGNIZERS`) that knows the language to its transcript, normalized.

        ``language``: a code, with or without a region.
        """
        recognizers = {prefix: getattr(self._evaluators, name) for name, prefix in RECOGNIZERS.items()}
        spoken = base_language(language)
        return {
            prefix: normalize(
                self._cached(f"{recognizer.identity}|{spoken}", wav, partial(recognizer.transcribe, language=spoken)),
                language,
            )
            for prefix, recognizer in recognizers.items()
            if recognizer is not None and spoken in recognizer.languages
        }

    def quality(self, wav: np.ndarray) -> dict[str, float]:
        """Scores as ``dnsmos_ovrl`` etc. and ``distillmos``; empty without a predictor or without speech.

        ``no_speech`` counts outputs without speech.
        """
        scores: dict[str, float] = {}
        with suppress(SilentAudio, TooShort):
            if (dnsmos := self._evaluators.dnsmos) is not None:
                of_dnsmos = self._cached(dnsmos.identity, wav, dnsmos.score)
                scores |= {f"dnsmos_{name}": score for name, score in of_dnsmos.items()}
            if (distillmos := self._evaluators.distillmos) is not None:
                scores["distillmos"] = self._cached(distillmos.identity, wav, distillmos.score)
        return scores

    def _cached(self, identity: str, wav: np.ndarray, evaluate: Callable[[np.ndarray], Any]) -> Any:
        digest = hashlib.sha256(f"{identity}|{self._code}|{wav.dtype}|".encode() + wav.tobytes()).hexdigest()
        path = self._folder / f"{digest[:32]}.json"
        if not path.exists():
            result = json.dumps(evaluate(wav))
            self._folder.mkdir(parents=True, exist_ok=True)
            files.write(path, result.encode(), force=True)
        return json.loads(path.read_text(encoding="utf-8"))


def _moonshine() -> MoonshineASR | None:
    try:
        return MoonshineASR()
    except UsageError as error:
        _log.warning("%s Its figures have no value in this report.", error)
        return None
