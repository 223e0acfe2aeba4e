"""Voices and rooms that a clip was not recorded in, made from its log-mel alone.

A :class:`Disguise` is another voice at another microphone: a vocal tract of another length and an equalizer.
Stretching the frequency axis moves formants and pitch together, as a shorter or longer vocal tract with other vocal
folds would (vocal-tract length perturbation, Jaitly & Hinton 2013). Applied to what the content encoder hears a
disguise hides who speaks; applied to target and reference alike it is one more speaker to learn from.

:func:`degrade` is another recording of the same voice: noise, reverberation, a narrow band.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saic.config import Disguise as Config
from saic.signal.mel import FLOOR, FRAMES_PER_S, HOP_SAMPLES, N_MELS, log_mel, mel_frequencies_hz
from saic.signal.vtlp import warp_matrix

_NEPER_PER_DB = np.log(10) / 20  # log-mels are natural logarithms of magnitudes
_EQUALIZER_BENDS = 5
_SNR_DB = (0.0, 25.0)
_NOISE_FALL_DB = (0.0, 6.0)  # an octave: white 0, pink 3, brown 6
_REVERBERATION_S = (0.2, 0.8)  # time to decay by 60 dB
_DIRECT_TO_ROOM_DB = (-2.0, 12.0)
_NARROW_BINS = (42, 62)  # highest mel bin that passes: about 2.4 to 5 kHz


@dataclass(frozen=True)
class Disguise:
    """One disguise a clip: ``matrix`` (B, 80, 80) warps, ``curve`` (B, 80, 1) is added, ``factor`` (B,) moves pitch."""

    matrix: Tensor
    curve: Tensor
    factor: Tensor

    @classmethod
    def draw(cls, size: int, config: Config, random: np.random.Generator, *, share: float = 1.0) -> "Disguise":
        """Random disguises, of which ``share`` disguise anything; the others leave a clip as it is."""
        active = random.random(size) < share
        factors = np.where(active, random.choice(config.warps, size=size), 1.0)
        bends = random.normal(size=(size, _EQUALIZER_BENDS)) * active[:, None] / np.sqrt(_EQUALIZER_BENDS / 2)
        places = np.pi * (np.arange(N_MELS) + 0.5) / N_MELS
        cosines = np.cos(np.arange(1, _EQUALIZER_BENDS + 1)[:, None] * places)
        curve = config.equalizer_db * _NEPER_PER_DB * bends @ cosines
        return cls(
            torch.stack([warp_matrix(float(factor)) for factor in factors]),
            torch.from_numpy(curve.astype(np.float32)).unsqueeze(-1),
            torch.from_numpy(factors.astype(np.float32)),
        )

    @property
    def plain(self) -> Tensor:
        """(B,) whether a clip stays as it is."""
        return (self.factor == 1) & (self.curve == 0).all(dim=(1, 2))

    def mel(self, mel: Tensor) -> Tensor:
        """(B, 80, T) log-mel to the disguised one."""
        return (self.matrix.to(mel) @ mel + self.curve.to(mel)).clamp_min(np.log(FLOOR))

    def f0(self, f0: Tensor) -> Tensor:
        """(B, T) pitch in Hz to the disguised voice's."""
        return f0 * self.factor.to(f0).unsqueeze(-1)

    def register(self, register: Tensor) -> Tensor:
        """(B, 2) median and spread of log2 F0 to the disguised voice's."""
        return torch.stack([register[:, 0] + self.factor.to(register).log2(), register[:, 1]], dim=1)


def degrade(mel: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """(B, 80, T) log-mel as a worse recording: room, noise, narrow band, each in ``share`` of the clips."""
    if share == 0:
        return mel
    size, device = len(mel), mel.device
    roomy, noisy, narrow = (torch.from_numpy(random.random(size) < share).view(-1, 1, 1) for _ in range(3))
    last = torch.from_numpy(random.integers(*_NARROW_BINS, size=size)).view(-1, 1, 1)
    cut = narrow & (torch.arange(N_MELS).view(1, -1, 1) > last)
    power = (2 * mel).exp()
    power = power + roomy.to(device) * _late(power, random) * _texture(power, random)
    power = power + noisy.to(device) * _steady(power, random) * _texture(power, random)
    return power.masked_fill(cut.to(device), 0).clamp_min(FLOOR**2).log() / 2


def _late(power: Tensor, random: np.random.Generator) -> Tensor:
    """(B, 80, T) power of a room's late sound: that of every band, decaying (Polack's model of reverberation)."""
    size, _, n_frames = power.shape
    decay_s = torch.from_numpy(random.uniform(*_REVERBERATION_S, size=(size, 1, 1))).to(power)
    ratio = torch.from_numpy(10 ** (-random.uniform(*_DIRECT_TO_ROOM_DB, size=(size, 1, 1)) / 10)).to(power)
    tail = torch.exp(-np.log(1e6) / FRAMES_PER_S * torch.arange(n_frames).to(power) / decay_s)
    n = 2 * n_frames
    spectrum = torch.fft.rfft(power, n) * torch.fft.rfft(ratio * tail / tail.sum(dim=-1, keepdim=True), n)
    return torch.fft.irfft(spectrum, n)[..., :n_frames].clamp_min(0)


def _steady(power: Tensor, random: np.random.Generator) -> Tensor:
    """(B, 80, 1) power of noise, white to brown, at a random signal-to-noise ratio."""
    size = len(power)
    octaves = np.log2(mel_frequencies_hz() / mel_frequencies_hz()[0])[:, None]
    fall_db = random.uniform(*_NOISE_FALL_DB, size=(size, 1, 1)) * octaves
    bands = torch.from_numpy(10 ** (-fall_db / 10)).to(power)
    snr = torch.from_numpy(10 ** (random.uniform(*_SNR_DB, size=(size, 1, 1)) / 10)).to(power)
    return bands / bands.mean(dim=1, keepdim=True) * power.mean(dim=(1, 2), keepdim=True) / snr


def _texture(power: Tensor, random: np.random.Generator) -> Tensor:
    """(B, 80, T) how the power of Gaussian noise goes up and down in every band, 1 on average."""
    size, _, n_frames = power.shape
    generator = torch.Generator(power.device).manual_seed(int(random.integers(2**63)))
    samples = torch.randn(size, n_frames * HOP_SAMPLES, generator=generator, device=power.device)
    white = (2 * log_mel(samples)).exp()
    return white / white.mean(dim=(0, 2), keepdim=True)
