"""Other anonymizers, run beside SAIC in environments of their own.

>>> wav = chimera().anonymize(wav, seed=1)

They are never imported: Chimera depends on GPL code. Its environment:
``python3.11 -m venv DIR && DIR/bin/pip install chimera-voice==0.2.0``.
"""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saic import audio
from saic.errors import UsageError

CHIMERA_PYTHON = "SAIC_CHIMERA_PYTHON"
"""Environment variable: the interpreter of the environment that has ``chimera-voice``."""

CHIMERA_VERSION = "0.2.0"
TIMEOUT_S = 120.0

# "extreme" is the strongest preset, and equals the default. Without n_speakers, Chimera splits every
# recording into two to eight speakers, and converts the speech of one speaker to several voices.
_CHIMERA = f"""
import importlib.metadata, sys
import chimera
version = importlib.metadata.version("chimera-voice")
if version != "{CHIMERA_VERSION}":
    sys.exit(f"chimera-voice {{version}} instead of {CHIMERA_VERSION}")
source, output, key = sys.argv[1:]
chimera.mask_file(source, output, key=key, preset="extreme", n_speakers=1, subtype="PCM_16")
"""


class ExternalAnonymizer:
    """An anonymizer that is a command.

    Parameters
    ----------
    command
        The words of the command, or one string that is split as a shell does; no shell is started.
        ``{input}`` and ``{output}`` are replaced by paths of WAV files, ``{seed}`` by the seed.
    timeout_s
        Seconds after which the command is ended.

    Raises
    ------
    UsageError
        The command has no ``{input}`` or no ``{output}``.
    """

    def __init__(self, command: str | Sequence[str], *, timeout_s: float = TIMEOUT_S):
        self.command, self.timeout_s = _words(command), timeout_s
        for name in ("{input}", "{output}"):
            if not any(name in word for word in self.command):
                raise UsageError(f"The command of an external anonymizer needs {name}.")

    def anonymize(self, wav: np.ndarray, *, seed: int) -> np.ndarray:
        """Run the command on one recording.

        Parameters
        ----------
        wav
            (N,) float, 16 kHz mono in [-1, 1].

        Returns
        -------
        (N',) float32, 16 kHz mono in [-1, 1], as long as the command makes it.

        Raises
        ------
        UsageError
            The command cannot be started, fails, takes too long, or writes no file.
        AudioError
            The file that it wrote is not a recording.
        """
        with tempfile.TemporaryDirectory() as folder:
            source, output = Path(folder, "input.wav"), Path(folder, "output.wav")
            audio.save(source, wav)
            values = {"{input}": str(source), "{output}": str(output), "{seed}": str(seed)}
            self._run([_filled(word, values) for word in self.command], Path(folder))
            if not output.is_file():
                raise UsageError("The external anonymizer wrote no output.")
            return audio.load(output)

    def _run(self, words: list[str], folder: Path) -> None:
        log = folder / "errors.txt"
        with open(log, "wb") as errors:
            try:
                done = subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,  # not a pipe: processes that the command left running would hold it open
                    timeout=self.timeout_s,
                )
            except subprocess.TimeoutExpired:
                raise UsageError(f"The external anonymizer took longer than {self.timeout_s:g} s.") from None
            except (OSError, ValueError):
                raise UsageError("The command of the external anonymizer cannot be started. Check its path.") from None
        if done.returncode:
            lines = log.read_text(errors="replace").replace(str(folder), "").strip().splitlines() or ["no message"]
            raise UsageError(f"The external anonymizer ended with status {done.returncode}: {lines[-1][:200]}")


def chimera(python: str | os.PathLike | None = None) -> ExternalAnonymizer:
    """Chimera 0.2.0: pitch and formants shifted by Praat, by amounts that a key gives.

    The seed is the key. Each recording should have its own: the shift depends on the key alone.

    Parameters
    ----------
    python
        Interpreter of the environment that has ``chimera-voice``; None takes the environment
        variable `CHIMERA_PYTHON`.

    Raises
    ------
    UsageError
        No such interpreter is named.
    """
    python = python or os.environ.get(CHIMERA_PYTHON)
    if not python:
        raise UsageError(
            f"Chimera needs an environment of its own. Set {CHIMERA_PYTHON} to the Python of one "
            f"that has chimera-voice {CHIMERA_VERSION}."
        )
    return ExternalAnonymizer([os.fspath(python), "-I", "-c", _CHIMERA, "{input}", "{output}", "{seed}"])


def _words(command: str | Sequence[str]) -> list[str]:
    try:
        return shlex.split(command) if isinstance(command, str) else [os.fspath(word) for word in command]
    except ValueError:
        raise UsageError("The command of the external anonymizer has a quotation mark without its partner.") from None


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
