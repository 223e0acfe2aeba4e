"""Correction of the decoder's spectral error for a target voice.

The decoder was trained on few speakers, so its spectral envelopes of an unseen voice are slightly
wrong, differently for each phone. On the target's own recordings this error is known: recording
minus reconstruction. A conversion is corrected by a share
(``conversion.spectral_correction_share``) of the mean error at those frames of the recordings whose
content codes are most similar to its own: kernel regression (Nadaraya 1964) of errors on content
codes. kNN-VC (Baas et al. 2023) takes the target's frames themselves. The part of the error that
all phones share is corrected by
:mod:`saic.signal.mel_statistics`.
"""

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
_MAX_QUERIES = 1_000  # codes per matrix product, which bounds memory: 5 minutes against 5 minutes would take 0.5 GB


@dataclass(frozen=True)
class CorrectionExamples:
    """Content and decoder error at N frames of a voice.

    ``keys`` (N, 3 C) content codes in context, of unit length; ``errors`` (N, 80) of the decoder's
    log-mel envelope."""

    keys: Tensor
    errors: Tensor


def collect_examples(content: Tensor, recording: Tensor, reconstruction: Tensor, mask: Tensor) -> CorrectionExamples:
    """Examples from one recording of a voice.

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
    """The examples of several recordings of one voice."""
    return CorrectionExamples(*(torch.cat([getattr(part, name) for part in parts]) for name in ("keys", "errors")))


def spectral_correction(content: Tensor, mask: Tensor, examples: CorrectionExamples) -> Tensor:
    """Predict the decoder's error in a conversion to a voice.

    Parameters
    ----------
    content
        (C, L) content codes of the source.
    mask
        (T,) of 0 and 1: speech frames of the source.
    examples
        Of the target voice.

    Returns
    -------
    (80, T) to add to the converted log-mel; 0 in pauses.
    """
    stride = -(-len(mask) // content.shape[-1])
    speech = downsample_mask(mask[None, None], stride)[0, 0] > 0
    predicted = torch.cat([_regress(part, examples) for part in _keys(content, speech).split(_MAX_QUERIES)])
    frames = predicted.T.repeat_interleave(stride, dim=1)[:, : len(mask)]
    edge = _SMOOTHED_FRAMES // 2
    return mask * F.avg_pool1d(F.pad(frames[None], (edge, edge), mode="replicate"), _SMOOTHED_FRAMES, 1)[0]


def _regress(keys: Tensor, examples: CorrectionExamples) -> Tensor:
    """(Q, 3 C) keys to (Q, 80) weighted mean errors of the nearest examples."""
    similarity, nearest = (keys @ examples.keys.T).topk(min(_NEIGHBORS, len(examples.keys)), dim=1)
    weight = (similarity / _TEMPERATURE).softmax(dim=1)
    return torch.einsum("qn,qnm->qm", weight, examples.errors[nearest])


def _keys(content: Tensor, speech: Tensor) -> Tensor:
    """(L, 3 C): each code with both neighbors, minus the mean over speech, scaled to unit length."""
    context = F.pad(content[None], (1, 1), mode="replicate")[0].unfold(1, 3, 1)  # (C, L, 3)
    keys = context.permute(1, 2, 0).flatten(1)
    return F.normalize(keys - keys[speech].mean(dim=0), dim=1)


@cache
def _envelope() -> Tensor:
    """(80, 80) projection of a log-mel on its first cepstral coefficients, which hold the spectral
    envelope.
    """
    cosines = np.cos(np.pi * np.arange(_CEPSTRA)[:, None] * (np.arange(N_MELS) + 0.5) / N_MELS)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    return torch.from_numpy(cosines.T @ cosines).float()
