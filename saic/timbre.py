"""The long-term spectrum of a voice, and how one voice's spectrum is given to another.

A decoder that learned from few speakers gives an unseen one a colour between those it knows. The colour itself is
measured more surely than learned: mean and deviation of every mel band over speech. Moving these moments is classical
in voice conversion (global variance, Toda et al. 2007) and what AdaIN does to features (Huang & Belongie 2017, Eq. 8).
"""

import torch
from torch import Tensor

from saic.layers import masked_statistics

_STRETCH = (0.5, 2.5)  # of a band's deviation: more would blow up noise


def measure(mel: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, 2, 80) mean and deviation over speech frames of a (B, 80, T) log-mel; ``mask`` (B, 1, T) of 0 and 1."""
    return torch.cat(masked_statistics(mel, mask), dim=-1).transpose(1, 2)


def transfer(mel: Tensor, timbre: Tensor, mask: Tensor | None = None) -> Tensor:
    """Give a log-mel the long-term spectrum of a voice.

    Parameters
    ----------
    mel
        (B, 80, T) log-mel.
    timbre
        (B, 2, 80), as :func:`measure` gives it.
    mask
        (B, 1, T) of 0 and 1: the mel's speech frames.
    """
    mean, deviation = measure(mel, mask).unsqueeze(-1).unbind(dim=1)
    wanted_mean, wanted_deviation = timbre.unsqueeze(-1).unbind(dim=1)
    return (mel - mean) * (wanted_deviation / deviation).clamp(*_STRETCH) + wanted_mean


def match(mel: Tensor, recording: Tensor, mask: Tensor | None = None) -> Tensor:
    """Give a (B, 80, T) log-mel the long-term spectrum of a recording of the same moments.

    In training an output is compared with its target after this: the pipeline moves the timbre anyway, so that a
    decoder would only spend itself on a colour that is measured.
    """
    return transfer(mel, measure(recording, mask), mask)
