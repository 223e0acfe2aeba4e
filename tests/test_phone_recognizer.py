"""The recognizer behind the loss on words: it is the package's, hears the same in our mel, and tells words apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from saic import audio
from saic.config import Config
from saic.data import manifest
from saic.errors import UsageError
from saic.evaluation.measures.text_errors import edits
from saic.model.model import Model
from saic.model.phone_encoder import OWN_HOP_SAMPLES, on_own_grid
from saic.signal.mel import HOP_SAMPLES, log_mel
from saic.training.phone_recognizer import Recognizer, load_recognizer, word_distance
from saic.training.stage2 import Stage2
from saic.training.training_set import Corpus
from train import recognizer as entry

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")
EXAMPLES = sorted((ROOT / "assets" / "examples").glob("*.flac"))
FIRST_MARK = 189  # of the package's symbols: word boundary, blank and unused ones come after the phones


@pytest.fixture(scope="module")
def archive() -> dict[str, Tensor]:
    return entry.read_archive()


@pytest.fixture
def small() -> Recognizer:
    torch.manual_seed(0)
    return Recognizer(5, channels=8, n_blocks=2, kernel=3).eval().requires_grad_(False)


def phones(log_probabilities: Tensor) -> list[int]:
    best = log_probabilities.argmax(dim=-1).tolist()
    kept = [here for before, here in zip([None, *best], best, strict=False) if here != before]
    return [symbol for symbol in kept if symbol < FIRST_MARK]


def test_the_network_gives_what_the_package_gives(archive: dict[str, Tensor]) -> None:
    from hama.asr import ASRModel

    wav = audio.load(EXAMPLES[0])[: 3 * audio.SAMPLE_RATE]
    package = ASRModel()
    theirs = package.transcribe_waveform(wav, audio.SAMPLE_RATE)
    ours = entry.network(archive).hear(entry.own_log_mel(archive, torch.from_numpy(wav))[None])[1][0]
    ours = ours / 0.95  # the package sharpens a little, and disfavours the blank
    ours[:, package.blank_id] -= 0.1
    assert ours.argmax(dim=-1).tolist() == theirs.frame_token_ids
    assert len(theirs.phonemes) > 10


def test_through_the_map_it_hears_nearly_the_same_in_our_mel(archive: dict[str, Tensor], tmp_path: Path) -> None:
    """The map is found on one half of the examples and tried on the other."""
    known, others = EXAMPLES[::2], EXAMPLES[1::2]
    network = entry.network(archive)
    clips = [manifest.Clip(path, path.stem, path.stem, None, 1.0, None, "train") for path in known]
    mapped = entry.network(archive)
    mapped.matrix, mapped.offset, error = entry.fit(archive, clips)
    assert 0 < error < 1.5
    mapped.save(tmp_path)
    loaded = load_recognizer(tmp_path)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    errors = length = 0
    for path in others:
        wav = torch.from_numpy(audio.load(path))
        wanted = phones(network.hear(entry.own_log_mel(archive, wav)[None])[1][0])
        found = edits(wanted, phones(loaded(log_mel(wav)[None])[1][0]))
        errors, length = errors + found.errors, length + found.length
    assert length > 50 and errors / length < 0.2


def test_another_package_than_the_expected_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(UsageError, match="pip install hama=="):
        entry.read_archive()

    def missing(name: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(entry.resources, "files", missing)
    with pytest.raises(UsageError, match="one more package"):
        entry.read_archive()


def test_a_folder_without_a_recognizer_is_refused(small: Recognizer, tmp_path: Path) -> None:
    small.save(tmp_path)
    mel = torch.randn(2, 80, 32)
    assert torch.equal(load_recognizer(tmp_path)(mel)[1], small(mel)[1])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recognizer.safetensors").write_bytes(b"no tensors")
    for folder in (tmp_path / "nowhere", tmp_path / "other"):
        with pytest.raises(UsageError, match=r"Run train\.recognizer"):
            load_recognizer(folder)


@pytest.mark.parametrize("n_frames", [1, 2, 33, 160])
def test_frames_are_read_off_where_the_recognizer_has_its_own(n_frames: int) -> None:
    times = (torch.arange(n_frames) * HOP_SAMPLES + HOP_SAMPLES / 2).float()
    found = on_own_grid(times.expand(1, 80, -1))
    assert found.shape[-1] == -(-n_frames * HOP_SAMPLES // OWN_HOP_SAMPLES)
    wanted = (torch.arange(found.shape[-1]) * OWN_HOP_SAMPLES).float().clamp(times[0], times[-1])
    torch.testing.assert_close(found[0, 0], wanted)


def test_it_hears_fifty_moments_a_second(small: Recognizer) -> None:
    features, heard = small(torch.randn(2, 80, 160))
    assert heard.shape == (2, 100, 5) and {f.shape for f in features} == {(2, 100, 8)} and len(features) == 2
    torch.testing.assert_close(heard.exp().sum(dim=-1), torch.ones(2, 100))


def test_the_distance_of_words_is_zero_for_equal_mels_and_grows(small: Recognizer) -> None:
    target, noise = torch.randn(4, 80, 32), torch.randn(4, 80, 32)
    for same_voice in (False, True):
        near, far = (
            word_distance(small, target + scale * noise, target, same_voice=same_voice) for scale in (0.1, 1.0)
        )
        assert word_distance(small, target, target, same_voice=same_voice) == 0
        assert 0 < near < far


def test_stage_2_hears_words_in_what_it_decodes(corpus_folder: Path, small: Recognizer) -> None:
    settings = {"segment_frames": TINY.training.segment_frames, "stride": TINY.content_stride}
    corpus = Corpus(manifest.read(corpus_folder), **settings)
    stage = Stage2(corpus, TINY, Model(TINY), None, recognizer=small, unseen=corpus)
    assert stage.step(0)["words"] > 0
    silent = TINY.stage2.model_copy(update={"weights": TINY.stage2.weights.model_copy(update={"words": 0.0})})
    deaf = Stage2(corpus, TINY.model_copy(update={"stage2": silent}), Model(TINY), None, recognizer=small)
    assert "words" not in deaf.step(0)


def test_words_weigh_more_than_blur(archive: dict[str, Tensor]) -> None:
    """Time turned round leaves every band's statistics as they were and no word; a little noise leaves all words."""
    network, mel = entry.network(archive), log_mel(torch.from_numpy(audio.load(EXAMPLES[0])))[None]
    noisy = mel + 0.1 * torch.from_numpy(np.random.default_rng(0).normal(size=mel.shape)).float()
    assert word_distance(network, noisy, mel) < 0.3 * word_distance(network, mel.flip(-1), mel)
