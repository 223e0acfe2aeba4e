"""Profiles: what of the source's F0 and timing reaches the output, and what the pipeline refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from saic.config import Config
from saic.errors import UsageError, WeightsError
from saic.model import windowed
from saic.model.model import Model
from saic.model.prosody import ProsodyPredictor
from saic.model.timing import TimeMap, new_timing, rate_of_change
from saic.pipeline import Pipeline
from saic.profiles import BALANCED, PROFILES, PROSODY_KEPT, STRICT
from saic.signal.mel import FLOOR, FRAMES_PER_S, HOP_SAMPLES
from saic.spool import Spool
from saic.weights import PROSODY, fingerprint, write_sums
from tests.conftest import RATE, voice

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml")
STRIDE = 2


def _utterance(spoken_s: float, pause_s: float, speed: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of two phrases with a pause between, and which frames are speech; codes follow a smooth path."""
    spoken, pause = (round(s * FRAMES_PER_S / STRIDE) for s in (spoken_s / speed, pause_s))
    kept = torch.tensor([True] * spoken + [False] * pause + [True] * spoken)
    path = torch.arange(len(kept)) * speed * 0.3
    codes = torch.stack([torch.sin(path * (1 + k / 4)) for k in range(4)])[None]
    return codes * kept, kept.repeat_interleave(STRIDE)


def _rate() -> float:
    codes, kept = _utterance(3.0, 0.5)
    return float(rate_of_change(codes)[0][kept[::STRIDE]].mean())


def test_time_map_of_all_frames_changes_nothing() -> None:
    codes, x = torch.randn(1, 4, 51), torch.randn(1, 80, 101)
    same = TimeMap(torch.arange(101.0))
    torch.testing.assert_close(same.frames(x), x)
    retimed = windowed.retimed(Spool.of(codes), same, STRIDE)[:]
    torch.testing.assert_close(retimed[..., :50], codes[..., :50], atol=1e-5, rtol=0)
    assert retimed.shape == codes.shape


def test_pauses_of_the_output_do_not_depend_on_those_of_the_source() -> None:
    lengths = []
    for pause_s in (0.2, 0.9, 4.0):
        codes, kept = _utterance(3.0, pause_s)
        change = rate_of_change(codes)[0]
        new = new_timing(change, kept, (0, len(kept)), STRIDE, _rate(), np.random.default_rng(1)).frames(kept)
        lengths.append(int((~new).sum()))
    assert max(lengths) - min(lengths) <= 2
    others = [
        int(
            (~new_timing(change, kept, (0, len(kept)), STRIDE, _rate(), np.random.default_rng(seed)).frames(kept)).sum()
        )
        for seed in range(30)
    ]
    assert 0.1 * FRAMES_PER_S - 1 <= min(others) < 0.7 * max(others) <= 0.7 * FRAMES_PER_S + 1


