"""What is measured: each system makes a wav of a trial. Slow outputs are kept on disk."""

import hashlib
import json
import os
import secrets
from pathlib import Path

import numpy as np
import soundfile

from saic.audio import SAMPLE_RATE
from saic.evaluation.data.evaluation_set import Gallery
from saic.evaluation.data.trials import Trial
from saic.signal import mcadams

HEARS = {  # whose audio an output hangs on: trials that agree in these share it
    "real": ("source",),
    "vocoder": ("source",),
    "reconstruction": ("source",),
    "convert": ("source", "target"),
    "pseudonym": ("source",),
    "replay_target": ("target",),
    "copy_source": ("source",),
    "mcadams": ("source",),
    "griffin_lim": ("source",),
    "convert_griffin_lim": ("source", "target"),
}
BASELINES = ("griffin_lim", "convert_griffin_lim")  # what another vocoder changes: the sound and, by it, the words
SYSTEMS = tuple(name for name in HEARS if name not in BASELINES)
PER_SPEAKER = ("real", "vocoder", "reconstruction", "pseudonym")  # nobody asks these for a target


class Systems:
    """Outputs by system and trial.

    ======================  =======================================================================
    ``real``                the source part itself
    ``vocoder``             the source's mel back to sound, without the model
    ``reconstruction``      the model's source with its own embedding
    ``convert``             the model's source with the target's embedding
    ``pseudonym``           the model's source with a voice that nobody has, drawn anew for each recording
    ``replay_target``       control: the reference, whatever the source says
    ``copy_source``         control: the source, unchanged
    ``mcadams``             control: formants moved without a model (:mod:`saic.signal.mcadams`)
    ``griffin_lim``         as ``vocoder``, by Griffin-Lim whatever the weights' own vocoder is
    ``convert_griffin_lim`` as ``convert``, by Griffin-Lim
    ======================  =======================================================================

    Parameters
    ----------
    pipeline
        A :class:`saic.pipeline.Pipeline`.
    corpus
        Whose parts go in; they have passed the codec.
    cache
        Folder for the outputs after the codec, as FLAC. An output is known by what the pipeline says of
        itself (with the weights' hash), the samples that went in, and the seed, so a folder may serve many
        runs, and one that broke off goes on. Code is not part of it: empty the folder after a change there.
        A pipeline without a hash, such as one in training, finds nothing of earlier runs.
    """

    def __init__(self, pipeline, corpus: Gallery, cache: Path, *, seed: int):
        self._pipeline = pipeline
        self._corpus = corpus
        self._cache = cache
        self._seed = seed
        info = pipeline.info()
        unique = info["sha256"] or secrets.token_hex()
        self._run = json.dumps([info, unique, seed, corpus.codec.__name__], sort_keys=True)

    def output(self, system: str, trial: Trial) -> np.ndarray:
        """(N,) what the system makes of the trial, through the codec after it."""
        source, target = self._corpus.parts[trial.source], self._corpus.parts[trial.target]
        return self.anonymized(system, self._corpus.wav(source.source), self._corpus.wav(target.reference))

    def anonymized(self, system: str, source: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """(N,) what the system makes of any source and reference that have passed the codec, and pass it again."""
        if system == "real":
            return source  # has been through the codec, and no system after it
        heard = {"source": source, "target": reference}
        path = self._path(system, *(heard[end] for end in HEARS[system]))
        if not path.exists():
            _write(path, self._corpus.codec(self._make(system, source, reference)))
        return _read(path)

    def _make(self, system: str, source: np.ndarray, reference: np.ndarray) -> np.ndarray:
        clip, target = (source, SAMPLE_RATE), (reference, SAMPLE_RATE)
        match system:
            case "copy_source":
                return source
            case "replay_target":
                return reference
            case "vocoder":
                return self._pipeline.resynthesize(clip)
            case "reconstruction":
                return self._pipeline.convert(clip, [target], reconstruct=True).reconstruction
            case "convert":
                return self._pipeline.convert(clip, [target], reconstruct=False).wav
            case "pseudonym":
                return self._pipeline.anonymize(clip, seed=self._seed_of(source)).wav
            case "griffin_lim":
                return self._pipeline.with_griffin_lim().resynthesize(clip)
            case "convert_griffin_lim":
                return self._pipeline.with_griffin_lim().convert(clip, [target], reconstruct=False).wav
            case "mcadams":
                return mcadams.anonymize(source, seed=self._seed_of(source))
        raise ValueError(f"no such system: {system}")

    def _seed_of(self, source: np.ndarray) -> int:
        """Another one for every recording, as in VoicePrivacy; the same one in every run."""
        digest = hashlib.sha256(str(self._seed).encode() + source.tobytes()).digest()
        return int.from_bytes(digest[:7])

    def _path(self, system: str, *wavs: np.ndarray) -> Path:
        digest = hashlib.sha256(f"{self._run}|{system}".encode())
        for wav in wavs:
            digest.update(hashlib.sha256(wav.tobytes()).digest())
        return self._cache / f"{digest.hexdigest()[:32]}.flac"


def _write(path: Path, wav: np.ndarray) -> None:
    """Write FLAC, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    soundfile.write(partial, wav, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(partial, path)


def _read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]
