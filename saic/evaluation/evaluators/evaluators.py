"""Who judges: everything that is loaded before an evaluation begins, so that what is missing is told at once."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saic.errors import SilentAudio, TooShort
from saic.evaluation.evaluators.dnsmos import Dnsmos
from saic.evaluation.evaluators.embedders import Embedder, Resemblyzer, VoiceFilter
from saic.evaluation.evaluators.whisper import Recogniser, normalize

NO_ASR = "none"


@dataclass(frozen=True)
class Judges:
    """The evaluators of one run; none of them trained the model.

    Attributes
    ----------
    embedders
        Tell voices apart; the first is the paper's, whose verdict is "identity".
    recogniser, dnsmos
        Write down words, and rate the sound; None leaves their figures without a value.
    """

    embedders: Sequence[Embedder]
    recogniser: Recogniser | None = None
    dnsmos: Dnsmos | None = None

    @classmethod
    def load(cls, asr: str | None = None, *, dnsmos: bool = True, device: str = "cpu") -> "Judges":
        """Load all of them.

        Parameters
        ----------
        asr
            Folder or pinned Hub id of the recogniser, see :class:`~saic.evaluation.evaluators.whisper.Recogniser`; "none"
            goes without one.
        dnsmos
            Whether to rate the sound.

        Raises
        ------
        UsageError, WeightsError
            A package is missing, or the recogniser cannot be had.
        """
        recogniser = None if asr == NO_ASR else Recogniser(asr, device)
        embedders = Resemblyzer(), VoiceFilter()
        for embedder in embedders:
            embedder.warm_up()
        return cls(embedders, recogniser, Dnsmos() if dnsmos else None)


class Opinions:
    """What the evaluators say, kept on disk by who said it of which samples."""

    def __init__(self, recogniser: Recogniser | None, dnsmos: Dnsmos | None, folder: Path):
        self._recogniser = recogniser
        self._dnsmos = dnsmos
        self._folder = folder

    def text(self, wav: np.ndarray) -> str | None:
        """Normalized transcript."""
        if self._recogniser is None:
            return None
        return normalize(self._ask(self._recogniser.identity, wav, self._recogniser.transcribe))

    def opinions(self, wav: np.ndarray) -> dict[str, float]:
        """DNSMOS scores; none of an output without speech, which ``no_speech`` counts elsewhere."""
        if self._dnsmos is not None:
            with suppress(SilentAudio, TooShort):
                scores = self._ask(self._dnsmos.identity, wav, self._dnsmos.score)
                return {f"dnsmos_{name}": score for name, score in scores.items()}
        return {}

    def _ask(self, identity: str, wav: np.ndarray, judge: Callable[[np.ndarray], Any]) -> Any:
        digest = hashlib.sha256(f"{identity}|{wav.dtype}|".encode() + wav.tobytes()).hexdigest()
        path = self._folder / f"{digest[:32]}.json"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(json.dumps(judge(wav)), encoding="utf-8")
            os.replace(partial, path)
        return json.loads(path.read_text(encoding="utf-8"))
