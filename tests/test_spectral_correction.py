"""Errors of the decoder that a voice's recordings show: found again where the same is said, and nowhere else."""

import pytest
import torch

from saic.model.spectral_correction import (
    CorrectionExamples,
    collect_examples,
    join_examples,
    spectral_correction,
)
from saic.signal.mel import N_MELS

SPOKEN = torch.ones(120)


def sounds(order: list[int], seed: int = 0) -> torch.Tensor:
    """(16, L) content codes: each of the sounds in ``order`` for ten codes."""
    kinds = torch.randn(max(order) + 1, 16, generator=torch.Generator().manual_seed(seed))
    return kinds[order].T.repeat_interleave(10, dim=1)


def humps(order: list[int]) -> torch.Tensor:
    """(80, 2 L) for each sound an error in a place of its own."""
    places = torch.arange(N_MELS)[:, None] - 20.0 - 15 * torch.tensor(order)
    return (-0.5 * (places / 5).square()).exp().repeat_interleave(20, dim=1)


def shown(order: list[int], mask: torch.Tensor = SPOKEN) -> CorrectionExamples:
    mel = torch.zeros(N_MELS, 20 * len(order))
    return collect_examples(sounds(order), mel + humps(order), mel, mask)


def test_a_sound_gets_the_error_that_it_had_in_the_voices_recording() -> None:
    said = [2, 0, 1, 1, 0, 2]
    found = spectral_correction(sounds(said), SPOKEN, shown([0, 1, 2, 0, 1, 2]))
    inner = torch.arange(120) % 20 % 16 > 3  # where a sound passes into the next there is something of both
    torch.testing.assert_close(found[:, inner], humps(said)[:, inner], atol=0.05, rtol=0)


def test_what_the_decoder_says_rightly_stays() -> None:
    mel = torch.randn(N_MELS, 120)
    perfect = collect_examples(sounds([0, 1, 2, 0, 1, 2]), mel, mel, SPOKEN)
    assert not spectral_correction(sounds([2, 1, 0]), torch.ones(60), perfect).any()


def test_pauses_are_no_examples_and_get_nothing() -> None:
    mask = SPOKEN.clone()
    mask[60:] = 0
    voice = shown([0, 1, 2, 3, 3, 3], mask)
    assert len(voice.keys) == 30
    found = spectral_correction(sounds([0, 1, 2, 0, 1, 2]), mask, voice)
    assert not found[:, 61:].any() and found[:, 4:56].any()


@pytest.mark.parametrize("n_frames", [119, 120])
def test_many_codes_are_looked_up_as_few_are(n_frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    voice, content = join_examples([shown([0, 1, 2, 0, 1, 2]), shown([1, 2, 0, 0, 1, 2])]), sounds([2, 1, 0, 0, 1, 2])
    assert voice.keys.shape == (120, 48) and voice.errors.shape == (120, N_MELS)
    whole = spectral_correction(content, SPOKEN[:n_frames], voice)
    assert whole.shape == (N_MELS, n_frames)
    monkeypatch.setattr("saic.model.spectral_correction._AT_ONCE", 7)
    torch.testing.assert_close(spectral_correction(content, SPOKEN[:n_frames], voice), whole)
    few = CorrectionExamples(voice.keys[:3], voice.errors[:3])
    assert spectral_correction(content, SPOKEN[:n_frames], few).isfinite().all()


def test_what_stands_between_harmonics_is_no_error() -> None:
    comb = torch.cos(torch.arange(N_MELS) * torch.pi * 0.6)[:, None].expand(-1, 120)
    voice = collect_examples(sounds([0, 1, 2, 0, 1, 2]), comb, torch.zeros(N_MELS, 120), SPOKEN)
    assert voice.errors.square().mean() < 0.02 * comb.square().mean()
