"""The linkage evaluation: trials, back ends, fusion, report."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from saic.data.manifest import Clip
from saic.errors import DataError, SaicError, TooShort
from saic.evaluation.data.codec import lossless
from saic.evaluation.linkage import database, report, scoring
from saic.evaluation.linkage.material import (
    Recording,
    Side,
    Speakers,
    TrialSet,
    cut_clip,
    folds,
    training_recordings,
    trial_set,
)
from saic.evaluation.linkage.measurements import Measurements
from saic.evaluation.linkage.outputs import RecordingOutputs, code_fingerprint
from saic.evaluation.linkage.run import LinkageEvaluation, LinkageResult, evaluate
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.metrics import Estimate
from saic.pipeline import Conversion
from tests.conftest import RATE, voice


def _clip(speaker: str, number: int, seconds: float, **facts: object) -> Clip:
    name = f"{speaker}-{number}"
    return Clip(Path(f"{name}.wav"), name, speaker, facts.pop("sex", "F"), seconds, None, "attack", **facts)


def _seconds(side: Side) -> float:
    return sum(recording.seconds / recording.n_segments for recording, _ in side.segments)


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
            assert length - 0.5 <= _seconds(side) < length + 9
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


def test_a_speaker_with_too_little_speech_for_a_length_is_left_out_of_it():
    speakers = Speakers.of({"c": [_clip("a", i, 6.0) for i in range(4)]})
    assert len(trial_set(speakers, 5, seed=0).enrollments) == 1
    assert len(trial_set(speakers, 15, seed=0).enrollments) == 0


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
    return TrialSet(5, tuple(enrollments), tuple(tests)), vectors, training


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
    trials = TrialSet(5, *sides)
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
    trials = TrialSet(5, *sides)
    is_same = scoring.same_speaker(trials)
    fold_of = folds([side.speaker for side in sides[0]], 5, seed=0)
    many = rng.standard_normal((60, *is_same.shape))  # enough columns to fit 40 labels by heart
    counts = np.ones_like(is_same)
    assert _eer(trials, scoring.Fusion(many, is_same, counts).score(many)) < 25
    assert _eer(trials, scoring.fuse_by_folds(trials, many, counts, fold_of)) > 35


# Caches


class _Loudness:
    name, version = "loudness", 1

    def __init__(self) -> None:
        self.calls = 0

    def measure(self, segment: Segment) -> np.ndarray:
        self.calls += 1
        if len(segment.wav) < 100:
            raise TooShort("short")
        return np.array([segment.wav.std(), np.abs(segment.wav).max()])


def test_a_segment_is_measured_once_and_again_for_a_new_version_or_other_weights(tmp_path):
    evidence, segment = _Loudness(), Segment(voice(120, 1.0))
    for _ in range(2):
        measurements = Measurements(tmp_path / "m.sqlite")
        assert measurements.measure(evidence, segment).shape == (2,)
        assert measurements.measure(evidence, Segment(np.zeros(10))) is None
        measurements.close()
    assert evidence.calls == 2
    evidence.version = 2
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

    def anonymize(self, clip, *, seed: int) -> Conversion:
        self.seeds.append(seed)
        return Conversion(-clip[0], None, {})


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
    monkeypatch.setattr("saic.evaluation.linkage.outputs.code_fingerprint", lambda: "other code")
    RecordingOutputs(pipeline, recordings, tmp_path / "c", seed=0).wav("pseudonym", recordings[0])
    assert len(pipeline.seeds) == 4


def test_a_recording_that_cannot_be_decoded_has_no_output(tmp_path, recordings):
    recordings[0].clip.path.write_bytes(b"RIFF0000WAVEnothing")
    outputs = RecordingOutputs(_Pipeline(), recordings, tmp_path / "c", seed=0)
    assert outputs.wav("pseudonym", recordings[0]) is None
    assert outputs.wav("pseudonym", recordings[0]) is None  # from the cache


def test_the_code_fingerprint_is_stable():
    assert code_fingerprint() == code_fingerprint()
    assert len(code_fingerprint()) == 64


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
    name, version = "spectrum", 1

    def measure(self, segment: Segment) -> np.ndarray:
        return segment.mel.mean(axis=1)[:40]


def test_evaluate_writes_a_report_with_the_worst_attacker_and_goes_on_from_its_cache(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    pipeline = _Pipeline()
    arguments = {"pipeline": pipeline, "evidence": [_Spectrum(), _Loudness()], "systems": ["copy_source", "pseudonym"]}
    made = evaluate([corpus], "attack", tmp_path / "out", quick=True, **arguments)
    assert json.loads((tmp_path / "out/privacy.json").read_text()) == json.loads(json.dumps(made))
    figures = made["systems"]["pseudonym"]["privacy"]
    assert {"spectrum.eer_5s", "loudness.eer_5s", "fused.eer_5s"} <= set(figures)
    # The fake pipeline hides nothing, so that the attacker finds its outputs as he does copies.
    assert figures["spectrum.eer_5s"]["value"] < 20
    assert figures["fused.eer_5s"]["value"] == pytest.approx(
        made["systems"]["copy_source"]["privacy"]["fused.eer_5s"]["value"], abs=10
    )
    text = (tmp_path / "out/privacy.md").read_text()
    assert made["worst"]["pseudonym"]["5"] in figures_of(made) and "| `pseudonym` |" in text
    assert (tmp_path / "out/plots/eer_by_seconds.png").stat().st_size > 1000
    n_calls = len(pipeline.seeds)
    again = evaluate([corpus], "attack", tmp_path / "out", quick=True, **arguments)
    assert len(pipeline.seeds) == n_calls and again == made


def figures_of(made: dict) -> set[str]:
    return {name.split(".")[0] for name in made["systems"]["pseudonym"]["privacy"]}


def test_data_without_training_speech_is_refused(tmp_path):
    sf.write(tmp_path / "a.wav", voice(120, 3.0), RATE)
    facts = {"path": "a.wav", "utterance": "a", "speaker": "a", "sex": None, "duration_s": 3.0, "text": None}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(facts | {"split": "attack"}))
    with pytest.raises(DataError, match="train"):
        LinkageEvaluation(
            [tmp_path],
            "attack",
            pipeline=_Pipeline(),
            evidence=[_Loudness()],
            cache=tmp_path / "c",
            seed=0,
            quick=True,
            progress=lambda *step: None,
        )


def _result(**rates: float) -> LinkageResult:
    estimates = {system: {"fused.eer_5s": Estimate(rate, rate, rate, 9, "%")} for system, rate in rates.items()}
    return LinkageResult(estimates, {5: TrialSet(5, (), ())}, {})


def test_an_attacker_who_does_not_find_a_copy_stops_the_report():
    report.require_controls(_result(real=2.0, copy_source=2.5))
    with pytest.raises(SaicError, match="copies"):
        report.require_controls(_result(real=2.0, copy_source=9.0))


def test_the_claim_names_the_worst_attacker_at_15_s_first():
    def rate(value: float) -> Estimate:
        return Estimate(value, None, None, 62, "%")

    estimates = {"a.eer_5s": rate(40.0), "a.eer_15s": rate(30.0), "b.eer_15s": rate(20.0), "b.top1_15s": rate(7.0)}
    assert report.worst(estimates, 15) == ("b", estimates["b.eer_15s"])
    sentence = report.claim(estimates, [5, 15])
    assert sentence.index("20 % at 15 s (62 speakers, attacker b)") < sentence.index("40 % at 5 s")
    assert "7 % of cases" in sentence


# Who holds the originals


def test_a_recording_is_found_by_its_envelope_under_any_voice_and_by_its_duration():
    originals = [Segment(voice(120, 3.0 + 0.1 * i, seed=i)) for i in range(12)]
    outputs = [Segment(voice(220, 3.0 + 0.1 * i, seed=i, formant_hz=1200)) for i in range(12)]
    found = database.measure(originals, outputs, [f"s{i}" for i in range(12)], seed=0)
    assert found["database_envelope.top1"].value > 80
    assert found["database_duration.top1"].value == 100


def test_other_words_at_one_duration_are_found_by_chance_only():
    originals = [Segment(voice(120, 3.0, seed=i)) for i in range(12)]
    outputs = [Segment(voice(220, 3.0, seed=50 + i)) for i in range(12)]
    found = database.measure(originals, outputs, [f"s{i}" for i in range(12)], seed=0)
    assert found["database_envelope.top1"].value < 40
    assert found["database_duration.top1"].value == pytest.approx(100 / 12)


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
