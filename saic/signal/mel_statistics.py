"""The long-term spectrum of a voice, and how one voice's spectrum is given to another.

A decoder that learned from few speakers gives an unseen one a colour between those it knows. The colour itself is
measured more surely than learned: mean and covariance of the mel bands over speech. Moving mean and deviation is
classical in voice conversion (global variance, Toda et al. 2007) and what AdaIN does to features (Huang & Belongie
2017, Eq. 8); moving the covariance too is optimal transport between Gaussians (Pitié & Kokaram 2007). It says which
bands rise together, and with that where formants lie, but takes a blurred output further from what was said.
"""

import torch
from torch import Tensor

from saic.signal.masking import masked_statistics
from saic.signal.mel import N_MELS

_STRETCH = (0.5, 2.5)  # of a band's deviation: more would blow up noise
_SHRINKAGE = 0.3  # added to the diagonal of a correlation: some seconds of speech do not show 80 x 80 numbers
_LEAST_DEVIATION = 1e-3
_LEAST_EIGENVALUE = _SHRINKAGE**2 / 4  # of a product of two correlation matrices: not that of any real pair
_LOUDEST = 2.5  # deviations above the mean: of the frames of a recording's band, 3 in a thousand are louder


def measure_mel_statistics(mel: Tensor, mask: Tensor | None = None) -> Tensor:
    """Long-term spectrum of a (B, 80, T) log-mel over its speech frames; ``mask`` (B, 1, T) of 0 and 1.

    Returns
    -------
    (B, 81, 80): the bands' mean, then their covariance.
    """
    mean, deviation = masked_statistics(mel, mask)
    unit = (mel - mean) / deviation
    kept = torch.ones_like(mel[:, :1]) if mask is None else mask
    correlation = (unit * kept) @ unit.transpose(1, 2) / kept.sum(dim=-1, keepdim=True).clamp_min(1)
    correlation.diagonal(dim1=1, dim2=2).fill_(1.0)
    return torch.cat([mean.transpose(1, 2), correlation * deviation * deviation.transpose(1, 2)], dim=1)


def transfer_mel_statistics(
    mel: Tensor, timbre: Tensor, mask: Tensor | None = None, *, correlation: float = 0.0
) -> Tensor:
    """Give a log-mel the long-term spectrum of a voice.

    Parameters
    ----------
    mel
        (B, 80, T) log-mel.
    timbre
        (B, 81, 80), as :func:`measure` gives it.
    mask
        (B, 1, T) of 0 and 1: the mel's speech frames.
    correlation
        From 0 to 1: how much of the bands' correlation moves too, beside their mean and deviation.
    """
    mean, deviation = _moments(timbre)
    moved = _move(mel, masked_statistics(mel, mask), (mean, deviation))
    if not correlation:
        return moved
    own_mean, own_deviation = masked_statistics(moved, mask)  # the voice's, but where the stretch was bounded
    with torch.no_grad():  # in training it is taken as it is: gradients of like eigenvalues explode
        change = _change(
            measure_mel_statistics(moved, mask).cpu(), timbre.cpu()
        )  # a GPU takes several times as long for eigenvectors
    coloured = change.to(mel) @ ((moved - own_mean) / own_deviation) * own_deviation + own_mean
    return (1 - correlation) * moved + correlation * coloured


def match_mel_moments(mel: Tensor, recording: Tensor, mask: Tensor | None = None) -> Tensor:
    """Give a (B, 80, T) log-mel the mean and deviation that the bands of a recording as long have over speech.

    ``mask`` (B, 1, T) are the speech frames of both. In training an output is compared with its target after this: the
    pipeline moves the timbre anyway, so that a decoder would only spend itself on a colour that is measured.
    """
    return _move(mel, masked_statistics(mel, mask), masked_statistics(recording, mask))


def limit_peaks(mel: Tensor, timbre: Tensor) -> Tensor:
    """A (B, 80, T) log-mel, no louder in any band than a voice of that long-term spectrum gets.

    A band at the edge of a codec is silent but for bursts; moved into a voice that speaks there, a burst would be the
    loudest sound of all.
    """
    mean, deviation = _moments(timbre)
    return torch.minimum(mel, mean + _LOUDEST * deviation)


def _moments(timbre: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation, each (B, 80, 1)."""
    return timbre[:, :1].transpose(1, 2), timbre[:, 1:].diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().unsqueeze(-1)


def _move(mel: Tensor, own: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> Tensor:
    (mean, deviation), (wanted_mean, wanted_deviation) = own, wanted
    return (mel - mean) * (wanted_deviation / deviation).clamp(*_STRETCH) + wanted_mean


def _change(own: Tensor, wanted: Tensor) -> Tensor:
    """(B, 80, 80): of all matrices that give one timbre's correlations to another, the one that moves least.

    The linear Monge-Kantorovitch map (Pitié & Kokaram 2007). Whitening and then colouring ends at the same
    correlations and turns the bands into each other on the way.
    """
    own, wanted = _correlation(own), _correlation(wanted)
    there, back = _power(own, 0.5), _power(own, -0.5)
    return back @ _power(there @ wanted @ there, 0.5) @ back


def _correlation(timbre: Tensor) -> Tensor:
    """A timbre's shrunk correlation matrix, (B, 80, 80) in double precision.

    Correlations, not covariances: a band that holds nothing, as above the edge of a codec, is then like any other.
    """
    deviation = _moments(timbre)[1].double().clamp_min(_LEAST_DEVIATION)
    return timbre[:, 1:].double() / deviation / deviation.transpose(1, 2) + _SHRINKAGE * torch.eye(N_MELS).to(deviation)


def _power(matrix: Tensor, power: float) -> Tensor:
    """A power of (B, 80, 80) symmetric matrices; what is stored in few digits may be barely definite."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(_LEAST_EIGENVALUE).pow(power).unsqueeze(1) @ vectors.transpose(1, 2)
