"""Word and character errors of a transcript against its reference, by Levenshtein alignment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saic.evaluation.evaluators.normalizer import ENGLISH, WITHOUT_SPACES, base_language


@dataclass(frozen=True)
class Edits:
    """Edits that turn a reference into a hypothesis, and the length of the reference."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0

    @property
    def errors(self) -> int:
        """All edits; errors / length is the WER or CER, which insertions can bring above 1."""
        return self.substitutions + self.deletions + self.insertions

    def __add__(self, other: "Edits") -> "Edits":
        return Edits(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.length + other.length,
        )


def edits(reference: Sequence, hypothesis: Sequence) -> Edits:
    """Count the edits of a shortest alignment (Levenshtein 1966).

    Several alignments may be equally short: two substitutions cost as much as a deletion and an
    insertion. Of these, the one with substitutions is taken; they lie as late in the sequences as
    possible.

    Parameters
    ----------
    reference, hypothesis
        Sequences of hashable items: a list of words, or a string of characters.
    """
    distance = _distances(reference, hypothesis)
    i, j = len(reference), len(hypothesis)
    substitutions = deletions = insertions = 0
    while i or j:
        differs = bool(i and j) and reference[i - 1] != hypothesis[j - 1]
        if i and j and distance[i, j] == distance[i - 1, j - 1] + differs:
            substitutions += differs
            i, j = i - 1, j - 1
        elif i and distance[i, j] == distance[i - 1, j] + 1:
            deletions += 1
            i -= 1
        else:
            insertions += 1
            j -= 1
    return Edits(substitutions, deletions, insertions, len(reference))


def word_errors(reference: str, hypothesis: str, language: str = ENGLISH) -> Edits:
    """Edits between the words of two texts, normalized by ``evaluators.normalizer.normalize``.

    Between their characters in a language that is written without spaces.
    """
    if base_language(language) in WITHOUT_SPACES:
        return character_errors(reference, hypothesis)
    return edits(reference.split(), hypothesis.split())


def character_errors(reference: str, hypothesis: str) -> Edits:
    """Edits between the characters of two normalized texts, spaces included."""
    return edits(" ".join(reference.split()), " ".join(hypothesis.split()))


def pool_by_speaker(counts: Sequence[Edits], speakers: Sequence[str]) -> dict[str, Edits]:
    """Sum the edits of each speaker.

    The error rate of a speaker is the sum of errors over the sum of words, so that clips are
    weighted by their length. The rate of a system is the mean over speakers, so that all speakers
    have equal weight. Speakers without any reference word have no rate and are left out.
    """
    totals: dict[str, Edits] = {}
    for count, speaker in zip(counts, speakers, strict=True):
        totals[speaker] = totals.get(speaker, Edits()) + count
    return {speaker: total for speaker, total in totals.items() if total.length}


def _distances(reference: Sequence, hypothesis: Sequence) -> np.ndarray:
    """(R + 1, H + 1) edit distances: [i, j] is between the first i and the first j items."""
    number: dict = {}
    one, other = (np.array([number.setdefault(x, len(number)) for x in s], dtype=int) for s in (reference, hypothesis))
    positions = np.arange(len(other) + 1)
    distance = np.empty((len(one) + 1, len(other) + 1), dtype=int)
    distance[0] = positions
    for i, item in enumerate(one, start=1):
        row = distance[i - 1] + 1  # delete the item
        row[1:] = np.minimum(row[1:], distance[i - 1, :-1] + (other != item))  # keep or substitute it
        distance[i] = np.minimum.accumulate(row - positions) + positions  # insert items
    return distance
