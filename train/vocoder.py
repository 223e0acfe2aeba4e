"""The neural vocoder: ``python -m train.vocoder --data MANIFEST --run DIR [--init WEIGHTS] [--weights DIR]``.

Trains on the lossless clips of the train split. ``--init`` goes on from the vocoder of finished weights. ``--rebuilt-by
WEIGHTS`` shows it what those weights make of the clips, so that it learns to speak from a conversion's mels too, and
``--recognizer DIR`` adds a loss on words, by what ``train.recognizer`` wrote. ``--weights`` puts the finished vocoder
into a folder of weights, whose config then names it; for a run that is finished already (``--resume``) nothing else is
done.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import torch
import typer
from matplotlib.figure import Figure

from saic.data import manifest
from saic.errors import DataError
from saic.pipeline import Pipeline
from saic.signal.mel import SAMPLE_RATE, log_mel
from saic.training.loop import Schedule, latest, load_checkpoint, start
from saic.training.loop import run as run_stage
from saic.training.phone_recognizer import load_recognizer
from saic.training.training_set import Corpus
from saic.training.vocoder import VocoderStage
from saic.training.waveform_set import Waveforms
from saic.vocoder.source_filter import NeuralVocoder
from saic.weights import load_vocoder, resolve, save_vocoder
from train.entry import ConfigOption, DataOption, DeviceOption, ResumeOption, RunOption, named_weights, read_config, run
from train.stage2 import RecognizerOption

LOSSLESS = (".flac", ".wav")
N_SAMPLES = 3
InitOption = Annotated[
    str | None, typer.Option("--init", help='Weights whose vocoder to go on from: a folder, or "bundled".')
]
RebuiltOption = Annotated[
    str | None, typer.Option("--rebuilt-by", help='Weights that rebuild the clips: a folder, or "bundled".')
]
WeightsOption = Annotated[Path | None, typer.Option("--weights", help="Folder of weights that gets the vocoder.")]


def main(
    data: DataOption,
    run: RunOption,
    config: ConfigOption = None,
    weights: WeightsOption = None,
    init: InitOption = None,
    rebuilt_by: RebuiltOption = None,
    recognizer: RecognizerOption = None,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train on the train split, validate on the unseen speakers of the dev split."""
    settings = read_config(config)
    first = None if init is None else load_vocoder(resolve(named_weights(init)))
    rebuild = None if rebuilt_by is None else _rebuilder(Pipeline.from_pretrained(named_weights(rebuilt_by)))
    start(run, settings, resume=resume)
    if not _finished(run, settings.vocoder.steps):
        unseen = _read(data, "dev", settings.vocoder.segment_frames)
        stage = VocoderStage(
            _read(data, "train", settings.vocoder.segment_frames, rebuild),
            settings,
            first,
            recognizer=load_recognizer(recognizer, device) if recognizer else None,
            unseen=unseen,
            device=device,
        )

        def validate() -> dict[str, float]:
            _write_samples(run, stage, unseen)
            return stage.validate()

        run_stage(stage, Schedule(settings.vocoder.steps, save_every=500), run, resume=resume, validate=validate)
    if weights is not None:
        save_vocoder(weights, settings.vocoder, load_checkpoint(latest(run))["stage"]["network"])
        print(f"Vocoder in the weights: {weights}")


def _rebuilder(pipeline: Pipeline) -> Callable[[np.ndarray], np.ndarray]:
    """What takes a recording to the mel that a model makes of it in its own voice."""

    def rebuild(wav: np.ndarray) -> np.ndarray:
        clip = wav, SAMPLE_RATE
        return pipeline.convert(clip, clip, reconstruct=False).mels["reconstructed"]

    return rebuild


def _finished(run: Path, steps: int) -> bool:
    newest = latest(run)
    return newest is not None and load_checkpoint(newest)["step"] >= steps


def _read(
    data: Path, split: str, segment_frames: int, rebuild: Callable[[np.ndarray], np.ndarray] | None = None
) -> Waveforms:
    clips = [clip for clip in manifest.read(data, splits=[split]) if clip.path.suffix.lower() in LOSSLESS]
    if not clips:
        raise DataError(f"The split '{split}' holds no lossless clips (FLAC or WAV): a vocoder would learn the codec.")
    waveforms = Waveforms(Corpus(clips, segment_frames=segment_frames, stride=1), rebuild)
    print(f"{split}: {len(waveforms.corpus.clips)} lossless clips, {len(waveforms.corpus.speakers)} speakers")
    return waveforms


def _write_samples(run: Path, stage: VocoderStage, unseen: Waveforms) -> None:
    """A few clips of unseen speakers through the vocoder, to hear and to see."""
    folder = run / "samples"
    folder.mkdir(exist_ok=True)
    vocode = NeuralVocoder(stage.network)
    for clip in range(min(N_SAMPLES, len(unseen.corpus.clips))):
        mel, f0 = unseen.corpus.clip_mel(clip), unseen.corpus.clip_f0(clip)
        wav = vocode(mel, f0).clamp(-1, 1)
        soundfile.write(folder / f"{clip}.flac", wav.numpy(), SAMPLE_RATE)
        _draw({"Recording": mel, "Vocoder": log_mel(wav)}).savefig(folder / f"{clip}.png", dpi=100)
    stage.network.train()


def _draw(mels: dict[str, torch.Tensor]) -> Figure:
    figure = Figure(figsize=(12, 6), layout="constrained")
    for axes, (title, mel) in zip(figure.subplots(len(mels), 1), mels.items(), strict=True):
        axes.imshow(mel.numpy(), origin="lower", aspect="auto", vmin=-9, vmax=2, cmap="magma")
        axes.set_title(title)
    return figure


if __name__ == "__main__":
    run(main)
