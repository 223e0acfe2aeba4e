"""The recognizer behind the loss on words: what it learns from, and what its distance tells apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from saic import manifest
from saic.config import Config
from saic.errors import DataError, UsageError
from saic.model import Model
from saic.training.corpus import Corpus
from saic.training.recognizer import Recognizer, RecognizerStage, load_recognizer, word_distance
from saic.training.stage2 import Stage2
from train import recognizer as entry

TINY = Config.from_yaml(Path(__file__).parents[1] / "train" / "configs" / "tiny.yaml")


@pytest.fixture(scope="module")
def corpus(corpus_folder: Path) -> Corpus:
    settings = {"segment_frames": TINY.training.segment_frames, "stride": TINY.content_stride}
    clips = [replace(clip, text="ONE TWO" if i else None) for i, clip in enumerate(manifest.read(corpus_folder))]
    return Corpus(clips, **settings)


@pytest.fixture
def network() -> Recognizer:
    torch.manual_seed(0)
    return Recognizer(TINY.recognizer, 5).eval().requires_grad_(False)


def spelled(corpus: Corpus) -> list[str | None]:
    return [None, *("abc" if i % 2 else "bca" for i in range(1, len(corpus.clips)))]


def test_it_learns_from_transcribed_clips_alone_and_repeats_itself(corpus: Corpus) -> None:
    steps = TINY.recognizer.model_copy(update={"steps": 40, "lr": 1e-2})
    stage = RecognizerStage(corpus, spelled(corpus), TINY.model_copy(update={"recognizer": steps}))
    assert stage.alphabet == ["a", "b", "c"] and 0 not in stage.clips
    losses = [stage.step(i)["loss"] for i in range(40)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    again = RecognizerStage(corpus, spelled(corpus), TINY.model_copy(update={"recognizer": steps}))
    assert [again.step(i)["loss"] for i in range(3)] == losses[:3]


def test_clips_without_a_transcript_are_not_enough(corpus: Corpus) -> None:
    with pytest.raises(DataError, match="nothing to learn"):
        RecognizerStage(corpus, [None] * len(corpus.clips), TINY)


def test_what_was_saved_hears_the_same(corpus: Corpus, tmp_path: Path) -> None:
    stage = RecognizerStage(corpus, spelled(corpus), TINY)
    stage.save(tmp_path)
    loaded, mel = load_recognizer(tmp_path, TINY.recognizer), torch.randn(2, 80, 32)
    assert torch.equal(loaded(mel)[1], stage.network.eval()(mel)[1])
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    wider = TINY.recognizer.model_copy(update={"channels": 20})
    for folder, config in ((tmp_path / "nowhere", TINY.recognizer), (tmp_path, wider)):
        with pytest.raises(UsageError, match=r"Run train\.recognizer"):
            load_recognizer(folder, config)


def test_it_hears_two_moments_of_a_mel_whatever_the_level_of_its_bands(network: Recognizer) -> None:
    mel = torch.randn(2, 80, 33)
    features, phones = network(mel)
    assert phones.shape == (2, 17, 6) and {f.shape for f in features} == {(2, 16, 17)}
    torch.testing.assert_close(phones.exp().sum(dim=-1), torch.ones(2, 17))
    coloured = network(mel * 2 + torch.linspace(-3, 3, 80)[:, None])[1]
    assert (coloured - phones).abs().mean() < 0.2 * (network(mel.flip(-1))[1] - phones).abs().mean()


def test_the_distance_of_words_is_zero_for_equal_mels_and_grows(network: Recognizer) -> None:
    target, noise = torch.randn(4, 80, 32), torch.randn(4, 80, 32)
    for last in (False, True):
        near, far = (word_distance(network, target + scale * noise, target, last=last) for scale in (0.1, 1.0))
        assert word_distance(network, target, target, last=last) == 0
        assert 0 < near < far


def test_stage_2_hears_words_in_what_it_decodes(corpus: Corpus, network: Recognizer) -> None:
    stage = Stage2(corpus, TINY, Model(TINY), None, recognizer=network, unseen=corpus)
    assert stage.step(0)["words"] > 0
    silent = TINY.stage2.model_copy(update={"weights": TINY.stage2.weights.model_copy(update={"words": 0.0})})
    deaf = Stage2(corpus, TINY.model_copy(update={"stage2": silent}), Model(TINY), None, recognizer=network)
    assert "words" not in deaf.step(0)


def test_transcripts_become_phones_once_without_stress_and_pauses(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def phonemes(text: str, accent: str) -> str:
        asked.append((text, accent))
        return "hˈə, lO."

    monkeypatch.setattr(entry, "phonemes", phonemes)
    said = entry._spelled(corpus)
    assert said == [None] + ["həlO"] * (len(corpus.clips) - 1)
    assert asked == [("one two", "en-us")]

    def missing(text: str, accent: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(entry, "phonemes", missing)
    with pytest.raises(UsageError, match="espeak-ng"):
        entry._spelled(corpus)
