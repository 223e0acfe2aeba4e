"""The benchmark of identification in poor recordings: its figures, and recordings of low quality."""

import numpy as np
import pytest

from benchmarks.identification import QUALITIES, compare, figures
from saic.audio import SAMPLE_RATE
from tests.conftest import voice

CORPORA = ["a"] * 10 + ["b"] * 10
NAMES = [f"{corpus}/{k}" for k, corpus in enumerate(CORPORA)]


def test_shares_count_pairs_of_one_corpus_at_the_threshold() -> None:
    scores = np.full((20, 20), 0.1)
    scores[:10, 10:] = 0.9  # other corpora: no pair
    np.fill_diagonal(scores, 0.8)
    scores[0, 0] = 0.4
    scores[1, 2] = 0.6
    found = figures(scores, CORPORA, NAMES, 0.5)
    assert found["own accepted"].value == pytest.approx(95)
    assert found["others accepted"].value == pytest.approx(100 / 180)
    assert 0 < found["EER"].value < 5
    assert found["own accepted"].low < 95 < found["own accepted"].high
    assert set(figures(scores, CORPORA, NAMES, None)) == {"EER"}


def test_scores_are_cosines() -> None:
    one, two = np.array([3.0, 4.0], np.float32), np.array([8.0, 6.0], np.float32)
    np.testing.assert_allclose(compare(lambda wav: wav, [one, two], [one, two]), [[1, 0.96], [0.96, 1]])


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_quality_keeps_the_speech_and_loses_what_its_name_says(quality: str) -> None:
    wav = voice(120, 2.0)
    degraded = QUALITIES[quality](wav)
    assert degraded.dtype == np.float32 and abs(len(degraded) - len(wav)) < 0.1 * SAMPLE_RATE
    power = [np.abs(np.fft.rfft(x[: len(wav)], len(wav))) ** 2 for x in (wav, degraded)]
    hz = np.fft.rfftfreq(len(wav), 1 / SAMPLE_RATE)
    speech, high, low = ((hz > 400) & (hz < 3_000), hz > 4_200, hz < 150)
    gain = power[1][speech].sum() / power[0][speech].sum()
    kept = {name: (power[1][band].sum() / power[0][band].sum()) / gain for name, band in (("high", high), ("low", low))}
    assert (kept["high"] < 0.2) == (quality != "clear")
    assert (kept["low"] < 0.2) == (quality == "telephone line")
