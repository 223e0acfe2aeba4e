"""All evaluators of a run.

They are loaded before the run begins, so that a missing package is reported at once.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saic import files
from saic.errors import SilentAudio, TooShort
from saic.evaluation.evaluators.dnsmos import Dnsmos
from saic.evaluation.evaluators.embedders import Embedder, Resemblyzer, VoiceFilter
from saic.evaluation.evaluators.whisper import WhisperASR, normalize

NO_ASR = "none"


@dataclass(frozen=True)
class Evaluators:
    """The evaluators of one run. None of them is used in training.

    Attributes
    ----------
    embedders
        Speaker embedders; the first is the paper's and gives the figures of "identity".
    asr
        Speech recognizer, or None: then WER and CER have no value.
    dnsmos
        Quality predictor, or None: then its scores have no value.
    """

    embedders: Sequence[Embedder]
    asr: WhisperASR | None = None
    dnsmos: Dnsmos | None = None

    @classmethod
    def load(cls, asr: str | None = None, *, dnsmos: bool = True, device: str = "cpu") -> "Evaluators":
        """Load all evaluators.

        Parameters
        ----------
        asr
            Folder or pinned Hub id of the recognizer, see
            :class:`~saic.evaluation.evaluators.whisper.WhisperASR`; "none" loads no recognizer.
        dnsmos
            Whether to load DNSMOS.

        Raises
        ------
        UsageError, WeightsError
            A package is missing, or the recognizer cannot be loaded.
        """
        recognizer = None if asr == NO_ASR else WhisperASR(asr, device)
        embedders = Resemblyzer(), VoiceFilter()
        for embedder in embedders:
            embedder.warm_up()
        return cls(embedders, recognizer, Dnsmos() if dnsmos else None)


class CachedEvaluators:
    """Transcripts and DNSMOS scores, cached on disk. The key is a hash of evaluator and samples."""

    def __init__(self, asr: WhisperASR | None, dnsmos: Dnsmos | None, folder: Path):
        self._asr = asr
        self._dnsmos = dnsmos
        self._folder = folder

    def transcript(self, wav: np.ndarray) -> str | None:
        """Normalized transcript; None without a recognizer."""
        if self._asr is None:
            return None
        return normalize(self._cached(self._asr.identity, wav, self._asr.transcribe))

    def dnsmos_scores(self, wav: np.ndarray) -> dict[str, float]:
        """Scores as ``dnsmos_ovrl`` etc.; empty without DNSMOS or without speech.

        ``no_speech`` counts outputs without speech.
        """
        if self._dnsmos is not None:
            with suppress(SilentAudio, TooShort):
                scores = self._cached(self._dnsmos.identity, wav, self._dnsmos.score)
                return {f"dnsmos_{name}": score for name, score in scores.items()}
        return {}

    def _cached(self, identity: str, wav: np.ndarray, evaluate: Callable[[np.ndarray], Any]) -> Any:
        digest = hashlib.sha256(f"{identity}|{wav.dtype}|".encode() + wav.tobytes()).hexdigest()
        path = self._folder / f"{digest[:32]}.json"
        if not path.exists():
            result = json.dumps(evaluate(wav))
            self._folder.mkdir(parents=True, exist_ok=True)
            files.write(path, result.encode(), force=True)
        return json.loads(path.read_text(encoding="utf-8"))
