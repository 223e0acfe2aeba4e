"""Converted recordings of the linkage evaluation, cached on disk."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

import saic
from saic import audio
from saic.audio import SAMPLE_RATE
from saic.errors import AudioError
from saic.evaluation.data.codec import round_trip
from saic.evaluation.linkage.material import Recording
from saic.evaluation.protocols import EvaluatedPipeline
from saic.evaluation.systems import SYSTEMS, write_flac

_CODE = (
    *("audio", "signal", "model", "vocoder"),
    *("conversion.py", "gallery.py", "keys.py", "pipeline.py", "profiles.py", "spool.py"),
    *("evaluation/systems.py", "evaluation/data/codec.py"),
)


def code_fingerprint() -> str:
    """SHA-256 of the source code that an output depends on."""
    digest, package = hashlib.sha256(), Path(saic.__file__).parent
    for name in _CODE:
        path = package / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


class RecordingOutputs:
    """Outputs of the systems for recordings.

    Sources, references and outputs pass one MP3 round trip at 40 kb/s. Each recording has a
    pseudonym, or a target, of its own; it is the same for all systems and versions of the code, so
    that they can be compared in pairs.

    Parameters
    ----------
    targets
        Recordings whose voices the system ``convert`` gives; never of a speaker of the trials.
    cache
        Folder of the outputs. The key of an output has the hashes of the source code, of the
        weights and of the recording's file, the place in it, and the seed. So an interrupted run
        goes on, and no output of an older version is taken.
    """

    def __init__(self, pipeline: EvaluatedPipeline, targets: Sequence[Recording], cache: Path, *, seed: int):
        self._pipeline, self._targets, self._cache, self._seed = pipeline, targets, cache, seed
        info = pipeline.info()
        unique = info["sha256"] or secrets.token_hex()  # weights in training have no hash
        self._run_key = json.dumps([info, unique, code_fingerprint(), seed, round_trip.__name__], sort_keys=True)
        self._hashes: dict[Path, str] = {}

    def wav(self, system: str, recording: Recording) -> np.ndarray | None:
        """(N,) output of a system; None if the recording cannot be used."""
        place = f"{self._hash(recording.clip.path)}|{recording.index}/{recording.of}"
        path = self._cache / f"{_digest(f'{self._run_key}|{system}|{place}').hex()[:32]}.flac"
        if not path.exists():
            wav = self._make(system, recording, int.from_bytes(_digest(f"{self._seed}|{place}")[:7]))
            if wav is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            else:
                write_flac(path, wav)
        return soundfile.read(path, dtype="float32")[0] if path.stat().st_size else None

    def _make(self, system: str, recording: Recording, seed: int) -> np.ndarray | None:
        try:
            source, run = round_trip(_read(recording)), SYSTEMS[system].run
            if run is None:
                return source
            reference = np.zeros(0, dtype=np.float32)
            if "target" in SYSTEMS[system].depends_on:
                reference = round_trip(_read(self._targets[seed % len(self._targets)]))
            return round_trip(run(self._pipeline, (source, SAMPLE_RATE), (reference, SAMPLE_RATE), seed))
        except AudioError:
            return None

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._hashes[path]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def cut_segments(wav: np.ndarray, count: int) -> list[np.ndarray]:
    """A (N,) wav as ``count`` parts of equal length."""
    return np.array_split(wav, count)


def _read(recording: Recording) -> np.ndarray:
    wav = audio.load(recording.clip.path)
    start, stop = (len(wav) * place // recording.of for place in (recording.index, recording.index + 1))
    return wav[start:stop]
