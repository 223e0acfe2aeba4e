"""Stage 1, latent optimization of content codes, speaker codes and decoder.

::

    python -m train.stage1 --data MANIFEST --run DIR [--perceptual DIR]
"""

from pathlib import Path
from typing import Annotated

import typer

from saic.training import distributed
from saic.training.loop import Schedule, start
from saic.training.loop import run as run_stage
from saic.training.perceptual import load_features
from saic.training.stage1 import Stage1
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
    distributed.start(device)
    settings = read_config(config)
    start(run, settings, resume=resume)
    features = load_features(perceptual, settings.perceptual.channels, device) if perceptual else None
    stage = Stage1(read_training_set(data, "train", settings, parallel), settings, features, device)
    run_stage(stage, Schedule(settings.stage1.steps), run, resume=resume)


if __name__ == "__main__":
    run(main, parallel=True)
