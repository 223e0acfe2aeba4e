"""The linkage evaluation: trials, back ends, fusion, report."""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
import torch

import saic
from saic.data import manifest
from saic.data.manifest import Clip
from saic.errors import DataError, SaicError, TooShort
from saic.evaluation import overview
from saic.evaluation.cache_keys import run_key
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.trials import Span
from saic.evaluation.linkage import database, inference, report, scoring, transcripts
from saic.evaluation.linkage.material import (
    ALL,
    Recording,
    Side,
    Speakers,
    TrialSet,
    choose_speakers,
    cut_clip,
    folds,
    training_recordings,
    trial_set,
)
from saic.evaluation.linkage.measurements import Measurements
from saic.evaluation.linkage.outputs import RecordingOutputs
from saic.evaluation.linkage.result import LinkageResult
from saic.evaluation.linkage.run import LinkageEvaluation, _top1, evaluate
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.metrics import Estimate
from saic.evaluation.systems import KNOWN_VOICE_SEED, MAIN_SYSTEMS, SYSTEMS, SystemOutputs
from saic.pipeline import Conversion
from tests.conftest import RATE, voice

pytestmark = pytest.mark.usefixtures("quick_reports")


def _clip(speaker: str, number: int, seconds: float, **facts: object) -> Clip:
    name = f"{speaker}-{number}"
    sex, text = facts.pop("sex", "F"), facts.pop("text", None)
    return Clip(Path(f"{name}.wav"), name, speaker, sex, seconds, text, "attack", **facts)


# Trials


def test_a_long_clip_is_cut_into_recordings_of_at_most_10_s_and_a_short_one_left_out():
    assert [r.seconds for r in cut_clip(_clip("a", 0, 24.0))] == [8.0, 8.0, 8.0]
    assert cut_clip(_clip("a", 0, 1.9)) == []


def test_both_sides_of_a_speaker_have_the_length_and_no_clip_in_common():
    speakers = Speakers.of({"c": [_clip(s, i, 4.0 + i) for s in "ab" for i in range(6)]})
    for length in (5, 15):
        trials = trial_set(speakers, length, seed=0)
        assert {side.speaker for side in trials.enrollments} == {"c/a", "c/b"}
        for side in (*trials.enrollments, *trials.tests):
            assert length - 0.5 <= side.seconds < length + 9
        for speaker in ("c/a", "c/b"):
            enrolled, tested = (
                {r.clip.utterance for side in sides if side.speaker == speaker for r, _ in side.segments}
                for sides in (trials.enrollments, trials.tests)
            )
            assert enrolled and tested and not enrolled & tested


def test_a_speaker_with_two_sessions_is_enrolled_in_one_and_tested_in_the_other():
    clips = [_clip("a", i, 6.0, session="12"[i % 2]) for i in range(8)]
    trials = trial_set(Speakers.of({"c": clips}), 15, seed=0)
    assert {r.clip.session for side in trials.enrollments for r, _ in side.segments} == {"1"}
    assert {r.clip.session for side in trials.tests for r, _ in side.segments} == {"2"}


def test_clips_without_a_session_are_left_out_where_two_are_stated():
    """They may be of the session of the other side."""
    clips = [_clip("a", i, 8.0, session=session) for i, session in enumerate(["1", "2", None, None])]
    trials = trial_set(Speakers.of({"c": clips}), ALL, seed=0)
    assert [[clip.session for clip in side.clips] for side in (*trials.enrollments, *trials.tests)] == [["1"], ["2"]]


def test_a_speaker_with_too_little_speech_for_a_length_is_left_out_of_it():
    speakers = Speakers.of({"c": [_clip("a", i, 6.0) for i in range(4)]})
    assert len(trial_set(speakers, 5, seed=0).enrollments) == 1
    assert len(trial_set(speakers, 15, seed=0).enrollments) == 0


def test_all_takes_every_segment_of_both_halves_and_keeps_clips_and_sessions_apart():
    clips = [_clip("a", i, 4.0 + i) for i in range(5)] + [_clip("b", i, 12.0, session="12"[i]) for i in range(2)]
    trials = trial_set(Speakers.of({"c": [*clips, _clip("d", 0, 9.0)]}), ALL, seed=0)  # d has one clip only
    assert [side.speaker for side in trials.enrollments] == [side.speaker for side in trials.tests] == ["c/a", "c/b"]
    sides = (*trials.enrollments, *trials.tests)
    assert sum(side.seconds for side in sides) == pytest.approx(sum(clip.duration_s for clip in clips))
    assert sum(len(side.clips) for side in sides) == len(clips)
    assert trials.enrollments[1].clips[0].session == "1" and trials.median_s == pytest.approx(13.5, abs=2)


def test_training_takes_recordings_of_as_many_clips_as_possible():
    speakers = Speakers.of({"c": [_clip("a", 0, 40.0), _clip("a", 1, 8.0), _clip("b", 0, 6.0)]})
    chosen = training_recordings(speakers, None, seed=0)
    assert [r.clip.utterance for r in chosen["c/a"]] == ["a-0", "a-1", "a-0"]
    assert "c/b" not in chosen  # one recording tells nothing of what varies within a speaker


def test_folds_hold_each_speaker_once_and_spread_the_corpora():
    speakers = [f"{corpus}/{i}" for corpus in "ab" for i in range(10)]
    fold_of = folds(speakers, 5, seed=0)
    assert sorted(fold_of) == sorted(speakers)
    for corpus in "ab":
        assert sorted(fold for s, fold in fold_of.items() if s[0] == corpus) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_children_are_a_row_of_their_own():
    speakers = Speakers.of({"c": [_clip("a", 0, 5.0, age=14), _clip("b", 0, 5.0, age=15), _clip("d", 0, 5.0)]})
    assert [speakers.part(f"c/{s}") for s in "abd"] == ["c children", "c", "c"]
    assert [speakers.age_group(f"c/{s}") for s in "abd"] == ["child", "adult", None]


# Scores


def _fake_trials(n_speakers: int, rng: np.random.Generator, noise: float, size: int = 8):
    """Trials, vectors and training vectors of speakers that lie apart by 1 in each dimension."""
    vectors, enrollments, tests = {}, [], []
    for k in range(n_speakers):
        center = rng.standard_normal(size)
        for i, sides in enumerate((enrollments, tests)):
            recording = Recording(_clip(f"s{k}", i, 5.0), 0, 1)
            vectors[recording, 0] = center + noise * rng.standard_normal(size)
            sides.append(Side(f"c/s{k}", ((recording, 0),)))
    known = [(rng.standard_normal(size), f"t{k}") for k in range(60)]
    rows = [(center + noise * rng.standard_normal(size), name) for center, name in known for _ in range(3)]
    training = scoring.TrainingSet(np.array([v for v, _ in rows]), np.array([name for _, name in rows]))
    return TrialSet(tuple(enrollments), tuple(tests)), vectors, training


