"""The recognizer of the phone loss: its output equals the package's, also on this project's mel."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from saic import audio
from saic.config import Config
from saic.data import manifest
from saic.data.left_out import LeftOut
from saic.errors import DataError, UsageError
from saic.evaluation.measures.text_errors import edits
from saic.model.model import Model
from saic.model.phone_encoder import OWN_HOP_SAMPLES, to_recognizer_frames
from saic.signal.mel import HOP_SAMPLES, log_mel
from saic.training.phone_recognizer import PhoneRecognizer, load_recognizer, phone_loss
from saic.training.stage2 import Stage2
from saic.training.training_set import TrainingSet
from train import recognizer as entry

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")
EXAMPLES = sorted((ROOT / "assets" / "examples").glob("*.flac"))
FIRST_NON_PHONE = 189  # of the package's symbols: word boundary, blank and unused ones come after the phones


@pytest.fixture(scope="module")
def archive() -> dict[str, Tensor]:
    return entry.read_archive()


@pytest.fixture
def recognizer() -> PhoneRecognizer:
    torch.manual_seed(0)
    return PhoneRecognizer(5, channels=8, n_blocks=2, kernel=3).eval().requires_grad_(False)


def phones(log_probabilities: Tensor) -> list[int]:
    """Greedy decoding of (T, phones): the most probable symbols without repetitions and blanks."""
    best = log_probabilities.argmax(dim=-1).tolist()
    changes = [symbol for previous, symbol in zip([None, *best], best, strict=False) if symbol != previous]
    return [symbol for symbol in changes if symbol < FIRST_NON_PHONE]


def test_network_gives_the_symbols_of_the_package(archive: dict[str, Tensor]) -> None:
    from hama.asr import ASRModel

    wav = audio.load(EXAMPLES[0])[: 3 * audio.SAMPLE_RATE]
    package = ASRModel()
    expected = package.transcribe_waveform(wav, audio.SAMPLE_RATE)
    found = entry.network(archive).recognize_own_mel(entry.own_log_mel(archive, torch.from_numpy(wav))[None])[1][0]
    found = found / 0.95  # the package uses a temperature of 0.95 and lowers the blank by 0.1
    found[:, package.blank_id] -= 0.1
    assert found.argmax(dim=-1).tolist() == expected.frame_token_ids
    assert len(expected.phonemes) > 10


def test_phone_error_rate_with_the_fitted_map_is_below_20_percent(archive: dict[str, Tensor], tmp_path: Path) -> None:
    """The map is fitted on one half of the examples and tested on the other half."""
    fitted, held_out = EXAMPLES[::2], EXAMPLES[1::2]
    network = entry.network(archive)
    clips = [manifest.Clip(path, path.stem, path.stem, None, 1.0, None, "train") for path in fitted]
    mapped = entry.network(archive)
    mapped.matrix, mapped.offset, error = entry.fit(partial(entry.own_log_mel, archive), clips)
    assert 0 < error < 1.5
    mapped.save(tmp_path)
    loaded = load_recognizer(tmp_path)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    errors = length = 0
    for path in held_out:
        wav = torch.from_numpy(audio.load(path))
        expected = phones(network.recognize_own_mel(entry.own_log_mel(archive, wav)[None])[1][0])
        found = edits(expected, phones(loaded(log_mel(wav)[None])[1][0]))
        errors, length = errors + found.errors, length + found.length
    assert length > 50 and errors / length < 0.2


def test_clips_that_cannot_be_decoded_are_left_out_of_the_fit(archive: dict[str, Tensor], tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    paths = [tmp_path / "text.wav", EXAMPLES[0]]
    clips = [manifest.Clip(path, path.stem, path.stem, None, 1.0, None, "train") for path in paths]
    left_out = LeftOut()
    matrix, _, error = entry.fit(partial(entry.own_log_mel, archive), clips, left_out)
    assert left_out == {"broken": ["text"]} and matrix.isfinite().all() and error > 0
    with pytest.raises(DataError, match="None of the clips"):
        entry.fit(partial(entry.own_log_mel, archive), clips[:1])


def test_clips_of_the_fit_are_drawn_by_the_seed_of_the_config(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [replace(clip, split="train") for clip in manifest.read(corpus_folder)]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    (tmp_path / "config.yaml").write_text("seed: 5\n")
    drawn: list[list[str]] = []

    def fit(own_log_mel: Callable, chosen: list[manifest.Clip], left_out: LeftOut) -> tuple[Tensor, Tensor, float]:
        drawn.append([clip.utterance for clip in chosen])
        return torch.eye(80), torch.zeros(80, 1), 0.0

    monkeypatch.setattr(entry, "fit", fit)
    for config in (tmp_path / "config.yaml", None):
        entry.main([tmp_path / "manifest.jsonl"], tmp_path / "run", config, n_clips=4)
    order = np.random.default_rng(5).permutation(len(clips))[:4]
    assert drawn[0] == [clips[i].utterance for i in order] != drawn[1]


def test_other_weights_or_a_missing_package_raise_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(UsageError, match="pip install hama=="):
        entry.read_archive()

    def missing(name: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(entry.resources, "files", missing)
    with pytest.raises(UsageError, match="one more package"):
        entry.read_archive()


def test_saved_recognizer_loads_with_float16_precision_and_a_folder_without_one_raises_usage_error(
    recognizer: PhoneRecognizer, tmp_path: Path
) -> None:
    recognizer.save(tmp_path)
    mel = torch.randn(2, 80, 32)
    loaded = load_recognizer(tmp_path)
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(loaded(mel)[1], recognizer(mel)[1], atol=1e-2, rtol=0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recognizer.safetensors").write_bytes(b"no tensors")
    for folder in (tmp_path / "nowhere", tmp_path / "other"):
        with pytest.raises(UsageError, match=r"Run train\.recognizer"):
            load_recognizer(folder)


@pytest.mark.parametrize("n_frames", [1, 2, 33, 160])
def test_mel_is_interpolated_at_the_recognizers_frames(n_frames: int) -> None:
    times = (torch.arange(n_frames) * HOP_SAMPLES + HOP_SAMPLES / 2).float()
    found = to_recognizer_frames(times.expand(1, 80, -1))
    assert found.shape[-1] == -(-n_frames * HOP_SAMPLES // OWN_HOP_SAMPLES)
    expected = (torch.arange(found.shape[-1]) * OWN_HOP_SAMPLES).float().clamp(times[0], times[-1])
    torch.testing.assert_close(found[0, 0], expected)


def test_recognizer_gives_features_and_phone_probabilities_for_50_frames_per_second(
    recognizer: PhoneRecognizer,
) -> None:
    features, log_probabilities = recognizer(torch.randn(2, 80, 160))
    assert (
        log_probabilities.shape == (2, 100, 5) and {f.shape for f in features} == {(2, 100, 8)} and len(features) == 2
    )
    torch.testing.assert_close(log_probabilities.exp().sum(dim=-1), torch.ones(2, 100))


def test_phone_loss_is_zero_for_equal_mels_and_grows_with_noise(recognizer: PhoneRecognizer) -> None:
    target, noise = torch.randn(4, 80, 32), torch.randn(4, 80, 32)
    for same_voice in (False, True):
        near, far = (
            phone_loss(recognizer, target + scale * noise, target, same_voice=same_voice) for scale in (0.1, 1.0)
        )
        assert phone_loss(recognizer, target, target, same_voice=same_voice) == 0
        assert 0 < near < far


def test_stage_2_has_a_phone_loss_unless_its_weight_is_zero(corpus_folder: Path, recognizer: PhoneRecognizer) -> None:
    settings = {"segment_frames": TINY.training.segment_frames, "stride": TINY.content_stride}
    training_set = TrainingSet(manifest.read(corpus_folder), **settings)
    stage = Stage2(training_set, TINY, Model(TINY), None, recognizer=recognizer, unseen=training_set)
    assert stage.step(0)["phone_loss"] > 0
    weights = TINY.stage2.weights.model_copy(update={"phone_loss": 0.0})
    config = TINY.model_copy(update={"stage2": TINY.stage2.model_copy(update={"weights": weights})})
    without_phone_loss = Stage2(training_set, config, Model(TINY), None, recognizer=recognizer)
    assert "phone_loss" not in without_phone_loss.step(0)


def test_phone_loss_of_weak_noise_is_smaller_than_that_of_reversed_time(archive: dict[str, Tensor]) -> None:
    """Reversed time keeps every band's statistics but not the phones; weak noise keeps the phones."""
    network, mel = entry.network(archive), log_mel(torch.from_numpy(audio.load(EXAMPLES[0])))[None]
    noisy = mel + 0.1 * torch.from_numpy(np.random.default_rng(0).normal(size=mel.shape)).float()
    assert phone_loss(network, noisy, mel) < 0.3 * phone_loss(network, mel.flip(-1), mel)
