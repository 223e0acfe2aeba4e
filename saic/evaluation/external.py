"""Chimera, another anonymizer, run beside SAIC in an environment of its own.

>>> wav = chimera(wav, seed=1)

It is never imported, because it depends on GPL code. Its environment:
``python3.11 -m venv DIR && DIR/bin/pip install chimera-voice==0.2.0``.
"""

import functools
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saic import audio
from saic.errors import AudioError, UsageError

CHIMERA_PYTHON = "SAIC_CHIMERA_PYTHON"
"""Environment variable: the interpreter of the environment that has ``chimera-voice``."""

CHIMERA_VERSION = "0.2.0"
TIMEOUT_S = 120.0

# "extreme" is the strongest preset, and equals the default. Without n_speakers, Chimera splits every
# recording into two to eight speakers, and converts the speech of one speaker to several voices.
_CHIMERA = """
import sys
import chimera
key, source, output = sys.argv[1:]
chimera.mask_file(source, output, key=key, preset="extreme", n_speakers=1, subtype="PCM_16")
"""
_CHECK = f"""
import importlib.metadata, sys
import chimera
version = importlib.metadata.version("chimera-voice")
if version != "{CHIMERA_VERSION}":
    sys.exit(f"chimera-voice {{version}} instead of {CHIMERA_VERSION}")
"""


def chimera(wav: np.ndarray, *, seed: int) -> np.ndarray:
    """Chimera 0.2.0: pitch and formants shifted by Praat, by amounts that a key gives.

    The seed is the key. Each recording should have its own: the shift depends on the key alone.

    Parameters and errors are those of :func:`run_anonymizer`, and of :func:`require_environment`.
    """
    return run_anonymizer([require_environment(), "-I", "-c", _CHIMERA, str(seed)], wav)


def require_environment() -> str:
    """The interpreter of the environment that has Chimera.

    Raises
    ------
    UsageError
        None is named, or its Chimera is missing, broken or of another version.
    """
    python = os.environ.get(CHIMERA_PYTHON)
    if not python:
        raise UsageError(
            f"Chimera needs an environment of its own. Set {CHIMERA_PYTHON} to the Python of one "
            f"that has chimera-voice {CHIMERA_VERSION}."
        )
    _require_chimera(python)
    return python


@functools.cache
def _require_chimera(python: str) -> None:
    try:
        done = subprocess.run([python, "-I", "-c", _CHECK], capture_output=True, text=True, errors="replace")
    except (OSError, ValueError):
        raise UsageError(f"The Python of {CHIMERA_PYTHON} cannot be started. Check its path.") from None
    if done.returncode:
        raise UsageError(f"The Chimera of {CHIMERA_PYTHON} cannot be used: {_last_line(done.stderr)}")


def run_anonymizer(command: Sequence[str], wav: np.ndarray, *, timeout_s: float = TIMEOUT_S) -> np.ndarray:
    """Run a command on one recording.

    Parameters
    ----------
    command
        Its words; no shell is started. The paths of two WAV files follow, of the recording and of
        what the command is to write.
    wav
        (N,) float, 16 kHz mono in [-1, 1].
    timeout_s
        Seconds after which the command is ended.

    Returns
    -------
    (N',) float32, 16 kHz mono in [-1, 1], as long as the command makes it.

    Raises
    ------
    UsageError
        The command cannot be started.
    AudioError
        It fails on this recording: it ends with an error, takes too long, or writes no file or one that
        is not a recording.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, output, log = (Path(folder, name) for name in ("input.wav", "output.wav", "errors.txt"))
        audio.save(source, wav)
        with open(log, "wb") as errors:
            try:
                done = subprocess.run(
                    [*command, str(source), str(output)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,  # not a pipe: processes that the command left running would hold it open
                    timeout=timeout_s,
                )
            except subprocess.TimeoutExpired:
                raise AudioError(f"The external anonymizer took longer than {timeout_s:g} s.") from None
            except (OSError, ValueError):
                raise UsageError("The command of the external anonymizer cannot be started. Check its path.") from None
        if done.returncode:
            reason = _last_line(log.read_text(errors="replace").replace(folder, ""))
            raise AudioError(f"The external anonymizer ended with status {done.returncode}: {reason}")
        if not output.is_file():
            raise AudioError("The external anonymizer wrote no output.")
        return audio.load(output)


def _last_line(errors: str) -> str:
    """The last line that a process wrote, at most 200 characters of it."""
    return (errors.strip().splitlines() or ["no message"])[-1][:200]
