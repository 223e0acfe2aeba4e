"""Pilots: trials of disjoint clips, paired figures, and the command on a tiny corpus."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from saic import audio
from saic.config import Config
from saic.data import manifest
from saic.errors import DataError, SilentAudio, UsageError
from saic.files import sha256
from saic.model.model import Model
from saic.training.loop import latest, load_checkpoint
from saic.weights import MODEL
from tests.conftest import RATE, voice
from train import pilot
from train.pilot_report import Score, report, table
from train.pilot_trials import GAP_S, MAX_PIECE_S, Piece, Trial, choose

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")


@pytest.fixture
def corpus(corpus_folder: Path, tmp_path: Path) -> Path:
    """A manifest with three training and three dev speakers of three clips."""
    clips = [
        replace(clip, split="train" if clip.speaker < "speaker3" else "dev") for clip in manifest.read(corpus_folder)
    ]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    return tmp_path / "manifest.jsonl"


class FakeASR:
    """Hears four words in everything; one of them depends on the samples."""

    identity = "fake"
    languages = frozenset({"en"})

    def __init__(self, model: str | None = None):
        self.model = model

    def transcribe(self, wav: np.ndarray, *, language: str) -> str:
        return f"one two three {len(wav)} {int(1000 * np.abs(wav).mean())}"


class FakeEmbedder:
    """Level of the low and of the high samples' differences: enough to tell recordings apart."""

    name = "resemblyzer"

    def embed(self, wav: np.ndarray) -> np.ndarray:
        vector = np.array([np.abs(wav).mean(), np.abs(np.diff(wav)).mean()])
        return vector / np.linalg.norm(vector)


def test_trials_use_disjoint_clips_of_one_corpus_and_equally_many_speakers_of_each(
    corpus_folder: Path, tmp_path: Path
) -> None:
    clips = manifest.read(corpus_folder)
    other = [replace(clip, path=tmp_path / "other" / clip.path.relative_to(corpus_folder)) for clip in clips]
    shutil.copytree(corpus_folder, tmp_path / "other")
    trials = choose([clips, other], 8)
    assert trials == choose([clips, other], 8)
    speakers = {trial.speaker for trial in trials}
    assert Counter(speaker.split("/")[0] for speaker in speakers) == {"1": 4, "2": 4}
    for trial in trials:
        pieces = [trial.source, *trial.reference, *trial.enrolled_source, *trial.enrolled_target]
        assert trial.reference and trial.enrolled_source and trial.enrolled_target
        assert not any(overlap(one, other) for one, other in combinations(pieces, 2))
        assert len({piece.path.parents[1] for piece in pieces}) == 1
        source, target = trial.source.path.parent, trial.reference[0].path.parent
        assert source == trial.enrolled_source[0].path.parent != target == trial.enrolled_target[0].path.parent
    with pytest.raises(DataError, match="two dev speakers"):
        choose([clips[:3]], 8)
    with pytest.raises(UsageError, match="--speakers must be 4 or more"):
        choose([clips, other], 3)


def overlap(one: Piece, other: Piece) -> bool:
    return one.path == other.path and one.start < other.stop and other.start < one.stop


def test_speakers_of_one_long_clip_are_used_in_pieces_with_a_gap_of_half_a_second(tmp_path: Path) -> None:
    clips = []
    for name, pitch_hz in (("a", 110), ("b", 200)):
        audio.save(tmp_path / f"{name}.wav", voice(pitch_hz, 20.0))
        clips.append(manifest.Clip(tmp_path / f"{name}.wav", name, name, None, 20.0, None, "dev"))
    for trial in choose([clips], 2):
        pieces = sorted([trial.source, *trial.enrolled_source], key=lambda piece: piece.start)
        assert all(RATE < len(piece.wav()) <= MAX_PIECE_S * RATE for piece in pieces)
        assert all(after.start - before.stop >= GAP_S * RATE for before, after in pairwise(pieces))


def trial(speaker: str) -> Trial:
    return Trial(speaker, Piece(Path("a"), 0, 1), [], [], [])


def test_figures_are_means_over_speakers_and_differences_are_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saic.evaluation.metrics.MIN_INTERVAL_SPEAKERS", 2)
    trials = [trial("1/a"), trial("1/a"), trial("1/b"), trial("1/c")]
    first = {"wer_conversion": [Score(1, 10), Score(3, 10), Score(0, 5), Score(0, 0)]}
    second = {"wer_conversion": [Score(2, 10), Score(4, 10), Score(1, 10), Score(1, 2)]}
    found = report({"one": first, "two": second, "vocoder": {}}, trials, 5)
    assert found["designs"]["one"]["wer_conversion"]["value"] == pytest.approx(10)  # of 20 and 0 %; c has no words
    assert found["designs"]["two"]["wer_conversion"]["n"] == 3
    difference = found["differences"]["two"]["wer_conversion"]
    assert (difference["value"], difference["n"]) == (pytest.approx(10), 2)
    assert difference["low"] == difference["high"] == pytest.approx(10)  # alike for both speakers
    printed = table(found)
    assert "| one | 10.0 [0.0, 20.0] |" in printed and "*+10.0 [10.0, 10.0]*" in printed
    assert json.loads(json.dumps(found)) == found


