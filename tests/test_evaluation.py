"""Metrics, parts, trials, codec, identity, and a complete evaluation with a fake pipeline."""

import copy
import itertools
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal
import soundfile

from saic.data import manifest
from saic.data.manifest import Clip, write
from saic.errors import DataError, EmptyAudio, InvalidAudio, SaicError, SilentAudio, UsageError, WeightsError
from saic.evaluation import metrics, overview
from saic.evaluation import report as reports
from saic.evaluation.data.codec import lossless, round_trip
from saic.evaluation.data.evaluation_set import PartitionedSet
from saic.evaluation.data.trials import (
    Span,
    SpeakerParts,
    assert_disjoint,
    assign_targets,
    choose_clips,
    choose_speakers,
    cut_parts,
)
from saic.evaluation.evaluators import embedders
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.evaluation.evaluators.evaluators import Evaluators
from saic.evaluation.linkage.networks import FineTunedResemblyzer
from saic.evaluation.measures import classification, identity
from saic.evaluation.metrics import Estimate
from saic.evaluation.run import attacked_systems, evaluate, measured_systems
from saic.evaluation.systems import MAIN_SYSTEMS, VOCODER_BASELINES, SystemOutputs, controls_first
from saic.migration import migrate_report
from saic.signal.vad import require_speech, speech_frames

pytestmark = pytest.mark.usefixtures("quick_reports")
RATE = 16_000


