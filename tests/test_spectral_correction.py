"""Spectral correction: decoder errors on a voice's recordings, predicted from content codes."""

import pytest
import torch

from saic.model.spectral_correction import (
    CorrectionExamples,
    collect_examples,
    join_examples,
    spectral_correction,
)
from saic.signal.mel import N_MELS

ALL_SPEECH = torch.ones(120)


def content_of(order: list[int], seed: int = 0) -> torch.Tensor:
    """(16, L) content codes: each phone of ``order`` for ten codes."""
    codes = torch.randn(max(order) + 1, 16, generator=torch.Generator().manual_seed(seed))
    return codes[order].T.repeat_interleave(10, dim=1)


def errors_of(order: list[int]) -> torch.Tensor:
    """(80, 2 L) errors in log-mel: each phone has a peak at a mel bin of its own."""
    distance = torch.arange(N_MELS)[:, None] - 20.0 - 15 * torch.tensor(order)
    return (-0.5 * (distance / 5).square()).exp().repeat_interleave(20, dim=1)


def examples_of(order: list[int], mask: torch.Tensor = ALL_SPEECH) -> CorrectionExamples:
    mel = torch.zeros(N_MELS, 20 * len(order))
    return collect_examples(content_of(order), mel + errors_of(order), mel, mask)


def test_each_phone_gets_its_error_in_the_recording() -> None:
    order = [2, 0, 1, 1, 0, 2]
    found = spectral_correction(content_of(order), ALL_SPEECH, examples_of([0, 1, 2, 0, 1, 2]))
    inner = torch.arange(120) % 20 % 16 > 3  # at the boundary of two phones their errors mix
    torch.testing.assert_close(found[:, inner], errors_of(order)[:, inner], atol=0.05, rtol=0)


def test_recording_without_error_gives_no_correction() -> None:
    mel = torch.randn(N_MELS, 120)
    without_error = collect_examples(content_of([0, 1, 2, 0, 1, 2]), mel, mel, ALL_SPEECH)
    assert not spectral_correction(content_of([2, 1, 0]), torch.ones(60), without_error).any()


def test_pauses_give_no_examples_and_get_no_correction() -> None:
    mask = ALL_SPEECH.clone()
    mask[60:] = 0
    examples = examples_of([0, 1, 2, 3, 3, 3], mask)
    assert len(examples.keys) == 30
    found = spectral_correction(content_of([0, 1, 2, 0, 1, 2]), mask, examples)
    assert not found[:, 61:].any() and found[:, 4:56].any()


@pytest.mark.parametrize("n_frames", [119, 120])
def test_correction_in_chunks_equals_that_in_one_and_is_finite_for_three_examples(
    n_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, content = (
        join_examples([examples_of([0, 1, 2, 0, 1, 2]), examples_of([1, 2, 0, 0, 1, 2])]),
        content_of([2, 1, 0, 0, 1, 2]),
    )
    assert examples.keys.shape == (120, 48) and examples.errors.shape == (120, N_MELS)
    whole = spectral_correction(content, ALL_SPEECH[:n_frames], examples)
    assert whole.shape == (N_MELS, n_frames)
    monkeypatch.setattr("saic.model.spectral_correction._MAX_QUERIES", 7)
    torch.testing.assert_close(spectral_correction(content, ALL_SPEECH[:n_frames], examples), whole)
    few = CorrectionExamples(examples.keys[:3], examples.errors[:3])
    assert spectral_correction(content, ALL_SPEECH[:n_frames], few).isfinite().all()


def test_ripple_as_narrow_as_harmonics_is_left_out_of_the_errors() -> None:
    comb = torch.cos(torch.arange(N_MELS) * torch.pi * 0.6)[:, None].expand(-1, 120)
    examples = collect_examples(content_of([0, 1, 2, 0, 1, 2]), comb, torch.zeros(N_MELS, 120), ALL_SPEECH)
    assert examples.errors.square().mean() < 0.02 * comb.square().mean()
