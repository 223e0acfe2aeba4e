"""Prediction of F0 from content codes, to replace that of the source: contour and voicing.

Both have the mel's frame rate. The contour is log2 F0, minus its median and over its spread. Voicing
says which frames are voiced, which links recordings as much as the contour does. Each code is replaced
by the nearest of K cluster centers first: a code follows the F0 of its frame, and a network would copy
it.
"""

import math
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.errors import WeightsError
from saic.signal.f0 import F0_MIN_HZ, own_f0_stats
from saic.signal.masking import average_pool, downsample_mask
from saic.weights import write_tensors
from saic.weights.tensors import make_network, read_tensors

_CHANNELS = 128
_KERNEL = 3
_DILATIONS = (1, 3, 9, 27)
REACH_CODES = (sum(_DILATIONS) + 1) * (_KERNEL // 2)
"""Codes, on each side, that an output depends on: 1 s."""

_MIN_SPREAD = 0.04  # octaves: half a semitone
_MAX_SCALED = 3.0  # spreads from the median; beyond it are octave errors of the tracker
_SLOW_FRAMES = 10.6  # deviation of a Gaussian that attenuates 1 Hz by 3 dB at 80 frames/s
_SLOW_OCTAVES = 2 / 12
_SMOOTH_FRAMES = 4.0  # deviation of a Gaussian, 50 ms: a prediction varies from frame to frame as no voice does


class ProsodyPredictor(nn.Module):
    """Four dilated convolutions from cluster numbers of content codes to voicing and F0 contour.

    The source's slow contour is added after them, so voicing does not depend on it.

    Parameters
    ----------
    code_channels
        C of the content codes.
    stride
        Mel frames per content code.
    clusters
        K cluster centers.

    Attributes
    ----------
    centers
        (K, C) cluster centers of content codes.
    rate
        Typical rate of speech, see :mod:`saic.model.timing`.
    """

    def __init__(self, code_channels: int, stride: int, clusters: int):
        super().__init__()
        self.stride = stride
        self.register_buffer("centers", torch.zeros(clusters, code_channels))
        self.register_buffer("rate", torch.ones(()))
        self.embedding = nn.Embedding(clusters, _CHANNELS)
        self.speech = nn.Conv1d(1, _CHANNELS, 1)
        self.convs = nn.ModuleList(
            nn.Conv1d(_CHANNELS, _CHANNELS, _KERNEL, padding=d * (_KERNEL // 2), dilation=d) for d in _DILATIONS
        )
        self.voicing = nn.Conv1d(_CHANNELS, stride, 1)
        self.slow = nn.Conv1d(2, _CHANNELS, 1)
        self.last = nn.Conv1d(_CHANNELS, _CHANNELS, _KERNEL, padding=_KERNEL // 2)
        self.contour = nn.Conv1d(_CHANNELS, stride, 1)

    def forward(self, content: Tensor, mask: Tensor, slow: Tensor | None = None) -> Tensor:
        """Predict contour and voicing.

        Parameters
        ----------
        content
            (B, C, ceil(T / stride)) content codes.
        mask
            (B, 1, T) of 0 and 1: speech frames.
        slow
            (B, 2, T) from :func:`slow_contour`, zeros for recordings whose F0 is not to be used;
            None uses no recording's.

        Returns
        -------
        (B, 2, T): the contour, which has no meaning in unvoiced frames, and the log odds that a frame is
        voiced.
        """
        return self.predict(nearest_centers(content, self.centers), mask, slow)

    def predict(self, clusters: Tensor, mask: Tensor, slow: Tensor | None = None) -> Tensor:
        """As :meth:`forward`, from (B, ceil(T / stride)) cluster numbers."""
        if slow is None:
            slow = mask.new_zeros(len(mask), 2, mask.shape[-1])
        x = self.embedding(clusters).transpose(1, 2) + self.speech(downsample_mask(mask, self.stride))
        for conv in self.convs:
            x = x + F.gelu(conv(x))
        voicing = self.voicing(x)
        x = x + self.slow(average_pool(slow, self.stride))
        contour = self.contour(x + F.gelu(self.last(x)))
        predicted = torch.stack([contour, voicing], dim=1).transpose(2, 3).flatten(2)
        return predicted[..., : mask.shape[-1]]

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file (float16)."""
        write_tensors(Path(path), {name: x.detach().cpu().half().contiguous() for name, x in self.state_dict().items()})

    @classmethod
    def load(cls, path: str | os.PathLike, code_channels: int, stride: int) -> "ProsodyPredictor":
        """Read what :meth:`save` wrote; frozen, in evaluation mode.

        Raises
        ------
        WeightsError
            The file is missing, damaged, made for other content codes, or by SAIC 0.10 or older.
        """
        path = Path(path)
        tensors, _ = read_tensors(path)
        if "out.weight" in tensors:
            raise WeightsError(
                f"{path.name} is from SAIC 0.10 or older and predicts no voicing. Train it again for these weights, by"
                " python -m train.prosody with --init and --weights, or install SAIC 0.10."
            )
        clusters = max(1, tensors.get("centers", torch.empty(0)).numel() // code_channels)
        made = make_network(lambda: cls(code_channels, stride, clusters), tensors, path.name)
        return made.eval().requires_grad_(False)


def nearest_centers(content: Tensor, centers: Tensor) -> Tensor:
    """(B, C, L) content codes to (B, L) numbers of the nearest of (K, C) centers."""
    # The code's own square is the same for all centers.
    distance = centers.square().sum(dim=1, keepdim=True) - 2 * centers @ content.float()
    return distance.argmin(dim=1)


def scaled_contour(f0: Tensor) -> Tensor:
    """(B, T) F0 in Hz, 0 where unvoiced, to the (B, T) contour; 0 where unvoiced."""
    octaves, spread = _octaves(f0)
    return (octaves / spread.clamp_min(_MIN_SPREAD)).clamp(-_MAX_SCALED, _MAX_SCALED)


def slow_contour(f0: Tensor, vowel_f0: Tensor | None = None) -> Tensor:
    """What the predictor may use of a recording's F0: changes below 1 Hz, within ±2 semitones.

    Parameters
    ----------
    f0
        (B, T) Hz, 0 where unvoiced.
    vowel_f0
        (B, T) Hz, on which the median is measured, as for :func:`saic.signal.f0.transpose_f0`.

    Returns
    -------
    (B, 2, T): low-passed log2 F0 relative to its median, in units of 2 semitones; and ones, which say
    that it is given.
    """
    slow = (_smoothed(_octaves(f0, vowel_f0)[0], f0 > 0, _SLOW_FRAMES) / _SLOW_OCTAVES).clamp(-1, 1).unsqueeze(1)
    return torch.cat([slow, torch.ones_like(slow)], dim=1)


def predicted_f0(prediction: Tensor, mask: Tensor, f0_stats: Tensor) -> Tensor:
    """F0 of a voice by a prediction, whose contour is smoothed over 50 ms.

    Parameters
    ----------
    prediction
        (B, 2, T) from :class:`ProsodyPredictor`.
    mask
        (B, 1, T) of 0 and 1: speech frames; others are unvoiced.
    f0_stats
        (B, 2) median and spread of the voice's log2 F0.

    Returns
    -------
    (B, T) Hz, 0 where unvoiced.
    """
    contour, odds = prediction.unbind(dim=1)
    voiced = (odds > 0) & (mask[:, 0] > 0)
    median, spread = f0_stats.unsqueeze(-1).unbind(dim=1)
    return torch.where(voiced, (median + spread * _smoothed(contour, voiced, _SMOOTH_FRAMES)).exp2(), 0.0)


def _smoothed(x: Tensor, voiced: Tensor, deviation: float) -> Tensor:
    """Mean of the voiced frames of (B, T) around each frame, weighted by a Gaussian; 0 far from voiced frames."""
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(x) / deviation).square())[None, None]
    weight = voiced.to(x).unsqueeze(1)
    total, share = (F.conv1d(each, kernel, padding=reach) for each in (x.unsqueeze(1) * weight, weight))
    return (total / share.clamp_min(1e-3)).squeeze(1)


def _octaves(f0: Tensor, vowel_f0: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(B, T) log2 F0 minus its median, 0 where unvoiced, and (B, 1) spread."""
    median, spread = own_f0_stats(f0, vowel_f0).unsqueeze(-1).unbind(dim=1)
    return torch.where(f0 > 0, f0.clamp_min(F0_MIN_HZ).log2() - median, 0.0), spread
