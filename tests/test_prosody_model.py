"""Predicted F0: what of the source's reaches the output, training, and files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from saic import audio
from saic.config import Config
from saic.conversion import Speech, Voice, convert_mel
from saic.data import manifest
from saic.errors import UsageError, WeightsError
from saic.model.model import Model
from saic.model.prosody import ProsodyPredictor, predicted_f0, scaled_contour, slow_contour
from saic.pipeline import Pipeline
from saic.profiles import PROFILES
from saic.signal.f0 import measure_f0_stats
from saic.training import loop
from saic.training.prosody import ProsodySet, ProsodyTraining, cluster_centers, encode_clips
from saic.training.training_set import TrainingSet
from saic.weights import PROSODY, write_sums, write_tensors
from train import prosody

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")
CODES, STRIDE = TINY.content_encoder.code_channels, TINY.content_stride


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model(TINY).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def predictor() -> ProsodyPredictor:
    torch.manual_seed(0)
    made = ProsodyPredictor(CODES, STRIDE, clusters=8).eval().requires_grad_(False)
    made.centers.normal_()
    return made


@pytest.fixture(scope="module")
def stage(corpus_folder: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> ProsodyTraining:
    clips = TrainingSet(manifest.read(corpus_folder), segment_frames=TINY.training.segment_frames, stride=STRIDE)
    content = encode_clips(clips, model, tmp_path_factory.mktemp("codes") / "codes.safetensors")
    centers = cluster_centers(content, np.random.default_rng(0))
    data = ProsodySet(clips, content, centers)
    return ProsodyTraining(data, data, centers, 1.0, TINY, steps=30)


def _speech(f0_hz: float, octaves: float, voiced_share: float = 0.8, n_frames: int = 201) -> Speech:
    """Speech with an F0 that moves at 4 Hz, voiced at the start of every ten frames."""
    f0 = f0_hz * 2 ** (octaves * torch.sin(2 * torch.pi * 4 * torch.arange(n_frames) / 80))[None]
    f0[:, torch.arange(n_frames) % 10 >= 10 * voiced_share] = 0
    return Speech(torch.full((1, 80, n_frames), -4.0), torch.ones(1, 1, n_frames), tracked_f0=f0)


def _voice() -> Voice:
    torch.manual_seed(2)
    statistics = torch.cat([torch.full((1, 1, 80), -4.0), torch.eye(80)[None]], dim=1)
    return Voice(torch.randn(1, TINY.speaker_encoder.embedding_size), torch.tensor([[7.5, 0.2]]), statistics)


def test_without_slow_contour_neither_f0_nor_voicing_of_the_source_reaches_the_output(
    model: Model, predictor: ProsodyPredictor
) -> None:
    content = torch.randn(1, CODES, -(-201 // STRIDE))
    sources = _speech(110.0, 0.05), _speech(220.0, 0.4, voiced_share=0.4)
    kept = [convert_mel(model, content, speech.f0, speech.mask, _voice())[1] for speech in sources]
    assert not torch.allclose(*kept) and not torch.equal(kept[0] > 0, kept[1] > 0)
    for slow in (None, slow_contour(sources[0].f0)):
        prediction = predictor(content, sources[0].mask, slow)
        assert prediction.shape == (1, 2, 201)
        f0 = predicted_f0(prediction, sources[0].mask, _voice().f0_stats)
        converted = convert_mel(model, content, f0, sources[0].mask, _voice())[1]
        assert torch.equal(converted > 0, prediction[:, 1] > 0) and converted.any()
        assert float(measure_f0_stats(converted[0])[0]) == pytest.approx(7.5, abs=0.02)


def test_slow_contour_changes_the_contour_and_not_the_voicing(model: Model, predictor: ProsodyPredictor) -> None:
    content, speech = torch.randn(1, CODES, -(-201 // STRIDE)), _speech(110.0, 0.4)
    alone, slow = (predictor(content, speech.mask, given) for given in (None, slow_contour(speech.f0)))
    assert not torch.allclose(alone[:, 0], slow[:, 0])
    torch.testing.assert_close(alone[:, 1], slow[:, 1])


def test_slow_contour_passes_changes_below_1_hz_up_to_2_semitones() -> None:
    time = torch.arange(1600) / 80
    for hz, share in ((0.1, 1.0), (1.0, 0.71), (4.0, 0.01)):
        f0 = 128 * 2 ** (torch.sin(2 * torch.pi * hz * time) / 12)[None]
        middle = slow_contour(f0)[0, 0, 200:-200]
        assert float(middle.max()) == pytest.approx(0.5 * share, abs=0.03)
    steps = slow_contour(128 * 2 ** (time // 10)[None])
    assert steps.shape == (1, 2, 1600) and steps[:, 0].abs().max() == 1


def test_f0_follows_changes_of_a_contour_without_its_jitter() -> None:
    time, statistics = torch.arange(800) / 80, torch.tensor([[7.0, 0.25]])
    odds, speech = torch.where(time % 1 < 0.7, 3.0, -3.0)[None], (time > 0.5).float()[None, None]
    wave = torch.sin(2 * torch.pi * 2 * time)[None]
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(0))
    clean, noisy = (predicted_f0(torch.stack([c, odds], dim=1), speech, statistics) for c in (wave, wave + noise))
    voiced = (odds > 0) & (speech[:, 0] > 0)
    assert torch.equal(clean > 0, voiced)
    octaves, jitter = clean[voiced].log2() - 7, noisy[voiced].log2() - clean[voiced].log2()
    assert float(torch.corrcoef(torch.stack([octaves, wave[voiced]]))[0, 1]) > 0.97
    assert float(octaves.std()) > 0.8 * 0.25 * float(wave[voiced].std())
    assert float(jitter.diff().abs().mean()) < 0.1 * 0.25 * float(noise.diff().abs().mean())


def test_scaled_contour_has_median_0_and_spread_1(corpus_folder: Path) -> None:
    f0 = Speech.from_wav(audio.load(corpus_folder / "speaker3" / "clip0.wav")).f0
    voiced = scaled_contour(f0)[f0 > 0]
    low, median, high = voiced.quantile(torch.tensor([0.16, 0.5, 0.84]))
    assert float(median) == pytest.approx(0, abs=0.1) and float(high - low) == pytest.approx(2, abs=0.2)


def test_file_gives_the_same_predictor_and_other_codes_raise_weights_error(
    predictor: ProsodyPredictor, tmp_path: Path
) -> None:
    predictor.save(tmp_path / PROSODY)
    loaded = ProsodyPredictor.load(tmp_path / PROSODY, CODES, STRIDE)
    content, mask = torch.randn(2, CODES, 30), torch.ones(2, 1, 30 * STRIDE)
    torch.testing.assert_close(loaded(content, mask), predictor(content, mask), atol=0.02, rtol=0)
    with pytest.raises(WeightsError):
        ProsodyPredictor.load(tmp_path / PROSODY, CODES + 1, STRIDE)
    for centers in (torch.tensor(1.0), torch.zeros(0, CODES)):  # a number, and none
        embedding = predictor.state_dict()["embedding.weight"][: centers.numel()]
        write_tensors(tmp_path / PROSODY, predictor.state_dict() | {"centers": centers, "embedding.weight": embedding})
        with pytest.raises(WeightsError):
            ProsodyPredictor.load(tmp_path / PROSODY, CODES, STRIDE)
    (tmp_path / PROSODY).write_bytes(b"damaged")
    with pytest.raises(WeightsError):
        ProsodyPredictor.load(tmp_path / PROSODY, CODES, STRIDE)


def test_predictor_of_an_older_version_is_refused_with_what_to_do(predictor: ProsodyPredictor, tmp_path: Path) -> None:
    names = {"contour": "out", "speech": "inputs"}
    tensors = {".".join([names.get(part, part) for part in k.split(".")]): x for k, x in predictor.state_dict().items()}
    write_tensors(tmp_path / PROSODY, {k: x for k, x in tensors.items() if k.split(".")[0] not in ("voicing", "last")})
    with pytest.raises(WeightsError, match=r"SAIC 0\.10 or older.*train\.prosody"):
        ProsodyPredictor.load(tmp_path / PROSODY, CODES, STRIDE)


def test_training_lowers_the_loss_and_resumes_exactly(stage: ProsodyTraining, tmp_path: Path) -> None:
    before = stage.validate()
    loop.run(stage, loop.Schedule(29, save_every=10), tmp_path, validate=stage.validate)
    last = {name: float(loss) for name, loss in stage.step(29).items()}
    stage.load_state_dict(loop.load_checkpoint(loop.latest(tmp_path))["stage"])
    assert {name: float(loss) for name, loss in stage.step(29).items()} == pytest.approx(last, abs=1e-6)
    after = stage.validate()
    assert after["loss"] < before["loss"] and after["voicing_error"] < before["voicing_error"]


def test_codes_of_a_run_are_encoded_once(stage: ProsodyTraining, model: Model, tmp_path: Path) -> None:
    clips, cache = stage.train.training_set, tmp_path / "codes.safetensors"
    cache.write_bytes(b"cut")
    content = encode_clips(clips, model, cache)
    assert content.shape == (CODES, clips.n_codes)
    assert torch.equal(encode_clips(clips, None, cache), content)
    reordered = TrainingSet(clips.clips[::-1], segment_frames=clips.segment_frames, stride=STRIDE)
    assert reordered.n_codes == clips.n_codes and not torch.equal(encode_clips(reordered, model, cache), content)


def test_command_writes_a_predictor_for_the_weights(corpus_folder: Path, model: Model, tmp_path: Path) -> None:
    clips = manifest.read(corpus_folder)
    clips = [replace(clip, split="dev" if clip.speaker == "speaker0" else "train") for clip in clips]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    model.save_pretrained(tmp_path / "weights")
    data, run, weights = [tmp_path / "manifest.jsonl"], tmp_path / "run", tmp_path / "weights"
    tiny = ROOT / "train" / "configs" / "tiny.yaml"
    prosody.main(data, run, str(weights), weights, config=tiny)
    ProsodyPredictor.load(tmp_path / "run" / PROSODY, CODES, STRIDE)
    assert Pipeline.from_pretrained(tmp_path / "weights").profiles == PROFILES

    other = tmp_path / "other"
    torch.manual_seed(9)
    Model(TINY).save_pretrained(other)
    options = {"config": tiny, "resume": True}
    with pytest.raises(UsageError, match="another model"):
        prosody.main(data, run, str(weights), other, **options)
    assert not (other / PROSODY).exists()

    before = (tmp_path / "run" / PROSODY).stat().st_mtime_ns
    (tmp_path / "weights" / PROSODY).unlink()
    write_sums(tmp_path / "weights")
    prosody.main(data, run, str(weights), weights, **options)
    assert (tmp_path / "run" / PROSODY).stat().st_mtime_ns == before  # a finished run stays as it is
    assert (weights / PROSODY).read_bytes() == (run / PROSODY).read_bytes()
    with pytest.raises(UsageError, match=r"other inputs, or in another order: --init\."):
        prosody.main(data, run, str(other), other, **options)
