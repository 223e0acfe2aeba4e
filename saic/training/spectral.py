"""How far a waveform is from another, and a set of waveforms from the truth.

Distances are between short-time spectra at several window lengths. They are used in the generalized energy distance
(Gritsenko et al., A Spectral Energy Distance for Parallel Speech Synthesis, NeurIPS 2020, Eq. 4):
2 d(x, y) - d(y, y'), where y and y' differ in the noise that went in. Without the second term an average that is as
noisy as speech costs more than one without noise, and voices come out buzzing; with it the truth costs least.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_SMALLEST = 1e-4  # magnitude below which a bin counts as silent: about a least bit of 16


class SpectralDistance(nn.Module):
    """L2 of log-magnitudes by frame, L1 of magnitudes, and L1 of complex spectra, averaged over window lengths.

    The terms in linear magnitude are relative to the second argument's mean magnitude, so that a quiet crop counts as
    much as a loud one.
    """

    def __init__(self, windows: Sequence[int], *, linear: float = 1.0, complex_: float = 0.5):
        super().__init__()
        self.windows, self.linear, self.complex = tuple(windows), linear, complex_
        for size in windows:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)

    def spectra(self, wav: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of (B, N): complex spectrum, magnitude and its logarithm at each window length, half a window apart."""
        found = []
        for size in self.windows:
            window = getattr(self, f"window{size}")
            spectrum = torch.stft(wav, size, size // 2, window=window, center=False, return_complex=True)
            power = spectrum.real.square() + spectrum.imag.square()
            scale = window.sum()
            magnitude = (power + (_SMALLEST * scale) ** 2).sqrt()
            found.append((spectrum, magnitude, magnitude.log()))
        return found

    def between(self, first: list, second: list, level: Sequence[Tensor]) -> Tensor:
        """Distance of two lists of :meth:`spectra`; ``level``: (B, 1, 1) mean magnitudes to be relative to."""
        total = torch.zeros(())
        for (a, a_linear, a_log), (b, b_linear, b_log), scale in zip(first, second, level, strict=True):
            log = ((a_log - b_log).square().mean(dim=1) + 1e-6).sqrt().mean()
            linear = ((a_linear - b_linear).abs() / scale).mean()
            difference = a - b
            apart = (difference.real.square() + difference.imag.square() + (1e-3 * scale) ** 2).sqrt()
            total = total + log + self.linear * linear + self.complex * (apart / scale).mean()
        return total / len(self.windows)

    def energy(self, truth: Tensor, outputs: Sequence[Tensor], repulsion: float = 1.0) -> tuple[Tensor, Tensor]:
        """Generalized energy distance of two outputs from the truth, each (B, N), and how far they are from it."""
        true, (one, other) = self.spectra(truth), map(self.spectra, outputs)
        level = [magnitude.mean(dim=(1, 2), keepdim=True) for _, magnitude, _ in true]
        attraction = self.between(one, true, level) + self.between(other, true, level)
        return attraction - repulsion * self.between(one, other, level), attraction / 2
