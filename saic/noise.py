"""Steady noise taken out of a log-mel: a fan, traffic, the hiss of a microphone.

Spectral subtraction (Boll 1979): what stands in the quietest moments is taken for noise that is there all the time
(after Martin's minimum statistics, 2001). A recording with little noise stays as it is, for there the cure costs more
than the noise; so does one without pauses, as a held vowel, whose quietest moments are speech.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from saic.mel import N_MELS

_WINDOW_FRAMES = 9  # 0.11 s, over which power is averaged before the quietest moments are looked for
_QUIETEST, _LOUDEST = 0.05, 0.95  # of all frames
# How far the quietest lie below the loudest, in dB: no pauses, pauses, loud noise, little noise.
_DEPTH_DB = (5.0, 10.0, 15.0, 18.0)
_EXCESS = 1.5  # noise varies, and its quietest moments were chosen
_LEAST_GAIN = 0.1  # of power: -10 dB; more would leave holes, which sound worse than noise


def suppress(mel: Tensor) -> Tensor:
    """(B, 80, T) log-mel to the same with steady noise lowered, by 10 dB at most."""
    power = (2 * mel).exp()
    edge = _WINDOW_FRAMES // 2
    smooth = F.avg_pool1d(F.pad(power, (edge, edge), mode="replicate"), _WINDOW_FRAMES, 1)
    level = smooth.sum(dim=1)
    count = max(1, round(_QUIETEST * level.shape[-1]))
    moments = level.topk(count, largest=False).indices.unsqueeze(1).expand(-1, N_MELS, -1)
    noise = smooth.gather(-1, moments).mean(dim=-1, keepdim=True)
    depth_db = 10 * (torch.quantile(level, _LOUDEST, dim=-1) / torch.quantile(level, _QUIETEST, dim=-1)).log10()
    unpaused, paused, noisy, clean = _DEPTH_DB
    has_pauses = ((depth_db - unpaused) / (paused - unpaused)).clamp(0, 1)
    is_noisy = ((clean - depth_db) / (clean - noisy)).clamp(0, 1)
    excess = _EXCESS * (has_pauses * is_noisy).view(-1, 1, 1)
    return mel + 0.5 * (1 - excess * noise / power).clamp_min(_LEAST_GAIN).log()
