"""Both stages on a small corpus: they run, resume exactly, and give weights that convert."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from saic import manifest
from saic.config import Config
from saic.errors import DataError, TrainingError, UsageError
from saic.pipeline import Pipeline
from saic.training import loop
from saic.training.corpus import Corpus
from saic.training.losses import ReconstructionLoss, multi_scale_l1
from saic.training.perceptual import MelFeatures, spell
from saic.training.stage1 import Stage1
from saic.training.stage2 import Stage2
from saic.training.warp import warp, warp_matrix
from tests.conftest import RATE, voice

ROOT = Path(__file__).parents[1]
TINY = Config.from_yaml(ROOT / "train" / "configs" / "tiny.yaml")


@pytest.fixture(scope="module")
def corpus(corpus_folder: Path) -> Corpus:
    return Corpus(manifest.read(corpus_folder), segment_frames=TINY.training.segment_frames, stride=4)


def test_crops_lie_on_the_grid_hold_speech_and_repeat_with_the_seed(corpus: Corpus) -> None:
    one, two = (corpus.sample(50, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.mel, two.mel) and torch.equal(one.grid, two.grid)
    assert one.mel.shape == (50, 80, 32) and one.f0.shape == (50, 32) and one.grid.shape == (50, 8)
    assert one.mask.mean(dim=-1).min() >= 0.5
    first = one.grid[:, 0] * 4
    for b in range(50):
        torch.testing.assert_close(one.mel[b], corpus.mel[:, first[b] : first[b] + 32].float())
        assert corpus.starts[one.clip[b]] <= first[b] <= corpus.starts[one.clip[b]] + corpus.lengths[one.clip[b]] - 32
    assert one.grid.max() < corpus.n_codes


def test_a_corpus_without_usable_clips_is_refused(corpus_folder: Path) -> None:
    with pytest.raises(DataError, match="No clip"):
        Corpus(manifest.read(corpus_folder)[:1], segment_frames=10_000, stride=4)


def test_warping_moves_frequencies_and_keeps_totals() -> None:
    torch.testing.assert_close(warp_matrix(1.0), torch.eye(80))
    torch.testing.assert_close(warp_matrix(1.2).sum(dim=1), torch.ones(80))
    mel = torch.full((2, 80, 5), -10.0)
    mel[:, 20] = 0.0
    up, down = warp(mel, torch.tensor([1, 0]), (0.8, 1.2))[..., 0]
    assert up.argmax() > 20 > down.argmax()


def test_losses_are_zero_for_equal_mels_and_grow_with_the_distance() -> None:
    target, noise = torch.randn(4, 80, 32), torch.randn(4, 80, 32)
    loss = ReconstructionLoss(MelFeatures((4, 8, 8, 8)), weight=1.0, share=0.5)
    assert loss(target, target) == 0
    assert multi_scale_l1(target + 0.1 * noise, target) < multi_scale_l1(target + noise, target)
    near, far = loss(target + 0.1 * noise, target), loss(target + noise, target)
    assert multi_scale_l1(target + noise, target) < far and near < far


def test_spelling_drops_what_has_no_letter() -> None:
    assert spell("IT'S A-1").tolist() == [11, 22, 2, 21, 1, 3]


def losses_of(stage, steps) -> list[float]:
    return [stage.step(i)["reconstruction"] for i in steps]


def test_stage_1_learns_codes_and_repeats_itself(corpus: Corpus) -> None:
    config = TINY.model_copy(update={"stage1": TINY.stage1.model_copy(update={"steps": 60, "noise_std": 0.1})})
    stage = Stage1(corpus, config, None)
    before = stage.codes.content.weight.detach().clone()
    losses = losses_of(stage, range(60))
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert not torch.equal(stage.codes.content.weight, before)
    torch.manual_seed(99)  # the global state must not matter
    assert losses_of(Stage1(corpus, config, None), range(5)) == losses[:5]


@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_run_goes_on_exactly(corpus: Corpus, tmp_path: Path, number: int) -> None:
    def stage():
        first = Stage1(corpus, TINY, None)
        return first if number == 1 else Stage2(corpus, TINY, first.state_dict(), None, unseen=corpus)

    loop.run(stage(), loop.Schedule(8, save_every=4), tmp_path / "whole")
    loop.run(stage(), loop.Schedule(4, save_every=4), tmp_path / "killed")
    with (tmp_path / "killed" / "log.jsonl").open("a") as log:  # steps after the last checkpoint are taken again
        log.write('{"step": 6, "reconstruction": 0}\n')
    loop.run(stage(), loop.Schedule(8, save_every=4), tmp_path / "killed", resume=True)
    ends = [loop.load_checkpoint(loop.latest(tmp_path / name))["stage"] for name in ("whole", "killed")]
    part = "decoder" if number == 1 else "model"
    for name, tensor in ends[0][part].items():
        torch.testing.assert_close(ends[1][part][name], tensor, atol=1e-6, rtol=0)
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert steps == [4, 8]


def test_checkpoints_kept_are_the_last_two_and_the_best(corpus: Corpus, tmp_path: Path) -> None:
    scores = iter([0.5, 0.1, 0.7, 0.6, 0.9])
    loop.run(
        Stage1(corpus, TINY, None), loop.Schedule(10, save_every=2), tmp_path, validate=lambda: {"loss": next(scores)}
    )
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert kept == ["step-10", "step-4", "step-8"]


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    class Broken:
        def step(self, i: int) -> dict[str, float]:
            return {"loss": float("nan") if i == 3 else 1.0}

        def state_dict(self) -> dict:
            return {}

    with pytest.raises(TrainingError, match="step 4"):
        loop.run(Broken(), loop.Schedule(10), tmp_path)


def test_a_run_folder_is_not_used_twice_by_accident(tmp_path: Path) -> None:
    loop.start(tmp_path / "run", TINY, resume=False)
    with pytest.raises(UsageError, match="--resume"):
        loop.start(tmp_path / "run", TINY, resume=False)
    with pytest.raises(UsageError, match="another config"):
        loop.start(tmp_path / "run", Config(), resume=True)
    loop.start(tmp_path / "run", TINY, resume=True)


def test_stage_2_refuses_another_corpus_codes(corpus: Corpus, corpus_folder: Path) -> None:
    small = Corpus(manifest.read(corpus_folder)[:6], segment_frames=32, stride=4)
    with pytest.raises(DataError, match="other data"):
        Stage2(small, TINY, Stage1(corpus, TINY, None).state_dict(), None)


def test_the_entry_points_from_a_folder_to_a_conversion(corpus_folder: Path, tmp_path: Path) -> None:
    """What the README's training section says, with the tiny config."""

    def run(module: str, *arguments: str | Path) -> str:
        command = [sys.executable, "-m", f"train.{module}", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    data, tiny = tmp_path / "manifest.jsonl", ROOT / "train" / "configs" / "tiny.yaml"
    run("prepare", corpus_folder, "--out", data)
    common = ("--data", data, "--config", tiny)
    run("perceptual", *common, "--run", tmp_path / "perceptual")
    run("stage1", *common, "--run", tmp_path / "stage1", "--perceptual", tmp_path / "perceptual")
    run("stage2", *common, "--run", tmp_path / "stage2", "--stage1", tmp_path / "stage1")
    for stage in ("stage1", "stage2"):
        said = run("probe", "--data", data, "--run", tmp_path / stage, "--speakers", "3")
        assert "step 2, 3 speakers of 'train'" in said and said.count(" %") == 4
    pipeline = Pipeline.from_pretrained(tmp_path / "stage2" / "weights")
    wav = voice(120, 2.0)
    assert pipeline.convert((wav, RATE), (voice(200, 2.0), RATE)).wav.shape == wav.shape
    assert yaml.safe_load((tmp_path / "stage1" / "config.yaml").read_text()) == TINY.to_dict()
