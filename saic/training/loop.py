"""The training loop of all stages: steps, progress, log, checkpoints, exact resume.

A stage is any object with ``step(i)``, ``state_dict`` and ``load_state_dict``. All randomness of
step i is seeded by (seed, i), so a resumed run repeats the steps after its last checkpoint exactly.
Of several processes, only the first shows progress, logs, validates and saves.
"""

import errno
import json
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from saic import files
from saic.config import Config
from saic.errors import TrainingError, UsageError
from saic.migration import migrate_tensors
from saic.training import distributed

_LOG_EVERY = 20  # steps
_SAVE_EVERY_S = 480.0  # of the ten minutes that a run may lose, two are left for a validation and for writing
_KEPT = 2  # newest checkpoints
_WARMUP_STEPS = 200  # of the learning rate
_STATE = "state.pt"
_OF_THE_DISK = (errno.EACCES, errno.EIO, errno.ESTALE)  # errors that do not show that a file is damaged


class Stage(Protocol):
    """One stage of training."""

    def step(self, i: int) -> Mapping[str, float | Tensor]:
        """Take optimization step ``i`` (from 0) and return its losses, as numbers or detached scalars."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All state that a resumed run needs: tensors, numbers, lists, dicts."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        ...


@dataclass(frozen=True)
class Schedule:
    """Number of steps, and steps between validations, each with a checkpoint.

    A part of a longer training has its steps ``first`` to ``steps`` alone.
    """

    steps: int
    save_every: int = 1_000
    first: int = 0


def run(
    stage: Stage,
    schedule: Schedule,
    folder: Path,
    *,
    resume: bool = False,
    validate: Callable[[], dict[str, float]] | None = None,
    inputs: Mapping[str, str | None] | None = None,
) -> None:
    """Train until ``schedule.steps``, and keep the last two checkpoints.

    Where ``schedule.save_every`` steps take longer than ten minutes, there are checkpoints without a
    validation in between, so that a run that is cut loses ten minutes at most.

    Parameters
    ----------
    folder
        Run folder, for ``log.jsonl`` and ``checkpoints/step-N/``.
    resume
        Continue from the newest checkpoint that is whole. Without one, start at the first step.
    validate
        Called by the first process only, so it must not wait for the others.
    inputs
        Hash of each input besides the config, by its option; None for one that is not given. They are
        kept in checkpoints. A checkpoint without them, of an earlier version, is resumed unchecked.

    Raises
    ------
    UsageError
        The checkpoint was made with other ``inputs``.
    TrainingError
        A loss is not finite, or log or checkpoint cannot be written.
    """
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    first = schedule.first
    is_first = distributed.is_first()
    if resume:
        if newest := latest(folder):
            stored = load_checkpoint(newest)
            _require_same(inputs or {}, stored)
            stage.load_state_dict(stored["stage"])
            first = stored["step"]
        elif is_first and _checkpoints(folder):
            print(f"No checkpoint of the run can be read: it starts again from step {first}.", file=sys.stderr)
    if is_first:
        if resume:
            _drop_checkpoints_after(folder, first)
        _drop_lines_after(folder / "log.jsonl", first)
    bar = tqdm(range(first, schedule.steps), initial=first, total=schedule.steps, unit="step", disable=not is_first)
    recent: list[Mapping[str, float | Tensor]] = []  # losses since the last log line
    began = saved = time.monotonic()
    for i in bar:
        recent.append(stage.step(i))
        done, is_late = i + 1, False
        is_logged = done % _LOG_EVERY == 0 or done == schedule.steps
        is_validated = done % schedule.save_every == 0 or done == schedule.steps
        if is_logged or is_validated:  # not after each step, since reading a number waits for the GPU
            recent = _numbers(recent, done)
        if is_logged:
            now = time.monotonic()
            # Only with a log line, so that a resumed run averages its losses over the same steps.
            is_late = now + (now - began) - saved > _SAVE_EVERY_S  # at the next one
            names = dict.fromkeys(name for each in recent for name in each)  # in order; not all steps have all losses
            means = {name: float(np.mean([each[name] for each in recent if name in each])) for name in names}
            if is_first:
                _log(folder, {"step": done, "s_per_step": (now - began) / len(recent), **means})
            bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()})
            recent, began = [], now
        if is_first and (is_validated or is_late):
            pause = time.monotonic()
            if is_validated and validate is not None:
                validation = validate()
                _log(folder, {"step": done, **{f"val_{key}": value for key, value in validation.items()}})
            _save(checkpoints, done, {"stage": stage.state_dict(), "step": done, "inputs": dict(inputs or {})})
            saved = time.monotonic()
            began += saved - pause


def start(folder: Path, config: Config, *, resume: bool) -> None:
    """Make a run folder with its config, or check that the run in it can be resumed.

    A folder without checkpoints and log lines, as a start that failed leaves it, is used again.

    Raises
    ------
    UsageError
        The folder has a run and ``resume`` is false, its run has another config or none, or it cannot be
        made.
    """
    path = folder / "config.yaml"
    if not distributed.is_first():
        return
    if _has_begun(folder):
        if not path.exists():
            raise UsageError("The run folder holds a run without its config.yaml. Name another folder.")
        if not resume:
            raise UsageError("The run folder is in use. Add --resume to go on with it, or name another.")
        if Config.from_yaml(path) != config:
            raise UsageError(
                "The run folder was made with another config. Resume with the same, or name another folder."
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write(path, yaml.safe_dump(config.to_dict(), sort_keys=False).encode(), force=True)
    except OSError as error:
        raise UsageError(f"The run folder cannot be made: {error.strerror}.") from None


def is_finished(folder: Path, steps: int, inputs: Mapping[str, str | None] | None = None) -> bool:
    """Whether the run in a folder has taken all its steps.

    Its outputs are then not written again, since later stages may have added to them.

    Raises
    ------
    UsageError
        The run was made with other ``inputs``, see :func:`run`.
    """
    newest = latest(folder)
    if newest is None:
        return False
    stored = load_checkpoint(newest)
    _require_same(inputs or {}, stored)
    return stored["step"] >= steps


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a run that is whole, or None.

    Damaged ones, as a crash or a full disk leaves them, are reported on stderr.
    """
    damaged = []
    for path in reversed(_checkpoints(folder)):
        if _is_whole(path / _STATE):
            if damaged and distributed.is_first():
                steps = " and ".join(map(str, damaged))
                print(
                    f"The checkpoint of step {steps} is damaged: the one of step {_step_of(path)} is taken.",
                    file=sys.stderr,
                )
            return path
        damaged.append(_step_of(path))
    return None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint folder; no code in its file is executed.

    Raises
    ------
    TrainingError
        The checkpoint is damaged.
    """
    if not _is_whole(path / _STATE):
        raise TrainingError("The checkpoint is damaged. Resume its run, which goes on from an older one.")
    stored = torch.load(path / _STATE, map_location="cpu", weights_only=True)
    for part in ("model", "decoder"):  # some of their tensors had other names in 0.9
        if part in stored["stage"]:
            stored["stage"][part] = migrate_tensors(stored["stage"][part])
    return stored


def generators(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """The random generators of one step."""
    return np.random.default_rng([seed, step]), torch.Generator().manual_seed(seed * 1_000_003 + step)


def cosine(step: int, steps: int, *, first: int = 0) -> float:
    """Factor on the learning rate: half a cosine, 1 to 0, times a linear warm-up.

    The warm-up begins at step ``first``, where the optimizer starts without moments. It takes at
    most a tenth of the run.
    """
    warmup = min(_WARMUP_STEPS, steps // 10 + 1)
    ramp = min(1.0, (step - first + 1) / warmup)
    return ramp * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


def precision(config: Config, device: str) -> torch.autocast:
    """Context for running networks: bfloat16 autocast if the config has that precision.

    bfloat16 has the range of float32, so gradients need no scaling. It halves the time of a step on
    processors with AVX-512 BF16 or AMX and on GPUs since Ampere. Other processors emulate it and take
    ten times as long, so that they compute in float32.
    """
    kind = torch.device(device).type
    enabled = config.training.precision == "bfloat16" and (kind != "cpu" or _processor_has_bfloat16())
    return torch.autocast(kind, torch.bfloat16, enabled=enabled)


@cache
def _processor_has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16."""
    has = torch.cpu.get_capabilities()
    if has["architecture"] == "x86_64":
        return has["avx512_bf16"] or has["amx_bf16"]
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _save(checkpoints: Path, step: int, state: dict[str, Any]) -> None:
    target = checkpoints / f"step-{step}"
    scratch = checkpoints / f".step-{step}"
    for left in checkpoints.glob(".step-*"):  # of a run that was killed while it wrote, at any step
        shutil.rmtree(left, ignore_errors=True)
    try:
        scratch.mkdir()
        with open(scratch / _STATE, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # else a power failure may cut the file after it has its name
    except (OSError, RuntimeError) as error:  # PyTorch turns a full disk into a RuntimeError
        shutil.rmtree(scratch, ignore_errors=True)
        raise TrainingError(
            f"The checkpoint of step {step} cannot be written. Free space on the disk, then add --resume."
        ) from error
    shutil.rmtree(target, ignore_errors=True)
    os.replace(scratch, target)
    for old in _checkpoints(checkpoints.parent)[:-_KEPT]:
        shutil.rmtree(old)


def _numbers(recent: list[Mapping[str, float | Tensor]], done: int) -> list[dict[str, float]]:
    """Losses of the last steps up to ``done`` as numbers; :class:`TrainingError` if one is not finite."""
    found = [{name: float(loss) for name, loss in losses.items()} for losses in recent]
    for step, losses in enumerate(found, start=done - len(found) + 1):
        if not np.isfinite(list(losses.values())).all():
            raise TrainingError(f"The loss of step {step} is not a number. Lower the learning rates and start again.")
    return found


def _require_same(inputs: Mapping[str, str | None], stored: dict[str, Any]) -> None:
    """Raise :class:`UsageError` if a checkpoint was made with other inputs."""
    known = stored.get("inputs", {})
    if changed := sorted(name for name in inputs.keys() & known.keys() if inputs[name] != known[name]):
        raise UsageError(
            f"The run was begun with other inputs, or in another order: {', '.join(changed)}. Resume with the same, or"
            " name another folder."
        )


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run by step; folders of other names, such as a copy, are none."""
    found = [path for path in (folder / "checkpoints").glob("step-*") if path.name[len("step-") :].isdecimal()]
    return sorted(found, key=_step_of)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _is_whole(state: Path) -> bool:
    """Whether a file of ``torch.save``, a zip archive, has its end and the right checksums."""
    try:
        with zipfile.ZipFile(state) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            message = f"A checkpoint cannot be read: {error.strerror}. Correct that, then add --resume."
            raise TrainingError(message) from None
        return False


def _has_begun(folder: Path) -> bool:
    """Whether a run folder holds a checkpoint or a log line."""
    log = folder / "log.jsonl"
    return bool(_checkpoints(folder)) or (log.is_file() and log.stat().st_size > 0)


def _log(folder: Path, record: dict[str, float]) -> None:
    try:
        with open(folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise _log_error(error) from None


def _log_error(error: OSError) -> TrainingError:
    return TrainingError(f"The log cannot be written: {error.strerror}. Correct that, then add --resume.")


def _drop_checkpoints_after(folder: Path, step: int) -> None:
    """Remove the damaged checkpoints after the one that is resumed, since their steps are repeated."""
    for path in _checkpoints(folder):
        if _step_of(path) > step:
            shutil.rmtree(path)


def _drop_lines_after(log: Path, step: int) -> None:
    """Remove what a killed run logged after its last checkpoint, since those steps are repeated.

    Lines that a crash cut are removed too.
    """
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = "".join(line + "\n" for line in lines if _step_of_line(line) <= step)
        try:
            files.write(log, kept.encode(), force=True)
        except OSError as error:
            raise _log_error(error) from None


def _step_of_line(line: str) -> float:
    """Step of a log line; infinity if the line is damaged."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return float("inf")
