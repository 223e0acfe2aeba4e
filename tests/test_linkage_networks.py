"""Attackers' networks: training on a few synthetic speakers, reproducibility, saved weights, errors."""

import numpy as np
import pytest
import torch

from saic.errors import DataError, SilentAudio, UsageError, WeightsError
from saic.evaluation.evaluators.embedders import Resemblyzer
from saic.evaluation.linkage.networks import CodesNetwork, FineTunedResemblyzer, _batches, _crop
from saic.evaluation.linkage.segment import Segment
from saic.signal.mel import log_mel
from tests.conftest import RATE, voice


def _encode(wav: np.ndarray) -> np.ndarray:
    """(8, T/2) stand-in for content codes: every tenth mel band."""
    return log_mel(torch.from_numpy(wav))[::10, ::2].numpy()


def _speakers(pitches_hz: list[int], n: int) -> tuple[list[Segment], list[str]]:
    """Segments of 2 s, ``n`` a speaker, whose formant follows their pitch."""
    named = [(pitch, take) for pitch in pitches_hz for take in range(n)]
    segments = [
        Segment(voice(pitch, 2.0, seed=100 * pitch + take, formant_hz=3 * pitch + 200)) for pitch, take in named
    ]
    return segments, [str(pitch) for pitch, _ in named]


@pytest.fixture(scope="module")
def material() -> tuple[list[Segment], list[str]]:
    return _speakers([90, 120, 150, 180, 210, 240], 2)


@pytest.fixture(scope="module")
def trained(material) -> CodesNetwork:
    network = CodesNetwork(_encode, steps=12)
    network.fit(*material, seed=0, progress=lambda *_: None)
    return network


def test_training_tells_unseen_speakers_apart(material, trained):
    segments, names = _speakers([105, 165, 225], 2)
    same, others = np.equal.outer(names, names) & ~np.eye(6, dtype=bool), ~np.equal.outer(names, names)
    untrained = CodesNetwork(_encode, steps=0)
    untrained.fit(*material, seed=0, progress=lambda *_: None)
    gaps = []
    for network in (untrained, trained):
        vectors = np.array([network.measure(segment) for segment in segments])
        assert vectors.shape == (6, 128) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        cosines = vectors @ vectors.T
        gaps.append(cosines[same].mean() - cosines[others].mean())
    assert gaps[1] > gaps[0] + 0.05 and gaps[1] > 0.1, gaps


def test_equal_seed_gives_equal_weights(material, trained):
    torch.manual_seed(5)
    before, n_threads = torch.random.get_rng_state(), torch.get_num_threads()
    made = []
    for seed in (0, 1):
        network = CodesNetwork(_encode, steps=12)
        network.fit(*material, seed=seed, progress=lambda *_: None)
        made.append(network.fingerprint)
    assert made[0] == trained.fingerprint != made[1]
    assert torch.equal(before, torch.random.get_rng_state()) and n_threads == torch.get_num_threads()


def test_loaded_weights_measure_the_same(material, trained):
    again = CodesNetwork(_encode)
    again.load(trained.state())
    assert again.fingerprint == trained.fingerprint
    np.testing.assert_array_equal(again.measure(material[0][0]), trained.measure(material[0][0]))


def test_codes_network_ignores_level(material, trained):
    wav = material[0][0].wav
    codes = _encode(wav)
    fixed = CodesNetwork(lambda _: codes)
    fixed.load(trained.state())
    assert fixed.measure(Segment(wav)) @ fixed.measure(Segment(wav / 10)) > 0.999


def test_codes_of_another_frame_rate_are_resampled(material, trained):
    slower = CodesNetwork(lambda wav: _encode(wav)[:, ::4])
    slower.load(trained.state())
    assert np.isfinite(slower.measure(material[0][0])).all()


def test_progress_counts_segments_and_steps(material):
    seen = []
    CodesNetwork(_encode, steps=2).fit(*material, seed=0, progress=lambda *step: seen.append(step))
    assert seen[11:] == [("measure for codes", 12, 12), ("train codes", 1, 2), ("train codes", 2, 2)]


def test_finetuned_starts_as_resemblyzer_and_changes(material):
    few, segment = [side[:4] for side in material], material[0][3]
    network = FineTunedResemblyzer(steps=0)
    network.fit(*few, seed=0, progress=lambda *_: None)
    before = network.measure(segment)
    assert before @ Resemblyzer().embed(segment.wav) > 0.999
    state = network.state()
    network = FineTunedResemblyzer(steps=1)
    network.fit(*few, seed=0, progress=lambda *_: None)
    after = network.measure(segment)
    assert after.shape == (256,) and np.linalg.norm(after) == pytest.approx(1, abs=1e-5)
    assert before @ after < 0.99999
    network.load(state)
    np.testing.assert_array_equal(network.measure(segment), before)


@pytest.mark.parametrize("make", [FineTunedResemblyzer, lambda: CodesNetwork(_encode)])
def test_misuse_raises_typed_errors(make, material):
    network, (segments, names) = make(), material
    silent = Segment(np.zeros(2 * RATE, dtype=np.float32))
    with pytest.raises(UsageError, match="not trained"):
        network.measure(segments[0])
    with pytest.raises(DataError, match="two speakers"):
        network.fit(segments[:3], names[:3], seed=0, progress=lambda *_: None)
    with pytest.raises(DataError, match="two speakers"):  # silence does not count
        network.fit([*segments[:3], silent], [*names[:3], names[2]], seed=0, progress=lambda *_: None)
    with pytest.raises(WeightsError):
        network.load({"mean": torch.zeros(11)})
    with pytest.raises(WeightsError):
        network.load({})


def test_silence_raises_silent_audio(trained):
    with pytest.raises(SilentAudio):
        trained.measure(Segment(np.zeros(2 * RATE, dtype=np.float32)))


def test_short_frames_are_repeated_to_the_crop():
    frames = torch.arange(3.0)[:, None]
    assert _crop(frames, 7, np.random.default_rng(0)).flatten().tolist() in (
        [0, 1, 2, 0, 1, 2, 0],
        [1, 2, 0, 1, 2, 0, 1],
        [2, 0, 1, 2, 0, 1, 2],
    )


@pytest.mark.parametrize(("n_speakers", "size"), [(2, 32), (7, 3)])
def test_a_batch_has_different_speakers(n_speakers, size):
    batches = _batches(n_speakers, size, np.random.default_rng(0))
    for batch in (next(batches) for _ in range(5)):
        assert len(set(batch.tolist())) == len(batch) == min(size, n_speakers)
