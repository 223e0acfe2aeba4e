"""Protection of one recording: speaker similarity before and after the conversion, and words kept.

The speaker verifier is Resemblyzer where it is installed, because it has no part in the conversion.
Its typical similarities were measured once (``benchmarks/similarity.py``). Without it, the model's
own speaker encoder is used, with typical similarities from the built-in gallery; page and file report
then say that the verifier is not independent.
"""

import contextlib
import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import AudioError, UsageError
from saic.evaluation.evaluators.embedders import OwnEncoder, Resemblyzer
from saic.evaluation.evaluators.normalizer import normalize
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.measures.text_errors import word_errors
from saic.gallery import Gallery
from saic.signal.filters import Samples

WORDS_S = 300
"""Seconds of a recording in which words are counted: time and memory of the ASR grow with the length."""

_BLOCK_SAMPLES = 60 * SAMPLE_RATE  # bounds memory


@dataclass(frozen=True)
class TypicalRange:
    """Quantiles (5, 50 and 95 %) of cosine similarities."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class SpeakerVerifier:
    """A speaker embedder and its typical similarities on natural recordings.

    Attributes
    ----------
    name : as the page, the API and the file report show it
    embed : maps a wav (N,) to a speaker embedding (E,) of length 1
    same, different : typical cosine similarities of one person, and of two people
    basis : whose recordings gave the typical similarities
    independent : whether the embedder has no part in the conversion
    """

    name: str
    embed: Callable[[np.ndarray], np.ndarray]
    same: TypicalRange
    different: TypicalRange
    basis: str
    independent: bool


@dataclass(frozen=True)
class Similarity:
    """Cosine similarity to one voice, before and after the conversion.

    Attributes
    ----------
    before : of the original to the voice; for the speaker's own voice, of the original's first half
        to its second
    after : of the anonymized recording to the voice

    Either is None if there is too little speech for an embedding.
    """

    before: float | None
    after: float | None


@dataclass(frozen=True)
class Protection:
    """The measurements on the page's card "What was measured" and in a file report.

    Attributes
    ----------
    verifier : the verifier that gave the similarities
    source : similarity to the speaker
    target : similarity to the new voice; None for a pseudonym
    words_kept : see `ProtectionMeasurer.measure_words_kept`; None if not measured
    """

    verifier: SpeakerVerifier
    source: Similarity
    target: Similarity | None
    words_kept: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the API."""

        def values(of: Similarity | None) -> dict | None:
            return of and {"before": of.before, "after": of.after}

        usual = {"same_person": vars(self.verifier.same), "two_people": vars(self.verifier.different)}
        return {
            "judge": self.verifier.name,
            "similarity_to_source": values(self.source),
            "similarity_to_target": values(self.target),
            "usual_similarity": usual,
            "words_kept": self.words_kept,
        }


