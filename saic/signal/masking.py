"""Statistics over speech frames, and masks at lower frame rates.

A mask is (B, 1, T), 1 on speech frames and 0 elsewhere (:mod:`saic.signal.vad`).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from saic.signal.mel import FLOOR

EPS = 1e-5  # added to every variance
_MIN_FRAMES = 4  # over fewer, the deviation is near 0, and a division by it would amplify noise
_FADE_FRAMES = 12  # 150 ms
_QUIET_DB = -25.0  # re the speech level: consonants, word ends, noise
_LIMIT_FRAMES = 4  # 50 ms, since a converted frame depends on the frames beside it
_LEVEL_FRAMES = 8  # 100 ms, over which the speech level is averaged
_DB_PER_NEPER = 20 / math.log(10)


def masked_statistics(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over speech frames.

    Parameters
    ----------
    x
        (B, channels, T).
    mask
        (B, 1, T) of 0 and 1, or None for all frames. In a clip with fewer than four speech frames
        all frames count.

    Returns
    -------
    mean, std: each (B, channels, 1).
    """
    # bfloat16 has too few digits for differences of nearly equal numbers.
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        if mask is None:
            weight = torch.full_like(x[:, :1], 1 / x.shape[-1])
        else:
            count = mask.sum(dim=-1, keepdim=True)
            weight = torch.where(count >= _MIN_FRAMES, mask / count.clamp_min(1), 1 / x.shape[-1])
        weight = weight.transpose(1, 2)  # a matrix product is the fastest weighted sum
        mean = x @ weight
        variance = (x - mean).square() @ weight
        return mean, (variance + EPS).sqrt()


class RunningStatistics:
    """Mean and deviation of a signal (1, channels, T) that is given in parts.

    Parameters
    ----------
    with_covariance
        Whether to measure the covariance of the channels too.
    """

    def __init__(self, with_covariance: bool = False) -> None:
        self.count, self._with_covariance = 0.0, with_covariance
        self.mean: Tensor | None = None
        self._scatter: Tensor | None = None  # sum of squares, or of products, of differences from the mean

    def add(self, x: Tensor, weight: Tensor | None = None) -> None:
        """Add a part (1, channels, n), and its weights (1, 1, n) of 0 and 1; None counts all frames."""
        x = x[0].float()
        weight = torch.ones_like(x[:1]) if weight is None else weight[0]
        count = float(weight.sum())
        if not count:
            return
        mean = x @ (weight.T / count)
        centered = (x - mean) * weight
        scatter = (centered @ centered.T if self._with_covariance else centered.square().sum(1, keepdim=True)).double()
        mean = mean.double()
        if self.mean is None:
            self.count, self.mean, self._scatter = count, mean, scatter
            return
        # Chan, Golub & LeVeque 1983, Eq. 2.1
        total, step = self.count + count, mean - self.mean
        between = step @ step.T if self._with_covariance else step.square()
        self._scatter = self._scatter + scatter + between * (self.count * count / total)
        self.mean, self.count = self.mean + step * (count / total), total

    @property
    def covariance(self) -> Tensor:
        """(channels, channels), in double precision."""
        return self._scatter / self.count

    def deviation(self, n_lost: int = 0) -> Tensor:
        """(channels, 1) standard deviation over the count minus ``n_lost``."""
        squares = self._scatter.diagonal()[:, None] if self._with_covariance else self._scatter
        return (squares / (self.count - n_lost)).sqrt()

    def masked_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation, each (1, channels, 1), as of :func:`masked_statistics`."""
        return self.mean.float()[None], (self.deviation().square() + EPS).sqrt().float()[None]


def counted_frames(mask: Tensor) -> Tensor:
    """(1, 1, T) of 0 and 1: the frames that :func:`masked_statistics` of this mask counts."""
    return mask if mask.sum() >= _MIN_FRAMES else torch.ones_like(mask)


def downsample_mask(mask: Tensor | None, stride: int) -> Tensor | None:
    """(B, 1, T) to (B, 1, ceil(T / stride)): 1 where any of the input frames is 1."""
    if mask is None or stride == 1:
        return mask
    return F.max_pool1d(mask, stride, stride, ceil_mode=True)


def average_pool(x: Tensor, stride: int) -> Tensor:
    """(B, channels, T) to (B, channels, ceil(T / stride)); the last window may be shorter."""
    return x if stride == 1 else F.avg_pool1d(x, stride, stride, ceil_mode=True)


def mute(mel: Tensor, kept: Tensor, gain: Tensor, change: Tensor | None = None) -> Tensor:
    """Fade all frames of a (B, 80, T) log-mel to the floor, except the ``kept`` ones, (T,) of bool.

    Noise is steady where it is heard at all: a noise that starts within 20 ms sounds like a consonant.

    Parameters
    ----------
    gain
        (T,) amplitude from :func:`fade`.
    change
        From :func:`quiet_change`; None limits no level.
    """
    if change is not None:
        mel = mel + change
    return torch.where(kept, mel, (mel + gain.log()).clamp_min(math.log(FLOOR)))


def mel_power(mel: Tensor) -> Tensor:
    """(B, 1, T) power of every frame of a (B, 80, T) log-mel."""
    return mel.float().mul(2).exp().sum(dim=1, keepdim=True)


def quiet_change(power: Tensor, source_power: Tensor, loud: Tensor) -> Tensor:
    """Change of a log-mel, (B, 1, T), that lets it be no louder than its source where that is quiet.

    Where the source is at least 25 dB below its speech, the result is not louder relative to its own
    speech than the source is, within 50 ms. The arguments are the :func:`mel_power` of both, and (T,)
    bool, the frames to whose loudest levels refer.
    """
    allowed = _level_nearby(source_power, loud)
    excess = (_relative_level(power, loud) - allowed).clamp_min(0)
    return torch.where(allowed < _QUIET_DB, -excess, 0.0) / _DB_PER_NEPER


def fade(kept: Tensor) -> Tensor:
    """(T,) amplitude: 1 in kept frames, falling linearly over the 150 ms beside them."""
    reach, n_frames = F.pad(kept.float(), (_FADE_FRAMES, _FADE_FRAMES)), len(kept)
    gain = torch.zeros_like(kept, dtype=torch.float32)
    for step in range(2 * _FADE_FRAMES + 1):
        ramp = 1 - abs(step - _FADE_FRAMES) / (_FADE_FRAMES + 1)
        gain = torch.maximum(gain, ramp * reach[step : step + n_frames])
    return gain


def quiet_frames(power: Tensor, loud: Tensor) -> Tensor:
    """(T,) bool: where a log-mel of (1, 1, T) power is at least 25 dB below its speech, for 50 ms on each side."""
    return (_level_nearby(power, loud) < _QUIET_DB)[0, 0]


def _level_nearby(power: Tensor, loud: Tensor) -> Tensor:
    """(B, 1, T) highest relative level within 50 ms."""
    return F.max_pool1d(_relative_level(power, loud), 2 * _LIMIT_FRAMES + 1, 1, _LIMIT_FRAMES)


def _relative_level(power: Tensor, loud: Tensor) -> Tensor:
    """(B, 1, T) level of every frame in dB re the loudest 100 ms of the loud frames."""
    speech = F.avg_pool1d(power * loud, _LEVEL_FRAMES, 1, _LEVEL_FRAMES // 2).amax(dim=-1, keepdim=True)
    return 10 * (power / speech.clamp_min(FLOOR**2)).log10()
