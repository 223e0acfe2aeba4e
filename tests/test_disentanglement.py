"""Speaker probes find identity in the mean, the deviation and the time course of codes, and none in noise."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from saic.errors import DataError, SaicError, UsageError
from saic.evaluation.data.trials import Span, SpeakerParts
from saic.evaluation.measures import disentanglement
from saic.evaluation.measures.disentanglement import frame_probe, probes
from tests.conftest import voice

RATE_HZ = 20.0
K, C, L = 8, 6, 400  # 20 s per speaker
CHANCE = 100 / K


def _codes(make, n_speakers: int = K, length: int = L) -> dict[str, np.ndarray]:
    """``make`` gets standard normal (C, L), a random (C, 1) of the speaker's own, and the speaker's number."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(n_speakers, C, 1))
    return {f"{k}": make(rng.normal(size=(C, length)), own[k], k) for k in range(n_speakers)}


def _values(codes, **options) -> dict[str, float]:
    return {name: accuracy.value for name, accuracy in probes(codes, rate_hz=RATE_HZ, seed=0, **options).items()}


def _frame(codes) -> float:
    """Accuracy of the frame probe, which fits much faster than the window probe."""
    return frame_probe(codes, gap=round(RATE_HZ), seed=0)["frame"].value


def test_speaker_in_the_mean_is_found_by_both_probes():
    values = _values(_codes(lambda noise, own, k: 0.3 * noise + own))
    assert values["frame"] > 95 and values["window"] > 95 and values["chance"] == CHANCE


def test_noise_is_at_chance():
    values = _values(_codes(lambda noise, own, k: noise))
    assert values["frame"] == pytest.approx(CHANCE, abs=6) and values["window"] == pytest.approx(CHANCE, abs=10)


def test_speaker_in_the_deviation_is_found_by_the_window_probe_only():
    values = _values(_codes(lambda noise, own, k: noise * np.exp(0.7 * own)))
    assert values["frame"] < 2 * CHANCE
    assert values["window"] > 90
    assert values["stronger"] == values["window"]


def test_identity_before_the_end_of_the_gap_gives_chance():
    """Training is on the first part and testing begins a second later, since neighboring codes are correlated."""
    stop = round(disentanglement.TRAIN_SHARE * (L - RATE_HZ)) + round(RATE_HZ)
    early = np.arange(L) < stop
    values = _values(_codes(lambda noise, own, k: 0.3 * noise + early * own))
    assert values["frame"] == pytest.approx(CHANCE, abs=5) and values["window"] == pytest.approx(CHANCE, abs=5)
    assert _frame(_codes(lambda noise, own, k: 0.3 * noise + ((np.arange(L) < stop - RATE_HZ) | ~early) * own)) > 95


def test_probes_that_find_no_speaker_in_the_mel_end_the_evaluation():
    blind = probes(_codes(lambda noise, own, k: noise, 24, 200), rate_hz=RATE_HZ, seed=0)
    with pytest.raises(SaicError, match="Control out of range"):
        disentanglement._require_control(blind)
    disentanglement._require_control(probes(_codes(lambda noise, own, k: noise, 4, 200), rate_hz=RATE_HZ, seed=0))


def test_scale_and_offset_of_codes_do_not_matter():
    codes = _codes(lambda noise, own, k: noise + own, 4)
    moved = {name: 1000 * x + 5 for name, x in codes.items()}
    assert _values(moved) == pytest.approx(_values(codes), abs=1.5)


def test_constant_channel_is_accepted():
    assert _frame(_codes(lambda noise, own, k: np.vstack([0.3 * noise + own, np.ones(L)]))) > 95


def test_probes_depend_on_the_seed_only_and_count_speakers():
    codes = _codes(lambda noise, own, k: noise + 0.3 * own, 9)
    found = probes(codes, rate_hz=RATE_HZ, seed=0)
    assert found == probes(dict(reversed(codes.items())), rate_hz=RATE_HZ, seed=0)
    assert found != probes(codes, rate_hz=RATE_HZ, seed=1)
    for accuracy in (found["frame"], found["window"]):
        assert accuracy.low < accuracy.value < accuracy.high and (accuracy.n, accuracy.unit) == (9, "%")


def test_speakers_are_cut_to_the_length_that_uses_most_codes():
    codes = _codes(lambda noise, own, k: noise + 0.3 * own, 4, 200)
    long_and_short = codes | {"brief": codes["0"][:, :50]}
    assert _values(long_and_short) == _values(codes)  # 4 x 200 codes are more than 5 x 50
    cut = {name: x[:, : 150 + 10 * k] for k, (name, x) in enumerate(codes.items())}
    assert _values(cut) == _values({name: x[:, :150] for name, x in codes.items()})


def test_speakers_with_too_few_codes_do_not_stop_the_probes():
    """They have more codes in total than those who have enough."""
    enough = _codes(lambda noise, own, k: noise + 0.3 * own, 4, 400)
    short = {f"short {k}": enough["0"][:, :50] for k in range(40)}
    assert _values(enough | short) == _values(enough)


@pytest.mark.parametrize(("n_speakers", "length"), [(1, 400), (4, 50), (0, 0)])
def test_too_few_codes_raise_data_error(n_speakers, length):
    with pytest.raises(DataError, match="at least two speakers"):
        probes(_codes(lambda noise, own, k: noise, n_speakers, length), rate_hz=RATE_HZ, seed=0)


def test_missing_scikit_learn_raises_usage_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(UsageError, match=r"pip install '.\[eval\]'"):
        probes(_codes(lambda noise, own, k: noise), rate_hz=RATE_HZ, seed=0)


def test_measure_of_noise_content_is_at_chance_and_controls_are_not():
    """A pipeline whose content is noise: identity is in the mel and in the speaker embedding, not in the content."""
    names = [f"{k}" for k in range(4)]
    wavs = {(name, i): voice(90 + 50 * k, 5.0, i, 500 + 250 * k) for k, name in enumerate(names) for i in range(3)}
    parts = {
        name: SpeakerParts(name, "F", *[(Span(name, place, place + 1),) for place in (0, 1, 1)])  # source is reference
        for name in names
    }
    dataset = SimpleNamespace(parts=parts, wav=lambda part: wavs[part[0].utterance, part[0].start])
    rng, lengths_s, stages = np.random.default_rng(0), [], {}

    def embed(clip):
        wav, rate = clip
        lengths_s.append(len(wav) / rate)
        spectrum = np.abs(np.fft.rfft(wav, 4096))[:800].reshape(80, 10).mean(axis=1)
        return SimpleNamespace(content=rng.normal(size=(C, -(-len(wav) // 800))), speaker=np.log(spectrum + 1e-3))

    pipeline = SimpleNamespace(embed=embed, info=lambda: {"content_codes_per_s": RATE_HZ})
    measured = disentanglement.measure(
        dataset, pipeline, seed=0, progress=lambda stage, done, total: stages.update({stage: (done, total)})
    )
    assert stages == {"embed for probes": (4, 4), "probe": (3, 3)}
    assert lengths_s.count(5.0) == 8 and lengths_s.count(2.0) == 32  # a part with two roles is embedded once
    value = {name: accuracies["frame"].value for name, accuracies in measured.items()}
    assert set(measured["content"]) == set(measured["log_mel"])
    assert set(measured["speaker"]) == {"frame", "chance"}
    assert value["log_mel"] > 80 and value["speaker"] > 80
    assert value["content"] < 45
