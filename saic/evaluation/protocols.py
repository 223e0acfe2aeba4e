"""Types that the parts of an evaluation share: the evaluated pipeline, the progress callback."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from saic.conversion import Voice
from saic.pipeline import Conversion, Embedding

StepCallback = Callable[[str, int, int], None]
"""Called with the name of the stage, the number of steps done, and the number of all steps."""

Samples = tuple[np.ndarray, int]
"""(N,) float32 samples and their rate in Hz."""


class EvaluatedPipeline(Protocol):
    """The part of :class:`saic.pipeline.Pipeline` that an evaluation uses."""

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles (:mod:`saic.profiles`) that the weights allow."""

    @property
    def default_profile(self) -> str:
        """The profile of :meth:`anonymize` if none is named."""

    def convert(self, source: Samples, targets: list[Samples], *, reconstruct: bool = False) -> Conversion:
        """Convert the source to the voice of the target recordings."""

    def anonymize(
        self, clip: Samples, *, seed: int | None = None, voice: Voice | None = None, profile: str | None = None
    ) -> Conversion:
        """Convert a clip to a voice, or to a pseudonym that the seed draws; None takes the default profile."""

    def pseudonym(self, *, unlike: Samples, seed: int) -> Voice:
        """A pseudonym that does not count as the voice of a clip, the same for the same seed."""

    def resynthesize(self, clip: Samples) -> np.ndarray:
        """(N,) float32: the clip's mel through the vocoder."""

    def embed(self, clip: Samples) -> Embedding:
        """Speaker embedding (E,) and content codes (C, L)."""

    def with_griffin_lim(self) -> "EvaluatedPipeline":
        """The same model with Griffin-Lim as its vocoder."""

    def info(self) -> Mapping[str, Any]:
        """Facts about the weights.

        Used are ``sha256`` (None for unsaved weights) and ``content_codes_per_s``.
        """
