"""Transfer of long-term mel statistics: what it changes, what it keeps, and its limits."""

import torch

from saic.signal.mel_statistics import limit_peaks, match_mel_moments, measure_mel_statistics, transfer_mel_statistics


def test_measured_statistics_are_mean_and_covariance_over_speech_frames() -> None:
    mel = torch.zeros(1, 80, 8)
    mel[..., :4] = torch.tensor([1.0, 3.0, 1.0, 3.0])
    mel[..., 4:] = 100.0
    mask = torch.tensor([[[1.0, 1, 1, 1, 0, 0, 0, 0]]])
    measured = measure_mel_statistics(mel, mask)
    assert measured.shape == (1, 81, 80)
    torch.testing.assert_close(measured[0, 0], torch.full((80,), 2.0))
    torch.testing.assert_close(measured[0, 1:], torch.ones(80, 80), atol=1e-4, rtol=0)


def test_transfer_gives_the_target_moments_and_keeps_the_time_course_of_bands() -> None:
    generator = torch.Generator().manual_seed(0)
    mel, target = (torch.randn(2, 80, 200, generator=generator) * 1.5 - 4 for _ in range(2))
    mask = (torch.arange(200) < 150).float().expand(2, 1, 200)
    wanted = measure_mel_statistics(target * 1.2 + 1)
    moved = transfer_mel_statistics(mel, wanted, mask)
    for part in (slice(0, 1), slice(1, None)):
        found, expected = measure_mel_statistics(moved, mask)[:, part], wanted[:, part]
        found, expected = (x if part.start == 0 else x.diagonal(dim1=1, dim2=2) for x in (found, expected))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    for band in (0, 40, 79):
        assert torch.corrcoef(torch.stack([mel[0, band], moved[0, band]]))[0, 1] > 0.9999
    torch.testing.assert_close(
        transfer_mel_statistics(mel, measure_mel_statistics(mel, mask), mask), mel, atol=1e-4, rtol=0
    )


def test_nearly_constant_band_is_amplified_by_a_bounded_factor() -> None:
    mel = torch.full((1, 80, 50), -11.0) + 0.01 * torch.randn(1, 80, 50, generator=torch.Generator().manual_seed(0))
    loud = torch.cat([torch.zeros(1, 80), 9 * torch.eye(80)])[None]
    assert (transfer_mel_statistics(mel, loud).std(dim=-1) < 0.04).all()


def test_moments_matched_to_the_original_undo_a_scale_and_an_offset() -> None:
    mel = torch.randn(2, 80, 100, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(100) < 70).float().expand(2, 1, 100)
    torch.testing.assert_close(match_mel_moments(1.5 * mel + 2, mel, mask), mel, atol=1e-3, rtol=0)


def test_gradients_through_a_transfer_of_correlations_are_finite_and_not_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(2, 80, 60, generator=generator).requires_grad_()
    transfer_mel_statistics(
        mel, measure_mel_statistics(torch.randn(2, 80, 90, generator=generator)), correlation=0.8
    ).abs().mean().backward()
    assert mel.grad.isfinite().all() and (mel.grad != 0).any(dim=-1).all()


def test_correlation_of_bands_rises_to_that_of_the_target_with_the_transferred_share() -> None:
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, 80, 4000, generator=generator)
    target = torch.randn(1, 80, 4000, generator=generator)
    target = target + target.roll(1, dims=1)  # adjacent bands correlate
    wanted = measure_mel_statistics(target)

    def correlation(x: torch.Tensor) -> float:
        return float(torch.corrcoef(x[0])[20, 21])

    none, half, whole = (transfer_mel_statistics(mel, wanted, correlation=share) for share in (0.0, 0.5, 1.0))
    assert abs(correlation(none)) < 0.05 < 0.15 < correlation(half) < correlation(whole) <= correlation(target)
    assert correlation(whole) > 0.6 * correlation(target)
    torch.testing.assert_close(transfer_mel_statistics(target, wanted, correlation=1.0), target, atol=1e-3, rtol=1e-3)


def test_transfer_of_correlations_is_a_symmetric_positive_matrix() -> None:
    """So is every optimal transport between Gaussians; it mixes the bands as little as possible."""
    generator = torch.Generator().manual_seed(0)
    mel, target = (torch.randn(1, 80, 400, generator=generator, dtype=torch.float64) for _ in range(2))
    mel, target = mel + mel.roll(1, dims=1), target + target.roll(3, dims=1)
    moments_only, whole = (
        transfer_mel_statistics(mel, measure_mel_statistics(target), correlation=share) for share in (0.0, 1.0)
    )
    units = [(x - x.mean(dim=-1, keepdim=True)) / moments_only.std(dim=-1, keepdim=True) for x in (moments_only, whole)]
    matrix = torch.linalg.lstsq(units[0][0].T, units[1][0].T).solution
    torch.testing.assert_close(matrix, matrix.T, atol=0.005, rtol=0)
    assert torch.linalg.eigvalsh(matrix).min() > 0 and (matrix - torch.eye(80)).abs().max() > 0.1


def test_silent_bands_stay_silent_and_silent_bands_of_the_target_give_bounded_mels() -> None:
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, 80, 200, generator=generator)
    mel[:, 70:] = -11.5  # above a codec's cutoff
    target = 3 * torch.randn(1, 80, 300, generator=generator).cumsum(dim=1) / 9
    moved = transfer_mel_statistics(mel, measure_mel_statistics(target), correlation=1.0)
    assert moved.isfinite().all() and moved[:, 70:].std(dim=-1).max() < 0.1
    assert moved[:, :70].abs().max() < 6 * target.abs().max()
    moved_back = transfer_mel_statistics(target, measure_mel_statistics(mel), correlation=1.0)
    assert moved_back.isfinite().all() and moved_back.abs().max() < 30


def test_burst_is_limited_to_the_peaks_of_the_voice_and_other_frames_are_unchanged() -> None:
    mel = 4 * torch.rand(1, 80, 200, generator=torch.Generator().manual_seed(0)) - 7
    statistics = measure_mel_statistics(mel)
    assert torch.equal(limit_peaks(mel, statistics), mel)
    burst = mel.clone()
    burst[0, 77, 9] = 6.0
    limited = limit_peaks(burst, statistics)
    assert -3 < limited[0, 77, 9] < -1.5
    assert torch.equal(limited[..., :9], mel[..., :9]) and torch.equal(limited[..., 10:], mel[..., 10:])
