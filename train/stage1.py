"""Stage 1, latent optimization of content codes, speaker codes and decoder.

::

    python -m train.stage1 --data MANIFEST --run DIR [--perceptual DIR] [--speaker DIR]

``--speaker DIR`` (output of ``train.speaker``) fixes the speaker codes: they are the mean embeddings
of the speakers. A config with ``speaker_encoder.tdnn`` needs it.

Writes ``DIR/codes.safetensors``, from which ``train.stage2`` starts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from saic.config import Config
from saic.errors import UsageError
from saic.model.speaker_encoder import TdnnSpeakerEncoder
from saic.training import distributed
from saic.training.loop import Schedule, is_finished, start
from saic.training.loop import run as run_stage
from saic.training.perceptual import FEATURES, load_features
from saic.training.speaker import SPEAKER_FILE, load_speaker_encoder, speaker_means
from saic.training.stage1 import CODES, Stage1, read_codes
from train.entry import (
    DATA,
    ConfigOption,
    DataOption,
    DeviceOption,
    ParallelOption,
    ResumeOption,
    RunOption,
    hash_of,
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

SpeakerOption = Annotated[
    Path | None, typer.Option("--speaker", help="Run folder of train.speaker, for a config with a tdnn.")
]


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    perceptual: PerceptualOption = None,
    speaker: SpeakerOption = None,
    parallel: ParallelOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Optimize content codes, speaker codes and the decoder on the train split."""
    options = {"perceptual": perceptual, "speaker": speaker, "parallel": parallel}
    train(data, run, read_config(config), **options, resume=resume, device=device)


def train(
    data: Sequence[Path],
    run: Path,
    config: Config,
    *,
    perceptual: Path | None = None,
    speaker: Path | None = None,
    parallel: Path | None = None,
    steps: range | None = None,
    earlier: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> None:
    """Run stage 1, and write codes and decoder (float16) to ``RUN/codes.safetensors``.

    A finished run stays as it is.

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
    if is_finished(run, steps.stop) and (run / CODES).is_file():
        return
    training_set = read_training_set(data, "train", config, parallel)
    mean, std = training_set.statistics()
    encoder = speaker_encoder(speaker, config, mean, std)
    features = load_features(perceptual, config.perceptual.channels, mean, std, device) if perceptual else None
    inputs = {
        DATA: training_set.fingerprint,
        "--perceptual": hash_of(perceptual, FEATURES),
        "--speaker": hash_of(speaker, SPEAKER_FILE),
    }
    stage = Stage1(
        training_set,
        config,
        features,
        device,
        initial=read_codes(earlier) if earlier else None,
        speaker_codes=speaker_means(encoder, training_set, mean, std) if encoder else None,
        first_step=steps.start,
    )
    run_stage(stage, Schedule(steps.stop, first=steps.start), run, resume=resume, inputs=inputs)
    if distributed.is_first():
        stage.save_codes(run)


def speaker_encoder(folder: Path | None, config: Config, mean: Tensor, std: Tensor) -> TdnnSpeakerEncoder | None:
    """The speaker encoder of a run of train.speaker; None if the config has the paper's.

    ``mean`` and ``std`` (80, 1) are those by which the stage standardizes mels.

    Raises
    ------
    UsageError
        The config has a time-delay network and ``folder`` is None or has no such network, or the reverse.
    """
    if (folder is None) != (config.speaker_encoder.tdnn is None):
        raise UsageError("A config with speaker_encoder.tdnn needs --speaker, and no other does.")
    return load_speaker_encoder(folder, config, mean, std) if folder else None


if __name__ == "__main__":
    run(main, parallel=True)
