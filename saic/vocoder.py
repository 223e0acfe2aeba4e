"""Log-mel to waveform, behind one small interface."""

from typing import Protocol

import torch
import torchaudio.functional as AF
from torch import Tensor

from saic.config import Vocoder as Config
from saic.mel import HOP_SAMPLES, N_FFT, filterbank


class Vocoder(Protocol):
    """Anything that turns a mel of :mod:`saic.mel` back into its waveform."""

    def __call__(self, mel: Tensor) -> Tensor:
        """(80, T) natural-log mel magnitude to (200 * T,) waveform at 16 kHz."""
        ...


class GriffinLim:
    """Fast Griffin-Lim (Perraudin et al. 2013) on a least-squares estimate of the linear spectrum.

    Deterministic: the phase starts from zero, so the same mel always gives the same waveform.
    """

    def __init__(self, iterations: int):
        self.iterations = iterations
        self.inverse = torch.linalg.pinv(filterbank().T)  # (513, 80)
        self.window = torch.hann_window(N_FFT)

    def __call__(self, mel: Tensor) -> Tensor:
        """As :class:`Vocoder`."""
        magnitude = (self.inverse.to(mel) @ mel.float().exp()).clamp_min(0)
        # The STFT below centres frame t on sample t * hop, the mel on t * hop + hop / 2: one more frame on
        # either side and half a hop cut from both ends bring the two grids together.
        magnitude = torch.cat([magnitude[:, :1], magnitude, magnitude[:, -1:]], dim=1)
        length = (magnitude.shape[1] - 1) * HOP_SAMPLES
        wav = AF.griffinlim(
            magnitude,
            self.window.to(magnitude),
            N_FFT,
            HOP_SAMPLES,
            N_FFT,
            power=1.0,
            n_iter=self.iterations,
            momentum=0.99,
            length=length,
            rand_init=False,
        )
        return wav[HOP_SAMPLES // 2 : length - HOP_SAMPLES // 2]


def build(config: Config) -> Vocoder:
    """The vocoder that a config names."""
    return GriffinLim(config.iterations)
