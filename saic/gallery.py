"""The built-in gallery: embeddings and statistics of some voices, without audio.

Pseudonyms are blends of its voices, the maps of Fig. 5 show its points, and it holds the threshold
of :meth:`saic.pipeline.Pipeline.identify`. It belongs to one set of weights and is made again for
each release (``python -m train.voices``).
"""

import hashlib
import itertools
import json
import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from saic.conversion import Voice
from saic.errors import UsageError, WeightsError
from saic.migration import migrate_tensors
from saic.signal.mel import N_MELS
from saic.weights import write_tensors
from saic.weights.tensors import read_tensors

N_COMPONENTS = 3
"""Gallery voices in a pseudonym, fewer if the gallery has fewer of one sex."""

EMBEDDING_SPREAD, SPECTRUM_SPREAD = 2.0, 2.5
"""Deviation of pseudonyms from the mean of their sex, as a multiple of the gallery voices' own.

Conversions are more alike than the voices that they are made from. Chosen on the dev and attack
splits; ``benchmarks/pseudonyms.py`` measures it. A larger multiple of the mean spectrum costs sound.
"""

FREQUENCY_SCALES = (1 / 1.2, 1.2)
"""Range of :attr:`saic.conversion.Voice.frequency_scale` of pseudonyms."""

SHARES = 2**52
"""Sum of the shares of a blend, as integers."""

BITS_BYTES = 32
"""Length of the random bits of a pseudonym: 256 bits."""

_SEX_OF_REGISTER = {"lower": "M", "higher": "F"}
_MAX_DRAWS = 50
_ARRAYS = ("speaker", "content", "f0_stats", "mel_statistics")


def random_bits() -> bytes:
    """256 bits of the operating system's generator, for a pseudonym."""
    return secrets.token_bytes(BITS_BYTES)


class _Integers:
    """Uniform integers from 256 bits: SHA-256 of the bits and a counter.

    A generator of NumPy would do, but its stream may change with its version.
    """

    def __init__(self, bits: bytes) -> None:
        if len(bits) != BITS_BYTES:
            raise UsageError(f"A pseudonym is drawn from {BITS_BYTES} bytes.")
        self._bits, self._count = bits, 0

    def below(self, limit: int) -> int:
        """The next integer, 0 to ``limit`` - 1; for limits below 2**53 it is uniform within 2**-200."""
        block = hashlib.sha256(self._bits + self._count.to_bytes(8, "big")).digest()
        self._count += 1
        return int.from_bytes(block, "big") * limit >> 256


def draw_blend(integers: _Integers, voices: Sequence[int]) -> dict[int, int]:
    """Draw the components of a pseudonym and their shares, as integers with the sum `SHARES`.

    The components are different. A share is at least half of an equal share, so that a blend is no
    component's voice; what is left is divided uniformly.
    """
    left = list(voices)
    count = min(N_COMPONENTS, len(left))
    components = [left.pop(integers.below(len(left))) for _ in range(count)]
    least = SHARES // (2 * count)
    free = SHARES - count * least
    cuts = sorted(integers.below(free + 1) for _ in range(count - 1))
    gaps = (after - before for before, after in zip([0, *cuts], [*cuts, free], strict=True))
    return {k: least + gap for k, gap in zip(components, gaps, strict=True)}


def _sex_of(register: str) -> str:
    if register not in _SEX_OF_REGISTER:
        raise UsageError("There is no such register of voices: name lower, higher or any.")
    return _SEX_OF_REGISTER[register]


