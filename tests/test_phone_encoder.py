"""The listener of the content encoder: where its features stand, how far it hears, and what stage 2 makes of it."""

from pathlib import Path

import pytest
import torch

from saic.config import Config
from saic.data import manifest
from saic.errors import UsageError
from saic.model import phone_encoder as listener
from saic.model.model import Model
from saic.model.phone_encoder import OWN_HOP_SAMPLES, Listener, on_code_grid
from saic.signal.mel import HOP_SAMPLES
from saic.training.phone_recognizer import Recognizer
from saic.training.stage2 import Stage2
from saic.training.training_set import Corpus

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml").to_dict()
HEARD = {"channels": 8, "blocks": 2, "kernel": 3}
MEAN, DEVIATION = torch.linspace(-6, -2, 80).view(80, 1), torch.linspace(0.5, 2, 80).view(80, 1)


@pytest.fixture
def recognizer() -> Recognizer:
    torch.manual_seed(0)
    recognizer = Recognizer(5, channels=8, n_blocks=2, kernel=3)
    recognizer.matrix += 0.1 * torch.randn(80, 80)
    return recognizer.eval().requires_grad_(False)


@pytest.fixture
def corpus(corpus_folder: Path) -> Corpus:
    return Corpus(manifest.read(corpus_folder), segment_frames=TINY["training"]["segment_frames"], stride=2)


def config(content: dict[str, object] | None = None, **stage2: object) -> Config:
    sections = {"content_encoder": TINY["content_encoder"] | {"listener": HEARD} | (content or {})}
    return Config.from_dict(TINY | sections | {"stage2": TINY["stage2"] | stage2})


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_features_are_read_off_in_the_middle_of_every_code(stride: int) -> None:
    times = torch.arange(100.0) * 2 * OWN_HOP_SAMPLES
    found = on_code_grid(times.view(1, -1, 1), 30, stride)[0, 0]
    torch.testing.assert_close(found, (torch.arange(30) + 0.5) * stride * HOP_SAMPLES)


def test_a_window_of_attention_ends_what_is_heard_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A click at the end of a clip is heard at its beginning, unless a window lies between."""
    torch.manual_seed(0)
    network = Listener(8, 2, 3).eval().requires_grad_(False)
    mel = torch.randn(1, 80, 480)  # 300 moments
    changed = mel.clone()
    changed[..., -10:] += 10

    def moved() -> float:
        return float((network.sounds(changed) - network.sounds(mel))[:, :50].abs().max())

    assert moved() > 1e-4
    monkeypatch.setattr(listener, "_WINDOW", 100)
    assert moved() == 0


def test_the_network_that_is_lent_hears_the_same_in_standardized_mels(recognizer: Recognizer) -> None:
    mel = MEAN + DEVIATION * torch.randn(2, 80, 60)
    lent = recognizer.listener(MEAN, DEVIATION)
    torch.testing.assert_close(lent.sounds((mel - MEAN) / DEVIATION), recognizer.sounds(mel), atol=1e-4, rtol=1e-4)


def test_weights_with_a_listener_come_back(tmp_path: Path) -> None:
    saved, mel = Model(config()).eval().requires_grad_(False), torch.randn(1, 80, 33)
    saved.save_pretrained(tmp_path, half=False)
    assert torch.equal(Model.from_pretrained(tmp_path).encode_content(mel), saved.encode_content(mel))


def test_a_listener_that_is_added_learns_to_say_the_codes_of_before(corpus: Corpus, recognizer: Recognizer) -> None:
    torch.manual_seed(0)
    before = Model(Config.from_dict(TINY)).eval().requires_grad_(False)
    settings = config(steps=400, lr=1e-2, codes_first=60)
    stage = Stage2(corpus, settings, before, None, recognizer=recognizer, unseen=corpus)
    decoder = {name: tensor.clone() for name, tensor in stage.model.decoder.state_dict().items()}
    losses = [stage.step(i)["content"] for i in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    for name, tensor in stage.model.decoder.state_dict().items():
        assert torch.equal(tensor, decoder[name]), name
    then = stage.step(60)
    assert "content" not in then and then["reconstruction"] > 0


@pytest.mark.parametrize("codes_first", [0, 1])
def test_codes_of_before_are_learned_first_whether_or_not_a_listener_is_added(
    corpus: Corpus, recognizer: Recognizer, codes_first: int
) -> None:
    before = Model(config()).eval().requires_grad_(False)
    stage = Stage2(corpus, config(codes_first=codes_first), before, None, recognizer=recognizer, unseen=corpus)
    for name, tensor in stage.model.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name]), name
    losses = stage.step(0)
    assert ("content" in losses, "reconstruction" in losses) == (codes_first == 1, codes_first == 0)


def test_the_listener_learns_more_slowly_and_hears_through_disguises(corpus: Corpus, recognizer: Recognizer) -> None:
    stage = Stage2(corpus, config(), None, None, recognizer=recognizer, unseen=corpus)
    lent = recognizer.listener(stage.model.mel_mean, stage.model.mel_std)
    for name, tensor in stage.model.content_encoder.front.listener.state_dict().items():
        assert torch.equal(tensor, lent.state_dict()[name]), name
    assert stage.step(0)["listening"] > 0
    fresh, taught = (group["lr"] for group in stage.optimizer.param_groups)
    assert taught == fresh / 4


def test_without_a_recognizer_of_its_size_there_is_no_listener(corpus: Corpus, recognizer: Recognizer) -> None:
    with pytest.raises(UsageError, match="give --recognizer"):
        Stage2(corpus, config(), None, None, unseen=corpus)
    other = config({"listener": HEARD | {"kernel": 5}})
    with pytest.raises(UsageError, match="other sizes"):
        Stage2(corpus, other, None, None, recognizer=recognizer, unseen=corpus)


def test_a_softer_recording_says_the_same() -> None:
    torch.manual_seed(0)
    model, mel = Model(config()).eval().requires_grad_(False), torch.randn(1, 80, 60)
    mask = (torch.arange(60) < 40).float().view(1, 1, 60)
    before, softer = model.encode_content(mel, mask), model.encode_content(mel - 3, mask)
    torch.testing.assert_close(softer, before, atol=1e-4, rtol=1e-4)
    assert (model.encode_content(mel.roll(7, dims=-1), mask) - before).abs().max() > 0.01
