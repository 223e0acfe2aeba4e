"""Converted recordings of the linkage evaluation, cached on disk."""

import contextlib
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from saic import audio, files
from saic.audio import SAMPLE_RATE
from saic.errors import AudioError, DataError
from saic.evaluation.cache_keys import run_key
from saic.evaluation.data.codec import round_trip
from saic.evaluation.linkage.material import Recording
from saic.evaluation.protocols import EvaluatedPipeline
from saic.evaluation.systems import SYSTEMS, write_flac
from saic.signal.vad import require_speech, require_varied

_NO_REFERENCE = np.zeros(0, dtype=np.float32)
_log = logging.getLogger(__name__)


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
        weights and of the recording's file, the place in it, the same of the target, and the seed.
        So an interrupted run goes on, and no output of an older version is taken.

    Attributes
    ----------
    run_key
        What all outputs depend on, see :func:`saic.evaluation.cache_keys.run_key`.
    """

    def __init__(self, pipeline: EvaluatedPipeline, targets: Sequence[Recording], cache: Path, *, seed: int):
        self._pipeline, self._targets, self._cache, self._seed = pipeline, targets, cache, seed
        self.run_key = run_key(pipeline, round_trip, seed)
        self._hashes: dict[Path, str] = {}

    def wav(self, system: str, recording: Recording) -> np.ndarray | None:
        """(N,) output of a system; None if the recording cannot be used."""
        place = self._place(recording)
        seed = int.from_bytes(_digest(f"{self._seed}|{place}")[:7])
        has_target = "target" in SYSTEMS[system].depends_on
        made_from = f"{place}|{self._place(self._targets[seed % len(self._targets)])}" if has_target else place
        path = self._cache / f"{_digest(f'{self.run_key}|{system}|{made_from}').hex()[:32]}.flac"
        if not path.exists():
            wav = self._make(system, recording, self._reference(seed) if has_target else _NO_REFERENCE, seed)
            if wav is None and SYSTEMS[system].is_external:  # another run may succeed
                _log.warning("%s failed on a recording, which then has no output.", system)
                return None
            if wav is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            else:
                write_flac(path, wav)
        return soundfile.read(os.fsencode(path), dtype="float32")[0] if path.stat().st_size else None

    def _reference(self, seed: int) -> np.ndarray:
        """(M,) the target that a seed chooses, or the next one with speech; DataError if none has any."""
        for k in range(len(self._targets)):
            with contextlib.suppress(AudioError):
                wav = round_trip(_read(self._targets[(seed + k) % len(self._targets)]))
                require_speech(wav)
                require_varied(wav)
                return wav
        raise DataError("No target of the conversions can be used: none has half a second of speech.")

    def _make(self, system: str, recording: Recording, reference: np.ndarray, seed: int) -> np.ndarray | None:
        try:
            source, run = round_trip(_read(recording)), SYSTEMS[system].run
            if run is None:
                return source
            return round_trip(run(self._pipeline, (source, SAMPLE_RATE), (reference, SAMPLE_RATE), seed))
        except AudioError:
            return None

    def _place(self, recording: Recording) -> str:
        """Hash of the recording's file, and the place in it."""
        path = recording.clip.path
        if path not in self._hashes:
            self._hashes[path] = files.sha256(path)
        return f"{self._hashes[path]}|{recording.index}/{recording.of}"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def cut_segments(wav: np.ndarray, count: int) -> list[np.ndarray]:
    """A (N,) wav as ``count`` parts of equal length."""
    return np.array_split(wav, count)


def _read(recording: Recording) -> np.ndarray:
    wav = audio.load(recording.clip.path)
    start, stop = (len(wav) * place // recording.of for place in (recording.index, recording.index + 1))
    return wav[start:stop]
