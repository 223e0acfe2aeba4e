"""Phone encoder of the content encoder: frame alignment, attention windows, training in stage 2."""

from pathlib import Path

import pytest
import torch

from saic.config import Config
from saic.data import manifest
from saic.errors import UsageError
from saic.model import phone_encoder
from saic.model.model import Model
from saic.model.phone_encoder import OWN_HOP_SAMPLES, PhoneEncoder, to_code_frames
from saic.signal.mel import HOP_SAMPLES
from saic.training.phone_recognizer import PhoneRecognizer
from saic.training.stage2 import Stage2
from saic.training.training_set import TrainingSet

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml").to_dict()
PHONE_ENCODER = {"channels": 8, "blocks": 2, "kernel": 3}
MEAN, DEVIATION = torch.linspace(-6, -2, 80).view(80, 1), torch.linspace(0.5, 2, 80).view(80, 1)


@pytest.fixture
def recognizer() -> PhoneRecognizer:
    torch.manual_seed(0)
    recognizer = PhoneRecognizer(5, channels=8, n_blocks=2, kernel=3)
    recognizer.matrix += 0.1 * torch.randn(80, 80)
    return recognizer.eval().requires_grad_(False)


@pytest.fixture
def training_set(corpus_folder: Path) -> TrainingSet:
    return TrainingSet(manifest.read(corpus_folder), segment_frames=TINY["training"]["segment_frames"], stride=2)


def config(content: dict[str, object] | None = None, **stage2: object) -> Config:
    sections = {"content_encoder": TINY["content_encoder"] | {"phone_encoder": PHONE_ENCODER} | (content or {})}
    return Config.from_dict(TINY | sections | {"stage2": TINY["stage2"] | stage2})


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_features_are_interpolated_at_the_centers_of_content_codes(stride: int) -> None:
    times = torch.arange(100.0) * 2 * OWN_HOP_SAMPLES
    found = to_code_frames(times.view(1, -1, 1), 30, stride)[0, 0]
    torch.testing.assert_close(found, (torch.arange(30) + 0.5) * stride * HOP_SAMPLES)


def test_change_at_the_end_of_a_clip_affects_its_start_only_within_one_attention_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    network = PhoneEncoder(8, 2, 3).eval().requires_grad_(False)
    mel = torch.randn(1, 80, 480)  # 300 frames of the encoder
    changed = mel.clone()
    changed[..., -10:] += 10

    def change_at_start() -> float:
        return float((network.phone_features(changed) - network.phone_features(mel))[:, :50].abs().max())

    assert change_at_start() > 1e-4
    monkeypatch.setattr(phone_encoder, "WINDOW", 100)
    assert change_at_start() == 0


def test_phone_encoder_gives_the_recognizers_features_for_standardized_mels(recognizer: PhoneRecognizer) -> None:
    mel = MEAN + DEVIATION * torch.randn(2, 80, 60)
    encoder = recognizer.phone_encoder(MEAN, DEVIATION)
    torch.testing.assert_close(
        encoder.phone_features((mel - MEAN) / DEVIATION), recognizer.phone_features(mel), atol=1e-4, rtol=1e-4
    )


def test_saved_weights_with_a_phone_encoder_load_unchanged(tmp_path: Path) -> None:
    saved, mel = Model(config()).eval().requires_grad_(False), torch.randn(1, 80, 33)
    saved.save_pretrained(tmp_path, half=False)
    assert torch.equal(Model.from_pretrained(tmp_path).encode_content(mel), saved.encode_content(mel))


def test_added_phone_encoder_is_distilled_from_the_initial_codes_while_the_decoder_is_frozen(
    training_set: TrainingSet, recognizer: PhoneRecognizer
) -> None:
    torch.manual_seed(0)
    initial = Model(Config.from_dict(TINY)).eval().requires_grad_(False)
    settings = config(steps=400, lr=1e-2, distill_steps=60)
    stage = Stage2(training_set, settings, initial, None, recognizer=recognizer, unseen=training_set)
    decoder = {name: tensor.clone() for name, tensor in stage.model.decoder.state_dict().items()}
    losses = [stage.step(i)["content"] for i in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    for name, tensor in stage.model.decoder.state_dict().items():
        assert torch.equal(tensor, decoder[name]), name
    after_distillation = stage.step(60)
    assert "content" not in after_distillation and after_distillation["reconstruction"] > 0


@pytest.mark.parametrize("distill_steps", [0, 1])
def test_weights_with_a_phone_encoder_are_copied_and_distilled_only_for_distill_steps(
    training_set: TrainingSet, recognizer: PhoneRecognizer, distill_steps: int
) -> None:
    initial = Model(config()).eval().requires_grad_(False)
    stage = Stage2(
        training_set, config(distill_steps=distill_steps), initial, None, recognizer=recognizer, unseen=training_set
    )
    for name, tensor in stage.model.state_dict().items():
        assert torch.equal(tensor, initial.state_dict()[name]), name
    losses = stage.step(0)
    assert ("content" in losses, "reconstruction" in losses) == (distill_steps == 1, distill_steps == 0)


def test_new_model_copies_the_recognizers_phone_encoder_and_trains_it_at_a_quarter_of_the_learning_rate(
    training_set: TrainingSet, recognizer: PhoneRecognizer
) -> None:
    stage = Stage2(training_set, config(), None, None, recognizer=recognizer, unseen=training_set)
    pretrained = recognizer.phone_encoder(stage.model.mel_mean, stage.model.mel_std)
    for name, tensor in stage.model.content_encoder.front.phone_encoder.state_dict().items():
        assert torch.equal(tensor, pretrained.state_dict()[name]), name
    assert stage.step(0)["phone_features"] > 0
    lr, phone_encoder_lr = (group["lr"] for group in stage.optimizer.param_groups)
    assert phone_encoder_lr == lr / 4


def test_phone_encoder_without_a_recognizer_of_its_sizes_raises_usage_error(
    training_set: TrainingSet, recognizer: PhoneRecognizer
) -> None:
    with pytest.raises(UsageError, match="give --recognizer"):
        Stage2(training_set, config(), None, None, unseen=training_set)
    other_kernel = config({"phone_encoder": PHONE_ENCODER | {"kernel": 5}})
    with pytest.raises(UsageError, match="other sizes"):
        Stage2(training_set, other_kernel, None, None, recognizer=recognizer, unseen=training_set)


def test_level_of_a_recording_does_not_change_content_codes() -> None:
    torch.manual_seed(0)
    model, mel = Model(config()).eval().requires_grad_(False), torch.randn(1, 80, 60)
    mask = (torch.arange(60) < 40).float().view(1, 1, 60)
    codes, codes_of_softer = model.encode_content(mel, mask), model.encode_content(mel - 3, mask)
    torch.testing.assert_close(codes_of_softer, codes, atol=1e-4, rtol=1e-4)
    assert (model.encode_content(mel.roll(7, dims=-1), mask) - codes).abs().max() > 0.01
