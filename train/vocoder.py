"""Train the neural vocoder on the lossless clips of the train split.

::

    python -m train.vocoder --data MANIFEST --run DIR [--init WEIGHTS] [--weights DIR]

``--init`` starts from the vocoder of finished weights. With ``--reconstructed-by WEIGHTS`` a share of
the mels is reconstructed by those weights, which blurs them as in a conversion; they are kept in the
cache (``SAIC_CACHE``). ``--recognizer DIR`` (output of ``train.recognizer``) adds the phone loss.
``--weights`` adds the finished vocoder to a weights folder and its config; with ``--resume`` on a
finished run it does only that.
Writes ``DIR/vocoder.safetensors``.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import soundfile
import torch
import typer
from matplotlib.figure import Figure
from safetensors.torch import load_file

from saic import files
from saic.config import Config
from saic.conversion import Speech, reconstruct_mel
from saic.data.manifest import Clip
from saic.errors import DataError, TrainingError
from saic.evaluation.cache_keys import code_fingerprint
from saic.files import sha256
from saic.model.model import Model
from saic.signal.mel import SAMPLE_RATE, log_mel
from saic.training.clip_cache import cached
from saic.training.loop import Schedule, is_finished, latest, load_checkpoint, start
from saic.training.loop import run as run_stage
from saic.training.phone_recognizer import RECOGNIZER_FILE, load_recognizer
from saic.training.training_set import TrainingSet
from saic.training.vocoder import VocoderStage
from saic.training.waveform_set import WaveformSet
from saic.vocoder.source_filter import NeuralVocoder
from saic.weights import MODEL, VOCODER, load_vocoder, resolve, save_vocoder, verify, write_tensors
from train.entry import (
    DATA,
    ConfigOption,
    DataOption,
    DeviceOption,
    ResumeOption,
    RunOption,
    hash_of,
    hash_of_tensors,
    named_weights,
    print_broken,
    read_clips,
    read_config,
    run,
)
from train.stage2 import RecognizerOption

LOSSLESS = (".flac", ".wav")
N_SAMPLES = 3
InitOption = Annotated[
    str | None, typer.Option("--init", help='Weights whose vocoder to start from: a folder, or "bundled".')
]
ReconstructedOption = Annotated[
    str | None, typer.Option("--reconstructed-by", help='Weights that reconstruct the clips: a folder, or "bundled".')
]
WeightsOption = Annotated[Path | None, typer.Option("--weights", help="Folder of weights that gets the vocoder.")]


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    weights: WeightsOption = None,
    init: InitOption = None,
    reconstructed_by: ReconstructedOption = None,
    recognizer: RecognizerOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train on the train split, validate on the unseen speakers of the dev split."""
    settings = read_config(config)
    if weights is not None:
        verify(weights)  # now, not after the training
    train(
        data,
        run,
        settings,
        init=None if init is None else load_vocoder(resolve(named_weights(init))),
        reconstructed_by=None if reconstructed_by is None else Model.from_pretrained(named_weights(reconstructed_by)),
        recognizer=recognizer,
        resume=resume,
        device=device,
    )
    if weights is not None:
        save_vocoder(weights, settings, load_file(run / VOCODER))
        print(f"Vocoder in the weights: {weights}")


