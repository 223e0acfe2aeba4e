"""What was protected, for one clip: how alike a listening machine finds the voices, before and after.

The judge is Resemblyzer where it is installed, because it has no part in the conversion; what it usually says was
measured once (``benchmarks/similarity.py``). Without it the model's own speaker encoder judges, beside what it says
of the built-in gallery, and the page says that this judge is no independent one.
"""

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
from saic.evaluation.evaluators.whisper import Recogniser, normalize
from saic.evaluation.measures.text_errors import word_errors
from saic.gallery import Voices


@dataclass(frozen=True)
class Usual:
    """Quantiles (5, 50 and 95 %) of cosine similarities."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Judge:
    """A listening machine, and what it usually says of natural recordings of one person and of two people.

    ``embed`` maps a wav (N,) to (E,) of length 1. ``independent``: it has no part in the conversion.
    """

    name: str
    embed: Callable[[np.ndarray], np.ndarray]
    same: Usual
    different: Usual
    basis: str
    independent: bool


@dataclass(frozen=True)
class Likeness:
    """Cosine similarity to one voice, before and after; None where it can't be told.

    Before: of the original; to its own voice, of its first half to its second. After: of the swapped clip.
    """

    before: float | None
    after: float | None


@dataclass(frozen=True)
class Protection:
    """What the card shows. ``target`` is None for a voice that nobody has, ``words_kept`` (0 to 1) unless measured."""

    judge: Judge
    source: Likeness
    target: Likeness | None
    words_kept: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the API."""

        def likeness(of: Likeness | None) -> dict | None:
            return of and {"before": of.before, "after": of.after}

        usual = {"same_person": vars(self.judge.same), "two_people": vars(self.judge.different)}
        return {
            "judge": self.judge.name,
            "similarity_to_source": likeness(self.source),
            "similarity_to_target": likeness(self.target),
            "usual_similarity": usual,
            "words_kept": self.words_kept,
        }


class Listener:
    """The judge of a page, loaded when first needed or in the background, and its recogniser.

    Parameters
    ----------
    pipeline : gives the judge of last resort
    recogniser : hears words; None: they are not counted
    """

    def __init__(self, pipeline: Any, recogniser: Recogniser | None = None) -> None:
        self._pipeline, self._recogniser = pipeline, recogniser
        self._lock = threading.Lock()
        self._judge: Judge | None = None

    @property
    def hears_words(self) -> bool:
        """Whether a recogniser is there."""
        return self._recogniser is not None

    @property
    def judge(self) -> Judge:
        with self._lock:
            if self._judge is None:
                self._judge = independent_judge() or own_judge(self._pipeline)
            return self._judge

    def warm_up(self) -> None:
        """Load and compile now what would make the first card slow."""
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, SAMPLE_RATE).astype(np.float32)
        self.judge.embed(noise)
        if self._recogniser is not None:
            self.words_kept(noise, noise)

    def likeness(
        self,
        original: np.ndarray,
        swapped: np.ndarray,
        target: np.ndarray | None,
        between: Callable[[], None] = lambda: None,
    ) -> Protection:
        """Compare three wavs (N,); `target` is None where nobody's recording was used.

        ``between`` is called after each listening; what it raises ends the comparison.
        """
        judge, half, heard = self.judge, len(original) // 2, []
        for wav in (original[:half], original[half:], swapped):
            heard.append(self._embed(wav))
            between()
        first, second, after = heard
        # The whole is the mean of its halves, as embedders average over a clip: one listening less.
        source = self._embed(original) if first is None or second is None else first + second
        to_source = Likeness(_cosine(first, second), _cosine(source, after))
        if target is None:
            return Protection(judge, to_source, None)
        other = self._embed(target)
        return Protection(judge, to_source, Likeness(_cosine(source, other), _cosine(after, other)))

    def words_kept(
        self, original: np.ndarray, swapped: np.ndarray, between: Callable[[], None] = lambda: None
    ) -> float | None:
        """Share (0 to 1) of the words heard in the original that are heard in the swapped clip; None: not measured."""
        if self._recogniser is None:
            return None
        reference, heard = (normalize(self._recogniser.transcribe(wav, between)) for wav in (original, swapped))
        edits = word_errors(reference, heard)
        return 1 - (edits.substitutions + edits.deletions) / edits.length if edits.length else None

    def _embed(self, wav: np.ndarray) -> np.ndarray | None:
        try:
            return self.judge.embed(wav)
        except AudioError:  # too little in it that counts as speech: it is still to be heard
            return None


def independent_judge() -> Judge | None:
    """Resemblyzer, or None where it is not installed."""
    measured = json.loads((resources.files("saic.web") / "typical_similarity.json").read_text(encoding="utf-8"))
    try:
        embedder = Resemblyzer()
    except UsageError:
        return None
    return Judge(
        name="Resemblyzer",
        embed=embedder.embed,
        same=Usual(**measured["same"]),
        different=Usual(**measured["different"]),
        basis=f"{measured['speakers']} readers of LibriSpeech",
        independent=True,
    )


def own_judge(pipeline: Any) -> Judge:
    """The model's own speaker encoder."""
    same, different = gallery_similarities(pipeline.voices)
    return Judge(
        name="the model's own speaker encoder",
        embed=OwnEncoder(pipeline).embed,
        same=_usual(same),
        different=_usual(different),
        basis=f"the {len(pipeline.voices.names)} voices of the built-in gallery",
        independent=False,
    )


def gallery_similarities(voices: Voices) -> tuple[np.ndarray, np.ndarray]:
    """Cosine similarities of all pairs of a gallery's points: of one voice, and of two."""
    n_voices, n_points, _ = voices.speaker.shape
    points = voices.speaker.reshape(n_voices * n_points, -1)
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    similarity = points @ points.T
    voice = np.repeat(np.arange(n_voices), n_points)
    pairs = np.triu(np.ones_like(similarity, dtype=bool), k=1)
    same = voice[:, None] == voice[None]
    return similarity[pairs & same], similarity[pairs & ~same]


def _usual(similarities: np.ndarray) -> Usual:
    return Usual(*(float(np.quantile(similarities, q)) for q in (0.05, 0.5, 0.95)))


def _cosine(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
    return None if a is None or b is None else float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
