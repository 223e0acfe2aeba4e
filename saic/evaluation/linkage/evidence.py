"""What an attacker measures of a segment."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from saic.evaluation.evaluators.embedders import Embedder
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.protocols import StepCallback


class Evidence(Protocol):
    """One kind of measurement.

    Attributes
    ----------
    name
        Its key in a report.
    """

    name: str

    def measure(self, segment: Segment) -> np.ndarray:
        """(E,) float32, finite.

        Raises
        ------
        SilentAudio, TooShort
            There is too little speech to measure.
        """


@runtime_checkable
class TrainedEvidence(Evidence, Protocol):
    """Measurement by a network that is first trained on converted speech.

    Attributes
    ----------
    fingerprint
        Hash of the trained weights: part of the key of cached vectors.
    """

    fingerprint: str

    def fit(self, segments: Sequence[Segment], speakers: Sequence[str], *, seed: int, progress: StepCallback) -> None:
        """Train on segments of known speakers."""

    def state(self) -> dict[str, Tensor]:
        """The trained weights."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take weights from :meth:`state`."""


class EmbedderEvidence:
    """A pretrained speaker embedder."""

    def __init__(self, embedder: Embedder):
        self.name = embedder.name
        self._embedder = embedder

    def measure(self, segment: Segment) -> np.ndarray:
        """(E,) of length 1."""
        return self._embedder.embed(segment.wav)
