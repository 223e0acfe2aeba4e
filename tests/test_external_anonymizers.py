"""External anonymizers: a command's output is read; a command that fails or hangs raises a UsageError."""

import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from saic.errors import UndecodableAudio, UsageError
from saic.evaluation import external
from saic.evaluation.external import ExternalAnonymizer, chimera
from tests.conftest import RATE, voice

WAV = voice(140, 1.0)


def script(code: str, *arguments: str) -> list[str]:
    """The command of a small Python script."""
    return [sys.executable, "-I", "-c", code, *arguments]


def test_output_of_the_command_is_returned_at_16_khz():
    code = """
import sys, wave
source, output, seed = sys.argv[1:]
with wave.open(source) as file:
    rate, frames = file.getframerate(), file.readframes(file.getnframes())
with wave.open(output, "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(rate // 2)
    file.writeframes(frames[: 2 * int(seed)])
"""
    output = ExternalAnonymizer(script(code, "{input}", "{output}", "{seed}")).anonymize(WAV, seed=4000)
    assert output.dtype == np.float32 and len(output) == pytest.approx(2 * 4000, abs=2)  # 4000 samples at 8 kHz


def test_samples_reach_the_command_and_come_back_unchanged():
    copy = "import shutil, sys; shutil.copy(*sys.argv[1:])"
    for command in (script(copy, "{input}", "{output}"), shlex.join(script(copy, "{input}", "{output}"))):
        np.testing.assert_allclose(ExternalAnonymizer(command).anonymize(WAV, seed=0), WAV, atol=1 / 32_768)


def test_no_shell_reads_the_command(tmp_path: Path):
    command = [*script("import shutil, sys; shutil.copy(*sys.argv[1:3])", "{input}", "{output}")]
    ExternalAnonymizer([*command, f"; touch {tmp_path}/made", f"$(touch {tmp_path}/made)"]).anonymize(WAV, seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/no/such/program", "{input}", "{output}"], "cannot be started"),
        (script("import no_such_module", "{input}", "{output}"), "status 1: ModuleNotFoundError"),
        (script("import sys; sys.exit(open(sys.argv[1] + '.gone'))", "{input}", "{output}"), "status 1: FileNotFound"),
        (script("pass", "{input}", "{output}"), "no output"),
    ],
)
def test_command_that_fails_raises_usage_error(command, message):
    with pytest.raises(UsageError, match=message) as error:
        ExternalAnonymizer(command).anonymize(WAV, seed=0)
    assert "saic" not in str(error.value).lower() and "/tmp" not in str(error.value)


def test_command_that_hangs_is_ended():
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"longer than 0\.5 s"):
        ExternalAnonymizer(script("while True: pass", "{input}", "{output}"), timeout_s=0.5).anonymize(WAV, seed=0)
    assert time.monotonic() - began < 20


def test_output_that_is_no_recording_raises_undecodable_audio():
    code = "import sys; open(sys.argv[1], 'w').write('text')"
    with pytest.raises(UndecodableAudio):
        ExternalAnonymizer(script(code, "{output}", "{input}")).anonymize(WAV, seed=0)


@pytest.mark.parametrize("command", ["anonymize {input}", "anonymize {output}", "anonymize '{input} {output}"])
def test_incomplete_command_raises_usage_error(command):
    with pytest.raises(UsageError, match=r"needs|quotation mark"):
        ExternalAnonymizer(command)


def test_chimera_without_its_environment_raises_usage_error(monkeypatch):
    monkeypatch.delenv(external.CHIMERA_PYTHON, raising=False)
    with pytest.raises(UsageError, match=external.CHIMERA_PYTHON):
        chimera()
    monkeypatch.setenv(external.CHIMERA_PYTHON, sys.executable)
    with pytest.raises(UsageError, match="No module named 'chimera'"):
        chimera().anonymize(WAV, seed=0)


def test_chimera_is_called_with_seed_as_key_and_its_strongest_preset(monkeypatch, tmp_path: Path):
    """A stand-in for the package, since the real one is never installed here."""
    (tmp_path / "chimera_voice-0.2.0.dist-info").mkdir()
    metadata = tmp_path / "chimera_voice-0.2.0.dist-info" / "METADATA"
    metadata.write_text("Metadata-Version: 2.1\nName: chimera-voice\nVersion: 0.2.0\n")
    (tmp_path / "chimera.py").write_text(
        "import shutil\n"
        "def mask_file(source, output, *, key, preset, n_speakers, subtype):\n"
        "    assert (key, preset, n_speakers, subtype) == ('7', 'extreme', 1, 'PCM_16')\n"
        "    shutil.copy(source, output)\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')  # without -I
    python.chmod(0o755)
    monkeypatch.setenv(external.CHIMERA_PYTHON, str(python))
    assert len(chimera().anonymize(WAV, seed=7)) == RATE
    metadata.write_text(metadata.read_text().replace("0.2.0", "0.3.0"))
    with pytest.raises(UsageError, match=r"chimera-voice 0\.3\.0 instead of 0\.2\.0"):
        chimera().anonymize(WAV, seed=7)
