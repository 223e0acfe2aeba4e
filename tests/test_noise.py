"""Steady noise is lowered; what is not noise stays."""

import torch

from saic import noise
from saic.mel import N_MELS

FRAMES = 400


def speech() -> torch.Tensor:
    """(1, 80, T) log-mel of syllables of 0.2 s with pauses as long between them, 40 dB deep."""
    on = (torch.arange(FRAMES) // 16 % 2 == 0).float()
    return (4.6 * on - 4.6).expand(1, N_MELS, -1).clone()


def with_noise(mel: torch.Tensor, level: float) -> torch.Tensor:
    """The same with noise of a mean log-magnitude, spread as that of a mel band is."""
    spread = 0.3 * torch.randn(mel.shape, generator=torch.Generator().manual_seed(0))
    return 0.5 * ((2 * mel).exp() + (2 * (level + spread)).exp()).log()


def test_a_clean_recording_stays_as_it_is() -> None:
    assert torch.equal(noise.suppress(speech()), speech())
    little = with_noise(speech(), -2.5)  # 22 dB below
    assert torch.equal(noise.suppress(little), little)


def test_noise_falls_in_pauses_and_speech_stays() -> None:
    noisy = with_noise(speech(), -1.4)  # 12 dB below
    cleared = noise.suppress(noisy)
    talking = speech() > -1
    assert (noisy - cleared)[~talking].mean() > 0.7  # 6 dB
    assert (cleared - speech())[talking].abs().mean() < 0.1
    assert (noisy - cleared).max() <= 1.16  # 10 dB and a rounding


def test_gain_changes_nothing_but_the_level() -> None:
    noisy = with_noise(speech(), -1.4)
    assert torch.allclose(noise.suppress(noisy - 3.0), noise.suppress(noisy) - 3.0, atol=1e-4)


def test_a_held_vowel_is_not_noise() -> None:
    vowel = torch.linspace(0, -3, N_MELS)[None, :, None].expand(1, -1, FRAMES)
    trembling = vowel + 0.1 * torch.sin(torch.arange(FRAMES) / 5)
    assert torch.equal(noise.suppress(trembling), trembling)
