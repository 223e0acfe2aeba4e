"""The gallery of a small corpus: as many voices as there are speakers, pseudonyms, a threshold."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from saic.config import Config
from saic.data import manifest
from saic.data.left_out import LeftOut
from saic.errors import DataError
from saic.gallery import Gallery
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.weights import VOICES
from tests.conftest import RATE, voice
from train import voices

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    Model(TINY).save_pretrained(tmp_path / "weights")
    return tmp_path / "weights"


def corpus(folder: Path, sexes: str, n_dev: int = 1, *, clips: int = 4, seconds: float = 3.0) -> Path:
    """Manifest of speakers, of which the last ``n_dev`` are in the split "dev"."""
    rows = []
    folder.mkdir(exist_ok=True)
    for k, sex in enumerate(sexes):
        split = "dev" if k >= len(sexes) - n_dev else "train"
        for i in range(clips):
            path = folder / f"{k}-{i}.wav"
            sf.write(path, voice(90 + 40 * k, seconds, seed=10 * k + i, formant_hz=500 + 100 * k), RATE)
            label = None if sex == "?" else sex
            rows.append(manifest.Clip(path, path.stem, f"speaker{k}", label, seconds, None, split))
    manifest.write(folder / "manifest.jsonl", rows)
    return folder / "manifest.jsonl"


@pytest.mark.parametrize(("sexes", "labels"), [("FMF", "??"), ("FFMMF", "FFMM"), ("FFMM", "???"), ("???", "??")])
def test_few_speakers_give_a_gallery_whose_pseudonyms_are_blends(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], sexes: str, labels: str
) -> None:
    voices.main([corpus(tmp_path, sexes)], weights)
    assert f"{len(labels)} voices" in (out := capsys.readouterr().out) and "of 60" in out
    gallery = Gallery.load(weights / VOICES)
    assert len(gallery.names) == len(labels) and "".join(gallery.sexes) == labels
    means = gallery.speaker.astype(np.float32).mean(axis=1)
    for seed in range(5):
        pseudonym = gallery.pseudonym(bytes([seed]) * 32).embedding.numpy()
        assert np.abs(means - pseudonym).max(axis=1).min() > 1e-4  # it is no voice of the gallery
    anonymized = Pipeline.from_pretrained(weights).anonymize((voice(150, 2.0), RATE), seed=1)
    assert np.isfinite(anonymized.wav).all()


def test_one_speaker_with_enough_audio_raises_data_error_with_the_number(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(DataError, match=r"at least 2 voices.*is 1"):
        voices.main([corpus(tmp_path, "FM")], weights)


def test_broken_clips_are_left_out_of_the_gallery(tmp_path: Path, weights: Path, capsys) -> None:
    data = corpus(tmp_path, "FFMMFM", 2, clips=6)
    for name in ("0-0.wav", "5-0.wav"):
        (tmp_path / name).write_bytes(b"")
    voices.main([data], weights)
    assert "Left out 2 files: 2 empty" in capsys.readouterr().out
    assert len(Gallery.load(weights / VOICES).names) == 4


def test_threshold_takes_training_speakers_if_dev_has_too_few(tmp_path: Path, weights: Path, capsys) -> None:
    voices.main([corpus(tmp_path, "FMFM", 0)], weights)
    assert "were in training" in capsys.readouterr().out


def test_speakers_of_the_threshold_are_chosen_once_for_all_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = []
    monkeypatch.setattr(voices, "_first_speakers", lambda clips, count: lists.append(clips) or set())
    monkeypatch.setattr(voices, "_embed_parts", lambda *_, **__: [])
    clips = [manifest.Clip(Path("-"), str(k), "a", "F", 3.0, None, "train") for k in range(5)]
    with pytest.raises(DataError, match="two speakers"):
        voices._threshold(None, clips, clips, LeftOut())
    assert lists == [clips + clips]


def test_synthetic_voices_take_the_place_of_people_and_keep_their_order() -> None:
    random = np.random.default_rng(0)
    sexes, sexes_of_people = "FFFFFFFFFFMMMMMMMMMM", "F" * 40 + "M" * 40
    shape = np.diag(np.linspace(3, 0.1, 8))
    people = random.normal(size=(80, 8)) @ shape + np.repeat([[5.0], [-5.0]], 40, axis=0)
    voices_ = 0.5 * random.normal(size=(20, 4, 8)) + 20
    moved = voices.spread_as_people(voices_, sexes, people, sexes_of_people)
    for rows, of_people in ((slice(10), slice(40)), (slice(10, 20), slice(40, 80))):
        centers = moved[rows].mean(axis=1)
        np.testing.assert_allclose(centers.mean(axis=0), people[of_people].mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(np.cov(centers.T, bias=True), np.cov(people[of_people].T, bias=True), atol=1e-3)
    np.testing.assert_allclose(np.ptp(moved - voices_, axis=1), 0, atol=1e-4)  # within a voice, nothing changes
    assert np.linalg.norm(moved.mean(axis=1)[:, None] - people, axis=-1).min() > 0.1  # nobody's


def test_synthetic_voices_stay_without_people() -> None:
    voices_ = np.random.default_rng(0).normal(size=(4, 2, 8)).astype(np.float32)
    np.testing.assert_array_equal(voices.spread_as_people(voices_, "FFMM", np.zeros((1, 8)), "F"), voices_)


def test_voices_of_unknown_sex_take_the_place_of_all_people_not_of_those_of_unknown_sex() -> None:
    people = np.random.default_rng(0).normal(size=(30, 8))
    voices_ = np.random.default_rng(1).normal(size=(10, 4, 8))
    moved = voices.spread_as_people(voices_, "?" * 10, people, "F" * 14 + "M" * 14 + "??")
    np.testing.assert_allclose(moved.mean(axis=(0, 1)), people.mean(axis=0), atol=1e-5)


def test_gallery_of_parallel_speech_has_its_voices_and_embeddings_like_those_of_the_speakers(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices, "_threshold", lambda *_: 0.5)
    people = corpus(tmp_path / "people", "FFMMF", seconds=2.5)
    synthetic = corpus(tmp_path / "synthetic", "MMFF", n_dev=0, seconds=2.5)
    voices.main([people], weights)
    of_people = Gallery.load(weights / VOICES)
    voices.main([people], weights, parallel=synthetic)
    gallery = Gallery.load(weights / VOICES)
    assert gallery.sexes == ("F", "F", "M", "M")
    for sex in "FM":
        own, theirs = (
            of.speaker.astype(np.float32).mean(axis=1)[np.array(of.sexes) == sex] for of in (gallery, of_people)
        )
        np.testing.assert_allclose(own.mean(axis=0), theirs.mean(axis=0), atol=2e-3)
        np.testing.assert_allclose(np.cov(own.T), np.cov(theirs.T), atol=2e-3)
    assert not np.array_equal(gallery.mel_statistics, of_people.mel_statistics)


def test_voices_take_sentences_that_no_other_has_taken() -> None:
    def clips(speaker: str, texts: str) -> list[manifest.Clip]:
        return [manifest.Clip(Path("-"), f"{speaker}-{text}", speaker, "F", 3.0, text, "train") for text in texts]

    ordered = voices.own_sentences_first([clips("a", "0123456789"), clips("b", "0123456789"), clips("c", "01234")])
    assert ["".join(clip.text for clip in own) for own in ordered] == ["0123456789", "4567890123", "01234"]
    without_text = [manifest.Clip(Path("-"), str(k), "a", "F", 3.0, None, "train") for k in range(5)]
    assert voices.own_sentences_first([without_text]) == [without_text]
