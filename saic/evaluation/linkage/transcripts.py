"""An attacker who only reads: what the words of two sides tell about their speakers.

A conversion keeps the words, so these figures hold for every system: no conversion of the voice
can be harder to link than its transcript. The transcripts are those of the manifest.
"""

import unicodedata
from collections import Counter

import numpy as np
from scipy.stats import hypergeom
from sklearn.feature_extraction.text import TfidfVectorizer

from saic.evaluation.linkage.material import Side, TrialSet

_NGRAMS = (1, 4)  # characters, within words


def compare_texts(trials: TrialSet) -> np.ndarray:
    """(R, C) cosine similarity of the sides' character n-grams, weighted by TF-IDF.

    Case and punctuation are left out. The document frequencies are those of the trials' sides,
    which an attacker has. A clip counts with its whole text, also if the side has only a part of
    it. NaN for a side without a text.
    """
    sides = (*trials.enrollments, *trials.tests)
    texts = [_text(side) for side in sides]
    known = [i for i, text in enumerate(texts) if text]
    scores = np.full((len(trials.enrollments), len(trials.tests)), np.nan)
    if known:
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=_NGRAMS, sublinear_tf=True)
        vectors = vectorizer.fit_transform([texts[i] for i in known])
        rows = [place for place, i in enumerate(known) if i < len(scores)]
        columns = [place for place, i in enumerate(known) if i >= len(scores)]
        places = [known[place] for place in rows], [known[place] - len(scores) for place in columns]
        scores[np.ix_(*places)] = (vectors[rows] @ vectors[columns].T).toarray()
    return scores


def compare_languages(trials: TrialSet) -> np.ndarray:
    """(R, C) 1 if both sides are of one language, 0 if not, NaN if the manifest does not state it."""
    enrolled, tested = (
        np.array([language(side) or "" for side in sides], dtype=str) for sides in (trials.enrollments, trials.tests)
    )
    is_known = np.logical_and.outer(enrolled != "", tested != "")
    return np.where(is_known, np.equal.outer(enrolled, tested).astype(float), np.nan)


def language(side: Side) -> str | None:
    """The language of most of a side's clips; None if the manifest does not state it."""
    counts = Counter(clip.language for clip in side.clips if clip.language is not None)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def top1_of_guess(n_enrolled: int, n_alike: int, size: int) -> float:
    """Probability, 0 to 1, to name the right one by a guess among those with the right one's language.

    Parameters
    ----------
    n_enrolled
        Number of enrolled speakers.
    n_alike
        How many of them have that language, the right one among them.
    size
        Size of the gallery: the right one and others, drawn at random.
    """
    others = np.arange(min(n_alike, size))
    return float((hypergeom.pmf(others, n_enrolled - 1, n_alike - 1, size - 1) / (1 + others)).sum())


def _text(side: Side) -> str:
    """What a side's clips say, in lower case, without punctuation and symbols."""
    joined = " ".join(clip.text for clip in side.clips if clip.text)
    spoken = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in joined.lower())
    return " ".join(spoken.split())
