"""Two steps of both training stages, in this process or in each of two.

``tests/test_distributed.py`` compares the two.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from saic.training import distributed, loop
from saic.training.perceptual import load_features
from saic.training.phone_recognizer import load_recognizer
from saic.training.stage1 import Stage1
from saic.training.stage2 import Stage2
from train.entry import read_config, read_training_set

STEPS = 2


def main(folder: Path, runs: Path) -> None:
    """Train both stages on the manifest in ``folder``; stage 2 starts from an untrained stage 1.

    ``runs`` gets a run folder for each stage, with ``gradients.pt`` besides: the gradients of the
    first step, averaged and clipped.
    """
    distributed.start("cpu")
    config = read_config(folder / "tiny.yaml")
    train_set, dev_set = (read_training_set([folder / "manifest.jsonl"], split, config) for split in ("train", "dev"))
    features = load_features(folder / "perceptual", config.perceptual.channels, *train_set.statistics())
    recognizer = load_recognizer(folder / "recognizer")
    untrained = Stage1(train_set, config, None).state_dict()
    for number in (1, 2):

        def stage(number: int = number) -> Any:
            if number == 1:
                return Stage1(train_set, config, features)
            return Stage2(train_set, config, untrained, features, recognizer=recognizer, unseen=dev_set)

        first = stage()
        first.step(0)
        parts = (first.codes, first.decoder) if number == 1 else (first.model,)
        named = [(f"{i}.{name}", p.grad) for i, part in enumerate(parts) for name, p in part.named_parameters()]
        run = runs / f"stage{number}"
        loop.start(run, config, resume=False)
        loop.run(stage(), loop.Schedule(STEPS), run, validate=first.validate if number == 2 else None)
        if distributed.is_first():
            torch.save({name: g.to_dense() for name, g in named if g is not None}, run / "gradients.pt")
    distributed.stop()


def join(rank: int, port: int, folder: Path, runs: Path) -> None:
    """:func:`main` in a new process, as one of two that ``torchrun`` starts."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    main(folder, runs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