def _eer(trials: TrialSet, scores: np.ndarray) -> float:
    from saic.evaluation.metrics import estimate_eer

    sides = ([side.speaker for side in s] for s in (trials.enrollments, trials.tests))
    return estimate_eer(scores, *sides).value


def test_plda_links_speakers_who_lie_apart_and_is_at_chance_where_only_noise_is():
    rng = np.random.default_rng(0)
    trials, vectors, training = _fake_trials(40, rng, noise=0.3)
    assert _eer(trials, scoring.compare_by_plda(trials, vectors, training, {}, unit_length=False)) < 3
    trials, vectors, training = _fake_trials(40, rng, noise=100.0)
    assert 35 < _eer(trials, scoring.compare_by_plda(trials, vectors, training, {}, unit_length=False)) < 65


def test_a_pair_is_never_scored_by_a_back_end_that_was_trained_on_its_speakers(monkeypatch):
    rng = np.random.default_rng(0)
    trials, vectors, training = _fake_trials(20, rng, noise=0.3)
    own = scoring.TrainingSet(
        np.array([vectors[s] for side in trials.tests for s in side.segments * 2]),
        np.array([side.speaker for side in trials.tests for _ in range(2)]),
    )
    fold_of = folds([side.speaker for side in trials.tests], 5, seed=0)
    trained: list[set[str]] = []

    class Spy(scoring.BackEnd):
        def __init__(self, known, **options):
            super().__init__(known, **options)
            trained.append(set(known.speakers))

        def compare(self, enrollments, tests, vectors):
            scores = super().compare(enrollments, tests, vectors)
            for i, enrolled in enumerate(enrollments):
                for j, tested in enumerate(tests):
                    if {enrolled.speaker, tested.speaker} & trained[-1]:
                        scores[i, j] = np.inf  # must never be used
            return scores

    monkeypatch.setattr(scoring, "BackEnd", Spy)
    scores = scoring.compare_by_plda(trials, vectors, training.joined(own), fold_of, unit_length=False)
    assert np.isfinite(scores).all()
    assert any("c/s0" in speakers for speakers in trained)


def test_a_side_without_a_measurement_has_no_score():
    trials, vectors, training = _fake_trials(5, np.random.default_rng(0), noise=0.3)
    del vectors[trials.tests[2].segments[0]]
    scores = scoring.compare_by_plda(trials, vectors, training, {}, unit_length=False)
    assert np.isnan(scores[:, 2]).all() and np.isfinite(np.delete(scores, 2, axis=1)).all()


def test_fusion_is_better_than_each_of_two_independent_attackers_and_ignores_noise():
    rng = np.random.default_rng(0)
    speakers = 60
    is_same = np.eye(speakers, dtype=bool)
    weak = [is_same * 1.5 + rng.standard_normal(is_same.shape) for _ in range(2)]
    scores = np.stack([*weak, rng.standard_normal(is_same.shape)])
    sides = [
        tuple(Side(f"c/s{k}", ((Recording(_clip(f"s{k}", i, 5.0), 0, 1), 0),)) for k in range(speakers))
        for i in range(2)
    ]
    trials = TrialSet(*sides)
    fold_of = folds([side.speaker for side in sides[0]], 5, seed=0)
    fused = scoring.fuse_by_folds(trials, scores, np.ones_like(is_same), fold_of)
    assert _eer(trials, fused) < min(_eer(trials, one) for one in weak) - 3


def test_a_fusion_is_not_trained_on_the_pairs_that_it_scores():
    """A score that is right only by the labels of its own pairs gives nothing to a fusion by folds."""
    rng = np.random.default_rng(0)
    speakers = 40
    sides = [
        tuple(Side(f"c/s{k}", ((Recording(_clip(f"s{k}", i, 5.0), 0, 1), 0),)) for k in range(speakers))
        for i in range(2)
    ]
    trials = TrialSet(*sides)
    is_same = scoring.same_speaker(trials)
    fold_of = folds([side.speaker for side in sides[0]], 5, seed=0)
    many = rng.standard_normal((60, *is_same.shape))  # enough columns to fit 40 labels by heart
    counts = np.ones_like(is_same)
    assert _eer(trials, scoring.Fusion(many, is_same, counts).score(many)) < 25
    assert _eer(trials, scoring.fuse_by_folds(trials, many, counts, fold_of)) > 35


# Who only reads


def _text_trials(texts: list[tuple[str | None, str | None]], languages: str) -> TrialSet:
    """One speaker per pair of texts, enrolled with the first and tested with the second."""
    sides: tuple[list[Side], list[Side]] = ([], [])
    for k, (pair, language) in enumerate(zip(texts, languages, strict=True)):
        for i, text in enumerate(pair):
            recording = Recording(_clip(f"s{k}", i, 5.0, text=text, language=language), 0, 1)
            sides[i].append(Side(f"c/s{k}", ((recording, 0),)))
    return TrialSet(tuple(sides[0]), tuple(sides[1]))


def test_texts_of_one_topic_are_more_alike_whatever_their_case_and_punctuation():
    texts = [("Heart, and lungs!", "HEART LUNGS"), ("of my garden", "garden; roses"), (None, "heart")]
    scores = transcripts.compare_texts(_text_trials(texts, "eee"))
    assert scores[0, 0] > scores[0, 1] + 0.2 and scores[1, 1] > scores[1, 0] + 0.2
    assert np.isnan(scores[2]).all() and np.isfinite(scores[:2]).all()
    assert np.isnan(transcripts.compare_texts(_text_trials([(None, None)], "e"))).all()


def test_languages_are_equal_or_not_and_unknown_ones_do_not_count():
    trials = _text_trials([("a", "b")] * 3, "dee")
    np.testing.assert_array_equal(transcripts.compare_languages(trials), [[1, 0, 0], [0, 1, 1], [0, 1, 1]])
    trials = _text_trials([("a", "b")], [None])
    assert np.isnan(transcripts.compare_languages(trials)).all()
    recordings = [Recording(_clip("a", i, 5.0, language=each), 0, 1) for i, each in enumerate(("de", "en", "en", None))]
    assert transcripts.language(Side("c/a", tuple((recording, 0) for recording in recordings))) == "en"


