"""The built-in gallery: embeddings and statistics of some voices, without audio.

Pseudonyms are blends of its voices, the maps of Fig. 5 show its points, and it holds the threshold
of :meth:`saic.pipeline.Pipeline.identify`. It belongs to one set of weights and is made again for
each release (``python -m train.voices``).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from saic.conversion import Voice
from saic.errors import WeightsError
from saic.migration import migrate_tensors
from saic.signal.mel import N_MELS
from saic.weights import write_tensors
from saic.weights.tensors import read_tensors

MAX_PSEUDONYM_SIMILARITY = -0.1
"""Largest cosine similarity between the embeddings of a speaker and of a random pseudonym.

Chosen on the dev splits; about one draw in five is below it.
"""

_MAX_DRAWS = 50
_ARRAYS = ("speaker", "content", "f0_stats", "mel_statistics")


@dataclass(frozen=True)
class Gallery:
    """K voices with P points each.

    Attributes
    ----------
    names, sexes
        K labels; the sex is "F", "M" or, if unknown, "?".
    speaker
        (K, P, E) speaker embeddings, one per clip or part of a clip.
    content
        (K, P, D) content codes of 2 s, flattened: a point represents a sequence of codes.
    f0_stats, mel_statistics
        (K, 2) and (K, 81, 80), as in :class:`~saic.conversion.Voice`.
    threshold
        Cosine similarity of speaker embeddings from which two clips count as one speaker: the
        equal-error-rate threshold on speakers that were not in training.
    """

    names: tuple[str, ...]
    sexes: tuple[str, ...]
    speaker: np.ndarray
    content: np.ndarray
    f0_stats: np.ndarray
    mel_statistics: np.ndarray
    threshold: float

    def windows(self, content: np.ndarray) -> np.ndarray:
        """A clip's content codes (C, L) as 2 s windows (W, D), comparable with the gallery's."""
        return content_windows(content, self.content.shape[-1] // len(content))

    def pseudonym(self, random: np.random.Generator) -> Voice:
        """A blend of two random gallery voices of one sex.

        The mean of two independent voices is nearer to the mean of all voices of that sex than a
        single voice is, by a factor of the square root of two, and a voice near the mean is similar
        to many. So the blend's distance from the mean is multiplied by that factor, for embedding,
        F0 statistics and mean spectrum.
        """
        sex = random.choice(sorted(set(self.sexes)))
        own = [k for k, label in enumerate(self.sexes) if label == sex]
        pair = random.choice(own, size=min(2, len(own)), replace=False)

        def blend(values: np.ndarray) -> np.ndarray:
            center = values[own].mean(axis=0)
            return center + np.sqrt(len(pair)) * (values[pair].mean(axis=0) - center)

        mel_statistics = self.mel_statistics[pair].mean(axis=0)
        mel_statistics[0] = blend(self.mel_statistics[:, 0])
        parts = blend(self.speaker.mean(axis=1)), blend(self.f0_stats), mel_statistics
        return Voice(*(torch.from_numpy(part.astype(np.float32))[None] for part in parts))

    def distant_pseudonym(self, random: np.random.Generator, embedding: torch.Tensor) -> Voice:
        """A pseudonym that is unlike a speaker.

        Pseudonyms are drawn until the cosine similarity of the embeddings is at most
        `MAX_PSEUDONYM_SIMILARITY`; if none of 50 is that far, the least similar one is taken.

        Parameters
        ----------
        embedding
            (1, E) of the speaker to protect.
        """
        best, least = None, 2.0
        for _ in range(_MAX_DRAWS):
            voice = self.pseudonym(random)
            similarity = float(torch.cosine_similarity(embedding.cpu(), voice.embedding))
            if similarity < least:
                best, least = voice, similarity
            if least <= MAX_PSEUDONYM_SIMILARITY:
                break
        return best

    def save(self, path: Path) -> None:
        """Write a safetensors file (float16)."""
        tensors = {name: torch.from_numpy(getattr(self, name)).half().contiguous() for name in _ARRAYS}
        about = {"names": list(self.names), "sexes": list(self.sexes), "threshold": self.threshold}
        write_tensors(path, tensors, {"voices": json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> "Gallery":
        """Read what :meth:`save` wrote; raise :class:`WeightsError` if it is something else."""
        try:
            stored, metadata = read_tensors(path)
            tensors = migrate_tensors(stored)
            about = json.loads(metadata["voices"])
            arrays = {name: tensors[name].numpy() for name in _ARRAYS}
            labels, threshold = (about["names"], about["sexes"]), about["threshold"]
            if len(stored) != len(_ARRAYS) or not all(isinstance(each, list) for each in labels):
                raise ValueError
            gallery = cls(*map(tuple, labels), threshold=threshold, **arrays)
            if not gallery._is_complete():
                raise ValueError
        except (WeightsError, KeyError, TypeError, ValueError, RecursionError):
            raise WeightsError("The gallery of voices cannot be read: get the weights again.") from None
        return gallery

    def _is_complete(self) -> bool:
        """Whether arrays and labels agree in K and P, and the threshold is within -1 to 1."""
        n_voices, n_points, _ = shape = self.speaker.shape
        return (
            min(*shape, *self.content.shape) > 0
            and self.content.shape[:-1] == (n_voices, n_points)
            and self.f0_stats.shape == (n_voices, 2)
            and self.mel_statistics.shape == (n_voices, N_MELS + 1, N_MELS)
            and len(self.names) == len(self.sexes) == n_voices
            and all(isinstance(label, str) for label in (*self.names, *self.sexes))
            and type(self.threshold) in (int, float)
            and -1 <= self.threshold <= 1
        )


def content_windows(content: np.ndarray, length: int) -> np.ndarray:
    """Content codes (C, L) as W adjacent windows of ``length`` codes, flattened: (W, C * length).

    Codes after the last whole window are left out. A clip shorter than one window is repeated.
    """
    if content.shape[1] < length:
        content = np.tile(content, -(-length // content.shape[1]))[:, :length]
    starts = range(0, content.shape[1] - length + 1, length)
    return np.stack([content[:, start : start + length].ravel() for start in starts])
