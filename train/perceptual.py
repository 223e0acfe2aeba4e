"""Train the feature network of the perceptual loss.

::

    python -m train.perceptual --data MANIFEST --run DIR

Writes ``DIR/features.safetensors``, which ``train.stage1`` and ``train.stage2`` take as
``--perceptual``.
"""

from saic.training.loop import Schedule, is_finished, start
from saic.training.loop import run as run_stage
from saic.training.perceptual import FEATURES, PerceptualStage
from train.entry import (
    DATA,
    ConfigOption,
    DataOption,
    DeviceOption,
    ResumeOption,
    RunOption,
    read_config,
    read_training_set,
    run,
)


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train the perceptual network on the train split."""
    settings = read_config(config)
    start(run, settings, resume=resume)
    if is_finished(run, settings.perceptual.steps) and (run / FEATURES).is_file():
        return
    training_set = read_training_set(data, "train", settings)
    stage = PerceptualStage(training_set, settings, device)
    schedule = Schedule(settings.perceptual.steps, save_every=200)
    run_stage(stage, schedule, run, resume=resume, inputs={DATA: training_set.fingerprint})
    stage.save_features(run)


if __name__ == "__main__":
    run(main)
