"""The comparison of weights on stand-in data: what is paired, its intervals, and which recordings count."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf

from benchmarks import compare_weights
from benchmarks.compare_weights import NEARER, QUALITY, SIMILARITY, Judges, Recording, difference, mean, read_recordings
from saic.data import manifest
from saic.errors import DataError, NotSpeech, SilentAudio
from tests.conftest import RATE

WORDS = "WER, Moonshine"
SPEAKERS = [(corpus, f"speaker{k:02}") for corpus in ("one", "other") for k in range(8)]
SPREAD = dict(zip(SPEAKERS, np.linspace(0, 90, 16), strict=True))  # WER of a speaker with the first weights


def rows(values: dict[tuple[str, str], float]) -> dict[tuple[str, str], dict[str, float]]:
    return {key: {WORDS: value} for key, value in values.items()}


def test_difference_is_paired_by_speaker_in_any_order() -> None:
    base, better = rows(SPREAD), rows({key: value - 5 for key, value in reversed(SPREAD.items())})
    found = difference(WORDS, better, base)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((-5, -5, -5, 16))
    unpaired = mean(WORDS, base)
    assert unpaired.value == pytest.approx(45) and unpaired.high - unpaired.low > 20


def test_interval_of_a_difference_is_that_of_a_bootstrap_of_speakers() -> None:
    """Differences of -4 and 4 in turn: the mean of 16 has a standard error of 1."""
    changed = {key: value + (-4, 4)[k % 2] for k, (key, value) in enumerate(SPREAD.items())}
    found = difference(WORDS, rows(changed), rows(SPREAD))
    assert (found.value, found.low, found.high) == pytest.approx((0, -1.96, 1.96), abs=0.3)


def test_speaker_without_a_figure_in_either_is_no_pair() -> None:
    base, own = rows(SPREAD), rows({key: value + 1 for key, value in SPREAD.items()})
    base[SPEAKERS[0]], own[SPEAKERS[15]] = {}, {QUALITY: 3.0}
    found = difference(WORDS, own, base)
    assert (found.value, found.n) == (pytest.approx(1), 14)
    assert mean(WORDS, own).n == 15
    assert difference(NEARER, own, base).value is None and "difference -" in compare_weights._line(NEARER, own, base)


def test_speaker_who_is_never_nearer_to_the_source_leaves_an_interval() -> None:
    """A bootstrap of equal hits has no width."""
    found = mean(NEARER, {key: {NEARER: 0.0} for key in SPEAKERS})
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 100 * (1 - 0.025 ** (1 / 16))))


def test_output_without_speech_has_lost_its_words() -> None:
    def refuse(wav: np.ndarray) -> None:
        raise SilentAudio("silence")

    judges = object.__new__(Judges)
    judges._quality, judges._embedder = SimpleNamespace(score=refuse), SimpleNamespace(embed=refuse)
    judges._recognizers = {WORDS: SimpleNamespace(transcribe=lambda wav: "four words are here" if wav.any() else "")}
    recording = Recording("one", "anna", np.ones(10), np.ones(10))
    texts = judges.transcribe(recording.wav)
    assert judges.figures(np.zeros(10), recording, texts, has_target=True) == {WORDS: 100.0}
    assert judges.figures(recording.wav, recording, texts, has_target=True) == {WORDS: 0.0}


def test_output_is_compared_with_source_and_target_if_it_has_one() -> None:
    judges = object.__new__(Judges)
    judges._quality, judges._embedder = SimpleNamespace(score=lambda wav: {"ovrl": 3.0}), SimpleNamespace(embed=np.copy)
    judges._recognizers = {}
    recording = Recording("one", "anna", np.array([0.6, 0.8]), np.array([1.0, 0.0]))
    found = judges.figures(np.array([0.8, 0.6]), recording, {}, has_target=True)
    assert found == {QUALITY: 3.0, NEARER: 100.0, SIMILARITY: pytest.approx(0.8)}
    assert judges.figures(np.array([0.8, 0.6]), recording, {}, has_target=False) == {QUALITY: 3.0}


def corpus(folder: Path, durations_s: dict[str, float]) -> Path:
    folder.mkdir(parents=True)
    clips = []
    for k, (utterance, duration_s) in enumerate(durations_s.items()):
        path = folder / f"{utterance}.wav"
        sf.write(path, np.full(round(duration_s * RATE), 0.1 + 0.1 * k), RATE)
        clips.append(manifest.Clip(path, utterance, utterance.split("-")[0], None, duration_s, None, "dev"))
    manifest.write(folder / manifest.MANIFEST_NAME, clips)
    return folder


def test_first_recording_of_fit_length_is_converted_to_the_next_speaker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus(tmp_path / "one", {"carl-0": 5, "anna-0": 3, "anna-1": 4, "anna-2": 6, "ben-0": 5, "dora-0": 13})
    loaded, load = [], compare_weights.audio.load
    monkeypatch.setattr(compare_weights.audio, "load", lambda path: loaded.append(path.stem) or load(path))
    anna, ben = read_recordings([folder], "dev", 2)
    assert loaded == ["anna-1", "ben-0"]  # of a large corpus, no more than are used
    assert (anna.corpus, anna.speaker, len(anna.wav), len(anna.target)) == ("one", "anna", 4 * RATE, 5 * RATE)
    assert ben.speaker == "ben" and np.array_equal(ben.target, anna.wav)


def test_corpora_without_pairs_or_with_one_name_are_refused(tmp_path: Path) -> None:
    alone = corpus(tmp_path / "one", {"anna-0": 5})
    with pytest.raises(DataError, match=r"^one: two speakers"):
        list(read_recordings([alone], "dev", 12))
    with pytest.raises(DataError, match="one name"):
        list(read_recordings([alone, corpus(tmp_path / "copy" / "one", {"anna-0": 5})], "dev", 12))


def test_other_weights_are_compared_with_the_first_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pipeline:
        device, gallery = "cpu", SimpleNamespace(pseudonym=lambda bits, register: SimpleNamespace(to=lambda device: 0))

        @classmethod
        def from_pretrained(cls, name: str | None) -> "Pipeline":
            self = cls()
            self.gain = {None: 1.0, "other": 1.5}[name]
            return self

        def convert(self, source: tuple, target: object, **options: object) -> SimpleNamespace:
            if self.gain > 1 and source[0][0] == 2:
                raise NotSpeech("a hum")
            return SimpleNamespace(wav=self.gain * source[0])

    class StandInJudges:
        def __init__(self, whisper: str | None) -> None:
            pass

        def transcribe(self, wav: np.ndarray) -> dict[str, str]:
            return {}

        def figures(self, output: np.ndarray, *given: object, has_target: bool) -> dict[str, float]:
            return {QUALITY: float(output[0])}

    wavs = [np.full(4, float(k)) for k in (1, 2, 3)]
    recordings = [Recording("one", f"speaker{k}", wav, wavs[0]) for k, wav in enumerate(wavs)]
    monkeypatch.setattr(compare_weights, "Pipeline", Pipeline)
    monkeypatch.setattr(compare_weights, "Judges", StandInJudges)
    monkeypatch.setattr(compare_weights, "read_recordings", lambda *arguments: iter(recordings))
    monkeypatch.setattr(compare_weights.torch, "set_num_threads", lambda n: None)
    monkeypatch.setattr(sys, "argv", ["compare_weights", "--data", "one", "--weights", "bundled", "other"])
    compare_weights.main()
    lines = capsys.readouterr().out.split("\n")
    assert lines.count("  OVRL: one 2.00; all 2.00 (3 speakers)") == 2
    assert lines.count("  OVRL: one 3.00; all 3.00 (2 speakers); difference 1.00 (2 speakers)") == 2