def test_number_of_pauses_is_limited_and_the_longest_remain() -> None:
    kept = torch.ones(20 * FRAMES_PER_S, dtype=torch.bool)
    starts = range(FRAMES_PER_S, 20 * FRAMES_PER_S, FRAMES_PER_S)
    for number, start in enumerate(starts):
        kept[start : start + (40 if number % 4 == 0 else 12)] = False
    change = torch.ones(-(-len(kept) // STRIDE))
    timing = new_timing(change, kept, (0, len(kept)), STRIDE, 1.0, np.random.default_rng(0))
    new = timing.frames(kept).int()
    edges = torch.diff(new, prepend=new[:1]).nonzero().flatten().tolist()
    lengths = [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    assert len(lengths) == len(starts)
    long = [number for number, length in enumerate(lengths) if length > 0.06 * FRAMES_PER_S]
    assert set(long) >= set(range(0, len(starts), 4)) and len(long) <= 0.3 * 20


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_slow_and_fast_speech_come_nearer_to_the_usual_rate(speed: float) -> None:
    codes, kept = _utterance(3.0, 0.5, speed)
    timing = new_timing(rate_of_change(codes)[0], kept, (0, len(kept)), STRIDE, _rate(), np.random.default_rng(0))
    own, usual = int(kept.sum()), int(_utterance(3.0, 0.5)[1].sum())
    new = int((timing.frames(kept) & timing.inside(len(kept))).sum())
    assert abs(new - usual) < 0.4 * abs(own - usual)
    assert torch.equal(timing.positions, timing.positions.sort().values)
    steps = timing.positions.diff()[timing.frames(kept)[1:]]
    assert 1 / 1.25 < float(steps.median()) < 1.25


def test_edges_of_the_output_do_not_depend_on_those_of_the_source() -> None:
    codes, speech = _utterance(3.0, 0.5)
    made = []
    for before, after in ((0, 0), (2, 40), (240, 1)):  # frames; half-way into the margins, and far beyond them
        kept = torch.cat([torch.zeros(before).bool(), speech, torch.zeros(after).bool()])
        change = torch.nn.functional.pad(rate_of_change(codes)[0], (before // STRIDE, -(-after // STRIDE)))
        span = before, before + len(speech)
        timing = new_timing(change, kept, span, STRIDE, _rate(), np.random.default_rng(0))
        made.append(timing.positions - before)
        shown = timing.positions[timing.inside(len(kept))]
        assert abs(shown[0] - max(0, before - 20)) < 0.5 and abs(shown[-1] - min(len(kept), span[1] + 28) + 1) < 1
    for other in made[1:]:
        torch.testing.assert_close(other, made[0])
    assert made[0][0] == -20 and abs(made[0][-1] - len(speech) - 27) < 1


def test_silent_recording_and_single_frame_have_a_timing() -> None:
    for frames in (1, 40):
        timing = new_timing(
            rate_of_change(torch.randn(1, 4, -(-frames // STRIDE)))[0],
            torch.zeros(frames, dtype=torch.bool),
            (0, frames),
            STRIDE,
            1.0,
            np.random.default_rng(0),
        )
        assert len(timing.positions) >= 1
        assert timing.frames(torch.randn(1, frames)).isfinite().all()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small untrained weights without a prosody predictor."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    Model(TINY).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The same weights with an untrained predictor."""
    folder = tmp_path_factory.mktemp("with_prosody")
    for path in weights.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    torch.manual_seed(1)
    predictor = ProsodyPredictor(TINY.content_encoder.code_channels, TINY.content_stride, clusters=8)
    predictor.centers.normal_()
    predictor.save(folder / PROSODY)
    write_sums(folder)
    return Pipeline.from_pretrained(folder)


SOURCE = np.concatenate([voice(120, 1.5), np.zeros(RATE, np.float32), voice(120, 1.5, seed=1)]), RATE
TARGET = voice(220, 2.0), RATE


def test_balanced_is_the_default_and_only_strict_changes_the_length(pipeline: Pipeline) -> None:
    assert pipeline.profiles == PROFILES and pipeline.default_profile == BALANCED
    results = {p: pipeline.convert(SOURCE, TARGET, profile=p, seed=1) for p in (None, *PROFILES)}
    assert [result.profile for result in results.values()] == [BALANCED, *PROFILES]
    np.testing.assert_array_equal(results[None].wav, results[BALANCED].wav)
    n = len(SOURCE[0])
    assert [len(results[p].wav) for p in (PROSODY_KEPT, BALANCED)] == [n, n]
    strict = results[STRICT]
    assert strict.mels["converted"].shape[1] * HOP_SAMPLES == len(strict.wav) != n
    assert strict.mels["original"].shape == results[BALANCED].mels["original"].shape
    for result in results.values():
        assert {k: len(f0) for k, f0 in result.f0_hz.items()} == {k: mel.shape[1] for k, mel in result.mels.items()}
    muted = results[BALANCED].mels["converted"].max(axis=0) <= np.log(FLOOR) + 1e-3
    assert muted.any() and not results[BALANCED].f0_hz["converted"][muted].any()


def test_strict_draws_pauses_by_the_seed(pipeline: Pipeline) -> None:
    first, same, other, free, free_again = (
        pipeline.convert(SOURCE, TARGET, profile=STRICT, seed=seed).wav for seed in (-1, -1, 2, None, None)
    )
    np.testing.assert_array_equal(first, same)
    assert len({len(wav) for wav in (first, other, free, free_again)}) > 1


def test_strict_does_not_pass_the_level_of_the_rooms_noise(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where noise between words counts as speech."""
    monkeypatch.setattr("saic.conversion.main_speech_frames", lambda vowels: np.ones(len(vowels), bool))
    noise = 10 ** (-40 / 20) * SOURCE[0].std() * np.random.default_rng(0).standard_normal(len(SOURCE[0]))
    noisy = (SOURCE[0] + noise).astype(np.float32), RATE
    mel = pipeline.convert(noisy, TARGET, profile=STRICT, seed=1).mels["converted"]
    middle = mel[:, mel.shape[1] // 2 - 20 : mel.shape[1] // 2 + 20]
    np.testing.assert_allclose(middle, np.log(FLOOR), atol=1e-4)


def test_reconstruction_keeps_prosody_in_every_profile(pipeline: Pipeline) -> None:
    made = [pipeline.convert(SOURCE, TARGET, profile=profile, reconstruct=True).reconstruction for profile in PROFILES]
    for other in made[1:]:
        np.testing.assert_array_equal(made[0], other)


def test_weights_without_predictor_keep_prosody_and_refuse_other_profiles(weights: Path) -> None:
    pipeline = Pipeline.from_pretrained(weights)
    assert pipeline.profiles == (PROSODY_KEPT,)
    assert pipeline.convert(SOURCE, TARGET).profile == PROSODY_KEPT
    with pytest.raises(WeightsError, match=r"train\.prosody"):
        pipeline.convert(SOURCE, TARGET, profile=STRICT)


def test_unknown_profile_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match="prosody-kept, balanced, strict"):
        pipeline.convert(SOURCE, TARGET, profile="stricter")


def test_predictor_belongs_to_the_hash_of_the_weights(pipeline: Pipeline, weights: Path) -> None:
    assert fingerprint(pipeline.folder) != fingerprint(weights)
