"""How far a waveform is from another, and a set of waveforms from the truth.

Distances are between short-time spectra at several window lengths. They are used in the generalized energy distance
(Gritsenko et al., A Spectral Energy Distance for Parallel Speech Synthesis, NeurIPS 2020, Eq. 4):
2 d(x, y) - d(y, y'), where y and y' differ in the noise that went in. Without the second term an average that is as
noisy as speech costs more than one without noise, and voices come out buzzing; with it the truth costs least.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from saic.mel import SAMPLE_RATE

_SMALLEST = 1e-4  # magnitude below which a bin counts as silent: about a least bit of 16


class SpectralDistance(nn.Module):
    """L2 of log-magnitudes by frame and L1 of magnitudes, averaged over window lengths.

    Bins count as ears do, by 1 / (1 + f / 1 kHz): about alike on a mel scale. The linear term is relative to the
    truth's mean magnitude, so that a quiet crop counts as much as a loud one. Phase is left to overlapping short
    windows: compared itself, it can't be foreseen above the lowest harmonics, and noise would be preferred to pulses.
    """

    def __init__(self, windows: Sequence[int]):
        super().__init__()
        self.windows = tuple(windows)
        for size in windows:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)
            weight = 1 / (1 + torch.linspace(0, SAMPLE_RATE / 2, size // 2 + 1) / 1_000)[:, None]
            self.register_buffer(f"weight{size}", weight / weight.mean(), persistent=False)

    def spectra(self, wav: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of (B, N): magnitude and its logarithm at each window length, half a window apart."""
        found = []
        for size in self.windows:
            window = getattr(self, f"window{size}")
            spectrum = torch.stft(wav, size, size // 2, window=window, center=False, return_complex=True)
            power = spectrum.real.square() + spectrum.imag.square()
            magnitude = (power + (_SMALLEST * window.sum()) ** 2).sqrt()
            found.append((magnitude, magnitude.log()))
        return found

    def between(self, first: list, second: list, level: Sequence[Tensor]) -> Tensor:
        """Distance of two lists of :meth:`spectra`; ``level``: (B, 1, 1) mean magnitudes to be relative to."""
        total = torch.zeros(()).to(level[0])
        for size, (a, a_log), (b, b_log), scale in zip(self.windows, first, second, level, strict=True):
            weight = getattr(self, f"weight{size}")
            log = ((weight * (a_log - b_log).square()).mean(dim=1) + 1e-6).sqrt().mean()
            total = total + log + (weight * (a - b).abs() / scale).mean()
        return total / len(self.windows)

    def energy(self, truth: Tensor, outputs: Sequence[Tensor], repulsion: float) -> tuple[Tensor, Tensor]:
        """Energy distance of outputs (one, or two where there is repulsion) from the truth, and their plain distance.

        Each (B, N). With one output both are the same.
        """
        true, made = self.spectra(truth), [self.spectra(output) for output in outputs]
        level = [magnitude.mean(dim=(1, 2), keepdim=True) for magnitude, _ in true]
        attraction = sum(self.between(one, true, level) for one in made) / len(made)
        if repulsion == 0:
            return attraction, attraction
        return 2 * attraction - repulsion * self.between(made[0], made[1], level), attraction