def _voice(*parts: np.ndarray) -> Voice:
    """A voice of float32 tensors from embedding, F0 statistics and mel statistics."""
    return Voice(*(torch.from_numpy(part.astype(np.float32))[None] for part in parts))


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

    def voice(self, name: str) -> Voice:
        """One voice of the gallery, not blended. Without parallel speech (train.voices), it is a training speaker's.

        Raises
        ------
        UsageError
            No voice has that name.
        """
        if name not in self.names:
            raise UsageError(
                f"The gallery has no such voice. Its names are {self.names[0]} to {self.names[-1]}; lower,"
                " higher, same and any draw a pseudonym."
            )
        k = self.names.index(name)
        return _voice(self._embeddings()[k], self.f0_stats[k], self.mel_statistics[k])

    def pseudonym(self, bits: bytes, register: str = "any") -> Voice:
        """The pseudonym that 256 bits stand for: a blend of gallery voices of one sex, nobody's voice.

        The components and their shares come from :func:`draw_blend`. The mean of several voices is
        nearer to the mean of all voices of that sex than a single voice is, and a voice near the
        mean is similar to many. So the shares w are divided by the root of the sum of their
        squares, around that mean, which gives blends of independent voices the deviation of
        voices. That holds for the median of F0, for the embedding, times `EMBEDDING_SPREAD`, and for
        the mean spectrum, times `SPECTRUM_SPREAD`. The spread of F0 and the covariance of the
        spectrum are averaged with the shares. Formants and F0 of the conversion are then scaled by
        one factor, drawn uniformly from `FREQUENCY_SCALES`, as by another length of the vocal tract.

        Equal bits give equal voices on every machine. The draw is integer arithmetic. The gallery
        holds float16 numbers, whose sums are exact in float64, and each step after the sums is one
        correctly rounded operation.

        Parameters
        ----------
        bits
            32 bytes: random, or from :mod:`saic.keys`.
        register
            "lower" blends men's voices, "higher" women's, "any" leaves it to the bits. The same
            bits give one of the two other voices for "any".

        Raises
        ------
        UsageError
            The gallery has no voices of that register, or its voices have no sex.
        """
        integers = _Integers(bits)
        labels = sorted(set(self.sexes))
        drawn = labels[integers.below(len(labels))]  # also where it is not used, so that the rest is equal
        sex = drawn if register == "any" else _sex_of(register)
        own = [k for k, label in enumerate(self.sexes) if label == sex]
        if not own:
            raise UsageError("The gallery of these weights has no voices of that register. Use --voice any.")
        blend = draw_blend(integers, own)
        # An integer square root and one division of integers: nothing depends on the machine.
        length = math.isqrt(sum(share * share for share in blend.values()))
        weights = {k: share / length for k, share in blend.items()}

        def spread(values: np.ndarray, multiple: float) -> np.ndarray:
            values = values.astype(np.float64)
            center = values[own].sum(axis=0) / len(own)
            return sum((multiple * w * (values[k] - center) for k, w in weights.items()), start=center)

        def mean(values: np.ndarray) -> np.ndarray:
            return sum(share / SHARES * values[k].astype(np.float64) for k, share in blend.items())

        f0_stats, mel_statistics = mean(self.f0_stats), mean(self.mel_statistics)
        f0_stats[0] = spread(self.f0_stats[:, 0], 1.0)
        mel_statistics[0] = spread(self.mel_statistics[:, 0], SPECTRUM_SPREAD)
        voice = _voice(spread(self._embeddings(), EMBEDDING_SPREAD), f0_stats, mel_statistics)
        low, high = FREQUENCY_SCALES
        return replace(voice, frequency_scale=low + integers.below(SHARES) / SHARES * (high - low))

    def distant_pseudonym(self, embedding: torch.Tensor, register: str, draws: Iterator[bytes]) -> Voice:
        """A pseudonym that does not count as a speaker's own voice.

        Pseudonyms are drawn until the cosine similarity of the embeddings is below `threshold`; if none
        of 50 is, the least similar one is taken. A lower limit would tell whom a voice is unlike, and
        so help to find the speaker (EXPERIMENTS, "Pseudonyms drawn again").

        Parameters
        ----------
        embedding
            (1, E) of the speaker to protect.
        register
            As for :meth:`pseudonym`.
        draws
            32 new bytes for each draw.
        """
        best, least = None, 2.0
        for bits in itertools.islice(draws, _MAX_DRAWS):
            voice = self.pseudonym(bits, register)
            similarity = float(torch.cosine_similarity(embedding.cpu(), voice.embedding))
            if similarity < least:
                best, least = voice, similarity
            if least < self.threshold:
                break
        return best

    def _embeddings(self) -> np.ndarray:
        """(K, E) float64 mean embedding of each voice."""
        return self.speaker.astype(np.float64).sum(axis=1) / self.speaker.shape[1]

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
