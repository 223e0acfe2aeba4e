"""Words and characters that went wrong: alignment counts of a transcript against its reference. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Edits:
    """What turns a reference into a hypothesis, and how long the reference is."""

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

    Shortest alignments may differ in kind: two substitutions cost what a deletion and an insertion do. Of such
    ways the one with substitutions is taken, as late in the sequences as they go.

    Parameters
    ----------
    reference, hypothesis
        Sequences of anything that can be hashed: words in a list, characters in a string.
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


def word_errors(reference: str, hypothesis: str) -> Edits:
    """Edits between the words of two normalized texts (:func:`saic.evaluation.evaluators.whisper.normalize`)."""
    return edits(reference.split(), hypothesis.split())


def character_errors(reference: str, hypothesis: str) -> Edits:
    """Edits between the characters of two normalized texts, spaces among them."""
    return edits(" ".join(reference.split()), " ".join(hypothesis.split()))


def pooled(counts: Sequence[Edits], speakers: Sequence[str]) -> dict[str, Edits]:
    """Add up the edits of each speaker.

    The rate of a speaker is the sum of its errors over the sum of its words, so that a clip of three words
    weighs as little as it should; the rate of a system is then the mean over speakers, so that nobody weighs
    more for having spoken more. Speakers without any reference word are left out: they have no rate.
    """
    totals: dict[str, Edits] = {}
    for count, speaker in zip(counts, speakers, strict=True):
        totals[speaker] = totals.get(speaker, Edits()) + count
    return {speaker: total for speaker, total in totals.items() if total.length}


def _distances(reference: Sequence, hypothesis: Sequence) -> np.ndarray:
    """(R + 1, H + 1) edit distance between the first i items of one and the first j of the other."""
    number: dict = {}
    one, other = (np.array([number.setdefault(x, len(number)) for x in s], dtype=int) for s in (reference, hypothesis))
    places = np.arange(len(other) + 1)
    distance = np.empty((len(one) + 1, len(other) + 1), dtype=int)
    distance[0] = places
    for i, item in enumerate(one, start=1):
        row = distance[i - 1] + 1  # delete the item
        row[1:] = np.minimum(row[1:], distance[i - 1, :-1] + (other != item))  # keep or substitute it
        distance[i] = np.minimum.accumulate(row - places) + places  # insert what lies between
    return distance
