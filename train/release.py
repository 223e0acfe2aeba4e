"""Make finished weights from corpora and pretrained teachers, in parts.

::

    python -m train.release --data CORPUS [--data CORPUS ...] --config train/configs/v1.yaml --run DIR
        [--parallel FOLDER | --kokoro FOLDER] [--resume] [--part NAME] [--evaluate]

The parts: parallel speech (with ``--kokoro``, the folder that the commands in train.kokoro fill), the
phone recognizer, if the config uses it (train.recognizer), the perceptual network, the speaker encoder,
if the config has ``speaker_encoder.tdnn`` (train.speaker), stage 1, stage 2, vocoder, gallery and
prosody predictor. The finished weights are ``DIR/weights``. The command prints
all parts with their steps, an estimate of their time on this machine, and what is done already, and
names those that take more than two hours.

``--resume`` skips finished parts and goes on with an interrupted one from its checkpoint. ``--part``
makes one part alone. Each part leaves one file of float16 tensors from which the next ones start,
so the folder can be copied to another machine between parts. Config and data must stay the same.

Mels and F0 are kept in the cache (``SAIC_CACHE``), so the first part that trains takes longer.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml

from saic import files
from saic.config import Config
from saic.data import manifest
from saic.errors import ConfigError, DataError, UsageError
from train.entry import (
    DataOption,
    DeviceOption,
    ParallelOption,
    ResumeOption,
    RunOption,
    read_clips,
    read_config,
    read_corpora,
    run,
)
from train.release_parts import CONFIG, PARALLEL, WEIGHTS, Recipe, Sources
from train.release_progress import Part, Progress
from train.speaker import require_pairs
from train.step_times import seconds_per_step, stages
from train.vocoder import lossless_clips
from train.voices import choose

_SECTIONS = ("stage1", "stage2", "vocoder_training")
_DATA_STATE = "data.json"
_LONG_S = 7_200.0
_CLIP_S = 5.0  # of parallel speech; Kokoro takes its length on one core


def main(
    data: DataOption,
    run: RunOption,
    config: Annotated[Path, typer.Option("--config", help="YAML file with the settings of all stages.")],
    parallel: ParallelOption = None,
    kokoro: Annotated[
        Path | None, typer.Option("--kokoro", help="Files of the synthesizer, to make parallel speech with.")
    ] = None,
    wordnet: Annotated[
        Path, typer.Option("--wordnet", help="Folder of WordNet's data.* files, for --kokoro.")
    ] = Sources.wordnet,
    part: Annotated[str | None, typer.Option("--part", help="Make this part alone.")] = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Also make the report of the finished weights.")] = False,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Make weights: all parts that are not finished, or one."""
    settings = _read_config(config)
    if parallel is not None and kokoro is not None:
        raise UsageError("--parallel is finished speech, and --kokoro makes it: give one of them.")
    sources = Sources(tuple(data), parallel, kokoro, wordnet)
    sources.check_synthesizer()
    _check_data(data, [parallel] if parallel else data if kokoro is None else (), evaluate=evaluate)
    if settings.speaker_encoder.tdnn is not None:
        require_pairs(read_corpora(data, ["dev"]))
    _open(run, settings, sources, resume=resume)
    progress = Progress(run, Recipe(run, sources, settings, device).parts())
    chosen = _chosen(progress, part)
    _print_plan(progress, chosen, settings, data, device)
    for one in chosen:
        if not progress.is_finished(one):
            print(f"\nPart {one.name}:", flush=True)
            progress.make(one)
    if not all(map(progress.is_finished, progress.parts)):
        return
    command = ["evaluate", *(word for path in data for word in ("--data", str(path)))]
    command += ["--split", "test", "--weights", str(run / WEIGHTS), "--out", str(run / "report")]
    print(f"\nWeights: {run / WEIGHTS}\nTheir report: {shlex.join(['saic', *command])}")
    if evaluate:
        raise typer.Exit(subprocess.run([sys.executable, "-m", "saic", *command]).returncode)


def _read_config(path: Path) -> Config:
    """The config; :class:`ConfigError` if stage 2 needs weights, or a stage has the defaults, which suit no release."""
    settings = read_config(path)
    if missing := [name for name in _SECTIONS if name not in settings.model_fields_set]:
        raise ConfigError(
            f"The config has no section {' and no '.join(missing)}. A release needs the settings of every stage in one"
            " file, as in train/configs/v1.yaml."
        )
    if settings.stage2.distill_steps or settings.stage2.freeze_content:
        raise ConfigError(
            "Stage 2 of a release starts from the codes of stage 1: leave out stage2.distill_steps and"
            " stage2.freeze_content, which need finished weights."
        )
    return settings