def test_a_guess_among_those_of_one_language_is_right_as_often_as_it_must_be():
    assert transcripts.top1_of_guess(60, 1, 40) == pytest.approx(1)
    assert transcripts.top1_of_guess(60, 60, 40) == pytest.approx(1 / 40)
    assert transcripts.top1_of_guess(3, 2, 2) == pytest.approx((1 + 1 / 2) / 2)  # the other is drawn half the time


# Inference


def _labelled(shift: float) -> tuple[list[np.ndarray], list[str], dict[str, str]]:
    """Two sides of 40 speakers: one kind of evidence of noise, one whose first value differs by ``shift`` a class."""
    rng = np.random.default_rng(0)
    speakers = [f"s{k}" for k in range(40) for _ in range(2)]
    labels = {f"s{k}": "FM"[k % 4 == 0] for k in range(40)}
    small, large = (
        np.repeat(rng.standard_normal((40, size)), 2, axis=0) + 0.1 * rng.standard_normal((80, size))
        for size in (3, 200)
    )
    small[:, 0] += [shift * (labels[speaker] == "M") for speaker in speakers]
    large[::7] = np.nan
    return [large, small], speakers, labels


def test_an_attribute_is_told_if_the_vectors_have_it_and_is_at_chance_if_not():
    accuracy, chance = inference.infer(*_labelled(3.0), seed=0)
    assert accuracy.value > 80 and accuracy.low < accuracy.value < accuracy.high
    assert chance.value == 50 and accuracy.n == 40
    accuracy, _ = inference.infer(*_labelled(0.0), seed=0)
    assert 25 < accuracy.value < 70 and accuracy.low < 50


def test_a_speaker_is_never_inferred_by_a_regression_that_was_trained_on_the_speaker(monkeypatch):
    vectors, speakers, labels = _labelled(0.0)
    vectors = [np.array([[int(speaker[1:])] for speaker in speakers], dtype=float)]  # names the speaker
    seen: list[tuple[set[float], set[float]]] = []

    class Spy(inference.LogisticRegression):
        def fit(self, x, y):
            self.own = set(x[:, 0])
            return super().fit(x, y)

        def predict(self, x):
            seen.append((self.own, set(x[:, 0])))
            return super().predict(x)

    monkeypatch.setattr(inference, "LogisticRegression", Spy)
    inference.infer(vectors, speakers, labels, seed=0)
    assert len(seen) == 5 and all(not own & tested for own, tested in seen)


