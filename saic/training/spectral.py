"""How far a waveform is from another to an ear: short-time spectra at several window lengths (Yamamoto et al. 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from saic.mel import SAMPLE_RATE

_SMALLEST = 1e-4  # magnitude below which a bin counts as silent: about a least bit of 16


class SpectralDistance(nn.Module):
    """L2 of log-magnitudes by frame and L1 of magnitudes, averaged over window lengths.

    Bins count as ears do, by 1 / (1 + f / 1 kHz): about alike on a mel scale. The linear term is relative to the
    truth's mean magnitude, so that a quiet crop counts as much as a loud one. Windows must be long enough to hold two
    periods of a voice: to shorter ones, pulses that fall elsewhere than the recording's are worse than noise. Complex
    spectra are not compared for the same reason.
    """

    def __init__(self, windows: Sequence[int]):
        super().__init__()
        self.windows = tuple(windows)
        for size in windows:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)
            weight = 1 / (1 + torch.linspace(0, SAMPLE_RATE / 2, size // 2 + 1) / 1_000)[:, None]
            self.register_buffer(f"weight{size}", weight / weight.mean(), persistent=False)

    def forward(self, output: Tensor, truth: Tensor) -> Tensor:
        """Scalar distance of (B, N) from (B, N), in nepers and shares of the mean magnitude; next to 0 if equal."""
        total = torch.zeros(()).to(output)
        for size in self.windows:
            made, true = (self._magnitude(wav, size) for wav in (output, truth))
            weight = getattr(self, f"weight{size}")
            log = ((weight * (made.log() - true.log()).square()).mean(dim=1) + 1e-6).sqrt().mean()
            total = total + log + (weight * (made - true).abs() / true.mean(dim=(1, 2), keepdim=True)).mean()
        return total / len(self.windows)

    def _magnitude(self, wav: Tensor, size: int) -> Tensor:
        """(B, N) to (B, size / 2 + 1, frames half a window apart)."""
        window = getattr(self, f"window{size}")
        spectrum = torch.stft(wav, size, size // 2, window=window, center=False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power + (_SMALLEST * window.sum()) ** 2).sqrt()
