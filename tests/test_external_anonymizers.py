"""External anonymizers: a command's output is read; a command that fails or hangs raises an AudioError."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from saic.errors import AudioError, UndecodableAudio, UsageError
from saic.evaluation import external
from saic.evaluation.external import chimera, run_anonymizer
from tests.conftest import RATE, voice

WAV = voice(140, 1.0)
COPY = "import shutil, sys; shutil.copy(*sys.argv[-2:])"


def script(code: str, *arguments: str) -> list[str]:
    """The command of a small Python script."""
    return [sys.executable, "-I", "-c", code, *arguments]


def test_output_of_the_command_is_returned_at_16_khz():
    code = """
import sys, wave
source, output = sys.argv[1:]
with wave.open(source) as file:
    rate, frames = file.getframerate(), file.readframes(file.getnframes())
with wave.open(output, "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(rate // 2)
    file.writeframes(frames[: 2 * 4000])
"""
    output = run_anonymizer(script(code), WAV)
    assert output.dtype == np.float32 and len(output) == pytest.approx(2 * 4000, abs=2)  # 4000 samples at 8 kHz


def test_samples_reach_the_command_and_come_back_unchanged():
    np.testing.assert_allclose(run_anonymizer(script(COPY), WAV), WAV, atol=1 / 32_768)


def test_no_shell_reads_the_command(tmp_path: Path):
    run_anonymizer(script(COPY, f"; touch {tmp_path}/made", f"$(touch {tmp_path}/made)"), WAV)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (script("import no_such_module"), "status 1: ModuleNotFoundError"),
        (script("import sys; sys.exit(open(sys.argv[1] + '.gone'))"), "status 1: FileNotFound"),
        (script("pass"), "no output"),
    ],
)
def test_command_that_fails_on_a_recording_raises_audio_error(command, message):
    """The evaluation counts it as an output without speech, and goes on."""
    with pytest.raises(AudioError, match=message) as error:
        run_anonymizer(command, WAV)
    assert "saic" not in str(error.value).lower() and "/tmp" not in str(error.value)


def test_command_that_cannot_be_started_raises_usage_error():
    with pytest.raises(UsageError, match="cannot be started"):
        run_anonymizer(["/no/such/program"], WAV)


def test_command_that_hangs_is_ended():
    began = time.monotonic()
    with pytest.raises(AudioError, match=r"longer than 0\.5 s"):
        run_anonymizer(script("while True: pass"), WAV, timeout_s=0.5)
    assert time.monotonic() - began < 20


def test_output_that_is_no_recording_raises_undecodable_audio():
    with pytest.raises(UndecodableAudio):
        run_anonymizer(script("import sys; open(sys.argv[2], 'w').write('text')"), WAV)


def test_chimera_without_its_environment_raises_usage_error(monkeypatch):
    monkeypatch.delenv(external.CHIMERA_PYTHON, raising=False)
    with pytest.raises(UsageError, match=external.CHIMERA_PYTHON):
        chimera(WAV, seed=0)
    monkeypatch.setenv(external.CHIMERA_PYTHON, "/no/such/python")
    with pytest.raises(UsageError, match="cannot be started"):
        external.require_environment()
    monkeypatch.setenv(external.CHIMERA_PYTHON, sys.executable)
    with pytest.raises(UsageError, match="No module named 'chimera'"):
        chimera(WAV, seed=0)


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
    assert len(chimera(WAV, seed=7)) == RATE
    metadata.write_text(metadata.read_text().replace("0.2.0", "0.3.0"))
    external._require_chimera.cache_clear()
    with pytest.raises(UsageError, match=r"chimera-voice 0\.3\.0 instead of 0\.2\.0"):
        chimera(WAV, seed=7)