def test_a_class_of_few_speakers_is_left_out_and_one_class_gives_no_figure():
    vectors, speakers, labels = _labelled(6.0)
    few = {speaker: "F" if label == "F" else "?" * (int(speaker[1:]) // 8) for speaker, label in labels.items()}
    assert inference.infer(vectors, speakers, few, seed=0) is None
    assert inference.infer([], speakers, labels, seed=0) is None


def test_vectors_of_a_side_are_the_means_of_each_kind_of_evidence():
    one, other = (Recording(_clip("a", i, 5.0), 0, 1) for i in range(2))
    vectors = {"x": {(one, 0): np.array([1.0, 2]), (other, 0): np.array([3.0, 4])}, "y": {(one, 0): np.array([5.0])}}
    sides = [Side("c/a", ((one, 0), (other, 0))), Side("c/a", ((other, 0),))]
    x, y = inference.mean_vectors(sides, vectors | {"z": {}})
    np.testing.assert_array_equal(x, [[2, 3], [3, 4]])
    np.testing.assert_array_equal(y, [[5], [np.nan]])


# Caches


class _Loudness:
    name = "loudness"

    def __init__(self) -> None:
        self.calls = 0

    def measure(self, segment: Segment) -> np.ndarray:
        self.calls += 1
        if len(segment.wav) < 100:
            raise TooShort("short")
        return np.array([segment.wav.std(), np.abs(segment.wav).max()])


def test_a_segment_is_measured_once_and_again_by_other_code_or_weights(tmp_path, monkeypatch):
    evidence, segment = _Loudness(), Segment(voice(120, 1.0))
    for _ in range(2):
        measurements = Measurements(tmp_path / "m.sqlite")
        assert measurements.measure(evidence, segment).shape == (2,)
        assert measurements.measure(evidence, Segment(np.zeros(10))) is None
    assert evidence.calls == 2
    monkeypatch.setattr("saic.evaluation.linkage.measurements.code_fingerprint", lambda *names: "other code")
    Measurements(tmp_path / "m.sqlite").measure(evidence, segment)
    assert evidence.calls == 3
    evidence.fingerprint = "trained on other speech"
    Measurements(tmp_path / "m.sqlite").measure(evidence, segment)
    assert evidence.calls == 4


class _Pipeline:
    """Turns a recording upside down, and counts."""

    def __init__(self, sha256: str | None = "1") -> None:
        self.sha256, self.seeds = sha256, []

    def info(self) -> dict[str, object]:
        return {"sha256": self.sha256}

    def anonymize(self, clip, *, seed: int, profile: str | None = None) -> Conversion:
        self.seeds.append(seed)
        return Conversion(-clip[0], None, {})

    def convert(self, source, targets, *, reconstruct: bool = False) -> Conversion:
        wav = np.resize(targets[0][0], len(source[0]))
        return Conversion(wav, wav if reconstruct else None, {})


@pytest.fixture
def recordings(tmp_path) -> list[Recording]:
    made = []
    for i in range(2):
        sf.write(tmp_path / f"{i}.wav", voice(120 + 40 * i, 4.0, seed=i), RATE)
        made.append(Recording(Clip(tmp_path / f"{i}.wav", str(i), "a", "F", 4.0, None, "attack"), 0, 1))
    return made


def test_outputs_are_cached_by_weights_and_code_and_each_recording_has_a_pseudonym_of_its_own(
    tmp_path, recordings, monkeypatch
):
    pipeline = _Pipeline()
    for _ in range(2):
        outputs = RecordingOutputs(pipeline, recordings, tmp_path / "c", seed=0)
        assert [len(outputs.wav("pseudonym", recording)) for recording in recordings] == [64_000, 64_000]
    assert len(pipeline.seeds) == len(set(pipeline.seeds)) == 2
    pipeline.sha256 = "2"
    RecordingOutputs(pipeline, recordings, tmp_path / "c", seed=0).wav("pseudonym", recordings[0])
    assert len(pipeline.seeds) == 3
    monkeypatch.setattr("saic.evaluation.cache_keys.code_fingerprint", lambda *names: "other code")
    RecordingOutputs(pipeline, recordings, tmp_path / "c", seed=0).wav("pseudonym", recordings[0])
    assert len(pipeline.seeds) == 4


def test_a_recording_has_one_pseudonym_in_all_systems_and_versions(tmp_path, recordings, monkeypatch):
    pipeline = _Pipeline()
    for code in ("code", "other code"):
        monkeypatch.setattr("saic.evaluation.cache_keys.code_fingerprint", lambda *names, code=code: code)
        outputs = RecordingOutputs(pipeline, recordings, tmp_path / "c", seed=0)
        for system in ("pseudonym", "pseudonym_prosody_kept", "pseudonym_strict"):
            outputs.wav(system, recordings[0])
    assert len(pipeline.seeds) == 6 and len(set(pipeline.seeds)) == 1


def test_a_conversion_to_another_target_is_not_taken_from_the_cache(tmp_path, recordings, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    one, other = (
        RecordingOutputs(_Pipeline(), [target], tmp_path / "c", seed=0).wav("convert", recordings[0])
        for target in recordings
    )
    assert not np.array_equal(one, other)


def test_a_target_without_speech_is_replaced_by_the_next_one(tmp_path, recordings, monkeypatch):
    """The recording that was to be converted is not to blame."""
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    silent, speech = recordings
    sf.write(silent.clip.path, np.zeros(4 * RATE), RATE)
    outputs = [
        RecordingOutputs(_Pipeline(), [silent, speech], tmp_path / "c", seed=seed).wav("convert", speech)
        for seed in range(8)
    ]
    assert all(np.array_equal(wav, outputs[0]) for wav in outputs) and np.abs(outputs[0]).max() > 0.1
    with pytest.raises(DataError, match="No target"):
        RecordingOutputs(_Pipeline(), [silent], tmp_path / "c", seed=0).wav("convert", speech)


def test_outputs_are_cached_in_a_folder_whose_name_is_not_utf_8(tmp_path, recordings, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xe9port"))
    outputs = RecordingOutputs(_Pipeline(), recordings, folder, seed=0)
    first, again = (outputs.wav("pseudonym", recordings[0]) for _ in range(2))
    assert np.array_equal(first, again)
    source, trial = Span("0", 0, 16_000), SimpleNamespace(source="a", target="a")
    parts = SimpleNamespace(source=(source,), reference=(source,))
    wav = voice(120, 1.0)
    dataset = SimpleNamespace(codec=lossless, parts={"a": parts}, wav=lambda part: wav)
    output = SystemOutputs(_Pipeline(), dataset, folder, seed=0).of_trial("copy_source", trial)
    np.testing.assert_allclose(output, wav, atol=1e-4)


def test_reconstruction_needs_no_target(tmp_path, recordings):
    outputs = RecordingOutputs(_Pipeline(), [], tmp_path / "c", seed=0)
    assert outputs.wav("reconstruction", recordings[0]).any()


def test_known_voice_gives_every_recording_one_pseudonym(tmp_path, recordings):
    pipeline = _Pipeline()
    outputs = RecordingOutputs(pipeline, recordings, tmp_path / "c", seed=0)
    for recording in recordings:
        outputs.wav("pseudonym_known_voice", recording)
    assert pipeline.seeds == [KNOWN_VOICE_SEED, KNOWN_VOICE_SEED]
    assert "pseudonym_known_voice" not in MAIN_SYSTEMS


def test_voices_that_are_drawn_again_are_unlike_each_recording_and_follow_its_seed(tmp_path, recordings):
    drawn, given = [], []

    class Drawing(_Pipeline):
        def pseudonym(self, *, unlike, seed):
            drawn.append((len(unlike[0]), seed))
            return len(drawn)

        def anonymize(self, clip, *, voice):
            given.append((len(clip[0]), voice))
            return SimpleNamespace(wav=clip[0])

    for run in ("first", "second"):
        outputs = RecordingOutputs(Drawing(), recordings, tmp_path / run, seed=0)
        for recording in recordings:
            outputs.wav("pseudonym_unlike", recording)
    assert drawn[:2] == drawn[2:] and drawn[0][1] != drawn[1][1]
    assert given == [(length, k + 1) for k, (length, _) in enumerate(drawn)]


def test_a_recording_that_cannot_be_decoded_has_no_output(tmp_path, recordings):
    recordings[0].clip.path.write_bytes(b"RIFF0000WAVEnothing")
    outputs = RecordingOutputs(_Pipeline(), recordings, tmp_path / "c", seed=0)
    assert outputs.wav("pseudonym", recordings[0]) is None
    assert outputs.wav("pseudonym", recordings[0]) is None  # from the cache


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("signal/loudness.py", True),
        ("pipeline.py", True),
        ("config.py", True),
        ("evaluation/external.py", True),
        ("evaluation/linkage/outputs.py", True),
        ("evaluation/systems.py", True),
        ("evaluation/data/codec.py", True),
        ("evaluation/report.py", False),
        ("web/page.py", False),
    ],
)
def test_the_key_of_a_run_changes_with_code_that_makes_outputs(changed, matters, tmp_path, monkeypatch):
    package = tmp_path / "saic"
    shutil.copytree(Path(saic.__file__).parent, package, ignore=shutil.ignore_patterns("default", "__pycache__"))
    arguments = {"pipeline": _Pipeline(), "codec": lossless, "seed": 0}
    before = run_key(**arguments)
    monkeypatch.setattr(saic, "__file__", str(package / "__init__.py"))
    assert run_key(**arguments) == before
    (package / changed).write_text((package / changed).read_text() + "\n# changed\n")
    assert (run_key(**arguments) != before) is matters


# Report


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Ten speakers of ``train`` and of ``attack``, each of one pitch, with four clips of 3 s."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    lines = []
    for k in range(20):
        split = "train" if k < 10 else "attack"
        for i in range(4):
            path = folder / f"s{k}" / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, voice(90 + 5 * k, 3.0, seed=100 * k + i, formant_hz=500 + 30 * k), RATE)
            facts = {"path": f"s{k}/{i}.wav", "utterance": f"s{k}-{i}", "speaker": f"s{k}", "sex": "F"}
            lines.append(json.dumps(facts | {"duration_s": 3.0, "text": None, "split": split}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder


class _Spectrum:
    name = "spectrum"

    def measure(self, segment: Segment) -> np.ndarray:
        return segment.mel.mean(axis=1)[:40]


def test_report_has_the_worst_attacker_and_a_second_run_goes_on_from_the_cache(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    pipeline = _Pipeline()
    arguments = {"pipeline": pipeline, "evidence": [_Spectrum(), _Loudness()], "systems": ["pseudonym"]}
    made = evaluate([corpus], "attack", tmp_path / "cache", quick=True, **arguments)
    figures = made["systems"]["pseudonym"]["privacy"]
    assert {"spectrum.eer_5s", "loudness.eer_5s", "fused.eer_5s"} <= set(figures)
    # The fake pipeline hides nothing, so that the attacker finds its outputs as he does copies.
    assert figures["spectrum.eer_5s"]["value"] < 20
    assert figures["fused.eer_5s"]["value"] == pytest.approx(
        made["systems"]["copy_source"]["privacy"]["fused.eer_5s"]["value"], abs=10
    )
    assert made["worst"]["pseudonym"]["5"] in figures_of(made) and "| `pseudonym` |" in report.markdown(made)
    n_calls = len(pipeline.seeds)
    again = evaluate([corpus], "attack", tmp_path / "cache", quick=True, **arguments)
    assert len(pipeline.seeds) == n_calls and again == made


def test_a_quick_run_converts_few_recordings(tmp_path, monkeypatch):
    """Of 50 speakers of each split with 12 clips of 8 s: 2 of 40 of ``train``, 4 of 20 of each other split."""
    wanted: dict[str, set[Recording]] = {}

    class Outputs(RecordingOutputs):
        def wav(self, system: str, recording: Recording) -> np.ndarray:
            wanted.setdefault(system, set()).add(recording)
            speaker = int(recording.clip.speaker[1:])
            return (0.1 + 0.01 * speaker) * np.random.default_rng(speaker).standard_normal(1600)

    monkeypatch.setattr("saic.evaluation.linkage.run.RecordingOutputs", Outputs)
    monkeypatch.setattr("saic.evaluation.metrics.RESAMPLES", 5)
    lines = [
        {"path": "a.wav", "utterance": f"{k}-{i}", "speaker": f"s{k}", "sex": "FM"[k % 2], "text": None}
        | {"duration_s": 8.0, "split": ("train", "attack", "test")[k % 3]}
        for k in range(150)
        for i in range(12)
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "a.wav").touch()  # never read
    arguments = {"pipeline": _Pipeline(), "evidence": [_Loudness()], "systems": ["pseudonym"], "quick": True}
    made = evaluate([tmp_path], "test", tmp_path / "cache", **arguments)
    assert made["data"]["speakers"] == {"5": 20, "15": 20} and made["data"]["training_speakers"] == 40
    assert {system: len(recordings) for system, recordings in wanted.items()} == {
        "real": 240,
        "copy_source": 240,
        "pseudonym": 240,
    }
    speakers = {split: {r.clip.speaker for r in wanted["real"] if r.clip.split == split} for split in ("test", "train")}
    assert len(speakers["test"]) == 20 and len(speakers["train"]) == 40


def test_speakers_of_a_quick_run_have_another_of_their_sex_and_part_and_enough_speech():
    clips = {
        "a": [_clip(f"s{k}", i, 8.0, sex="FM"[k % 2]) for k in range(20) for i in range(1 + 3 * (k < 12))],
        "b": [_clip(f"s{k}", i, 8.0, sex="F") for k in range(4) for i in range(4)],
    }
    speakers = Speakers.of(clips)
    made = [choose_speakers(speakers, 8, (5, 15), seed) for seed in range(4)]
    for chosen in made:
        assert len(chosen.clips) == 8 and all(len(of_speaker) == 4 for of_speaker in chosen.clips.values())
        groups = [(chosen.part(speaker), chosen.sex(speaker)) for speaker in chosen.clips]
        assert len(set(groups)) == 3 and all(groups.count(group) >= 2 for group in groups)
    assert len({tuple(chosen.clips) for chosen in made}) > 1
    assert choose_speakers(speakers, 8, (5, 15), 0) == made[0]
    assert choose_speakers(speakers, 30, (5, 15), 0) == speakers


def test_lengths_that_the_attackers_are_not_trained_at_are_left_out(tmp_path):
    lines = []
    for k in range(9):
        split, seconds = (("train", 3.0), ("attack", 5.5), ("test", 15.5))[k % 3]
        wav = voice(90 + 5 * k, seconds, seed=k, formant_hz=500 + 30 * k)
        for i in range(2):
            sf.write(tmp_path / f"{k}-{i}.wav", wav, RATE)
            facts = {"path": f"{k}-{i}.wav", "utterance": f"{k}-{i}", "speaker": f"s{k}", "sex": "F", "text": None}
            lines.append(json.dumps(facts | {"duration_s": seconds, "split": split}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines))
    arguments = {"pipeline": _Pipeline(), "evidence": [], "cache": tmp_path / "c", "seed": 0, "quick": True}
    made = LinkageEvaluation({"a": manifest.read(path)}, "test", progress=lambda *_: None, **arguments)
    assert list(made.trials["test"]) == list(made.trials["attack"]) == [5]
    path.write_text("\n".join(lines).replace('"test"', '"dev"'))
    made = LinkageEvaluation({"a": manifest.read(path)}, "dev", progress=lambda *_: None, **arguments)
    targets = {recording.clip.speaker for recording in made.outputs._targets}
    assert targets == {"s0", "s3", "s6"}  # elsewhere those of dev, which here are to be recognized
    short = {"path": "0-0.wav", "utterance": "short", "speaker": "d", "sex": "F", "text": None}
    path.write_text("\n".join([*lines, json.dumps(short | {"duration_s": 1.5, "split": "dev"})]))
    made = LinkageEvaluation({"a": manifest.read(path)}, "test", progress=lambda *_: None, **arguments)
    assert {recording.clip.speaker for recording in made.outputs._targets} == targets  # no clip of dev is long enough
    one_woman = [line.replace('"F"', '"M"') if '"s1"' not in line and "attack" in line else line for line in lines]
    one_woman = [line for line in one_woman if '"s7"' not in line]
    for left in (one_woman, [line for line in lines if "attack" not in line]):
        path.write_text("\n".join(left))
        with pytest.raises(DataError, match="'attack' and 'test'"):
            LinkageEvaluation({"a": manifest.read(path)}, "test", progress=lambda *_: None, **arguments)
    of_test = [line.replace('"F"', '"M"') if '"s5"' in line else line for line in lines if '"s8"' not in line]
    path.write_text("\n".join(of_test))  # one woman and one man, who are not confused
    with pytest.raises(DataError, match="'attack' and 'test'"):
        LinkageEvaluation({"a": manifest.read(path)}, "test", progress=lambda *_: None, **arguments)


def _two_corpora(folder: Path) -> list[Path]:
    """Two corpora of 3 speakers of ``train`` and 8 of ``attack`` with 4 clips of 7.5 s; one has two languages."""
    made = []
    for corpus, languages in (("one", ["en"]), ("many", ["de", "fr"])):
        path, lines = folder / corpus, []
        path.mkdir(parents=True)
        for k in range(11):
            wav = voice(90 + 10 * k, 7.5, seed=k, formant_hz=500 + 50 * k)
            language = languages[k % len(languages)]
            for i in range(4):
                sf.write(path / f"{k}-{i}.wav", np.roll(wav, 9000 * i), RATE)
                facts = {"path": f"{k}-{i}.wav", "utterance": f"{k}-{i}", "speaker": f"s{k}", "sex": "FM"[k % 4 < 2]}
                facts |= {"text": f"{language} {k}{i}", "split": "train" if k < 3 else "attack", "duration_s": 7.5}
                session = f"day {i // 2}" if corpus == "many" else None
                lines.append(json.dumps(facts | {"language": language, "session": session}))
        (path / "manifest.jsonl").write_text("\n".join(lines))
        made.append(path)
    return made


def test_report_has_pooled_files_transcripts_inference_and_the_words_of_the_law(tmp_path, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    for name, small in (("GALLERY_SIZE", 12), ("MIN_LANGUAGE_SPEAKERS", 8), ("MIN_SESSION_SPEAKERS", 8)):
        monkeypatch.setattr(f"saic.evaluation.linkage.run.{name}", small)
    monkeypatch.setattr("saic.evaluation.linkage.inference.MIN_SPEAKERS", 5)
    monkeypatch.setattr("saic.evaluation.metrics.RESAMPLES", 50)
    systems = ["pseudonym", "pseudonym_prosody_kept"]
    arguments = {"pipeline": _Pipeline(), "evidence": [_Spectrum()], "systems": systems}
    made = evaluate(_two_corpora(tmp_path / "data"), "attack", tmp_path / "cache", **arguments)
    figures, read = made["systems"]["pseudonym"]["privacy"], made["transcripts"]
    assert {"fused.eer_all", "spectrum.top1_all", "fused.top1_of_all_15s"} <= set(figures)
    assert figures["fused.eer_15s@many, one language"]["n"] == 8
    assert "fused.eer_15s@one, one language" not in figures  # it would be the figure of all its pairs
    assert figures["fused.eer_15s@many, two sessions"]["n"] == 8
    assert "fused.eer_15s@one, two sessions" not in figures  # its sessions are not stated
    assert made["data"]["all"] == {"speakers": 16, "median_s": 15.0}
    assert made["data"]["median_s"] == {"5": 7.5, "15": 15.0}
    assert not any(name.endswith("@same speakers") for name in figures)  # both lengths have the same
    assert made["data"]["speakers"] == {"5": 16, "15": 16} and made["worst"]["pseudonym"]["all"]
    assert read["language.eer_15s@many"]["value"] < 40
    assert "language.eer_15s@one" not in read  # all speak one language: it would be 50 % of any speakers
    assert read["text.eer_15s"]["n"] == 16 and read["text.top1_all"]["value"] <= 100
    assert 100 / 12 < read["language.top1_15s"]["value"] < 50
    assert not any(name.startswith(("text.", "language.")) for name in figures)
    assert figures["inference.sex_chance"]["value"] == 50 and figures["inference.corpus"]["n"] == 16
    # The fake pipeline gives both profiles the same output, so that the pairs are equal.
    assert [figures["fused.gain_15s"][name] for name in ("value", "low", "high", "n")] == [0, 0, 0, 16]
    assert "inference.age_group" not in figures  # the manifests state no age
    made["systems"]["pseudonym_known_voice"] = made["systems"]["pseudonym"]
    text = report.markdown(made)
    for heading in (
        "Against `pseudonym_prosody_kept`",
        "All recordings of a subject",
        "Who only reads",
        "In the words of data protection law",
    ):
        assert f"## {heading}\n" in text
    assert (
        "15 s.\n" in text
        and "in the median 7.5 and 15.0 s.\n" in text
        and "- `pseudonym_known_voice`: as `pseudonym`, with one" in text
    )
    assert "By envelope, aligned: top-1, %" in text and "- Aligned: by the slope" in text
    assert "pseudonymous, not anonymous" in text and "| `many, one language` |" in text
    notes = "- `language`: whether both sides", "- Rows `two sessions` have"
    assert all(note in text for note in notes)
    for figures in (made["transcripts"], *(groups["privacy"] for groups in made["systems"].values())):
        for name in [name for name in figures if name.startswith("language") or name.endswith("two sessions")]:
            del figures[name]
    assert not any(note in report.markdown(made) for note in notes)


def test_each_length_has_a_figure_of_the_speakers_of_all_lengths(tmp_path, monkeypatch):
    monkeypatch.setattr("saic.evaluation.metrics.RESAMPLES", 20)
    clips = {path.name: manifest.read(path) for path in _two_corpora(tmp_path)}
    clips["one"] = [clip for clip in clips["one"] if clip.utterance not in ("5-2", "5-3")]  # 7.5 s on each side
    arguments = {"pipeline": _Pipeline(), "evidence": [], "cache": tmp_path / "c", "seed": 0, "quick": True}
    monkeypatch.setattr("saic.evaluation.linkage.run.QUICK_SPEAKERS", 99)
    monkeypatch.setattr("saic.evaluation.linkage.run.MAX_TEST_SIDES", 1)
    evaluation = LinkageEvaluation(clips, "attack", progress=lambda *_: None, **arguments)
    trials, rng = evaluation.trials["attack"], np.random.default_rng(0)
    scores = {x: {"fused": rng.random((len(of.enrollments), len(of.tests)))} for x, of in trials.items()}
    figures = evaluation._estimates(scores)
    assert [figures[f"fused.eer_{x}s"].n for x in (5, 15)] == [16, 15]
    assert [figures[f"fused.eer_{x}s@same speakers"].n for x in (5, 15)] == [15, 15]
    assert figures["fused.eer_15s@same speakers"] == figures["fused.eer_15s"]
    assert figures["fused.eer_5s@same speakers"].value != figures["fused.eer_5s"].value


def test_the_report_has_a_table_of_the_same_speakers_where_lengths_have_others():
    def rate(value: float, n: int) -> dict:
        return {"value": value, "low": value - 5, "high": value + 5, "n": n, "unit": "%"}

    figures = {"fused.eer_5s": rate(33, 79), "fused.eer_15s": rate(19, 62)}
    made = {"seed": 0, "command": "", "data": {"split": "test", "corpora": {}, "training_speakers": 3}}
    made |= {"systems": {"pseudonym": {"privacy": figures}}}
    made["systems"]["real"] = made["systems"]["pseudonym"]
    made["data"]["speakers"] = {"5": 79, "15": 62}
    text = report.markdown(made)
    assert "Same speakers" not in text and "in the median" not in text  # a report that does not have them
    figures |= {"fused.eer_5s@same speakers": rate(30, 62), "fused.eer_15s@same speakers": rate(19, 62)}
    made["data"]["median_s"] = {"5": 6.2, "15": 16.6}
    text = report.markdown(made)
    assert "| `pseudonym` | 30.0 [25.0, 35.0] | 19.0 [14.0, 24.0] | 62 |" in text
    assert "on the 62 speakers" in text and "median 6.2 and 16.6 s" in text and "`same speakers`" not in text
    drawn = overview.figure({"privacy": made}, "attackers").axes[0]
    lines = {line.get_linestyle(): list(line.get_ydata()) for line in drawn.lines if len(line.get_xdata()) == 2}
    assert list(lines["None"]) == [33, 19] and [30, 19] in lines.values()


def test_eer_by_seconds_has_a_line_and_a_marker_for_each_system_but_controls():
    def figures(rate: float) -> dict:
        estimate = {"value": rate, "low": rate - 2, "high": rate + 2, "n": 9, "unit": "%"}
        return {"privacy": {f"{name}.eer_{length}s": estimate for name in ("a", "fused") for length in (5, 15)}}

    made = {"data": {"speakers": {"5": 9, "15": 9}}}
    made["systems"] = {
        name: figures(20.0 + i) for i, name in enumerate(("real", "copy_source", "pseudonym", "convert"))
    }
    figure = overview.figure({"privacy": made}, "attackers")
    drawn = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in drawn] == ["real", "pseudonym", "convert"]
    assert len({(line.get_color(), line.get_marker()) for line in drawn}) == 3


def figures_of(made: dict) -> set[str]:
    return {name.split(".")[0] for name in made["systems"]["pseudonym"]["privacy"]}


def _open_evaluation(folder: Path, split: str, splits: Iterable[str]) -> None:
    """Begin an evaluation of a corpus with one speaker, who has a clip in each of ``splits``."""
    sf.write(folder / "a.wav", voice(120, 3.0), RATE)
    facts = {"path": "a.wav", "speaker": "a", "sex": None, "duration_s": 3.0, "text": None}
    rows = [json.dumps(facts | {"split": name, "utterance": name}) for name in dict.fromkeys(splits)]
    (folder / "manifest.jsonl").write_text("\n".join(rows))
    options = {"pipeline": _Pipeline(), "evidence": [_Loudness()], "cache": folder / "c", "seed": 0, "quick": True}
    LinkageEvaluation({"a": manifest.read(folder)}, split, progress=lambda *step: None, **options)


def test_data_without_training_speech_is_refused(tmp_path):
    with pytest.raises(DataError, match="need a split 'train'"):
        _open_evaluation(tmp_path, "attack", ["attack"])


def test_two_corpora_of_one_name_are_refused(tmp_path):
    with pytest.raises(DataError, match="one name"):
        evaluate(
            [tmp_path / "a" / "x.jsonl", tmp_path / "a" / "y.jsonl"],
            "test",
            tmp_path / "cache",
            pipeline=_Pipeline(),
            evidence=[],
            systems=[],
        )


@pytest.mark.parametrize(("split", "other"), [("test", "train"), ("test", "attack"), ("train", "train")])
def test_trials_of_speakers_that_attackers_are_trained_on_are_refused(tmp_path, split, other):
    with pytest.raises(DataError, match=f"'{split}' are in '{other}' too"):
        _open_evaluation(tmp_path, split, [split, other])


def _result(length: int = 5, **rates: float) -> LinkageResult:
    estimates = {
        system: {f"fused.eer_{length}s": Estimate(rate, rate, rate, 20, "%")} for system, rate in rates.items()
    }
    return LinkageResult(estimates, {length: TrialSet((), ())})


def test_an_attacker_who_does_not_find_a_copy_stops_the_report():
    report.require_controls(_result(real=2.0, copy_source=2.5))
    report.require_controls(_result(real=2.0, copy_source=7.0))  # one of 20 speakers
    with pytest.raises(SaicError, match="copies"):
        report.require_controls(_result(real=2.0, copy_source=9.0))


def test_copies_are_attacked_even_if_another_system_is_named(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)

    def noise(pipeline, source, reference, seed: int) -> np.ndarray:
        return 0.1 * np.random.default_rng(seed).standard_normal(len(source[0]))

    broken = dataclasses.replace(SYSTEMS["copy_source"], run=noise)
    monkeypatch.setitem(SYSTEMS, "copy_source", broken)
    pipeline = _Pipeline()
    arguments = {"pipeline": pipeline, "evidence": [_Spectrum()], "systems": ["pseudonym"], "quick": True}
    with pytest.raises(SaicError, match="on copies"):
        evaluate([corpus], "attack", tmp_path / "cache", **arguments)
    assert not pipeline.seeds  # the run ends before hours of attacks on systems


def test_an_attacker_who_does_not_recognize_original_speech_stops_the_report():
    report.require_controls(_result(15, real=17.0))
    for rates in ({"real": 50.0}, {"real": 50.0, "copy_source": 50.0}):
        with pytest.raises(SaicError, match="original speech"):
            report.require_controls(_result(15, **rates))


def test_the_claim_names_the_worst_attacker_at_15_s_first():
    def rate(value: float) -> Estimate:
        return Estimate(value, None, None, 62, "%")

    estimates = {"a.eer_5s": rate(40.0), "a.eer_15s": rate(30.0), "b.eer_15s": rate(20.0), "b.top1_15s": rate(7.0)}
    assert report.strongest(estimates, 15) == ("b", estimates["b.eer_15s"])
    sentence = report.claim(estimates, [5, 15])
    assert sentence.index("20 % at 15 s (62 speakers, attacker b)") < sentence.index("40 % at 5 s")
    assert "7 % of cases" in sentence
    bounded = {
        name: dataclasses.replace(each, low=each.value - 6, high=each.value + 7) for name, each in estimates.items()
    }
    same = {"a.eer_5s@same speakers": dataclasses.replace(rate(31.0), n=37), "b.eer_15s@same speakers": rate(20.0)}
    sentence = report.claim(bounded | same, [5, 15])
    assert "20 % [14, 27] at 15 s" in sentence
    assert "lengths have different speakers, for the same 37 it is 31 % at 5 s, 20 % at 15 s;" in sentence


def test_a_speaker_who_is_always_named_has_an_interval():
    speakers = [f"s{k}" for k in range(10)]
    for size in (None, 5):
        always, never = (_top1(sign * np.eye(10), speakers, speakers, size, 0) for sign in (1, -1))
        assert (always.value, never.value) == (100, 0)
        assert always.low == pytest.approx(100 * 0.025**0.1) and never.high == pytest.approx(100 - always.low)


# Who holds the originals


def test_a_recording_is_found_by_its_envelope_under_any_voice_and_by_its_duration():
    originals = [Segment(voice(120, 3.0 + 0.1 * i, seed=i)) for i in range(12)]
    outputs = [Segment(voice(220, 3.0 + 0.1 * i, seed=i, formant_hz=1200)) for i in range(12)]
    found = database.measure(originals, outputs, [f"s{i}" for i in range(12)], seed=0)
    assert found["database_envelope.top1"].value > 80
    assert found["database_duration.top1"].value == 100
    assert found["database_duration.top1"].low == pytest.approx(100 * 0.025 ** (1 / 12))  # not 100
    assert found["database_chance.top1"].value == pytest.approx(100 / 12)


def test_other_words_at_one_duration_are_found_by_chance_only():
    originals = [Segment(voice(120, 3.0, seed=i)) for i in range(12)]
    outputs = [Segment(voice(220, 3.0, seed=50 + i)) for i in range(12)]
    found = database.measure(originals, outputs, [f"s{i}" for i in range(12)], seed=0)
    assert found["database_envelope.top1"].value < 40
    assert found["database_duration.top1"].value == pytest.approx(100 / 12)


def _syllables(seed: int, *, is_warped: bool) -> Segment:
    """Noise of 4 s with 16 syllables of random loudness; warped, the middle of 2 s is at 2.6 s."""
    seconds = np.arange(4 * RATE) / RATE
    places = np.interp(seconds, [0, 2.6, 4], [0, 2, 4]) if is_warped else seconds
    rng = np.random.default_rng(seed)
    loudness = np.interp(places, np.linspace(0, 4, 33), rng.uniform(0.01, 1, 33))
    noise = np.random.default_rng([seed, is_warped]).standard_normal(len(seconds))
    return Segment(0.1 * loudness * noise)


def test_a_recording_with_new_timing_is_found_by_alignment_and_not_by_the_envelope_as_it_is():
    originals, warped = ([_syllables(seed, is_warped=is_warped) for seed in range(24)] for is_warped in (False, True))
    found = database.measure(originals, warped, [f"s{i}" for i in range(24)], seed=0)
    assert found["database_aligned.top1"].value > 80 and found["database_envelope.top1"].value < 40
    others = [_syllables(100 + seed, is_warped=True) for seed in range(24)]
    found = database.measure(originals, others, [f"s{i}" for i in range(24)], seed=0)
    assert found["database_aligned.top1"].value < 30


def test_alignment_costs_are_those_of_the_best_path_within_the_band():
    def cost(one: np.ndarray, other: np.ndarray) -> float:
        best = np.full((9, 9), np.inf)
        best[0, 0] = 0
        for i in range(8):
            for j in range(max(0, i - 2), min(8, i + 3)):
                step = min(best[i, j], best[i, j + 1], best[i + 1, j])
                best[i + 1, j + 1] = (one[i] - other[j]) ** 2 + step
        return best[8, 8]

    rng = np.random.default_rng(0)
    outputs, originals = rng.standard_normal((40, 8)), rng.standard_normal((3, 8))
    expected = [[cost(one, other) for other in originals] for one in outputs]
    np.testing.assert_allclose(database.alignment_costs(outputs, originals), expected)
    np.testing.assert_array_equal(np.diagonal(database.alignment_costs(originals, originals)), 0)


class _Network(_Spectrum):
    """Mel means with an offset that is "trained"."""

    name = "network"

    def __init__(self) -> None:
        self.speakers, self.offset, self.fingerprint = set(), None, ""

    def fit(self, segments, speakers, *, seed, progress) -> None:
        self.speakers = set(speakers)
        self.load({"offset": torch.tensor(float(len(segments)))})

    def state(self) -> dict[str, torch.Tensor]:
        return {"offset": self.offset}

    def load(self, state) -> None:
        self.offset, self.fingerprint = state["offset"], str(float(state["offset"]))

    def measure(self, segment: Segment) -> np.ndarray:
        return super().measure(segment) + float(self.offset)


def test_a_network_is_trained_once_on_three_quarters_of_the_training_speakers(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    made, networks = [], [_Network(), _Network()]
    for network in networks:
        arguments = {"pipeline": _Pipeline(), "evidence": [network], "systems": ["pseudonym"], "quick": True}
        made.append(evaluate([corpus], "attack", tmp_path / "out", **arguments))
    assert len(networks[0].speakers) == 8 and networks[0].speakers <= {f"toy/s{k}" for k in range(10)}
    assert networks[1].speakers == set()  # loaded from the cache
    assert made[0] == made[1] and "network_cosine.eer_5s" in made[0]["systems"]["pseudonym"]["privacy"]
    network = _Network()  # what it measures may come from the weights, such as content codes
    arguments |= {"pipeline": _Pipeline("2"), "evidence": [network]}
    evaluate([corpus], "attack", tmp_path / "out", **arguments)
    assert len(network.speakers) == 8


def test_networks_read_their_speakers_in_an_order_that_another_process_has_too(corpus, tmp_path):
    """The order is part of the key of a trained network; that of a set of names differs between processes."""
    arguments = {"pipeline": _Pipeline(), "evidence": [], "cache": tmp_path, "seed": 0, "quick": True}
    made = LinkageEvaluation({"a": manifest.read(corpus)}, "attack", progress=lambda *_: None, **arguments)
    assert [*made._network_speakers, *made._back_end_speakers] == list(made.train)
