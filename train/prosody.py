"""Training of the prosody predictor, for the profiles that do not keep the source's prosody.

::

    python -m train.prosody --data MANIFEST --run DIR [--init WEIGHTS] [--weights DIR]

Its inputs are the content codes of finished weights (``--init``), which stay as they are. Writes
``DIR/prosody.safetensors``. ``--weights`` also adds that file to a folder of these weights; with
``--resume`` on a finished run it does only that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from saic.config import Config
from saic.errors import UsageError
from saic.files import sha256
from saic.model.model import Model
from saic.model.prosody import ProsodyPredictor
from saic.training.loop import Schedule, is_finished, start
from saic.training.loop import run as run_stage
from saic.training.prosody import ProsodySet, ProsodyTraining, cluster_centers, encode_clips, typical_rate
from saic.weights import MODEL, PROSODY, verify, write_sums
from train.entry import (
    DATA,
    ConfigOption,
    DataOption,
    DeviceOption,
    ResumeOption,
    RunOption,
    named_weights,
    read_config,
    read_training_set,
    run,
)

InitOption = Annotated[str, typer.Option("--init", help='Weights whose codes to use: a folder, or "bundled".')]
WeightsOption = Annotated[Path | None, typer.Option("--weights", help="Folder of weights that gets the predictor.")]
_SAVE_EVERY = 200


def main(
    data: DataOption,
    run: RunOption,
    init: InitOption = "bundled",
    weights: WeightsOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train on the train split, validate on the unseen speakers of the dev split."""
    settings = read_config(config)
    steps = settings.prosody_training.steps
    start(run, settings, resume=resume)
    model = Model.from_pretrained(named_weights(init))
    if model.config.content_stride != settings.content_stride:
        raise UsageError("The config has another content stride than the weights. Name the config of the weights.")
    if weights is not None:
        verify(weights)
        if sha256(weights / MODEL) != sha256(model.folder / MODEL):
            raise UsageError("--weights holds another model than --init, with other content codes. Name one model.")
    made_by = sha256(model.folder / MODEL)[:16]
    if not (is_finished(run, steps, {"--init": made_by}) and (run / PROSODY).is_file()):
        _train(data, run, settings, model, made_by, resume=resume, device=device)
    print(f"Prosody predictor: {run / PROSODY}")
    if weights is not None:
        codes = model.config.content_encoder.code_channels
        ProsodyPredictor.load(run / PROSODY, codes, model.config.content_stride).save(weights / PROSODY)
        write_sums(weights)
        print(f"Prosody predictor in the weights: {weights}")


def _train(
    data: Sequence[Path],
    run: Path,
    settings: Config,
    model: Model,
    made_by: str,
    *,
    resume: bool,
    device: str,
) -> None:
    """Train a predictor on the content codes of a model, and write it; ``made_by`` is the model's hash."""
    steps = settings.prosody_training.steps
    clips = {split: read_training_set(data, split, settings) for split in ("train", "dev")}
    codes = {split: encode_clips(clips[split], model, run / f"codes_{split}_{made_by}.safetensors") for split in clips}
    speech = clips["train"].speech[:: settings.content_stride]
    centers = cluster_centers(codes["train"][:, speech], np.random.default_rng(settings.seed))
    sets = [ProsodySet(clips[split], codes[split], centers) for split in clips]
    rate = typical_rate(codes["train"], speech)
    stage = ProsodyTraining(*sets, centers, rate, settings, steps, device)
    inputs = {DATA: clips["train"].fingerprint, "--init": made_by}
    run_stage(stage, Schedule(steps, _SAVE_EVERY), run, resume=resume, validate=stage.validate, inputs=inputs)
    stage.predictor.save(run / PROSODY)


if __name__ == "__main__":
    run(main)