def test_word_errors_are_at_most_the_words_of_the_recording() -> None:
    assert pilot._words("a b c", "a b c") == (0, 3)
    assert pilot._words("a b c", "x " * 50) == (3, 3)


def test_output_without_speech_is_no_trial_of_leak() -> None:
    class Silent(FakeEmbedder):
        def embed(self, wav: np.ndarray) -> np.ndarray:
            raise SilentAudio("silent")

    source, target = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert pilot._leak(Silent(), np.zeros(9), source, target) == (0, 0)
    near_source = np.ones(100)
    assert pilot._leak(FakeEmbedder(), near_source, source, target) == (1, 1)
    assert pilot._leak(FakeEmbedder(), near_source, target, source) == (0, 1)


def test_command_trains_configs_measures_weights_and_goes_on_with_resume(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pilot, "WhisperASR", FakeASR)
    monkeypatch.setattr(pilot, "MoonshineASR", FakeASR)
    monkeypatch.setattr(pilot, "_embedders", lambda: [FakeEmbedder()])
    Model(TINY).save_pretrained(tmp_path / "known")
    frozen = TINY.to_dict() | {"stage2": TINY.to_dict()["stage2"] | {"freeze_content": True}}
    (tmp_path / "frozen.yaml").write_text(yaml.safe_dump(frozen), encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY.to_dict()), encoding="utf-8")
    designs = [str(tmp_path / name) for name in ("frozen.yaml", "tiny.yaml", "known")]
    options = {"data": [corpus], "run": tmp_path / "run", "content": str(tmp_path / "known"), "steps": 3, "speakers": 3}
    pilot.main(designs, **options)
    found = json.loads((tmp_path / "run" / "pilot.json").read_text(encoding="utf-8"))
    assert list(found["designs"]) == ["frozen", "tiny", "known", "vocoder"] and found["n_speakers"] == 3
    words = {"wer_reconstruction", "wer_conversion"}
    figures = words | {f"moonshine_{name}" for name in words} | {"leak_resemblyzer"}
    assert all(found["designs"][name].keys() == figures for name in ("frozen", "tiny", "known"))
    assert found["differences"].keys() == {"tiny", "known", "vocoder"}
    assert "| frozen |" in (tmp_path / "run" / "pilot.md").read_text(encoding="utf-8")
    known, made = (Model.from_pretrained(tmp_path / name) for name in ("known", "run/frozen/weights"))
    names = known.content_encoder.state_dict().keys()
    assert all((known.content_encoder.state_dict()[n] == made.content_encoder.state_dict()[n]).all() for n in names)
    assert made.config.vocoder.kind == "neural" and made.config.stage2.steps == 3
    checkpoint = load_checkpoint(latest(tmp_path / "run" / "frozen"))
    assert checkpoint["inputs"]["--content"] == sha256(tmp_path / "known" / MODEL)
    monkeypatch.setattr(pilot, "Stage2", None)  # nothing is trained again
    pilot.main(designs, **options, resume=True)
    assert json.loads((tmp_path / "run" / "pilot.json").read_text(encoding="utf-8")) == found


def test_designs_need_one_budget_and_names_of_their_own(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pilot, "WhisperASR", FakeASR)
    monkeypatch.setattr(pilot, "MoonshineASR", FakeASR)
    monkeypatch.setattr(pilot, "_embedders", lambda: [FakeEmbedder()])
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY.to_dict()), encoding="utf-8")
    larger = TINY.to_dict() | {"training": TINY.to_dict()["training"] | {"batch_size": 5}}
    (tmp_path / "larger.yaml").write_text(yaml.safe_dump(larger), encoding="utf-8")
    options = {"data": [corpus], "run": tmp_path / "run", "speakers": 3}
    with pytest.raises(UsageError, match="equal budgets"):
        pilot.main([str(tmp_path / "tiny.yaml"), str(tmp_path / "larger.yaml")], **options)
    with pytest.raises(UsageError, match="Corpus 2: There is no manifest"):
        pilot.main([str(tmp_path / "tiny.yaml")], **options | {"data": [corpus, tmp_path / "none"]})
    with pytest.raises(UsageError, match="names of their own"):
        pilot.main([str(tmp_path / "tiny.yaml"), str(tmp_path / "tiny.yaml")], **options)


def test_configs_of_pilots_have_one_budget_and_no_loss_but_the_mel_l1() -> None:
    configs = {path.stem: Config.from_yaml(path) for path in (ROOT / "train" / "configs" / "pilot").glob("*.yaml")}
    assert len({config.training.model_dump_json() for config in configs.values()}) == 1
    assert {"codes", "phones"} <= configs.keys()
    for name, config in configs.items():
        weights, augmentation = config.stage2.weights, config.stage2.augmentation
        assert (weights.phone_loss, weights.phone_features, weights.speaker_style) == (0, 0, 0), name
        assert config.stage2.phone_encoder_lr_scale == augmentation.target_share == 0, name