def train(
    data: Sequence[Path],
    run: Path,
    config: Config,
    *,
    init: dict[str, torch.Tensor] | None = None,
    reconstructed_by: Model | None = None,
    recognizer: Path | None = None,
    steps: range | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> None:
    """Train a vocoder, and write it (float16) to ``RUN/vocoder.safetensors``.

    Parameters
    ----------
    init
        Tensors of the vocoder to start from, such as that of the part before.
    reconstructed_by
        Model that reconstructs a share of the mels.
    steps
        Those of one part of the training; None takes all.
    """
    settings = config.vocoder_training
    steps = range(settings.steps) if steps is None else steps
    start(run, config, resume=resume)
    if not is_finished(run, steps.stop):
        reconstruct = None if reconstructed_by is None else _reconstructor(reconstructed_by, device)
        unseen = _read(data, "dev", settings.segment_frames)
        waveforms = _read(data, "train", settings.segment_frames, reconstruct)
        stage = VocoderStage(
            waveforms,
            config,
            init,
            recognizer=load_recognizer(recognizer, device) if recognizer else None,
            first_step=steps.start,
            unseen=unseen,
            device=device,
        )

        def validate() -> dict[str, float]:
            _write_samples(run, stage, unseen)
            return stage.validate()

        inputs = {
            DATA: waveforms.training_set.fingerprint,
            "--init": None if init is None else hash_of_tensors(init.values()),
            "--reconstructed-by": None if reconstructed_by is None else sha256(reconstructed_by.folder / MODEL),
            "--recognizer": hash_of(recognizer, RECOGNIZER_FILE),
        }
        schedule = Schedule(steps.stop, save_every=500, first=steps.start)
        run_stage(stage, schedule, run, resume=resume, validate=validate, inputs=inputs)
    tensors = load_checkpoint(latest(run))["stage"]["network"]
    write_tensors(run / VOCODER, {name: tensor.half().contiguous() for name, tensor in tensors.items()})


def _reconstructor(model: Model, device: str) -> Callable[[TrainingSet, int], torch.Tensor]:
    """Return a function of a set and the index of a clip: the log-mel (80, T) that finished weights reconstruct.

    The mels are kept in the cache.
    """
    model.to(device)
    sizes = model.config.model_dump_json(include={"content_encoder", "speaker_encoder", "decoder"})
    code = code_fingerprint("model", "signal", "conversion.py")
    what = f"reconstruction, {sha256(model.folder / MODEL)}, {sizes}, {code}"

    @torch.inference_mode()
    def measure(data: TrainingSet, clip: int) -> dict[str, torch.Tensor]:
        mel, mask, f0 = (x[None].to(device) for x in (data.clip_mel(clip), data.clip_mask(clip), data.clip_f0(clip)))
        return {"mel": reconstruct_mel(model, Speech(mel, mask, tracked_f0=f0))[0].half().cpu()}

    return lambda data, clip: cached(data.clips[clip].path, what, partial(measure, data, clip))["mel"]


def lossless_clips(data: Sequence[Path], split: str) -> list[Clip]:
    """The clips of a split that a vocoder may be trained on: FLAC and WAV.

    Raises
    ------
    DataError
        There are none.
    """
    clips = [clip for clip in read_clips(data, split) if clip.path.suffix.lower() in LOSSLESS]
    if not clips:
        raise DataError(
            f"The split '{split}' holds no lossless clips (FLAC or WAV): a vocoder would learn codec artifacts."
            " Add a corpus that has them by another --data."
        )
    return clips


def _read(
    data: Sequence[Path],
    split: str,
    segment_frames: int,
    reconstruct: Callable[[TrainingSet, int], torch.Tensor] | None = None,
) -> WaveformSet:
    clips = lossless_clips(data, split)
    training_set = TrainingSet(clips, segment_frames=segment_frames, stride=1)
    print_broken(training_set)
    print(f"{split}: {len(training_set.clips)} lossless clips, {len(training_set.speakers)} speakers")
    return WaveformSet(training_set, reconstruct)


def _write_samples(run: Path, stage: VocoderStage, unseen: WaveformSet) -> None:
    """Write copy synthesis of a few clips of unseen speakers, with spectrograms."""
    folder = run / "samples"
    folder.mkdir(exist_ok=True)
    vocode = NeuralVocoder(stage.network)
    for clip in range(min(N_SAMPLES, len(unseen.training_set.clips))):
        mel, f0 = unseen.training_set.clip_mel(clip), unseen.training_set.clip_f0(clip)
        wav = vocode(mel.to(stage.device), f0).clamp(-1, 1).cpu()
        sound, picture = io.BytesIO(), io.BytesIO()
        soundfile.write(sound, wav.numpy(), SAMPLE_RATE, format="FLAC")
        _draw({"Recording": mel, "Vocoder": log_mel(wav)}).savefig(picture, dpi=100)
        try:
            files.write(folder / f"{clip}.flac", sound.getvalue(), force=True)
            files.write(folder / f"{clip}.png", picture.getvalue(), force=True)
        except OSError as error:
            raise TrainingError(
                f"The samples cannot be written: {error.strerror}. Correct that, then add --resume."
            ) from None
    stage.network.train()


def _draw(mels: dict[str, torch.Tensor]) -> Figure:
    figure = Figure(figsize=(12, 6), layout="constrained")
    for axes, (title, mel) in zip(figure.subplots(len(mels), 1), mels.items(), strict=True):
        axes.imshow(mel.numpy(), origin="lower", aspect="auto", vmin=-9, vmax=2, cmap="magma")
        axes.set_title(title)
    return figure


if __name__ == "__main__":
    run(main)
