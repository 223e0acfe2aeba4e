"""What a decoder gets wrong about a voice, sound by sound, and how a conversion is put right.

A decoder that learned from few speakers says an unseen one's sounds a little as others do. In a recording of that voice
the error can be measured: it is the recording minus its reconstruction. A conversion gets a share
(``decoder.likeness_share``) of the mean error at those moments of the recording whose content codes are most like its
own: kernel regression (Nadaraya 1964) of errors on codes, where kNN-VC (Baas et al. 2023) takes the voice's frames
themselves. What all sounds of a voice have in common is moved by :mod:`saic.signal.mel_statistics`; this is what single sounds have of
their own. Averaged over many moments it holds how the voice says such a sound, not what was said.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saic.signal.masking import average_pool, downsample_mask
from saic.signal.mel import N_MELS

_CEPSTRA = 20  # of 80: what varies over frequency more slowly than harmonics do
_NEIGHBOURS = 16
_TEMPERATURE = 0.05  # of cosine similarities
_SMOOTHED_FRAMES = 3
_AT_ONCE = 1_000  # codes that are looked up together: five minutes against five would take half a gigabyte


@dataclass(frozen=True)
class CorrectionExamples:
    """N moments of a voice: ``keys`` (N, D), what is said, of unit length; ``errors`` (N, 80) of its log-mel there."""

    keys: Tensor
    errors: Tensor


def collect_examples(content: Tensor, recording: Tensor, rebuilt: Tensor, mask: Tensor) -> CorrectionExamples:
    """What one recording of a voice shows.

    Parameters
    ----------
    content
        (C, L) content codes of the recording.
    recording, rebuilt
        (80, T) log-mels: the recording, and what the decoder makes of it in its own voice, after the same
        :func:`saic.signal.mel_statistics.transfer` that conversions get.
    mask
        (T,) of 0 and 1: speech frames; pauses are no examples.
    """
    stride = -(-recording.shape[-1] // content.shape[-1])
    spoken = downsample_mask(mask[None, None], stride)[0, 0] > 0
    errors = average_pool((_envelope().to(recording) @ (recording - rebuilt))[None], stride)[0]
    return CorrectionExamples(_keys(content, spoken)[spoken], errors.T[spoken])


def join_examples(parts: list[CorrectionExamples]) -> CorrectionExamples:
    """The examples of several recordings of one voice."""
    return CorrectionExamples(*(torch.cat([getattr(part, name) for part in parts]) for name in ("keys", "errors")))


def spectral_correction(content: Tensor, mask: Tensor, voice: CorrectionExamples) -> Tensor:
    """(80, T) to add to the conversion of (C, L) content codes to a voice; 0 in pauses, by ``mask`` (T,)."""
    stride = -(-len(mask) // content.shape[-1])
    spoken = downsample_mask(mask[None, None], stride)[0, 0] > 0
    recalled = torch.cat([_recall(part, voice) for part in _keys(content, spoken).split(_AT_ONCE)])
    frames = recalled.T.repeat_interleave(stride, dim=1)[:, : len(mask)]
    edge = _SMOOTHED_FRAMES // 2
    return mask * F.avg_pool1d(F.pad(frames[None], (edge, edge), mode="replicate"), _SMOOTHED_FRAMES, 1)[0]


def _recall(keys: Tensor, voice: CorrectionExamples) -> Tensor:
    """(Q, D) keys to (Q, 80) mean errors of the examples nearest to each."""
    nearest, found = (keys @ voice.keys.T).topk(min(_NEIGHBOURS, len(voice.keys)), dim=1)
    weight = (nearest / _TEMPERATURE).softmax(dim=1)
    return torch.einsum("qn,qnm->qm", weight, voice.errors[found])


def _keys(content: Tensor, spoken: Tensor) -> Tensor:
    """(L, 3 C): each code between its neighbours, less the mean over speech, of unit length."""
    around = F.pad(content[None], (1, 1), mode="replicate")[0].unfold(1, 3, 1)  # (C, L, 3)
    keys = around.permute(1, 2, 0).flatten(1)
    return F.normalize(keys - keys[spoken].mean(dim=0), dim=1)


@cache
def _envelope() -> Tensor:
    """(80, 80) projection of a log-mel on its envelope, the slow cosines over bins: the first cepstral coefficients."""
    cosines = np.cos(np.pi * np.arange(_CEPSTRA)[:, None] * (np.arange(N_MELS) + 0.5) / N_MELS)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    return torch.from_numpy(cosines.T @ cosines).float()
