"""Stage 1, latent optimization of content codes, speaker codes and decoder.

::

    python -m train.stage1 --data MANIFEST --run DIR [--perceptual DIR]

Writes ``DIR/codes.safetensors``, from which ``train.stage2`` starts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from saic.config import Config
from saic.training import distributed
from saic.training.loop import Schedule, start
from saic.training.loop import run as run_stage
from saic.training.perceptual import load_features
from saic.training.stage1 import Stage1, read_codes
from train.entry import (
    ConfigOption,
    DataOption,
    DeviceOption,
    ParallelOption,
    ResumeOption,
    RunOption,
    read_config,
    read_training_set,
    run,
)

PerceptualOption = Annotated[
    Path | None,
    typer.Option(
        "--perceptual",
        help="Run folder of train.perceptual, or a file of torchvision's vgg16 weights; without it, mel L1 only.",
    ),
]


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    perceptual: PerceptualOption = None,
    parallel: ParallelOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Optimize content codes, speaker codes and the decoder on the train split."""
    train(data, run, read_config(config), perceptual=perceptual, parallel=parallel, resume=resume, device=device)


def train(
    data: Sequence[Path],
    run: Path,
    config: Config,
    *,
    perceptual: Path | None = None,
    parallel: Path | None = None,
    steps: range | None = None,
    earlier: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> None:
    """Run stage 1, and write codes and decoder (float16) to ``RUN/codes.safetensors``.

    Parameters
    ----------
    steps
        Those of one part of the training; None takes all.
    earlier
        Run folder of the part before.
    """
    distributed.start(device)
    start(run, config, resume=resume)
    steps = range(config.stage1.steps) if steps is None else steps
    stage = Stage1(
        read_training_set(data, "train", config, parallel),
        config,
        load_features(perceptual, config.perceptual.channels, device) if perceptual else None,
        device,
        start=read_codes(earlier) if earlier else None,
        first_step=steps.start,
    )
    run_stage(stage, Schedule(steps.stop, first=steps.start), run, resume=resume)
    if distributed.is_first():
        stage.save_codes(run)


if __name__ == "__main__":
    run(main, parallel=True)
