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


def hump(place: float) -> torch.Tensor:
    """(80, 120) a formant that comes and goes every 50 ms."""
    shape = 0.5 * torch.exp(-0.5 * ((torch.arange(N_MELS) - place) / 3) ** 2)[:, None]
    return shape * torch.cos(torch.arange(120) * torch.pi / 2)


def test_the_envelope_that_is_missing_is_found_where_it_changes_fast() -> None:
    blurred, change = smooth(0), hump(25.0)
    missing = detail.left_out(blurred + change, blurred, blurred, EVERYWHERE)
    assert (change - missing)[:, 8:-8].abs().mean() < 0.15 * change.abs().mean()
    assert torch.equal(detail.left_out(blurred, blurred, blurred, EVERYWHERE), torch.zeros(N_MELS, 120))


def test_what_lasts_does_not_come_through() -> None:
    lasting = smooth(5) * (1 + 0.5 * torch.sin(torch.arange(120) / 10))
    missing = detail.left_out(smooth(0) + lasting, smooth(0), smooth(0), EVERYWHERE)
    assert missing.square().mean() < 0.02 * lasting.square().mean()


def test_harmonics_do_not_come_through() -> None:
    blurred = smooth(0)
    comb = blurred + torch.cos(torch.arange(N_MELS) * np.pi * 0.6)[:, None]
    missing = detail.left_out(comb, blurred, blurred, EVERYWHERE)
    assert missing.square().mean() < 0.02 * (comb - blurred).square().mean()


def test_what_is_missing_moves_as_the_formants_do() -> None:
    blurred, change = smooth(0), hump(25.0)
    longer = warp.warp_matrix(0.88) @ blurred
    added = detail.left_out(blurred + change, blurred, longer, EVERYWHERE)
    wanted = (warp.warp_matrix(0.88) @ change).square().mean(dim=1)
    assert int(added.square().mean(dim=1).argmax()) == int(wanted.argmax()) != 25


def test_pauses_add_nothing() -> None:
    pause = (torch.arange(120) < 60).float()
    room = smooth(0) + hump(40.0)
    missing = detail.left_out(room, smooth(0), smooth(0), pause)
    assert (missing[:, 60:] == 0).all() and (missing[:, :60] != 0).any()


@pytest.mark.parametrize("factor", [0.85, 0.94, 1.0, 1.1, 1.18])
def test_the_factor_between_two_voices_is_found(factor: float) -> None:
    noise = 0.1 * torch.randn(N_MELS, 120, generator=torch.Generator().manual_seed(0))
    assert warp.between(smooth(3), warp.warp_matrix(factor) @ smooth(3) + noise, EVERYWHERE) == factor
    assert warp.between(smooth(3), smooth(4), torch.zeros(120)) == 1.0
