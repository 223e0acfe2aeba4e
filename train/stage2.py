"""Stage 2, the encoders: ``python -m train.stage2 --data MANIFEST --stage1 DIR --run DIR [--perceptual DIR]``.

Writes the finished weights to ``DIR/weights``, which every ``--weights`` option takes.
"""

from pathlib import Path
from typing import Annotated

import typer

from saic.errors import UsageError
from saic.training.loop import Schedule, latest, load_checkpoint, start
from saic.training.loop import run as run_stage
from saic.training.perceptual import load_features
from saic.training.stage2 import Stage2
from train.entry import ConfigOption, DataOption, DeviceOption, ResumeOption, RunOption, read_config, read_corpus, run
from train.stage1 import PerceptualOption

Stage1Option = Annotated[Path, typer.Option("--stage1", help="Run folder of train.stage1.")]


def main(
    data: DataOption,
    stage1: Stage1Option,
    run: RunOption,
    config: ConfigOption = None,
    perceptual: PerceptualOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train the encoders on the train split, validate on the unseen speakers of the dev split."""
    settings = read_config(config)
    checkpoint = latest(stage1)
    if checkpoint is None:
        raise UsageError("The --stage1 folder holds no checkpoint. Run train.stage1 first.")
    start(run, settings, resume=resume)
    stage = Stage2(
        read_corpus(data, "train", settings),
        settings,
        load_checkpoint(checkpoint)["stage"],
        load_features(perceptual, settings.perceptual.channels, device) if perceptual else None,
        unseen=read_corpus(data, "dev", settings),
        device=device,
    )
    run_stage(stage, Schedule(settings.stage2.steps), run, resume=resume, validate=stage.validate)
    stage.model.save_pretrained(run / "weights")
    print(f"Weights: {run / 'weights'}")


if __name__ == "__main__":
    run(main)
