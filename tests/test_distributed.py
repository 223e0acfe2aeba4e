"""Data-parallel training: two processes train the same weights as one process."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from saic.config import Config
from saic.errors import UsageError
from saic.training import distributed, loop
from saic.training.perceptual import FEATURES, MelFeatures
from saic.training.phone_recognizer import PhoneRecognizer
from saic.weights import write_tensors
from tests import two_processes
from train import prepare

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    prepare.main(corpus_folder, folder / "manifest.jsonl")
    values = yaml.safe_load((ROOT / "train" / "configs" / "tiny.yaml").read_text())
    # The perceptual loss uses five of six clips: two in one process, three in the other.
    values["training"] |= {"batch_size": 6, "perceptual_share": 0.8, "perceptual_weight": 1.0}
    values["content_encoder"]["phone_encoder"] = {"channels": 8, "blocks": 2, "kernel": 3}
    losses = ("content", "speaker", "f0", "reconstruction", "speaker_style", "phone_features", "phone_loss")
    values["stage2"]["weights"] = dict.fromkeys(losses, 0.02)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
    (folder / "perceptual").mkdir()
    torch.manual_seed(0)
    network = MelFeatures(Config.from_dict(values).perceptual.channels)
    write_tensors(folder / "perceptual" / FEATURES, network.state_dict())
    (folder / "recognizer").mkdir()
    PhoneRecognizer(5, channels=8, n_blocks=2, kernel=3).save(folder / "recognizer")
    n_threads = torch.get_num_threads()
    # As in the two processes: more threads round sums differently, which Adam can turn into whole
    # steps.
    torch.set_num_threads(1)
    two_processes.main(folder, folder / "one")
    torch.set_num_threads(n_threads)
    return folder


def records(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def by_torchrun(folder: Path, runs: Path) -> None:
    command = ["torch.distributed.run", "--nproc-per-node", "2", "-m", "--", "tests.two_processes"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *command, folder, runs], cwd=ROOT, env=environment, check=True)


def by_fork(folder: Path, runs: Path) -> None:
    """With the variables that ``torchrun`` sets, without the seconds that it and new processes take to start."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [context.Process(target=two_processes.join, args=(rank, port, folder, runs)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.mark.parametrize("start", [by_fork, pytest.param(by_torchrun, marks=pytest.mark.proof)])
def test_two_processes_give_the_losses_gradients_and_weights_of_one(start, folder: Path, capfd) -> None:
    two_runs = folder / start.__name__
    start(folder, two_runs)
    assert capfd.readouterr().out.count("train: ") == 1  # only the first process prints
    for stage, parts in (("stage1", ("codes", "decoder")), ("stage2", ("model",))):
        one, two = records(folder / "one" / stage), records(two_runs / stage)
        assert len(one) == len(two) == (1 if stage == "stage1" else 2)
        for expected, found in zip(one, two, strict=True):
            expected.pop("s_per_step", None)
            assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-5)
        one, two = (torch.load(run / stage / "gradients.pt", weights_only=True) for run in (folder / "one", two_runs))
        assert 0.1 < norm(one) < 4.9  # below 5, where clipping would hide a wrong scale
        for name, gradient in one.items():
            torch.testing.assert_close(two[name], gradient, atol=1e-6, rtol=1e-3, msg=f"{stage} {name}")
        # Adam scales each gradient to unit size. Where the exact gradient is 0, as of a bias before
        # normalization, the rounding error becomes a whole step, so that single weights may differ
        # by more than their gradients.
        runs = (folder / "one" / stage, two_runs / stage)
        one, two = (loop.load_checkpoint(loop.latest(run))["stage"] for run in runs)
        for part in parts:
            assert norm({name: two[part][name] - one[part][name] for name in one[part]}) < 1e-3 * norm(one[part]), part


def norm(tensors: dict[str, torch.Tensor]) -> float:
    return float(torch.cat([tensor.flatten().double() for tensor in tensors.values()]).norm())


def test_rows_cover_a_batch_once_and_a_batch_that_cannot_be_shared_evenly_raises_usage_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "_n_processes", lambda: 3)
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    covered = []
    for rank in range(3):
        monkeypatch.setattr(distributed.dist, "get_rank", lambda rank=rank: rank)
        covered += range(7)[distributed.rows(7)]
        assert distributed.shard(torch.arange(6)).tolist() == [2 * rank, 2 * rank + 1]
    assert covered == list(range(7))
    with pytest.raises(UsageError, match="multiple"):
        distributed.shard(torch.zeros(7))
