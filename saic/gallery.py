"""The built-in gallery: speaker and content summaries of some voices, without any audio of theirs.

It gives the maps of Fig. 5 their background and :meth:`saic.pipeline.Pipeline.identify` its threshold. It
belongs to one set of weights and is made again with each release (``python -m train.voices``).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from saic.errors import WeightsError
from saic.signal.mel import N_MELS
from saic.weights import write_tensors
from saic.weights.tensors import read_tensors

_ARRAYS = ("speaker", "content", "register", "timbre")


@dataclass(frozen=True)
class Voice:
    """What is kept of a voice to speak with it.

    ``embedding`` (E,); ``register`` (2,) median and spread of log2 F0 (:func:`saic.signal.f0.statistics`); ``timbre``
    (81, 80) mean and covariance of the mel bands (:func:`saic.signal.mel_statistics.measure`).
    """

    embedding: np.ndarray
    register: np.ndarray
    timbre: np.ndarray


@dataclass(frozen=True)
class Voices:
    """A gallery of K voices with P points each.

    Attributes
    ----------
    names, sexes
        K labels; sex is "F" or "M".
    speaker
        (K, P, E) speaker embeddings, one per clip or part of a clip.
    content
        (K, P, D) content codes of 2 s, flattened: the time course counts, not only its mean.
    register, timbre
        (K, 2) and (K, 81, 80), as in :class:`Voice`.
    threshold
        Cosine similarity of speaker embeddings above which two clips are taken for one person: where false
        alarms and misses are equally frequent on speakers that did not train.
    """

    names: tuple[str, ...]
    sexes: tuple[str, ...]
    speaker: np.ndarray
    content: np.ndarray
    register: np.ndarray
    timbre: np.ndarray
    threshold: float

    def windows(self, content: np.ndarray) -> np.ndarray:
        """A clip's content codes (C, L) as 2 s windows (W, D), to stand beside the gallery's."""
        return content_windows(content, self.content.shape[-1] // len(content))

    def pseudonym(self, random: np.random.Generator) -> Voice:
        """A voice that nobody has: between two voices of one sex, drawn at random.

        Halfway between two of them lies nearer to the middle of all than a voice does, by the square root of two if
        they lie like independent draws, and near the middle everybody is similar. So embedding, register and mean
        spectrum are moved away from the middle by that factor.
        """
        sex = random.choice(sorted(set(self.sexes)))
        own = [k for k, label in enumerate(self.sexes) if label == sex]
        pair = random.choice(own, size=min(2, len(own)), replace=False)

        def mixed(values: np.ndarray) -> np.ndarray:
            middle = values[own].mean(axis=0)
            return middle + np.sqrt(len(pair)) * (values[pair].mean(axis=0) - middle)

        timbre = self.timbre[pair].mean(axis=0)
        timbre[0] = mixed(self.timbre[:, 0])
        return Voice(mixed(self.speaker.mean(axis=1)), mixed(self.register), timbre)

    def save(self, path: Path) -> None:
        """Write a safetensors file (float16)."""
        tensors = {name: torch.from_numpy(getattr(self, name)).half().contiguous() for name in _ARRAYS}
        about = {"names": list(self.names), "sexes": list(self.sexes), "threshold": self.threshold}
        write_tensors(path, tensors, {"voices": json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> "Voices":
        """Read what :meth:`save` wrote; raise :class:`WeightsError` if it is something else."""
        try:
            tensors, metadata = read_tensors(path)
            about = json.loads(metadata["voices"])
            arrays = {name: tensors[name].numpy() for name in _ARRAYS}
            labels, threshold = (about["names"], about["sexes"]), about["threshold"]
            if len(tensors) != len(_ARRAYS) or not all(isinstance(each, list) for each in labels):
                raise ValueError
            voices = cls(*map(tuple, labels), threshold=threshold, **arrays)
            if not voices._is_whole():
                raise ValueError
        except (WeightsError, KeyError, TypeError, ValueError, RecursionError):
            raise WeightsError("The gallery of voices cannot be read: get the weights again.") from None
        return voices

    def _is_whole(self) -> bool:
        """Whether there are voices, all attributes tell of the same K and P, and the threshold is a cosine."""
        n_voices, n_points, _ = shape = self.speaker.shape
        return (
            min(*shape, *self.content.shape) > 0
            and self.content.shape[:-1] == (n_voices, n_points)
            and self.register.shape == (n_voices, 2)
            and self.timbre.shape == (n_voices, N_MELS + 1, N_MELS)
            and len(self.names) == len(self.sexes) == n_voices
            and all(isinstance(label, str) for label in (*self.names, *self.sexes))
            and type(self.threshold) in (int, float)
            and -1 <= self.threshold <= 1
        )


def content_windows(content: np.ndarray, length: int) -> np.ndarray:
    """Content codes (C, L) as flattened windows (W, C * length), end to end; a shorter rest is left out.

    A clip shorter than one window gives one, repeated to length.
    """
    if content.shape[1] < length:
        content = np.tile(content, -(-length // content.shape[1]))[:, :length]
    starts = range(0, content.shape[1] - length + 1, length)
    return np.stack([content[:, start : start + length].ravel() for start in starts])