def voice(seconds: float, f0_hz: float, formants_hz: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """(N,) voice-like sawtooth through formant filters, in words of about 1 s with pauses of 0.8 s."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    knots = np.arange(0, n + RATE, RATE // 4)
    drift = np.interp(np.arange(n), knots, rng.normal(1, 0.08, len(knots)))
    wav = scipy.signal.sawtooth(2 * np.pi * np.cumsum(f0_hz * drift) / RATE) + 0.05 * rng.standard_normal(n)
    for formant_hz in formants_hz:
        b, a = scipy.signal.iirpeak(formant_hz, formant_hz / 120, fs=RATE)
        wav = wav * 0.2 + scipy.signal.lfilter(b, a, wav) * 2
    at, words = 0, np.zeros(n)
    while at < n:
        length = round(rng.uniform(0.8, 1.4) * RATE)
        words[at : at + length] = 1
        at += length + round(0.8 * RATE)
    return (0.3 * wav * words / np.abs(wav).max()).astype(np.float32)


SPEAKERS = {  # name: sex, pitch, formants, seconds of each clip
    "anna": ("F", 210.0, (850, 1700, 2900), (13.0,)),
    "berta": ("F", 250.0, (500, 2300, 3300), (9.0,)),
    "carla": ("F", 180.0, (400, 1300, 2600), (5.0, 6.0, 7.0)),
    "dave": ("M", 95.0, (600, 1100, 2400), (14.0,)),
    "emil": ("M", 130.0, (350, 1900, 2500), (12.5,)),
    "franz": ("M", 75.0, (750, 1500, 2100), (16.0,)),
    "shorty": ("M", 110.0, (500, 1500, 2500), (4.0,)),
}


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    clips = []
    for name, (sex, f0_hz, formants_hz, durations_s) in SPEAKERS.items():
        for number, duration_s in enumerate(durations_s):
            path = folder / f"{name}-{number}.flac"
            soundfile.write(path, voice(duration_s, f0_hz, formants_hz, seed=number), RATE)
            clips.append(Clip(path, path.stem, name, sex, duration_s, None, "test"))
    write(folder / "manifest.jsonl", clips)
    write(folder / "small.jsonl", [clip for clip in clips if clip.speaker in ("anna", "dave", "emil")])
    return folder


class TilingPipeline:
    """A perfect converter: the target's recording, as long as the source. Fails after ``fail_after`` calls."""

    profiles = ("prosody-kept",)
    default_profile = "prosody-kept"

    def __init__(self, fail_after: int = 10**9):
        self.calls: list[str] = []
        self._fail_after = fail_after

    def info(self):
        return {"sha256": "ab" * 32, "content_codes_per_s": 20}

    def embed(self, clip):
        """Content without identity: speech activity and noise."""
        codes = speech_frames(clip[0])[::4].astype(np.float32)
        noise = np.random.default_rng(len(codes)).standard_normal((4, len(codes)))
        spectrum = np.abs(np.fft.rfft(clip[0][: len(clip[0]) // 512 * 512].reshape(-1, 512))).mean(axis=0)
        return SimpleNamespace(speaker=spectrum[:64], content=(codes + noise).astype(np.float32))

    def convert(self, source, targets, *, reconstruct=False):
        self._call("reconstruct" if reconstruct else "convert")
        return SimpleNamespace(wav=np.resize(targets[0][0], len(source[0])), reconstruction=source[0])

    def anonymize(self, clip, *, seed, profile=None):
        self._call("anonymize")
        return SimpleNamespace(wav=np.random.default_rng(seed).permutation(clip[0]))

    def resynthesize(self, clip):
        self._call("resynthesize")
        return clip[0]

    def with_griffin_lim(self):
        return self

    def _call(self, name: str) -> None:
        if len(self.calls) >= self._fail_after:
            raise RuntimeError("power cut")
        self.calls.append(name)


# Metrics ------------------------------------------------------------------------------------------------


def test_rank_matches_hand_computation():
    scores = np.array([0.2, 0.9, 0.5])
    assert [metrics.rank(scores, wanted) for wanted in range(3)] == [3, 1, 2]


def test_ties_and_nan_rank_last():
    assert metrics.rank(np.full(5, 0.7), 2) == 5
    assert metrics.rank(np.full(5, np.nan), 0) == 5


def test_top1_among_fewer_speakers_matches_enumeration():
    for rank in range(1, 6):
        subsets = [subset for subset in itertools.combinations(range(1, 6), 3) if rank in subset]
        expected = np.mean([min(subset) == rank for subset in subsets])
        assert metrics.top1_among(rank, 5, 3) == pytest.approx(expected)
        assert metrics.top1_among(rank, 5, 5) == (rank == 1)


def test_mean_weights_speakers_equally():
    estimate = metrics.estimate_mean([1, 1, 1, 1, 0], ["a", "a", "a", "a", "b"], "%")
    assert estimate == Estimate(0.5, None, None, 2, "%")


def test_interval_of_binary_values_is_binomial():
    estimate = metrics.estimate_mean([0, 1] * 50, [str(i) for i in range(100)], "%", seed=3)
    half_width = 1.96 * np.sqrt(0.25 / 100)
    assert estimate.low == pytest.approx(0.5 - half_width, abs=0.02)
    assert estimate.high == pytest.approx(0.5 + half_width, abs=0.02)


def test_more_trials_of_the_same_speakers_give_the_same_interval():
    few = metrics.estimate_mean([0, 1, 1, 0] * 2, list("abcdefgh"), "%", seed=1)
    many = metrics.estimate_mean([0, 1, 1, 0] * 100, list("abcdefgh") * 50, "%", seed=1)
    assert few == many and few.low < few.high


def test_hits_or_misses_of_all_speakers_have_the_exact_interval():
    for value in (0.0, 100.0):
        hits = metrics.estimate_mean([value] * 70, [str(i % 35) for i in range(70)], "%", are_hits=True)
        reach = abs(hits.value - (hits.high if value == 0 else hits.low))
        assert hits.value == value and (1 - reach / 100) ** 35 == pytest.approx(0.025)
    assert metrics.estimate_mean([0.0] * 9, list("abcdefghi"), "%").high == 0  # an error rate, not hits


def test_interval_of_pairs_covers_what_depends_on_the_target():
    """40 speakers, each the target of four others: success depends on the target alone."""
    rng, covered = np.random.default_rng(0), {"pairs": 0, "sources": 0}
    for run in range(150):
        easy = rng.random(40) < 0.6
        sources = np.repeat(np.arange(40), 4)
        targets = (sources + np.tile([1, 7, 13, 22], 40)) % 40
        values, names = (100.0 * easy[targets]).tolist(), [[str(k) for k in role] for role in (sources, targets)]
        for kind, estimate in (
            ("pairs", metrics.estimate_mean_of_pairs(values, *names, "%", seed=run)),
            ("sources", metrics.estimate_mean(values, names[0], "%", seed=run)),
        ):
            covered[kind] += estimate.low <= 60 <= estimate.high
    assert covered["sources"] < 0.9 * 150 < covered["pairs"]


def test_interval_depends_on_the_seed_only():
    values, speakers = np.random.default_rng(0).random(12), list("abcdefghijkl")
    assert metrics.estimate_mean(values, speakers, "%", seed=5) == metrics.estimate_mean(values, speakers, "%", seed=5)
    assert metrics.estimate_mean(values, speakers, "%", seed=5) != metrics.estimate_mean(values, speakers, "%", seed=6)


def test_few_speakers_give_no_interval():
    assert metrics.estimate_mean([], [], "%") == Estimate(None, None, None, 0, "%")
    assert metrics.estimate_mean([None], ["a"], "%") == Estimate(None, None, None, 0, "%")
    assert metrics.estimate_mean([3, None], ["a", "b"], "rank") == Estimate(3, None, None, 1, "rank")


# Parts --------------------------------------------------------------------------------------------------


def _length_s(part) -> float:
    return sum(span.stop - span.start for span in part) / RATE


@pytest.mark.parametrize(
    "durations_s", [(8.0,), (11.9,), (12.0,), (15.7,), (90.0,), (3, 2, 4), (14.7,) * 4, (0.4,) * 40]
)
@pytest.mark.parametrize("pauses", [True, False])
def test_parts_are_disjoint_at_most_15_s_and_use_nearly_all_audio(durations_s, pauses):
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE * 90).astype(np.float32)
    wavs = {
        f"u{i}": voice(s, 120, (500, 1500), seed=i) if pauses else noise[: round(s * RATE)]
        for i, s in enumerate(durations_s)
    }
    parts = cut_parts("x", "F", wavs)
    total_s = sum(map(len, wavs.values())) / RATE
    three = total_s >= 12
    assert (parts.source != parts.reference) == three
    used = [parts.enrollment, parts.source] + [parts.reference] * three
    for i, one in enumerate(used):
        assert min(2, 0.2 * total_s) <= _length_s(one) <= 15
        for other in used[i + 1 :]:
            assert_disjoint(one, other)
        for span in one:
            assert 0 <= span.start < span.stop <= len(wavs[span.utterance])
    assert sum(map(_length_s, used)) >= min(total_s - 1.05, 40)


def test_cuts_are_in_pauses():
    wav = voice(14, 120, (500, 1500))
    parts = cut_parts("x", None, {"u": wav})
    ends = sorted((s.start, s.stop) for p in (parts.enrollment, parts.source, parts.reference) for s in p)
    gaps = [(stop, start) for (_, stop), (start, _) in itertools.pairwise(ends)]
    assert len(gaps) == 2
    for stop, start in gaps:
        assert start - stop == RATE // 2
        assert not speech_frames(wav)[stop // 200 : start // 200].any()


def test_less_than_8_s_raises_data_error():
    with pytest.raises(DataError, match="at least 8 s"):
        cut_parts("x", "F", {"u": voice(7.9, 120, (500,))})


@pytest.mark.parametrize("start", [0, 500, 1000, 8999])
def test_overlapping_or_close_parts_raise_assertion_error(start):
    with pytest.raises(AssertionError):
        assert_disjoint((Span("u", 0, 1000),), (Span("v", 0, 9), Span("u", start, start + 2000)))


def test_parts_half_a_second_apart_or_of_different_clips_are_disjoint():
    assert_disjoint((Span("u", 0, 1000),), (Span("u", 9000, 9001), Span("v", 0, 1000)))


def test_choose_clips_depends_on_the_seed_and_stops_at_three_full_parts():
    clips = [Clip(Path(str(i)), f"u{i:02}", "a", "F", 5.0, None, "test") for i in range(40)]
    chosen = choose_clips(clips, 0)
    assert chosen == choose_clips(clips[::-1], 0) != choose_clips(clips, 1)
    assert sum(clip.duration_s for clip in chosen) == 50 and len(set(chosen)) == 10


# Targets ------------------------------------------------------------------------------------------------


def _sexes(n_female: int, n_male: int) -> dict[str, str]:
    return {f"f{i}": "F" for i in range(n_female)} | {f"m{i}": "M" for i in range(n_male)}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("per_sex", [1, 2])
@pytest.mark.parametrize(("n_female", "n_male"), [(20, 20), (18, 17), (3, 3), (9, 4), (6, 1), (2, 2), (5, 0), (1, 1)])
def test_speakers_are_targets_equally_often(n_female, n_male, per_sex, seed):
    sexes = _sexes(n_female, n_male)
    trials = assign_targets(sexes, per_sex, seed)
    assert len({(t.source, t.target) for t in trials}) == len(trials)
    size = {"F": n_female, "M": n_male}
    for speaker, sex in sexes.items():
        other = "M" if sex == "F" else "F"
        own = [t for t in trials if t.source == speaker]
        assert speaker not in [t.target for t in own]
        assert sum(t.same_sex for t in own) == min(per_sex, size[sex] - 1)
        assert sum(not t.same_sex for t in own) == min(per_sex, size[other])
    for same_sex in (True, False):
        for sex in "FM":
            kept = [t.target for t in trials if t.same_sex is same_sex and sexes[t.target] == sex]
            counts = Counter({name: 0 for name in sexes if sexes[name] == sex} | Counter(kept))
            assert not counts or max(counts.values()) - min(counts.values()) <= 1
    assert all(t.same_sex == (sexes[t.source] == sexes[t.target]) for t in trials)


def test_40_speakers_give_160_trials_4_per_target():
    trials = assign_targets(_sexes(20, 20), 2, 0)
    assert len(trials) == 160
    assert set(Counter(t.target for t in trials).values()) == {4}


def test_targets_depend_on_the_seed_and_not_on_the_order():
    sexes = _sexes(8, 7)
    reordered = dict(reversed(sexes.items()))
    assert assign_targets(sexes, 2, 0) == assign_targets(reordered, 2, 0) != assign_targets(sexes, 2, 1)


def test_the_first_target_of_a_speaker_is_of_the_same_sex():
    """The measure of degraded recordings takes the first alone, and its report says so."""
    first = {trial.source: trial for trial in reversed(assign_targets(_sexes(20, 15), 2, 0))}
    assert len(first) == 35 and all(trial.same_sex for trial in first.values())


def test_unknown_sexes_give_equally_many_targets():
    trials = assign_targets(_sexes(4, 3) | {"x": None}, 2, 0)
    assert set(Counter(t.target for t in trials).values()) == {4}
    assert {t.same_sex for t in trials} == {None}


def test_one_speaker_raises_data_error():
    with pytest.raises(DataError, match="two speakers"):
        assign_targets({"a": "F"}, 2, 0)


@pytest.mark.parametrize(("n_female", "n_male", "expected"), [(20, 20, 6), (20, 3, 9), (4, 0, 4)])
def test_choose_speakers_balances_sexes(n_female, n_male, expected):
    sexes = _sexes(n_female, n_male)
    chosen = choose_speakers(sexes, 12, 0)
    assert len(chosen) == len(set(chosen)) == min(12, len(sexes))
    assert sum(sexes[name] == "F" for name in chosen) == expected


# Codec --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 100, 1151, 16_000, 30_001])
def test_round_trip_keeps_the_length(n):
    assert round_trip(np.full(n, 0.1, dtype=np.float32)).shape == (n,)


def test_round_trip_keeps_the_timing_and_changes_samples():
    wav = voice(3, 120, (500, 1500))
    coded = round_trip(wav)
    lags = scipy.signal.correlation_lags(len(wav), len(coded))
    assert lags[np.argmax(scipy.signal.correlate(wav, coded))] == 0
    assert 0.9 < np.corrcoef(wav, coded)[0, 1] < 0.99999
    assert coded.dtype == np.float32


def test_round_trip_of_empty_or_nan_audio_raises():
    with pytest.raises(EmptyAudio):
        round_trip(np.zeros(0, dtype=np.float32))
    with pytest.raises(InvalidAudio):
        round_trip(np.array([0, np.nan], dtype=np.float32))


def test_round_trip_clips_loud_audio():
    assert np.abs(round_trip(3 * voice(2, 120, (500,)) / 0.3)).max() <= 1


# Embedder -----------------------------------------------------------------------------------------------


def test_resemblyzer_is_more_similar_for_the_same_voice():
    embedder = Resemblyzer()
    one, again, other = (
        embedder.embed(wav)
        for wav in (
            voice(4, 210, (850, 1700, 2900), 0),
            voice(4, 210, (850, 1700, 2900), 1),
            voice(4, 95, (600, 1100, 2400)),
        )
    )
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ again > one @ other


def test_resemblyzer_runs_without_librosa(monkeypatch):
    """The import of librosa compiles code: on a read-only system, in every process."""
    embedder = Resemblyzer()
    monkeypatch.setattr(embedders.resemblyzer_package().audio, "librosa", None)
    assert embedder.embed(voice(1, 210, (850, 1700, 2900))).shape == (256,)


@pytest.mark.proof
@pytest.mark.parametrize("n_samples", [16_000, 25_600, 36_801, 64_000])
def test_resemblyzer_embeds_as_its_package_does(n_samples):
    package, wav = embedders.resemblyzer_package(), voice(4, 210, (850, 1700, 2900))[:n_samples]
    expected = package.VoiceEncoder("cpu", verbose=False).embed_utterance(package.preprocess_wav(wav))
    np.testing.assert_allclose(Resemblyzer().embed(wav), expected, atol=2e-6)


def test_resemblyzer_raises_silent_audio():
    with pytest.raises(SilentAudio):
        Resemblyzer().embed(np.zeros(RATE, dtype=np.float32))


def test_missing_resemblyzer_raises_usage_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(UsageError, match=r"pip install '.\[eval\]'"):
        Resemblyzer()


@pytest.mark.parametrize("load", [Resemblyzer, FineTunedResemblyzer])
def test_other_weights_of_resemblyzer_are_refused(load, monkeypatch):
    """The hash of the weights is in the code, which is in the keys of cached vectors."""
    monkeypatch.setattr("saic.evaluation.evaluators.embedders.sha256", lambda path: "of other weights")
    with pytest.raises(WeightsError, match="differ"):
        load()


# Identity, where a wav is the number of a voice ---------------------------------------------------------


def _numbers(n_speakers: int, outputs: dict[str, str]):
    """Fakes: the voice of speaker k is k; each system outputs the ``source``, the ``target`` or ``silence``."""
    sexes = {f"{k:02}": "FM"[k % 2] for k in range(n_speakers)}
    parts = {name: SpeakerParts(name, sex, *[(Span(name, 0, 1),)] * 3) for name, sex in sexes.items()}
    trials = assign_targets(sexes, 2, 0)
    dataset = SimpleNamespace(
        parts=parts,
        trials=trials,
        wav=lambda part: np.array([int(part[0].utterance)]),
        one_trial_per_source=lambda: list({t.source: t for t in trials}.values()),
    )
    kinds = dict.fromkeys(MAIN_SYSTEMS, "source") | {"replay_target": "target"} | outputs
    system_outputs = SimpleNamespace(
        of_trial=lambda system, trial: np.array([int(getattr(trial, kinds[system], -1))]),
    )

    def embed(wav):
        if wav[0] < 0:
            raise SilentAudio("silent")
        return np.eye(n_speakers)[wav[0]]

    return dataset, system_outputs, embed


def _measure(n_speakers: int, **outputs: str):
    quiet = {"seed": 0, "progress": lambda *step: None}
    return identity.measure(*_numbers(n_speakers, outputs), **quiet).estimates


def test_identity_of_known_outputs():
    measured = _measure(24, convert="target")
    assert tuple(measured) == MAIN_SYSTEMS
    value = {s: {name: estimate.value for name, estimate in figures.items()} for s, figures in measured.items()}
    both = {"source_top1": 100, "source_top1_women": 100, "source_top1_men": 100}
    assert value["real"] == both | {"source_rank": 1, "no_speech": 0}
    for system in ("convert", "replay_target"):
        assert value[system]["target_top1"] == value[system]["target_top1_same_sex"] == 100
        assert (value[system]["target_rank"], value[system]["source_top1"]) == (1, 0)
        assert value[system]["target_top1_of_10"] == value[system]["target_top1_of_20"] == 100
    assert (value["copy_source"]["target_top1"], value["copy_source"]["source_top1"]) == (0, 100)
    expected = {True: 12, False: 24}
    for name, estimate in [item for figures in measured.values() for item in figures.items()]:
        assert estimate.n == expected[name.endswith("men")], name


def test_output_without_speech_ranks_last():
    figures = _measure(8, convert="silence")["convert"]
    assert [figures[name].value for name in ("no_speech", "target_top1", "source_top1")] == [100, 0, 0]
    assert figures["target_rank"].value == figures["source_rank"].value == 8


@pytest.mark.parametrize("broken", [{"replay_target": "source"}, {"copy_source": "target"}])
def test_control_out_of_range_raises(broken):
    with pytest.raises(SaicError, match="Control out of range"):
        _measure(20, **broken)
    _measure(19, **broken)  # too few speakers for a control


def test_controls_are_measured_first():
    assert controls_first(MAIN_SYSTEMS)[:3] == ["real", "replay_target", "copy_source"]
    assert controls_first(("convert", "real")) == ["real", "convert"]


# A complete evaluation ----------------------------------------------------------------------------------


class SpectrumEmbedder:
    """A fast embedder: the normalized long-term spectrum."""

    name = "spectrum"

    def measure(self, segment):
        return self.embed(segment.wav)

    def embed(self, wav):
        require_speech(wav)
        spectrum = np.abs(np.fft.rfft(wav[: len(wav) // 512 * 512].reshape(-1, 512))).mean(axis=0)
        return (spectrum / np.linalg.norm(spectrum)).astype(np.float32)


class OnsetASR:
    """One word per onset of speech, named by its time."""

    identity = "rhythm"
    languages = frozenset({"en"})

    def transcribe(self, wav, *, language):
        starts = np.flatnonzero(np.diff(speech_frames(wav).astype(int)) > 0)
        return " ".join(chr(ord("a") + start // 8 % 26) * 3 for start in starts)


class LevelDnsmos:
    identity = "level"

    def score(self, wav):
        return {"ovrl": 3.0, "sig": 3.0 + float(np.abs(wav).max()), "bak": 3.0}


class LevelMos:
    identity = "one level"

    def score(self, wav):
        return 4.0


def _evaluators() -> Evaluators:
    return Evaluators([SpectrumEmbedder()], OnsetASR(), LevelDnsmos(), OnsetASR(), LevelMos())


ESTIMATE_KEYS = ["value", "low", "high", "n", "unit"]


def systems_of(report: dict) -> dict:
    """System to group to figures, of the one corpus of a report."""
    (of_corpus,) = report["corpora"].values()
    return of_corpus["systems"]


def replace_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of ten bits instead of MP3, which takes a third of an evaluation's time."""

    def ten_bits(wav):
        return (np.round(511 * wav) / 511).astype(np.float32)

    monkeypatch.setitem(PartitionedSet.__init__.__kwdefaults__, "codec", ten_bits)


@pytest.fixture(scope="module")
def whole(corpus_folder, tmp_path_factory):
    """Output folder, report, pipeline and stages of a complete run."""
    monkeypatch = pytest.MonkeyPatch()
    replace_codec(monkeypatch)
    out, pipeline, stages = tmp_path_factory.mktemp("whole"), TilingPipeline(), Counter()
    report = evaluate(
        [corpus_folder],
        "test",
        out,
        pipeline=pipeline,
        evaluators=_evaluators(),
        progress=lambda stage, done, total: stages.update({stage: 1 if done <= total else 99}),
        command="saic evaluate",
    )
    monkeypatch.undo()
    return out, report, pipeline, stages


def test_report_has_all_groups_and_counts(whole, corpus_folder):
    out, report, pipeline, stages = whole
    assert json.loads((out / "report.json").read_text()) == report
    assert set(report) == {
        *("schema", "command", "seed", "weights_sha256", "versions", "evaluators", "corpora", "privacy", "claims")
    }
    assert report["weights_sha256"] == "ab" * 32
    ((name, of_corpus),) = report["corpora"].items()
    data, systems = of_corpus["data"], of_corpus["systems"]
    assert name == corpus_folder.name and len(data["manifest_sha256"]) == 64
    # Six speakers, three of each sex: two same-sex and two cross-sex targets.
    assert data["gallery_speakers"] == 6 and data["trials"] == 24
    assert data["left_out"] == {"short": 1, "silent": 0}
    assert [stages[f"{name}, {stage}: convert"] for stage in ("identity", "lossless")] == [24, 24]
    assert max(stages.values()) < 99 and pipeline.calls.count("reconstruct") >= 6
    assert set(systems) == {*measured_systems(pipeline), *VOCODER_BASELINES}
    assert all(set(systems[system]) == {"utility"} for system in VOCODER_BASELINES)
    for system, groups in systems.items():
        assert system in VOCODER_BASELINES or {"identity", "utility"} <= set(groups), system
        for estimate in [estimate for figures in groups.values() for estimate in figures.values()]:
            assert list(estimate) == ESTIMATE_KEYS
            value, low, high, _, _ = estimate.values()
            assert value is None or low is None or low <= value <= high
    assert {"disentanglement", "robustness"} <= set(systems["convert"])
    assert systems["real"]["classification"]["spectrum.top1"]["value"] >= 80
    assert systems["real"]["classification"]["spectrum.eer_3s"]["value"] < 30


def test_data_without_training_speech_for_attackers_give_a_report_that_says_so(whole, corpus_folder, tmp_path):
    (claim,) = whole[1]["claims"]
    assert whole[1]["privacy"] is None and claim.startswith("Privacy was not measured.") and "'train'" in claim
    assert f"- {claim}\n" in (whole[0] / "report.md").read_text()
    arguments = {"pipeline": TilingPipeline(), "evaluators": Evaluators([]), "only": ["privacy"]}
    with pytest.raises(DataError, match="'train'"):
        evaluate([corpus_folder], "test", tmp_path / "out", **arguments)


def test_perfect_conversion_and_controls_give_expected_figures(whole):
    systems = {name: groups for name, groups in systems_of(whole[1]).items() if name in MAIN_SYSTEMS}
    identity = {name: {k: v["value"] for k, v in groups["identity"].items()} for name, groups in systems.items()}
    assert identity["real"]["source_top1"] >= 80 and identity["convert"]["target_top1"] >= 80
    assert identity["copy_source"]["target_top1"] <= 20 <= 80 <= identity["replay_target"]["target_top1"]
    words = {name: groups["utility"]["wer"]["value"] for name, groups in systems.items()}
    assert words["real"] == 0 and words["copy_source"] <= 20 <= words["replay_target"]


def test_markdown_has_every_table_and_row(whole, corpus_folder):
    out, _, pipeline, _ = whole
    markdown = (out / "report.md").read_text()
    assert "6 enrolled speakers (chance 16.7 %)" in markdown
    headings = [line.partition(" ")[2] for line in markdown.splitlines() if line.startswith("##")]
    of_corpus = (
        *("Identity (Resemblyzer)", "Identity by sex of the source and by number of enrolled speakers"),
        *("Identity without the codec", "Words", "Words by the second recognizer"),
        *("Sound and prosody", "Speaker recognition on real recordings", "Speaker probes", "Degraded recordings"),
    )
    assert headings == [
        *("In figures", "Words of `pseudonym`, by corpus", f"Corpus {corpus_folder.name}"),
        *(f"{heading}: {corpus_folder.name}" for heading in of_corpus),
        "All figures",
    ]
    for system in measured_systems(pipeline):
        assert markdown.count(f"| `{system}` |") == 5 + (system in ("real", "vocoder", "convert")), system
    for table in re.split(r"\n##+ ", markdown)[1:]:
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_markdown_shows_the_price_of_a_profile_in_words(whole, corpus_folder):
    report = copy.deepcopy(whole[1])
    price = {"value": 1.25, "low": -0.5, "high": 3.0, "n": 6, "unit": "points"}
    systems_of(report)["pseudonym"]["utility"] |= {"wer_price": price, "moonshine_wer_price": price | {"value": 2.0}}
    table = (
        reports.markdown(report).split(f"### Price of a profile in words: {corpus_folder.name}\n")[1].split("\n### ")[0]
    )
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert rows[0] == "| System | WER, points | Moonshine: WER, points | Speakers |"  # no column without a value
    assert rows[2:] == ["| `pseudonym` | 1.2 [-0.5, 3.0] | 2.0 [-0.5, 3.0] | 6 |"]
    assert "minus that of `pseudonym_prosody_kept`" in table


def _percent(value: float | None, n: int = 4) -> dict:
    return {"value": value, "low": None, "high": None, "n": n, "unit": "%"}


def test_markdown_shows_words_by_language_and_names_the_languages_left_out(whole, corpus_folder):
    report = copy.deepcopy(whole[1])
    utility = {name: groups["utility"] for name, groups in systems_of(report).items() if "utility" in groups}
    for name in ("wer_true@de", "wer_true@zh-CN"):
        utility["real"][name], utility["convert"][name] = _percent(12.0), _percent(20.0)
        utility["convert"][name.replace("@", "_rise@")] = _percent(8.0)
    utility["real"] |= {"wer_true@hi": _percent(72.0), "wer_true@ia": _percent(None, 0), "wer_true@th": _percent(20.0)}
    utility["copy_source"]["wer@th"] = _percent(35.0)
    heading = f"### Words by language: {corpus_folder.name}\n"
    for markdown in (reports.markdown(report), reports.topic_markdown(report, "words")):
        table = markdown.split(heading)[1].split("\n## ")[0].split("\n### ")[0]
        rows = [line for line in table.splitlines() if line.startswith("|")]
        shown = "Recordings: error, % | Conversions: error, % | Conversions above the recordings, points"
        assert rows[0].startswith(f"| Language | {shown} |")
        assert [row.split(" | ")[:4] for row in rows[2:4]] == [
            [f"| `{name}`", "12.0", "20.0", "8.0"] for name in ("de", "zh-CN")
        ]
        assert len(rows) == 5 and rows[4].startswith("| `all` |")
        for reason in (
            "`hi` (error of the recordings: 72 %)",
            "`ia` (no text, or no recognizer that knows it)",
            "`th` (a copy has other words than the recordings)",
        ):
            assert reason in table
    assert heading not in (whole[0] / "report.md").read_text()


def test_words_of_children_and_adults_have_rows_and_marks(whole, corpus_folder):
    report = copy.deepcopy(whole[1])
    for name, groups in systems_of(report).items():
        if name in ("real", "pseudonym"):
            groups["utility"] |= {f"{figure}@children": _percent(30.0) for figure in ("wer_true", "moonshine_wer_true")}
            groups["utility"]["wer_true@adults"] = _percent(10.0)
    table = reports.markdown(report).split("## Words of `pseudonym`, by corpus\n")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    parts = [corpus_folder.name, f"{corpus_folder.name} adults", f"{corpus_folder.name} children"]
    assert rows == [f"| `{name}`" for name in parts]
    assert "at most 14 years" in table and "Words by language" not in reports.markdown(report)
    drawn = overview.figure(report, "words")
    assert set(parts) <= {text.get_text() for text in drawn.legends[0].get_texts()}


def test_wide_intervals_do_not_push_the_marks_of_error_rates_together(whole):
    report = copy.deepcopy(whole[1])
    systems_of(report)["pseudonym"]["utility"]["wer"] = _percent(50.0) | {"low": 10.0, "high": 900.0}
    marks = [value for groups in systems_of(report).values() if (value := groups.get("utility", {}).get("wer"))]
    largest = max(50.0, *(mark["value"] for mark in marks))
    assert overview.figure(report, "words").axes[0].get_xlim()[1] <= 1.2 * largest < 900


def test_markdown_reads_reports_of_schema_2(whole):
    new = whole[1]
    (of_corpus,) = new["corpora"].values()
    attacked = {"convert": of_corpus["systems"]["convert"] | {"privacy": {"spectrum.eer_lazy": {"value": 40.0}}}}
    old = {name: new[name] for name in ("command", "seed", "weights_sha256", "versions")}
    old |= {"schema": 2, "data": of_corpus["data"], "systems": of_corpus["systems"] | attacked}
    old |= {"judges": new["evaluators"], "claims": {"convert": {"spectrum.eer_lazy": True}}}
    expected = new | {"corpora": {"corpus": of_corpus}, "claims": migrate_report(old)["claims"]}
    assert reports.markdown(old) == reports.markdown(expected)
    assert "Privacy was not measured" in reports.markdown(old)


def test_plots_are_png_files(whole, corpus_folder):
    plots = {path.name: path for path in (whole[0] / "plots" / corpus_folder.name).iterdir()}
    maps = plots.pop("fig5.npz")
    assert {"speaker unseen", "content same_voice", "weights_sha256"} <= set(np.load(maps))
    assert set(plots) == {"target_top1.png", "fig4_within_one_sex.png", "fig4_across_sexes.png", "fig5.png"}
    plots |= {path.name: path for path in (whole[0] / "plots").glob("*.png")}
    assert {"words.png", "identity.png", "sound.png", "degraded.png"} <= set(plots)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.values())


def test_encoders_are_compared_on_pieces_of_three_seconds():
    """Blind to the speaker in pieces of 3 s, an encoder is worse than the judge, which is not."""
    names, rng = [f"{k}" for k in range(9)], np.random.default_rng(0)
    wavs = {(name, i): voice(10.0, 90 + 20 * int(name), (500, 1500), seed=i) for name in names for i in range(3)}
    parts = {name: SpeakerParts(name, "F", *(((name, i),) for i in range(3))) for name in names}
    dataset = SimpleNamespace(parts=parts, wav=lambda part: wavs[part[0]])
    lengths_s = Counter()

    class Judge(SpectrumEmbedder):
        name = "resemblyzer"

        def embed(self, wav):
            lengths_s[len(wav) / RATE] += 1
            return super().embed(wav)

    class Blind(Judge):
        name = "saic"

        def embed(self, wav):
            embedding = super().embed(wav)
            noise = rng.standard_normal(embedding.shape)
            return embedding if len(wav) > 4 * RATE else noise / np.linalg.norm(noise)

    made = classification.measure(dataset, (Blind(), Judge()), seed=0, progress=lambda *_: None)
    assert lengths_s == {10.0: 2 * 27, 3.0: 2 * 27 * 3}
    assert made["saic"]["eer_3s"].value > 30 > made["resemblyzer"]["eer_3s"].value
    above = made["saic"]["eer_3s_difference"]
    assert above.value == pytest.approx(made["saic"]["eer_3s"].value - made["resemblyzer"]["eer_3s"].value)
    assert above.low > 0 and above.n == 9 and "eer_3s_difference" not in made["resemblyzer"]


def test_interrupted_run_continues_and_gives_the_same_report(corpus_folder, tmp_path, monkeypatch):
    replace_codec(monkeypatch)
    monkeypatch.setattr("saic.evaluation.run.plots.save_report_plots", lambda *arguments, **options: None)
    monkeypatch.setattr("saic.evaluation.run.overview.save", lambda *arguments, **options: None)
    data, whole_out, parts_out = [corpus_folder / "small.jsonl"], tmp_path / "whole", tmp_path / "parts"
    options = {"quick": True, "only": ("identity",)}
    whole, broken, resumed, again = (TilingPipeline(n) for n in (10**9, 9, 10**9, 0))
    report = evaluate(data, "test", whole_out, pipeline=whole, evaluators=_evaluators(), **options)
    with pytest.raises(RuntimeError, match="power cut"):
        evaluate(data, "test", parts_out, pipeline=broken, evaluators=_evaluators(), **options)
    assert not (parts_out / "report.json").exists()
    assert evaluate(data, "test", parts_out, pipeline=resumed, evaluators=_evaluators(), **options) == report
    assert len(broken.calls) == 9 and len(broken.calls) + len(resumed.calls) == len(whole.calls)
    assert evaluate(data, "test", parts_out, pipeline=again, evaluators=_evaluators(), **options) == report


def test_quick_evaluation_of_a_folder_without_manifest(corpus_folder, tmp_path, monkeypatch):
    replace_codec(monkeypatch)
    for name in ("anna", "dave", "emil"):
        (tmp_path / "data" / name).mkdir(parents=True)
        clip = (corpus_folder / f"{name}-0.flac").read_bytes()
        (tmp_path / "data" / name / "1.flac").write_bytes(clip)
    evaluators, pipeline = Evaluators([SpectrumEmbedder()]), TilingPipeline()
    arguments = {"pipeline": pipeline, "evaluators": evaluators, "quick": True}
    report = evaluate([tmp_path / "data"], "test", tmp_path / "out", **arguments)
    assert report["corpora"]["data"]["data"]["trials"] == 6  # sexes unknown: two targets of any
    estimate = systems_of(report)["convert"]["identity"]["target_top1_same_sex"]
    assert (estimate["value"], estimate["n"]) == (None, 0)
    assert systems_of(report)["convert"]["utility"]["wer"]["value"] is None
    markdown = (tmp_path / "out/report.md").read_text()
    assert "| - |" in markdown and "## Words" not in markdown


def test_corpus_that_cannot_be_measured_does_not_end_the_run(corpus_folder, tmp_path, monkeypatch, caplog):
    """Nor does a corpus whose speakers speak too little for the probes."""
    replace_codec(monkeypatch)
    clips = manifest.read(corpus_folder)
    few = [clip for clip in clips if clip.speaker == clips[0].speaker]
    (tmp_path / "few").mkdir()
    write(tmp_path / "few" / "manifest.jsonl", few)
    monkeypatch.setattr("saic.evaluation.measures.disentanglement.WINDOW_S", 1000)
    arguments = {"pipeline": TilingPipeline(), "evaluators": Evaluators([SpectrumEmbedder()])}
    measures = ["identity", "disentanglement"]
    report = evaluate([tmp_path / "few", corpus_folder], "test", tmp_path / "out", only=measures, **arguments)
    assert list(report["corpora"]) == [corpus_folder.name] and "identity" in systems_of(report)["convert"]
    assert "Corpus few was left out" in caplog.text and "has no speaker probes" in caplog.text
    with pytest.raises(DataError):
        evaluate([tmp_path / "few"], "test", tmp_path / "one", only=["identity"], **arguments)


def test_short_lossless_recordings_of_a_few_speakers_do_not_end_the_run(tmp_path, monkeypatch):
    """Identity without the codec is left out; everything else is measured."""
    replace_codec(monkeypatch)
    clips = []
    for name, suffix, duration_s in (("a", "ogg", 13), ("b", "ogg", 13), ("c", "flac", 4), ("d", "flac", 4)):
        path = tmp_path / f"{name}.{suffix}"
        soundfile.write(path, voice(duration_s, 100 + 20 * ord(name) % 90, (500, 1500)), RATE)
        clips.append(Clip(path, name, name, "F", duration_s, None, "test"))
    write(tmp_path / "manifest.jsonl", clips)
    arguments = {"pipeline": TilingPipeline(), "evaluators": Evaluators([SpectrumEmbedder()])}
    report = evaluate([tmp_path], "test", tmp_path / "out", only=["identity"], **arguments)
    groups = {group for measured in systems_of(report).values() for group in measured}
    assert groups == {"identity", "classification"}


@pytest.fixture
def attacked(tmp_path) -> list[Path]:
    """Two corpora with speech of three speakers in ``train`` and of four in ``attack``, four clips each."""
    folders = []
    for corpus, f0_hz in (("one", 90), ("two", 200)):
        folder, clips = tmp_path / corpus, []
        folder.mkdir()
        for k in range(7):
            for i in range(4):
                path = folder / f"{k}-{i}.flac"
                soundfile.write(path, voice(3.0, f0_hz + k, (400 + 40 * k, 1200 + 60 * k), seed=10 * k + i), RATE)
                clips.append(Clip(path, path.stem, f"s{k}", "F", 3.0, None, "train" if k < 3 else "attack"))
        write(folder / "manifest.jsonl", clips)
        folders.append(folder)
    return folders


def test_privacy_is_measured_on_all_corpora_together_and_heads_the_report(attacked, tmp_path, monkeypatch):
    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    out, spectrum, read, opened = tmp_path / "out", SpectrumEmbedder(), manifest.read, []
    monkeypatch.setattr(manifest, "read", lambda path, **options: opened.append(path) or read(path, **options))
    arguments = {"pipeline": TilingPipeline(), "evaluators": Evaluators([]), "evidence": [spectrum], "quick": True}
    report = evaluate(attacked, "attack", out, only=["privacy"], attacked=["pseudonym"], **arguments)
    assert opened == attacked  # each manifest once
    assert report["corpora"] == {} and set(report["privacy"]["data"]["corpora"]) == {"one", "two"}
    assert reports.headline_system(report["privacy"]) == "pseudonym"
    assert list(report["privacy"]["systems"]) == ["real", "copy_source", "pseudonym"]
    assert list(reports.strongest_by_corpus(report["privacy"], "pseudonym")) == ["all", "one", "two"]
    markdown = (out / "report.md").read_text()
    assert report["claims"][0] == f"pseudonym: {report['privacy']['claims']['pseudonym']}"
    assert markdown.splitlines()[2] == f"- {report['claims'][0]}"
    figures, first = markdown.split("\n## ")[1:3]
    assert figures.startswith("In figures\n\n![Strongest attacker by seconds of speech]")
    assert first.startswith("Strongest attacker on `pseudonym`, by corpus\n") and "| `two` |" in first
    assert "## Attackers on `pseudonym`" in markdown
    assert (out / "plots" / "eer_by_seconds.png").is_file()


def test_privacy_is_measured_though_no_corpus_can_be_measured_otherwise(attacked, tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise DataError("Too few speakers.")

    monkeypatch.setattr("saic.evaluation.linkage.outputs.round_trip", lossless)
    monkeypatch.setattr("saic.evaluation.run._measure_corpus", fail)
    arguments = {"pipeline": TilingPipeline(), "evaluators": Evaluators([]), "quick": True, "attacked": ["pseudonym"]}
    evidence = [SpectrumEmbedder()]
    report = evaluate(attacked, "attack", tmp_path / "out", evidence=evidence, **arguments)
    assert report["corpora"] == {} and report["privacy"]["systems"]["pseudonym"]
    assert caplog.text.count("was left out") == 2
    with pytest.raises(DataError, match="None of the corpora"):
        evaluate(attacked, "attack", tmp_path / "none", evidence=evidence, only=["words"], **arguments)


def _privacy(eer_by_part: dict[str, float], n: int = 9) -> dict:
    """A report of the linkage evaluation at 15 s with one attacker."""
    figures = {
        f"fused.eer_15s{part}": {"value": eer, "low": eer - 4, "high": eer + 4, "n": n, "unit": "%"}
        for part, eer in eer_by_part.items()
    }
    return {"systems": {"convert": {"privacy": figures}}, "claims": {"convert": "EER."}}


def test_the_weakest_corpus_is_named_beside_the_best():
    parts = {"": 20.0, "@one": 30.0, "@two": 11.0, "@two, one language": 5.0, "@same speakers": 3.0}
    first, second = reports.privacy_claims(_privacy(parts))
    assert first == "convert: EER." and "Weakest corpus: two" in second
    assert "11 % [7, 15] at 15 s" in second and "best: one, 30 % [26, 34]" in second
    of_few = _privacy({"@three": 0.0}, n=4)["systems"]["convert"]["privacy"]
    with_few = _privacy(parts)
    with_few["systems"]["convert"]["privacy"] |= of_few
    assert reports.privacy_claims(with_few)[1] == second  # four speakers tell too little
    assert len(reports.privacy_claims(_privacy({"": 20.0}))) == 1


@pytest.mark.parametrize(
    ("profiles", "default", "measured"),
    [
        (("prosody-kept",), "prosody-kept", set()),
        (("prosody-kept", "balanced", "strict"), "balanced", {"pseudonym_prosody_kept", "pseudonym_strict"}),
    ],
)
def test_pseudonyms_of_other_profiles_are_measured_if_the_weights_have_them(profiles, default, measured):
    pipeline = SimpleNamespace(profiles=profiles, default_profile=default)
    assert {name for name in measured_systems(pipeline) if name.startswith("pseudonym_")} == measured
    assert "pseudonym" in measured_systems(pipeline)
    attacked = {"pseudonym", *measured, "pseudonym_known_voice", "convert", "mcadams"}
    assert set(attacked_systems(pipeline, quick=False)) == attacked
    assert attacked_systems(pipeline, quick=True) == ("pseudonym",)


def test_a_corpus_without_the_split_is_not_evaluated_and_two_of_one_name_are_refused(corpus_folder, tmp_path):
    (tmp_path / "other").mkdir()
    clips = [Clip(corpus_folder / f"{n}-0.flac", n, n, "F", 12.5, None, "train") for n in ("anna", "dave")]
    write(tmp_path / "other" / "manifest.jsonl", clips)
    arguments = {"pipeline": TilingPipeline(), "evaluators": Evaluators([SpectrumEmbedder()]), "quick": True}
    data = [corpus_folder / "small.jsonl", tmp_path / "other"]
    assert list(evaluate(data, "test", tmp_path / "out", only=["identity"], **arguments)["corpora"]) == [
        corpus_folder.name
    ]
    with pytest.raises(DataError, match=r"'languages'\. The data has these splits: test, train"):
        evaluate(data, "languages", tmp_path / "out", **arguments)
    with pytest.raises(DataError, match="one name"):
        evaluate([corpus_folder, corpus_folder / "small.jsonl"], "test", tmp_path / "out", **arguments)
    with pytest.raises(DataError, match=r"^Corpus 2: There is no manifest"):
        evaluate([corpus_folder / "small.jsonl", tmp_path / "gone" / "manifest.jsonl"], "test", tmp_path, **arguments)


def test_cached_outputs_depend_on_weights_and_seed(corpus_folder, tmp_path):
    clips = [Clip(corpus_folder / f"{n}-0.flac", n, n, "F", 12.5, None, "test") for n in ("anna", "dave")]
    dataset = PartitionedSet(clips, seed=0, quick=False, progress=lambda *step: None)
    assert dataset.codec is round_trip
    pipeline = TilingPipeline()
    other, unsaved = TilingPipeline(), TilingPipeline()
    other.info = lambda: {"sha256": "cd" * 32}
    unsaved.info = lambda: {"sha256": None}
    for maker, seed in ((pipeline, 0), (pipeline, 0), (pipeline, 1), (other, 0), (unsaved, 0), (unsaved, 0)):
        SystemOutputs(maker, dataset, tmp_path, seed=seed).of_trial("convert", dataset.trials[0])
    assert (len(pipeline.calls), len(other.calls), len(unsaved.calls)) == (2, 1, 2)


@pytest.mark.parametrize("sound", ["silence", "hum"])
def test_speaker_with_a_part_without_speech_is_left_out(corpus_folder, tmp_path, sound):
    """The pipeline would refuse the part, and the run would end."""
    wav = voice(14, 120, (500, 1500))
    wav[6 * RATE :] = 0 if sound == "silence" else 0.1 * np.sin(np.arange(8 * RATE) / 20)
    soundfile.write(tmp_path / "half.flac", wav, RATE)
    paths = {"anna": corpus_folder / "anna-0.flac", "dave": corpus_folder / "dave-0.flac"}
    paths["half"] = tmp_path / "half.flac"
    clips = [Clip(path, name, name, "F", 13.0, None, "test") for name, path in paths.items()]
    dataset = PartitionedSet(clips, seed=0, quick=False, progress=lambda *step: None)
    assert set(dataset.parts) == {"anna", "dave"} and dataset.left_out == {"short": 0, "silent": 1}


def test_nan_from_the_pipeline_raises_invalid_audio(corpus_folder, tmp_path):
    clips = [Clip(corpus_folder / f"{n}-0.flac", n, n, "F", 12.5, None, "test") for n in ("anna", "dave")]
    dataset = PartitionedSet(clips, seed=0, quick=False, progress=lambda *step: None)
    pipeline = TilingPipeline()
    pipeline.resynthesize = lambda clip: np.full(100, np.nan)
    with pytest.raises(InvalidAudio, match="NaN"):
        SystemOutputs(pipeline, dataset, tmp_path, seed=0).of_trial("vocoder", dataset.trials[0])
    assert not list(tmp_path.iterdir())
