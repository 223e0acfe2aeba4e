"""Long-term mean and covariance of mel bands, and their transfer from one voice to another.

The decoder was trained on few speakers, so the average spectrum of its output for an unseen voice
lies between those of the training speakers. The statistics of the target's recordings replace it.
Transfer of mean and deviation is known from voice conversion (global variance, Toda et al. 2007)
and from AdaIN (Huang & Belongie 2017, Eq. 8). Transfer of correlations between bands, which depend
on the formants, is optimal transport between Gaussians (Pitié & Kokaram 2007). It raises WER if the
decoder's output is blurred.
"""

import torch
from torch import Tensor

from saic.signal.masking import EPS, RunningStatistics, masked_statistics
from saic.signal.mel import N_MELS

_STRETCH = (0.5, 2.5)  # limits of the factor on a band's deviation: a larger one would amplify noise
_SHRINKAGE = 0.3  # added to the diagonal of a correlation matrix, an estimate from seconds of speech
_MIN_DEVIATION = 1e-3
_MIN_EIGENVALUE = _SHRINKAGE**2 / 4  # of a product of two correlation matrices; those of recordings are larger
_MAX_DEVIATIONS = 2.5  # above the mean; 0.3 % of a recording's frames exceed it in a band


def measure_mel_statistics(mel: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean and covariance of the mel bands over speech frames.

    Parameters
    ----------
    mel
        (B, 80, T) log-mel.
    mask
        (B, 1, T) of 0 and 1, or None for all frames.

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
    mel: Tensor, statistics: Tensor, mask: Tensor | None = None, *, correlation: float = 0.0
) -> Tensor:
    """Give a log-mel the statistics of a voice.

    Parameters
    ----------
    mel
        (B, 80, T) log-mel.
    statistics
        (B, 81, 80) of the voice, from :func:`measure_mel_statistics`.
    mask
        (B, 1, T) of 0 and 1: the mel's speech frames.
    correlation
        Share, 0 to 1, to which the correlations between bands are transferred. Mean and deviation
        are always transferred in full.

    Returns
    -------
    (B, 80, T) log-mel.
    """
    mean, deviation = _moments(statistics)
    moved = _move(mel, masked_statistics(mel, mask), (mean, deviation))
    if not correlation:
        return moved
    own_mean, own_deviation = masked_statistics(moved, mask)  # the voice's, except where _STRETCH limits them
    with torch.no_grad():  # a constant in training: gradients through nearly equal eigenvalues explode
        # On the CPU: a GPU takes several times as long for eigenvectors.
        transport = _transport(measure_mel_statistics(moved, mask).cpu(), statistics.cpu())
    correlated = transport.to(mel) @ ((moved - own_mean) / own_deviation) * own_deviation + own_mean
    return (1 - correlation) * moved + correlation * correlated


class MelTransfer:
    """:func:`transfer_mel_statistics` for a mel that is given in parts.

    The statistics after the transfer of mean and deviation follow from those before it, so that one
    measuring pass is enough.

    Parameters
    ----------
    own
        Mean and covariance of the mel over its speech frames.
    statistics, correlation
        As for :func:`transfer_mel_statistics`, of one voice.
    """

    def __init__(self, own: RunningStatistics, statistics: Tensor, correlation: float = 0.0):
        self._share = correlation
        self._own_mean, deviation = (x.to(statistics) for x in own.masked_statistics())
        self._mean, target_deviation = _moments(statistics)
        self._factor = (target_deviation / deviation).clamp(*_STRETCH)
        factor = self._factor[0].double()
        moved = factor * own.covariance.to(factor) * factor.T
        moved_statistics = as_mel_statistics(self._mean, moved[None])
        self._deviation = _moments(moved_statistics)[1]
        if correlation:
            self._transport = _transport(moved_statistics.cpu(), statistics.cpu()).to(statistics)

    def __call__(self, mel: Tensor) -> Tensor:
        """A part (1, 80, n) of the mel to the same part with the voice's statistics."""
        moved = (mel - self._own_mean) * self._factor + self._mean
        if not self._share:
            return moved
        correlated = self._transport @ ((moved - self._mean) / self._deviation) * self._deviation + self._mean
        return (1 - self._share) * moved + self._share * correlated


def as_mel_statistics(mean: Tensor, covariance: Tensor) -> Tensor:
    """(B, 80, 1) mean and (B, 80, 80) covariance as :func:`measure_mel_statistics` gives them: (B, 81, 80)."""
    raw = covariance.diagonal(dim1=1, dim2=2)
    # As in masked_statistics, a small number under the root keeps a silent band from a deviation of 0.
    covariance = covariance + torch.diag_embed(raw.new_full(raw.shape, EPS))
    return torch.cat([mean.transpose(1, 2).float(), covariance.float()], dim=1)


def match_mel_moments(mel: Tensor, recording: Tensor, mask: Tensor | None = None) -> Tensor:
    """Give a (B, 80, T) log-mel the mean and deviation per band of a recording of the same length.

    ``mask`` (B, 1, T): the speech frames of both. Training applies it to an output before the loss:
    a conversion replaces these moments anyway, so the decoder need not predict them.
    """
    return _move(mel, masked_statistics(mel, mask), masked_statistics(recording, mask))


def limit_peaks(mel: Tensor, statistics: Tensor) -> Tensor:
    """Limit every band of a (B, 80, T) log-mel to 2.5 deviations above the voice's mean.

    In a recording from a codec, a band above the cutoff is silent except for bursts. With the
    statistics of a voice that has speech in that band, a burst would be the loudest sound.
    """
    mean, deviation = _moments(statistics)
    return torch.minimum(mel, mean + _MAX_DEVIATIONS * deviation)


def _moments(statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation, each (B, 80, 1)."""
    variance = statistics[:, 1:].diagonal(dim1=1, dim2=2)
    return statistics[:, :1].transpose(1, 2), variance.clamp_min(0).sqrt().unsqueeze(-1)


def _move(mel: Tensor, own: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """Replace the mel's own mean and deviation by the target's, each (B, 80, 1)."""
    (mean, deviation), (target_mean, target_deviation) = own, target
    return (mel - mean) * (target_deviation / deviation).clamp(*_STRETCH) + target_mean


def _transport(own: Tensor, target: Tensor) -> Tensor:
    """(B, 80, 80) linear Monge-Kantorovitch map between correlations (Pitié & Kokaram 2007).

    Of all matrices that give the target's correlations, it changes the signal least. Whitening and
    then coloring gives the same correlations, but mixes bands more than needed.
    """
    own, target = _correlation(own), _correlation(target)
    root, inverse_root = _power(own, 0.5), _power(own, -0.5)
    return inverse_root @ _power(root @ target @ root, 0.5) @ inverse_root


def _correlation(statistics: Tensor) -> Tensor:
    """Correlation matrix with shrinkage, (B, 80, 80) in double precision.

    Unlike covariances, correlations give a silent band, as above a codec's cutoff, the weight of
    any other.
    """
    deviation = _moments(statistics)[1].double().clamp_min(_MIN_DEVIATION)
    correlation = statistics[:, 1:].double() / deviation / deviation.transpose(1, 2)
    return correlation + _SHRINKAGE * torch.eye(N_MELS).to(deviation)


def _power(matrix: Tensor, power: float) -> Tensor:
    """A power of (B, 80, 80) symmetric matrices.

    The lower limit on eigenvalues allows for rounding: a gallery stores statistics as float16.
    """
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(_MIN_EIGENVALUE).pow(power).unsqueeze(1) @ vectors.transpose(1, 2)
