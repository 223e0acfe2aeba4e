"""The benchmark of identification in poor recordings: its figures, and recordings of low quality."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from benchmarks import identification
from benchmarks.identification import QUALITIES, cosines, figures
from saic.audio import SAMPLE_RATE
from saic.errors import DataError, TooShort
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
    vectors = np.array([[3.0, 4.0], [8.0, 6.0]], np.float32)
    np.testing.assert_allclose(cosines(vectors, vectors), [[1, 0.96], [0.96, 1]])


def spectrum(wav: np.ndarray) -> np.ndarray:
    """A stand-in for a speaker embedding, (64,); refuses faint recordings."""
    if np.abs(wav).max() < 0.01:
        raise TooShort("There is not enough speech.")
    return np.log(np.abs(np.fft.rfft(wav[:48_000], 48_000))[:6_400].reshape(64, 100).sum(axis=1)).astype(np.float32)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, recordings: dict[str, list[np.ndarray]]) -> None:
    """Run the benchmark on a folder of speaker/clip."""
    for name, wavs in recordings.items():
        (folder / name).mkdir(parents=True)
        for k, wav in enumerate(wavs):
            soundfile.write(folder / name / f"{k}.wav", wav, SAMPLE_RATE)
    pipeline = SimpleNamespace(
        embed=lambda clip: SimpleNamespace(speaker=spectrum(clip[0])), gallery=SimpleNamespace(threshold=0.9)
    )
    monkeypatch.setattr(identification, "Resemblyzer", lambda: SimpleNamespace(embed=spectrum))
    monkeypatch.setattr(identification, "Pipeline", SimpleNamespace(from_pretrained=lambda weights: pipeline))
    monkeypatch.setattr(identification.torch, "set_num_threads", lambda n: None)
    monkeypatch.setattr("saic.evaluation.metrics.RESAMPLES", 10)
    monkeypatch.setattr(sys, "argv", ["identification", "--data", str(folder), "--split", "test"])
    identification.main()


def test_speakers_whose_recordings_cannot_be_used_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = {f"speaker{k}": [voice(90 + 60 * k, 3.0, seed) for seed in (0, 1)] for k in range(3)}
    recordings["copies"] = [voice(150, 3.0)] * 2
    recordings["quiet"] = [voice(150, 3.0), 0.01 * voice(150, 3.0, 1)]
    run(tmp_path / "corpus", monkeypatch, recordings)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "3 speakers, 1 with copies of one recording left out, 1 without speech left out"
    assert len(lines) == 2 * len(QUALITIES) and lines[1].startswith("clear, bundled: EER ")


def test_a_corpus_with_one_speaker_raises_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="two speakers"):
        run(tmp_path / "corpus", monkeypatch, {"speaker": [voice(120, 3.0, seed) for seed in (0, 1)]})


def test_a_figure_without_value_is_a_dash() -> None:
    found = figures(np.ones((2, 2)), ["a", "b"], ["a/0", "b/1"], 0.5)
    assert identification._text(found["EER"]) == identification._text(found["others accepted"]) == "-"


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