class ProtectionMeasurer:
    """Measures the protection of conversions.

    Parameters
    ----------
    pipeline : gives the speaker encoder that is used where Resemblyzer is not installed
    asr : speech recognizer; None: words are not counted
    """

    def __init__(self, pipeline: Any, asr: WhisperASR | None = None) -> None:
        self._pipeline, self._asr = pipeline, asr
        self._lock = threading.Lock()
        self._verifier: SpeakerVerifier | None = None

    @property
    def has_asr(self) -> bool:
        """Whether words can be counted."""
        return self._asr is not None

    @property
    def verifier(self) -> SpeakerVerifier:
        """The speaker verifier, loaded at the first use."""
        with self._lock:
            if self._verifier is None:
                self._verifier = independent_verifier() or own_verifier(self._pipeline)
            return self._verifier

    def warm_up(self) -> None:
        """Load and compile what the first card needs."""
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, SAMPLE_RATE).astype(np.float32)
        self.verifier.embed(noise)
        if self._asr is not None:
            self.measure_words_kept(noise, noise)

    def measure_similarity(
        self,
        original: Samples,
        swapped: Samples,
        target: Samples | None,
        after_step: Callable[[], None] = lambda: None,
    ) -> Protection:
        """Compare the voices of three wavs, block by block.

        Parameters
        ----------
        original, swapped : (N,)
        target : (M,) recording of the new voice; None for a pseudonym
        after_step : called after each block; an exception from it ends the comparison
        """
        verifier, half = self.verifier, len(original) // 2
        first = self._embed(original, 0, half, after_step)
        second = self._embed(original, half, len(original), after_step)
        after = self._embed(swapped, 0, len(swapped), after_step)
        # An embedding is a normalized mean over the clip, so the sum of the halves' embeddings has
        # about the direction of the whole clip's. This saves one embedding.
        if first is None or second is None:
            source = self._embed(original, 0, len(original), after_step)
        else:
            source = first + second
        to_source = Similarity(_cosine(first, second), _cosine(source, after))
        if target is None:
            return Protection(verifier, to_source, None)
        other = self._embed(target, 0, len(target), after_step)
        return Protection(verifier, to_source, Similarity(_cosine(source, other), _cosine(after, other)))

    def measure_words_kept(
        self, original: np.ndarray, swapped: np.ndarray, after_step: Callable[[], None] = lambda: None
    ) -> float | None:
        """Share (0 to 1) of the original's words that the ASR also finds in the anonymized recording.

        The reference is the ASR transcript of the original, in the language that the ASR hears there:
        1 - (S + D) / N with S substitutions, D deletions and N reference words. Unlike in the WER,
        insertions do not count. In languages without spaces, characters count. Of the original, the
        first five minutes count. If the anonymized recording has another length, its timing is new: the
        same words end after 7.5 minutes at most.

        Parameters
        ----------
        original, swapped : wavs (N,)
        after_step : called after each segment of ASR; an exception from it ends the measurement

        Returns
        -------
        None without an ASR, or if the original has no words.
        """
        if self._asr is None:
            return None
        longest = WORDS_S * SAMPLE_RATE
        original, swapped = (
            original[:longest],
            swapped[: longest if len(swapped) == len(original) else 3 * longest // 2],
        )
        language = self._asr.language(original)
        after_step()
        texts = (normalize(self._asr.transcribe(wav, after_step, language), language) for wav in (original, swapped))
        edits = word_errors(*texts, language)
        return 1 - (edits.substitutions + edits.deletions) / edits.length if edits.length else None

    def _embed(self, wav: Samples, start: int, stop: int, after_step: Callable[[], None]) -> np.ndarray | None:
        """Embedding of a part of a wav: the sum of those of its blocks; None if there is too little speech in it."""
        total, n_blocks = None, max(1, round((stop - start) / _BLOCK_SAMPLES))
        edges = [start + (stop - start) * k // n_blocks for k in range(n_blocks + 1)]
        for first, last in itertools.pairwise(edges):
            with contextlib.suppress(AudioError):  # too little speech; the recording can still be played
                embedding = self.verifier.embed(np.asarray(wav[first:last]))
                total = embedding if total is None else total + embedding
            after_step()
        return total


def independent_verifier() -> SpeakerVerifier | None:
    """Resemblyzer, or None where it is not installed."""
    measured = json.loads((resources.files("saic.evaluation") / "typical_similarity.json").read_text(encoding="utf-8"))
    try:
        embedder = Resemblyzer()
    except UsageError:
        return None
    return SpeakerVerifier(
        name="Resemblyzer",
        embed=embedder.embed,
        same=TypicalRange(**measured["same"]),
        different=TypicalRange(**measured["different"]),
        basis=f"{measured['speakers']} readers of LibriSpeech",
        independent=True,
    )


def own_verifier(pipeline: Any) -> SpeakerVerifier:
    """The model's own speaker encoder."""
    same, different = gallery_similarities(pipeline.gallery)
    return SpeakerVerifier(
        name="the model's own speaker encoder",
        embed=OwnEncoder(pipeline).embed,
        same=_typical_range(same),
        different=_typical_range(different),
        basis=f"the {len(pipeline.gallery.names)} voices of the built-in gallery",
        independent=False,
    )


def gallery_similarities(gallery: Gallery) -> tuple[np.ndarray, np.ndarray]:
    """Cosine similarities of all pairs of speaker embeddings: of one voice, and of two voices."""
    n_voices, n_points, _ = gallery.speaker.shape
    points = gallery.speaker.reshape(n_voices * n_points, -1)
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    similarity = points @ points.T
    voice = np.repeat(np.arange(n_voices), n_points)
    pairs = np.triu(np.ones_like(similarity, dtype=bool), k=1)
    same = voice[:, None] == voice[None]
    return similarity[pairs & same], similarity[pairs & ~same]


def _typical_range(similarities: np.ndarray) -> TypicalRange:
    return TypicalRange(*(float(np.quantile(similarities, q)) for q in (0.05, 0.5, 0.95)))


def _cosine(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
    return None if a is None or b is None else float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
