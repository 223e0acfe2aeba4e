"""What is measured: each system makes a wav of a trial. Slow outputs are kept on disk."""

import hashlib
import json
import os
import secrets
from pathlib import Path

import numpy as np
import soundfile

from saic.audio import SAMPLE_RATE
from saic.errors import EmptyAudio, InvalidAudio
from saic.evaluation.codec import round_trip
from saic.evaluation.corpus import Corpus
from saic.evaluation.trials import Trial

HEARS = {  # whose audio an output hangs on: trials that agree in these share it
    "real": ("source",),
    "vocoder": ("source",),
    "reconstruction": ("source",),
    "convert": ("source", "target"),
    "replay_target": ("target",),
    "copy_source": ("source",),
}
SYSTEMS = tuple(HEARS)
PER_SPEAKER = ("real", "vocoder", "reconstruction")  # nobody asks these for a target


class Systems:
    """Outputs by system and trial.

    ======================  =======================================================================
    ``real``                the source part itself
    ``vocoder``             the source's mel back to sound, without the model
    ``reconstruction``      the model's source with its own embedding
    ``convert``             the model's source with the target's embedding
    ``replay_target``       control: the reference, whatever the source says
    ``copy_source``         control: the source, unchanged
    ======================  =======================================================================

    Parameters
    ----------
    pipeline
        A :class:`saic.pipeline.Pipeline`.
    corpus
        Whose parts go in; they have passed the codec.
    cache
        Folder for the outputs of the pipeline, as FLAC. An output is known by what the pipeline says of
        itself (with the weights' hash), the samples that went in, and the seed, so a folder may serve many
        runs, and one that broke off goes on. Code is not part of it: empty the folder after a change there.
        A pipeline without a hash, such as one in training, finds nothing of earlier runs.
    """

    def __init__(self, pipeline, corpus: Corpus, cache: Path, *, seed: int):
        self._pipeline = pipeline
        self._corpus = corpus
        self._cache = cache
        info = pipeline.info()
        unique = info["sha256"] or secrets.token_hex()
        self._run = json.dumps([info, unique, seed], sort_keys=True)

    def output(self, system: str, trial: Trial) -> np.ndarray:
        """(N,) what the system makes of the trial, through one codec round trip after it."""
        source = self._corpus.wav(self._corpus.parts[trial.source].source)
        if system == "real":
            return source  # has been through the codec, and no system after it
        if system == "copy_source":
            return round_trip(source)
        if system == "vocoder":
            return round_trip(self._resynthesis(source))
        reference = self._corpus.wav(self._corpus.parts[trial.target].reference)
        if system == "replay_target":
            return round_trip(reference)
        if system in ("convert", "reconstruction"):
            return round_trip(self._conversion(source, reference, system))
        raise ValueError(f"no such system: {system}")

    def _resynthesis(self, source: np.ndarray) -> np.ndarray:
        path = self._path("vocoder", source)
        if not path.exists():
            _write(path, self._pipeline.resynthesize((source, SAMPLE_RATE)))
        return _read(path)

    def _conversion(self, source: np.ndarray, reference: np.ndarray, system: str) -> np.ndarray:
        paths = {
            "convert": self._path("convert", source, reference),
            "reconstruction": self._path("reconstruction", source),
        }
        if not paths[system].exists():
            conversion = self._pipeline.convert((source, SAMPLE_RATE), [(reference, SAMPLE_RATE)])
            _write(paths["convert"], conversion.wav)
            _write(paths["reconstruction"], conversion.reconstruction)
        return _read(paths[system])

    def _path(self, system: str, *wavs: np.ndarray) -> Path:
        digest = hashlib.sha256(f"{self._run}|{system}".encode())
        for wav in wavs:
            digest.update(hashlib.sha256(wav.tobytes()).digest())
        return self._cache / f"{digest.hexdigest()[:32]}.flac"


def _write(path: Path, wav: np.ndarray) -> None:
    """Write FLAC, whole or not at all."""
    if len(wav) == 0:
        raise EmptyAudio("The pipeline returned no samples.")
    if not np.isfinite(wav).all():
        raise InvalidAudio("The pipeline returned NaN or infinite samples.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    soundfile.write(partial, np.clip(wav, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(partial, path)


def _read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]
