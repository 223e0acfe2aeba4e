"""Moving the long-term spectrum: what moves, what stays, and what limits it."""

import torch

from saic.signal.mel_statistics import limit_peaks, match_mel_moments, measure_mel_statistics, transfer_mel_statistics


def test_measure_is_mean_and_covariance_over_speech() -> None:
    mel = torch.zeros(1, 80, 8)
    mel[..., :4] = torch.tensor([1.0, 3.0, 1.0, 3.0])
    mel[..., 4:] = 100.0
    mask = torch.tensor([[[1.0, 1, 1, 1, 0, 0, 0, 0]]])
    measured = measure_mel_statistics(mel, mask)
    assert measured.shape == (1, 81, 80)
    torch.testing.assert_close(measured[0, 0], torch.full((80,), 2.0))
    torch.testing.assert_close(measured[0, 1:], torch.ones(80, 80), atol=1e-4, rtol=0)


def test_transfer_gives_the_moments_asked_for_and_keeps_the_shape_in_time() -> None:
    generator = torch.Generator().manual_seed(0)
    mel, voice = (torch.randn(2, 80, 200, generator=generator) * 1.5 - 4 for _ in range(2))
    mask = (torch.arange(200) < 150).float().expand(2, 1, 200)
    wanted = measure_mel_statistics(voice * 1.2 + 1)
    moved = transfer_mel_statistics(mel, wanted, mask)
    for part in (slice(0, 1), slice(1, None)):
        own, asked = measure_mel_statistics(moved, mask)[:, part], wanted[:, part]
        own, asked = (x if part.start == 0 else x.diagonal(dim1=1, dim2=2) for x in (own, asked))
        torch.testing.assert_close(own, asked, atol=1e-3, rtol=1e-3)
    for band in (0, 40, 79):
        assert torch.corrcoef(torch.stack([mel[0, band], moved[0, band]]))[0, 1] > 0.9999
    torch.testing.assert_close(
        transfer_mel_statistics(mel, measure_mel_statistics(mel, mask), mask), mel, atol=1e-4, rtol=0
    )


def test_a_band_with_next_to_nothing_in_it_is_not_blown_up() -> None:
    mel = torch.full((1, 80, 50), -11.0) + 0.01 * torch.randn(1, 80, 50, generator=torch.Generator().manual_seed(0))
    loud = torch.cat([torch.zeros(1, 80), 9 * torch.eye(80)])[None]
    assert (transfer_mel_statistics(mel, loud).std(dim=-1) < 0.04).all()


def test_matched_to_itself_in_another_colour_a_mel_is_itself_again() -> None:
    mel = torch.randn(2, 80, 100, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(100) < 70).float().expand(2, 1, 100)
    torch.testing.assert_close(match_mel_moments(1.5 * mel + 2, mel, mask), mel, atol=1e-3, rtol=0)


def test_training_goes_through_the_transfer_of_correlations() -> None:
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(2, 80, 60, generator=generator).requires_grad_()
    transfer_mel_statistics(
        mel, measure_mel_statistics(torch.randn(2, 80, 90, generator=generator)), correlation=0.8
    ).abs().mean().backward()
    assert mel.grad.isfinite().all() and (mel.grad != 0).any(dim=-1).all()


def test_bands_rise_together_as_they_do_in_the_voice() -> None:
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, 80, 4000, generator=generator)
    voice = torch.randn(1, 80, 4000, generator=generator)
    voice = voice + voice.roll(1, dims=1)  # neighbours go together
    wanted = measure_mel_statistics(voice)

    def correlation(x: torch.Tensor) -> float:
        return float(torch.corrcoef(x[0])[20, 21])

    none, half, whole = (transfer_mel_statistics(mel, wanted, correlation=share) for share in (0.0, 0.5, 1.0))
    assert abs(correlation(none)) < 0.05 < 0.15 < correlation(half) < correlation(whole) <= correlation(voice)
    assert correlation(whole) > 0.6 * correlation(voice)
    torch.testing.assert_close(transfer_mel_statistics(voice, wanted, correlation=1.0), voice, atol=1e-3, rtol=1e-3)


def test_correlations_move_without_turning_bands_into_each_other() -> None:
    """The least movement between two Gaussians is a stretch along right angles: a symmetric, positive matrix."""
    generator = torch.Generator().manual_seed(0)
    mel, voice = (torch.randn(1, 80, 400, generator=generator, dtype=torch.float64) for _ in range(2))
    mel, voice = mel + mel.roll(1, dims=1), voice + voice.roll(3, dims=1)
    plain, coloured = (
        transfer_mel_statistics(mel, measure_mel_statistics(voice), correlation=share) for share in (0.0, 1.0)
    )
    units = [(x - x.mean(dim=-1, keepdim=True)) / plain.std(dim=-1, keepdim=True) for x in (plain, coloured)]
    change = torch.linalg.lstsq(units[0][0].T, units[1][0].T).solution
    torch.testing.assert_close(change, change.T, atol=0.005, rtol=0)
    assert torch.linalg.eigvalsh(change).min() > 0 and (change - torch.eye(80)).abs().max() > 0.1


def test_an_empty_band_stays_quiet_whatever_the_voice_has_there() -> None:
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, 80, 200, generator=generator)
    mel[:, 70:] = -11.5  # above a codec's edge
    voice = 3 * torch.randn(1, 80, 300, generator=generator).cumsum(dim=1) / 9
    moved = transfer_mel_statistics(mel, measure_mel_statistics(voice), correlation=1.0)
    assert moved.isfinite().all() and moved[:, 70:].std(dim=-1).max() < 0.1
    assert moved[:, :70].abs().max() < 6 * voice.abs().max()
    back = transfer_mel_statistics(voice, measure_mel_statistics(mel), correlation=1.0)
    assert back.isfinite().all() and back.abs().max() < 30


def test_a_burst_is_no_louder_than_the_voice_gets() -> None:
    mel = 4 * torch.rand(1, 80, 200, generator=torch.Generator().manual_seed(0)) - 7
    timbre_of = measure_mel_statistics(mel)
    assert torch.equal(limit_peaks(mel, timbre_of), mel)
    burst = mel.clone()
    burst[0, 77, 9] = 6.0
    kept = limit_peaks(burst, timbre_of)
    assert -3 < kept[0, 77, 9] < -1.5
    assert torch.equal(kept[..., :9], mel[..., :9]) and torch.equal(kept[..., 10:], mel[..., 10:])
