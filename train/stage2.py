"""Stage 2, training of the encoders and fine-tuning of the decoder.

::

    python -m train.stage2 --data MANIFEST --stage1 DIR --run DIR [--perceptual DIR]

``--recognizer DIR`` (output of ``train.recognizer``) adds the phone loss and initializes the phone
encoder. ``--init WEIGHTS`` instead of ``--stage1`` fine-tunes finished weights on your own corpus.
``--init random`` starts from random weights, without stage-1 codes; with ``--content WEIGHTS`` the
content encoder is that of finished weights. ``--speaker DIR`` is that of stage 1. Weights of ``--init``
have their own speaker encoder, which ``--speaker DIR`` replaces.
``--parallel FOLDER`` adds the parallel speech of ``train.kokoro``.

Writes the finished weights to ``DIR/weights``, for the ``--weights`` option of any command.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from saic.config import Config
from saic.errors import UsageError
from saic.model.model import Model
from saic.training import distributed
from saic.training.initialization import mel_statistics
from saic.training.loop import Schedule, is_finished, latest, start
from saic.training.loop import run as run_stage
from saic.training.perceptual import FEATURES, load_features
from saic.training.phone_recognizer import RECOGNIZER_FILE, load_recognizer
from saic.training.speaker import SPEAKER_FILE
from saic.training.stage1 import read_codes
from saic.training.stage2 import Stage2
from saic.weights import SUMS
from train.entry import (
    DATA,
    ConfigOption,
    DataOption,
    DeviceOption,
    ParallelOption,
    ResumeOption,
    RunOption,
    hash_of,
    hash_of_tensors,
    named_weights,
    read_config,
    read_training_set,
    run,
)
from train.stage1 import PerceptualOption, SpeakerOption, speaker_encoder

WEIGHTS = "weights"  # folder of the finished weights in a run folder
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
    speaker: SpeakerOption = None,
    recognizer: RecognizerOption = None,
    parallel: ParallelOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train the encoders on the train split, validate on the unseen speakers of the dev split."""
    if (stage1 is None) == (init is None):
        raise UsageError("Stage 2 starts from --stage1 or from --init: give one of them.")
    if content is not None and init != _RANDOM:
        raise UsageError("--content needs --init random: other starts have a content encoder already.")
    settings, initial = read_config(config), None
    if init != _RANDOM:
        initial = _weights(init) if init else read_codes(stage1)
    if isinstance(initial, Model):
        settings = settings.with_networks_of(initial.config)
    train(
        data,
        run,
        settings,
        initial,
        content=_weights(content) if content else None,
        perceptual=perceptual,
        speaker=speaker,
        recognizer=recognizer,
        parallel=parallel,
        resume=resume,
        device=device,
    )
    if distributed.is_first():
        print(f"Weights: {run / WEIGHTS}")


def train(
    data: Sequence[Path],
    run: Path,
    config: Config,
    initial: dict[str, Any] | Model | None,
    *,
    content: Model | None = None,
    perceptual: Path | None = None,
    speaker: Path | None = None,
    recognizer: Path | None = None,
    parallel: Path | None = None,
    steps: range | None = None,
    earlier: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> None:
    """Run stage 2, and write the weights to ``RUN/weights``.

    A finished run stays as it is, with what was added to its weights, such as a vocoder.

    Parameters
    ----------
    initial, content
        As for :class:`~saic.training.stage2.Stage2`.
    steps
        Those of one part of the training; None takes all.
    earlier
        Run folder of the part before.
    """
    distributed.start(device)
    start(run, config, resume=resume)
    steps = range(config.stage2.steps) if steps is None else steps
    if is_finished(run, steps.stop) and (run / WEIGHTS / SUMS).is_file():
        return
    training_set = read_training_set(data, "train", config, parallel)
    starts_from_weights = isinstance(initial, Model)
    statistics = mel_statistics(training_set, initial if starts_from_weights else content)
    features = load_features(perceptual, config.perceptual.channels, *statistics, device) if perceptual else None
    phones = load_recognizer(recognizer, device) if recognizer else None
    stage = Stage2(
        training_set,
        config,
        initial,
        features,
        content=content,
        speaker_encoder=None if starts_from_weights and not speaker else speaker_encoder(speaker, config, *statistics),
        recognizer=phones,
        earlier=Model.from_pretrained(earlier / WEIGHTS) if earlier else None,
        first_step=steps.start,
        unseen=read_training_set(data, "dev", config),
        resumed=resume and latest(run) is not None,
        device=device,
    )
    inputs = {
        DATA: training_set.fingerprint,
        "--stage1 or --init": _hash_of_weights(initial),
        "--content": _hash_of_weights(content),
        "--perceptual": hash_of(perceptual, FEATURES),
        "--speaker": hash_of(speaker, SPEAKER_FILE),
        "--recognizer": hash_of(recognizer, RECOGNIZER_FILE),
    }
    schedule = Schedule(steps.stop, first=steps.start)
    run_stage(stage, schedule, run, resume=resume, validate=stage.validate, inputs=inputs)
    if distributed.is_first():
        stage.model.save_pretrained(run / WEIGHTS)


def _hash_of_weights(initial: dict[str, Any] | Model | None) -> str | None:
    """SHA-256 of the tensors that the stage starts from: all of a model, or the content codes of stage 1."""
    if initial is None:
        return None
    is_model = isinstance(initial, Model)
    return hash_of_tensors(initial.state_dict().values() if is_model else [initial["codes"]["content.weight"]])


def _weights(init: str) -> Model:
    return Model.from_pretrained(named_weights(init))


if __name__ == "__main__":
    run(main, parallel=True)
