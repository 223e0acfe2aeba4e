"""Multi-resolution spectral loss on waveforms (Yamamoto et al. 2020)."""

from collections.abc import Sequence

import torch
import torchaudio.functional as AF
from torch import Tensor, nn

from saic.signal.mel import F_MAX_HZ, N_MELS, SAMPLE_RATE

_SMALLEST = 1e-4  # magnitude below which a bin counts as silent: a few steps of 16-bit audio
_SAMPLES_PER_BAND = 16  # of the window, so that every mel band has two bins or more


class MultiResolutionSpectralLoss(nn.Module):
    """Sum of three distances, averaged over STFT window lengths.

    They are the L2 distance of log-magnitudes per frame, and the L1 distances of the magnitudes of
    mel bands and of their logarithms. In the first, bins are weighted by 1 / (1 + f / 1 kHz), about
    uniform on a mel scale. The distance of magnitudes is relative to the target's mean, so that
    quiet and loud crops have equal weight. Windows must hold two pitch periods: with shorter ones,
    pulses that are displaced in time have a higher loss than noise. For the same reason phases are
    not compared.

    The L1 terms are on bands, not on bins. Between the bins of two independent noises, L1 is
    smallest if one is 2.3 dB too weak (for Rayleigh variables X and Y, E|aX - Y| is smallest at
    (1 + a^2)^(3/2) = 2), so consonants would become too weak. Band means vary less, which reduces
    this bias; logarithms do not have it.
    """

    def __init__(self, windows: Sequence[int]):
        super().__init__()
        self.windows = tuple(windows)
        for size in windows:
            n_bins = size // 2 + 1
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)
            weight = 1 / (1 + torch.linspace(0, SAMPLE_RATE / 2, n_bins) / 1_000)[:, None]
            self.register_buffer(f"weight{size}", weight / weight.mean(), persistent=False)
            n_bands = min(N_MELS, size // _SAMPLES_PER_BAND)
            bank = AF.melscale_fbanks(n_bins, 0.0, F_MAX_HZ, n_bands, SAMPLE_RATE, mel_scale="slaney").T
            self.register_buffer(f"bands{size}", bank / bank.sum(dim=1, keepdim=True), persistent=False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of (B, N) waveforms against (B, N) targets; nearly 0 if they are equal."""
        total = torch.zeros(()).to(output)
        for size in self.windows:
            made, wanted = (self._magnitude(wav, size) for wav in (output, target))
            weight, bands = getattr(self, f"weight{size}"), getattr(self, f"bands{size}")
            log = ((weight * (made.log() - wanted.log()).square()).mean(dim=1) + 1e-6).sqrt().mean()
            made, wanted = bands @ made, bands @ wanted
            linear = ((made - wanted).abs() / wanted.mean(dim=(1, 2), keepdim=True)).mean()
            total = total + log + linear + (made.log() - wanted.log()).abs().mean()
        return total / len(self.windows)

    def _magnitude(self, wav: Tensor, size: int) -> Tensor:
        """(B, N) to (B, size / 2 + 1, frames half a window apart)."""
        window = getattr(self, f"window{size}")
        spectrum = torch.stft(wav, size, size // 2, window=window, center=False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power + (_SMALLEST * window.sum()) ** 2).sqrt()
