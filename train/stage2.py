"""Stage 2, training of the encoders and fine-tuning of the decoder.

::

    python -m train.stage2 --data MANIFEST --stage1 DIR --run DIR [--perceptual DIR]

``--recognizer DIR`` (output of ``train.recognizer``) adds the phone loss and initializes the phone
encoder. ``--init WEIGHTS`` instead of ``--stage1`` fine-tunes finished weights on your own corpus.
``--init random`` starts from random weights, without stage-1 codes; with ``--content WEIGHTS`` the
content encoder is that of finished weights. ``--speech-encoder DIR`` (output of
``train.speech_encoder``) initializes the speech encoder, if the config has one and the weights have
none. ``--parallel FOLDER`` adds the parallel speech of ``train.kokoro``.

Writes the finished weights to ``DIR/weights``, for the ``--weights`` option of any command.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from saic.errors import UsageError
from saic.model.model import Model
from saic.training import distributed
from saic.training.loop import Schedule, latest, load_checkpoint, start
from saic.training.loop import run as run_stage
from saic.training.perceptual import load_features
from saic.training.phone_recognizer import load_recognizer
from saic.training.stage2 import Stage2
from train.entry import (
    ConfigOption,
    DataOption,
    DeviceOption,
    ParallelOption,
    ResumeOption,
    RunOption,
    named_weights,
    read_config,
    read_training_set,
    run,
)
from train.speech_encoder import SpeechEncoderOption, load
from train.stage1 import PerceptualOption

_RANDOM = "random"

Stage1Option = Annotated[Path | None, typer.Option("--stage1", help="Run folder of train.stage1.")]
InitOption = Annotated[
    str | None, typer.Option("--init", help='Weights to start from instead: a folder, "bundled" or "random".')
]

ContentOption = Annotated[
    str | None,
    typer.Option("--content", help='With --init random: weights whose content encoder is taken, or "bundled".'),
]
RecognizerOption = Annotated[
    Path | None, typer.Option("--recognizer", help="Run folder of train.recognizer; without it, no phone loss.")
]


def main(
    data: DataOption,
    run: RunOption,
    stage1: Stage1Option = None,
    init: InitOption = None,
    config: ConfigOption = None,
    perceptual: PerceptualOption = None,
    content: ContentOption = None,
    recognizer: RecognizerOption = None,
    speech_encoder: SpeechEncoderOption = None,
    parallel: ParallelOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train the encoders on the train split, validate on the unseen speakers of the dev split."""
    if (stage1 is None) == (init is None):
        raise UsageError("Stage 2 starts from --stage1 or from --init: give one of them.")
    if content is not None and init != _RANDOM:
        raise UsageError("--content needs --init random: other starts have a content encoder already.")
    distributed.start(device)
    settings = read_config(config)
    first = None if init == _RANDOM else _weights(init) if init else _codes(stage1)
    start(run, settings, resume=resume)
    stage = Stage2(
        read_training_set(data, "train", settings, parallel),
        settings,
        first,
        load_features(perceptual, settings.perceptual.channels, device) if perceptual else None,
        content=_weights(content) if content else None,
        recognizer=load_recognizer(recognizer, device) if recognizer else None,
        speech_encoder=load(speech_encoder) if speech_encoder else None,
        unseen=read_training_set(data, "dev", settings),
        device=device,
    )
    run_stage(stage, Schedule(settings.stage2.steps), run, resume=resume, validate=stage.validate)
    if distributed.is_first():
        stage.model.save_pretrained(run / "weights")
        print(f"Weights: {run / 'weights'}")


def _weights(init: str) -> Model:
    return Model.from_pretrained(named_weights(init))


def _codes(stage1: Path) -> dict[str, Any]:
    checkpoint = latest(stage1)
    if checkpoint is None:
        raise UsageError("The --stage1 folder holds no checkpoint. Run train.stage1 first.")
    return load_checkpoint(checkpoint)["stage"]


if __name__ == "__main__":
    run(main, parallel=True)
