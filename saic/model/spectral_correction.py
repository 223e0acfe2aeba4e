"""Correction of the decoder's spectral error for a target voice.

The decoder was trained on few speakers, so its spectral envelopes of an unseen voice have an error
that differs from phone to phone. On the target's recordings this error is known: recording minus
reconstruction. At each frame of a conversion it is predicted by kernel regression (Nadaraya 1964):
the weighted mean error at those frames of the recordings whose content codes are most similar. A
share of it (``conversion.spectral_correction_share``) is added to the mel. For comparison, kNN-VC
(Baas et al. 2023) replaces frames by the target's. The part of the error that is common to all
phones is corrected by :mod:`saic.signal.mel_statistics`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saic.signal.masking import average_pool, downsample_mask
from saic.signal.mel import N_MELS

_CEPSTRA = 20  # of 80: the spectral envelope without harmonics
_NEIGHBORS = 16
_TEMPERATURE = 0.05  # of the softmax over cosine similarities
_SMOOTHED_FRAMES = 3
# Codes per matrix product, and results of one: they bound memory. 5 minutes against 5 minutes would take 0.5 GB.
_MAX_QUERIES, _MAX_SIMILARITIES = 1_000, 12_000_000
CONTEXT_CODES = 2
"""Codes beside a part that its correction depends on."""


@dataclass(frozen=True)
class CorrectionExamples:
    """Content codes and decoder errors of N frames of a voice.

    ``keys`` (N, 3 C): content codes with both neighbors, scaled to unit length. ``errors`` (N, 80):
    recording minus reconstruction of the log-mel envelope.
    """

    keys: Tensor
    errors: Tensor


def collect_examples(content: Tensor, recording: Tensor, reconstruction: Tensor, mask: Tensor) -> CorrectionExamples:
    """Collect examples from one recording of a voice.

    Parameters
    ----------
    content
        (C, L) content codes of the recording.
    recording, reconstruction
        (80, T) log-mels: the recording, and the decoder's output in the recording's own voice after
        :func:`~saic.signal.mel_statistics.transfer_mel_statistics`, as in a conversion.
    mask
        (T,) of 0 and 1: speech frames. Pauses give no examples.
    """
    stride = -(-recording.shape[-1] // content.shape[-1])
    speech = downsample_mask(mask[None, None], stride)[0, 0] > 0
    errors = average_pool((_envelope().to(recording) @ (recording - reconstruction))[None], stride)[0]
    return CorrectionExamples(_keys(content, speech)[speech], errors.T[speech])


def join_examples(parts: list[CorrectionExamples]) -> CorrectionExamples:
    """Concatenate the examples of several recordings of one voice."""
    return CorrectionExamples(*(torch.cat([getattr(part, name) for part in parts]) for name in ("keys", "errors")))


def mean_key(parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean over speech, (3 C,), of codes with both neighbors, of a recording in parts.

    Parameters
    ----------
    parts
        Pairs of (1, C, n) content codes with one neighbor on each side, the first and the last code
        repeated, and the (1, 1, n - 2) mask of the codes between.
    """
    total, count = 0.0, 0.0
    for content, mask in parts:
        weight = (mask[0, 0] > 0).to(content)
        total, count = total + (weight @ _with_neighbors(content)).double(), count + float(weight.sum())
    return (total / count).float()


def spectral_correction(
    content: Tensor, mask: Tensor, examples: CorrectionExamples, mean: Tensor | None = None
) -> Tensor:
    """Predict the decoder's error at every frame of a conversion.

    Parameters
    ----------
    content
        (C, L) content codes of the source.
    mask
        (T,) of 0 and 1: speech frames of the source.
    examples
        Of the target voice.
    mean
        :func:`mean_key` of the whole recording, if this is a part of it. A part has
        ``CONTEXT_CODES`` codes more on each side than those whose correction is used.

    Returns
    -------
    (80, T) to add to the converted log-mel; 0 in pauses.
    """
    stride = -(-len(mask) // content.shape[-1])
    speech = downsample_mask(mask[None, None], stride)[0, 0] > 0
    n_queries = min(_MAX_QUERIES, max(1, _MAX_SIMILARITIES // len(examples.keys)))
    predicted = torch.cat([_regress(part, examples) for part in _keys(content, speech, mean).split(n_queries)])
    frames = predicted.T.repeat_interleave(stride, dim=1)[:, : len(mask)]
    edge = _SMOOTHED_FRAMES // 2
    return mask * F.avg_pool1d(F.pad(frames[None], (edge, edge), mode="replicate"), _SMOOTHED_FRAMES, 1)[0]


def _regress(keys: Tensor, examples: CorrectionExamples) -> Tensor:
    """(Q, 3 C) keys to (Q, 80) weighted mean errors of the nearest examples."""
    similarity, nearest = (keys @ examples.keys.T).topk(min(_NEIGHBORS, len(examples.keys)), dim=1)
    weight = (similarity / _TEMPERATURE).softmax(dim=1)
    return torch.einsum("qn,qnm->qm", weight, examples.errors[nearest])


def _keys(content: Tensor, speech: Tensor, mean: Tensor | None = None) -> Tensor:
    """(L, 3 C) codes with both neighbors, minus the mean over speech, scaled to unit length."""
    keys = _with_neighbors(F.pad(content[None], (1, 1), mode="replicate"))
    return F.normalize(keys - (keys[speech].mean(dim=0) if mean is None else mean), dim=1)


def _with_neighbors(content: Tensor) -> Tensor:
    """(1, C, L + 2) codes to (L, 3 C): each but the first and the last with both neighbors."""
    return content[0].unfold(1, 3, 1).permute(1, 2, 0).flatten(1)


@cache
def _envelope() -> Tensor:
    """(80, 80) projection of a log-mel onto its spectral envelope: the first 20 of 80 cepstra."""
    cosines = np.cos(np.pi * np.arange(_CEPSTRA)[:, None] * (np.arange(N_MELS) + 0.5) / N_MELS)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    return torch.from_numpy(cosines.T @ cosines).float()