def _check_data(data: Sequence[Path], voices: Sequence[Path], *, evaluate: bool) -> None:
    """Find out now what a part would miss after hours: splits, lossless clips, voices of the gallery.

    ``voices`` are the corpora of the gallery's voices, none if they are still to be made.
    """
    splits = [{clip.split for clip in clips} for clips in read_corpora(data)]
    if evaluate and "test" not in set().union(*splits):
        raise DataError("No corpus has the split 'test', which --evaluate reports on. Leave that out, or add a corpus.")
    for number, present in enumerate(splits, start=1):
        if missing := {"train", "dev"} - present:
            raise DataError(
                f"Corpus {number} has no split '{min(missing)}'. Make its manifest with train.prepare, which draws"
                " missing splits."
            )
    for split in ("train", "dev"):
        lossless_clips(data, split)
    if voices:
        choose(read_clips(voices, "train"))


def _open(run: Path, config: Config, sources: Sources, *, resume: bool) -> None:
    """Make a run folder with its config and the fingerprints of its data, or check that both are unchanged."""
    corpora = [*sources.data, *([sources.parallel] if sources.parallel else [])]
    state = {
        "corpora": [manifest.fingerprint(path, manifest.read(path)) for path in corpora],
        "parallel": "given" if sources.parallel else "made" if sources.kokoro else "none",
    }
    if not (run / CONFIG).exists():
        try:
            run.mkdir(parents=True, exist_ok=True)
            files.write(run / _DATA_STATE, json.dumps(state).encode(), force=True)
            files.write(run / CONFIG, yaml.safe_dump(config.to_dict(), sort_keys=False).encode(), force=True)
        except OSError as error:
            raise UsageError(f"The run folder cannot be made: {error.strerror}.") from None
        return
    if not resume:
        raise UsageError("The run folder is in use. Add --resume to go on with it, or name another.")
    if changed := _differences(Config.from_yaml(run / CONFIG).to_dict(), config.to_dict()):
        raise UsageError(
            f"The run folder was made with another config: {', '.join(changed)}. Resume with the same, or name another"
            " folder."
        )
    try:
        known = json.loads((run / _DATA_STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"The {_DATA_STATE} of the run folder, which says what it is made from, is missing or damaged. Name another"
            " folder."
        ) from None
    if known != state:
        raise UsageError(
            "The run folder was made from other data. Give the same --data in the same order and the same parallel"
            " speech, or name another folder."
        )


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Keys whose values differ, with dots between sections."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key), new.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found.append(prefix + key)
    return found


def _chosen(progress: Progress, name: str | None) -> list[Part]:
    """All parts, or the one of a name, whose inputs must be finished."""
    if name is None:
        return progress.parts
    chosen = [part for part in progress.parts if part.name == name]
    if not chosen:
        raise UsageError(f"There is no part of that name. The parts: {', '.join(p.name for p in progress.parts)}.")
    if missing := progress.missing(chosen[0]):
        raise UsageError(f"The part {name} starts from {missing[0]}, which is not finished. Make that part first.")
    return chosen


def _print_plan(progress: Progress, chosen: Sequence[Part], config: Config, data: Sequence[Path], device: str) -> None:
    """Print every part with its steps, and its time: taken, or of a chosen one estimated from a few steps here."""
    to_do = {part.name for part in chosen if not progress.is_finished(part)}
    timed = {part.stage for part in progress.parts if part.name in to_do} - {"", PARALLEL}
    seconds = {PARALLEL: _CLIP_S / (os.cpu_count() or 1)}
    if timed:
        print(f"Measuring a few steps of: {', '.join(sorted(timed))}", flush=True)
        made = stages(config, read_clips(data, "train"), lossless_clips(data, "train"), device, timed)
        seconds |= {name: seconds_per_step(stage) for name, stage in made}
    left_s, long = 0.0, []
    print(f"{'Part':<16}{'Steps':>8}  Time")
    for part in progress.parts:
        steps = f"{part.steps:,}" if part.steps else ""
        if part.name not in to_do:
            state = f"done, {_clock(60 * progress.minutes(part))}" if progress.is_finished(part) else "not now"
        elif part.stage:
            estimate = part.steps * seconds[part.stage]
            left_s += estimate
            long += [part.name] if estimate > _LONG_S else []
            state = f"about {_clock(estimate)}{progress.begun(part)}"
        else:
            state = "some minutes"
        print(f"{part.name:<16}{steps:>8}  {state}")
    if left_s:
        threads = torch.get_num_threads()
        where = f"{threads} thread{'s' * (threads > 1)}" if device == "cpu" else device
        print(f"To go: about {_clock(left_s)} of training on this machine, as busy as it is now ({where})")
    if long:
        print(
            f"Longer than two hours: {', '.join(long)}. In the config of a new run, part_steps divides stage1, stage2"
            " and vocoder_training."
        )


def _clock(seconds: float) -> str:
    """Hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


if __name__ == "__main__":
    run(main)
