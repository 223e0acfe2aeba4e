"""Augmentation of log-mels.

:class:`Augmentation` simulates another voice and microphone: vocal-tract-length perturbation
(Jaitly & Hinton 2013), which warps formants and F0 together, and a random equalizer. On the content
encoder's input it conceals the speaker. On a target and its reference alike it gives one more
training speaker.

:func:`degrade` simulates worse recordings: noise, reverberation, telephone lines.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saic.config import Augmentation as Config
from saic.signal.mel import FLOOR, FRAMES_PER_S, HOP_SAMPLES, N_MELS, log_mel, mel_frequencies_hz
from saic.signal.vtlp import warp_matrix

_NEPER_PER_DB = np.log(10) / 20  # log-mels are natural logarithms of magnitudes
_EQUALIZER_COSINES = 5
_SNR_DB = (0.0, 25.0)
_NOISE_SLOPE_DB = (0.0, 6.0)  # per octave: white 0, pink 3, brown 6
_RT60_S = (0.2, 0.8)
_DIRECT_TO_REVERBERANT_DB = (-2.0, 12.0)
_CUTOFF_BINS = (42, 62)  # range of the highest mel bin that passes a band limit: its center is at 1.9 to 3.9 kHz
_LOWEST_BINS = (0, 9)  # of the lowest: its center is at up to 0.33 kHz
_CODING_SNR_DB = (20.0, 50.0)  # A-law has 38, codecs of telephones less
_BINS = torch.arange(N_MELS).view(1, -1, 1)


@dataclass(frozen=True)
class Augmentation:
    """One augmentation per clip.

    ``matrix`` (B, 80, 80) warps the frequency axis by ``factor`` (B,), which also multiplies F0;
    ``curve`` (B, 80, 1) is the gain of the equalizer in nepers.
    """

    matrix: Tensor
    curve: Tensor
    factor: Tensor

    @classmethod
    def draw(cls, size: int, config: Config, random: np.random.Generator, *, share: float = 1.0) -> "Augmentation":
        """Draw augmentations at random; a random ``share`` of the clips is augmented."""
        active = random.random(size) < share
        factors = np.where(active, random.choice(config.vtlp_factors, size=size), 1.0)
        weights = random.normal(size=(size, _EQUALIZER_COSINES)) * active[:, None] / np.sqrt(_EQUALIZER_COSINES / 2)
        places = np.pi * (np.arange(N_MELS) + 0.5) / N_MELS
        cosines = np.cos(np.arange(1, _EQUALIZER_COSINES + 1)[:, None] * places)
        curve = config.equalizer_db * _NEPER_PER_DB * weights @ cosines
        return cls(
            torch.stack([warp_matrix(float(factor)) for factor in factors]),
            torch.from_numpy(curve.astype(np.float32)).unsqueeze(-1),
            torch.from_numpy(factors.astype(np.float32)),
        )

    @property
    def is_identity(self) -> Tensor:
        """(B,) bool: clips that are not augmented."""
        return (self.factor == 1) & (self.curve == 0).all(dim=(1, 2))

    def mel(self, mel: Tensor) -> Tensor:
        """(B, 80, T) log-mel, augmented."""
        return (self.matrix.to(mel) @ mel + self.curve.to(mel)).clamp_min(np.log(FLOOR))

    def f0(self, f0: Tensor) -> Tensor:
        """(B, T) F0 in Hz of the augmented clip."""
        return f0 * self.factor.to(f0).unsqueeze(-1)

    def f0_stats(self, f0_stats: Tensor) -> Tensor:
        """(B, 2) median and spread of log2 F0 of the augmented clip."""
        return torch.stack([f0_stats[:, 0] + self.factor.to(f0_stats).log2(), f0_stats[:, 1]], dim=1)


def degrade(mel: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """Add reverberation, noise and a band limit, each to a random ``share`` of the clips.

    A band limit is that of a telephone line: it passes speech from a lowest to a highest mel bin. Noise of
    coding, which follows the level of the speech, is added there and below, and nothing is left above.
    ``mel`` and the result are (B, 80, T) log-mels.
    """
    if share == 0:
        return mel
    size, device = len(mel), mel.device
    reverberant, noisy, band_limited = (torch.from_numpy(random.random(size) < share).to(device) for _ in range(3))
    first, last = (
        torch.from_numpy(random.integers(*bins, size=size)).view(-1, 1, 1) for bins in (_LOWEST_BINS, _CUTOFF_BINS)
    )
    below, above = (band_limited.view(-1, 1, 1) & side.to(device) for side in (first > _BINS, last < _BINS))
    power = (2 * mel).exp()
    for chosen, added in ((reverberant, _reverberation), (noisy, _stationary_noise)):
        if chosen.any():
            own = power[chosen]
            power[chosen] = own + added(own, random) * _fluctuation(own, random)
    power = power.masked_fill(below | above, 0)
    if band_limited.any():
        own = power[band_limited]
        power[band_limited] = own + _coding_noise(own, random) * _fluctuation(own, random)
    return power.masked_fill(above, 0).clamp_min(FLOOR**2).log() / 2


def _reverberation(power: Tensor, random: np.random.Generator) -> Tensor:
    """(B, 80, T) power of late reverberation: exponential decay in every band (Polack)."""
    size, _, n_frames = power.shape
    decay_s = torch.from_numpy(random.uniform(*_RT60_S, size=(size, 1, 1))).to(power)
    ratio = torch.from_numpy(10 ** (-random.uniform(*_DIRECT_TO_REVERBERANT_DB, size=(size, 1, 1)) / 10)).to(power)
    tail = torch.exp(-np.log(1e6) / FRAMES_PER_S * torch.arange(n_frames).to(power) / decay_s)
    n = 2 * n_frames
    spectrum = torch.fft.rfft(power, n) * torch.fft.rfft(ratio * tail / tail.sum(dim=-1, keepdim=True), n)
    return torch.fft.irfft(spectrum, n)[..., :n_frames].clamp_min(0)


def _stationary_noise(power: Tensor, random: np.random.Generator) -> Tensor:
    """(B, 80, 1) mean power of noise, white to brown, at a random signal-to-noise ratio."""
    size = len(power)
    octaves = np.log2(mel_frequencies_hz() / mel_frequencies_hz()[0])[:, None]
    slope_db = random.uniform(*_NOISE_SLOPE_DB, size=(size, 1, 1)) * octaves
    bands = torch.from_numpy(10 ** (-slope_db / 10)).to(power)
    snr = torch.from_numpy(10 ** (random.uniform(*_SNR_DB, size=(size, 1, 1)) / 10)).to(power)
    return bands / bands.mean(dim=1, keepdim=True) * power.mean(dim=(1, 2), keepdim=True) / snr


def _coding_noise(power: Tensor, random: np.random.Generator) -> Tensor:
    """(B, 1, T) mean power of noise in proportion to each frame's power, at a random signal-to-noise ratio."""
    snr = torch.from_numpy(10 ** (random.uniform(*_CODING_SNR_DB, size=(len(power), 1, 1)) / 10)).to(power)
    return power.mean(dim=1, keepdim=True) / snr


def _fluctuation(power: Tensor, random: np.random.Generator) -> Tensor:
    """(B, 80, T) power of white Gaussian noise relative to its mean in each band."""
    size, _, n_frames = power.shape
    generator = torch.Generator(power.device).manual_seed(int(random.integers(2**63)))
    samples = torch.randn(size, n_frames * HOP_SAMPLES, generator=generator, device=power.device)
    white = (2 * log_mel(samples)).exp()
    return white / white.mean(dim=(0, 2), keepdim=True)
