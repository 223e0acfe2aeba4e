"""What codes leave out, given back: how much, which part of it, where in frequency, and where in time."""

import numpy as np
import pytest
import torch

from saic import detail, warp
from saic.mel import N_MELS

EVERYWHERE = torch.ones(120)


def smooth(seed: int, n_frames: int = 120) -> torch.Tensor:
    """(80, T) formant-like humps that wander."""
    random = np.random.default_rng(seed)
    bins, frames = np.arange(N_MELS)[:, None], np.arange(n_frames)
    mel = np.zeros((N_MELS, n_frames))
    for place in (14, 30, 48):
        centre = place + 3 * np.sin(frames / 15 + random.uniform(0, 6))
        mel += 2 * np.exp(-0.5 * ((bins - centre) / 4) ** 2)
    return torch.from_numpy(mel).float()


def test_a_share_of_the_envelope_that_is_missing_comes_back() -> None:
    original, blurred = smooth(0), smooth(0).mean(dim=1, keepdim=True).expand(-1, 120)
    assert torch.equal(detail.add(blurred, blurred, original, EVERYWHERE, 0.0), blurred)
    half, whole = (detail.add(blurred, blurred, original, EVERYWHERE, share) for share in (0.5, 1.0))
    left = (original - blurred).abs().mean()
    assert (original - whole).abs().mean() < 0.05 * left
    assert (original - half).abs().mean() == pytest.approx(float(0.5 * left), rel=0.05)


def test_harmonics_do_not_come_through() -> None:
    blurred = smooth(0)
    comb = blurred + torch.cos(torch.arange(N_MELS) * np.pi * 0.6)[:, None]
    heard = detail.add(blurred, blurred, comb, EVERYWHERE, 1.0)
    assert (heard - blurred).square().mean() < 0.02 * (comb - blurred).square().mean()


def test_what_is_missing_moves_as_the_formants_do() -> None:
    blurred, original = smooth(0), smooth(0)
    original = original + 0.5 * torch.exp(-0.5 * ((torch.arange(N_MELS) - 25.0) / 3) ** 2)[:, None]
    longer = warp.warp_matrix(0.88) @ blurred
    added = detail.add(longer, blurred, original, EVERYWHERE, 1.0) - longer
    wanted = (warp.warp_matrix(0.88) @ (original - blurred))[:, 0]
    assert int(added.mean(dim=1).argmax()) == int(wanted.argmax()) != 25


def test_pauses_add_nothing() -> None:
    pause = (torch.arange(120) < 60).float()
    room = smooth(1)
    room[:, 60:] += 3.0
    heard = detail.add(smooth(0), smooth(0), room, pause, 1.0)
    assert torch.equal(heard[:, 60:], smooth(0)[:, 60:])


@pytest.mark.parametrize("factor", [0.85, 0.94, 1.0, 1.1, 1.18])
def test_the_factor_between_two_voices_is_found(factor: float) -> None:
    noise = 0.1 * torch.randn(N_MELS, 120, generator=torch.Generator().manual_seed(0))
    assert warp.between(smooth(3), warp.warp_matrix(factor) @ smooth(3) + noise, EVERYWHERE) == factor
    assert warp.between(smooth(3), smooth(4), torch.zeros(120)) == 1.0
