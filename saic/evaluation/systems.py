"""The registry of evaluated systems, and their outputs. Outputs are cached on disk."""

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from saic import files
from saic.audio import SAMPLE_RATE
from saic.evaluation.cache_keys import run_key
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.data.trials import Trial
from saic.evaluation.external import chimera
from saic.evaluation.protocols import EvaluatedPipeline, Samples
from saic.profiles import PROSODY_KEPT, STRICT
from saic.signal import mcadams

KNOWN_VOICE_SEED = 0  # of the one pseudonym of ``pseudonym_known_voice``
MIN_CONTROL_SPEAKERS = 20  # with fewer, a control's figure is too uncertain to stop the run


@dataclass(frozen=True)
class System:
    """One evaluated system.

    Attributes
    ----------
    name
        Its key in ``report.json``.
    title
        Description of its output.
    run
        (pipeline, source, reference, seed) to the (N,) output; None: the output is the source.
    depends_on
        Which speakers' audio the output depends on. Trials with the same of these speakers share
        one output.
    has_target
        Whether outputs are compared with the target's voice. Then all trials are measured,
        otherwise one per source speaker. Some controls and baselines ignore the target but are
        compared with it.
    is_control
        Whether its figures show that the measurement works. Controls are measured first.
    is_external
        Whether it needs an environment of its own, and so runs only if it is named.
    is_linkage_only
        Whether it is a setting of an attacker, of which only linkage is measured.
    is_vocoder_baseline
        Whether it is another system with Griffin-Lim as its vocoder, of which only utility is
        measured.
    """

    name: str
    title: str
    run: Callable[[EvaluatedPipeline, Samples, Samples, int], np.ndarray] | None
    depends_on: tuple[Literal["source", "target"], ...] = ("source",)
    has_target: bool = False
    is_control: bool = False
    is_external: bool = False
    is_linkage_only: bool = False
    is_vocoder_baseline: bool = False


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "real",
            "the source itself",
            None,
            is_control=True,
        ),
        System(
            "vocoder",
            "the source's mel through the vocoder, without the model",
            lambda pipeline, source, reference, seed: pipeline.resynthesize(source),
        ),
        System(
            "reconstruction",
            "the source through the model with its own embedding",
            lambda pipeline, source, reference, seed: (
                pipeline.convert(source, [source], reconstruct=True).reconstruction  # whatever the target is
            ),
        ),
        System(
            "convert",
            "the source through the model with the target's embedding",
            lambda pipeline, source, reference, seed: pipeline.convert(source, [reference]).wav,
            depends_on=("source", "target"),
            has_target=True,
        ),
        System(
            "pseudonym",
            "the source through the model with a pseudonym, drawn anew for each recording",
            lambda pipeline, source, reference, seed: pipeline.anonymize(source, seed=seed).wav,
        ),
        System(
            "pseudonym_prosody_kept",
            "as ``pseudonym``, with the source's F0 contour (profile prosody-kept)",
            lambda pipeline, source, reference, seed: pipeline.anonymize(source, seed=seed, profile=PROSODY_KEPT).wav,
        ),
        System(
            "pseudonym_strict",
            "as ``pseudonym``, with new F0, rate and pauses (profile strict)",
            lambda pipeline, source, reference, seed: pipeline.anonymize(source, seed=seed, profile=STRICT).wav,
        ),
        System(
            "pseudonym_known_voice",
            "as ``pseudonym``, with one pseudonym for all recordings: an attacker who has the voice of an output"
            " converts the candidates' recordings to it and compares",
            lambda pipeline, source, reference, seed: pipeline.anonymize(source, seed=KNOWN_VOICE_SEED).wav,
            is_linkage_only=True,
        ),
        System(
            "pseudonym_unlike",
            "as ``pseudonym``, drawn again while it counts as the speaker's own voice, as without a seed or a key",
            lambda pipeline, source, reference, seed: (
                pipeline.anonymize(source, voice=pipeline.pseudonym(unlike=source, seed=seed)).wav
            ),
            is_linkage_only=True,
        ),
        System(
            "replay_target",
            "control: the reference, unchanged",
            lambda pipeline, source, reference, seed: reference[0],
            depends_on=("target",),
            has_target=True,
            is_control=True,
        ),
        System(
            "copy_source",
            "control: the source, unchanged",
            lambda pipeline, source, reference, seed: source[0],
            has_target=True,
            is_control=True,
        ),
        System(
            "mcadams",
            "baseline: McAdams anonymization, without a model (:mod:`saic.signal.mcadams`)",
            lambda pipeline, source, reference, seed: mcadams.anonymize(source[0], seed=seed),
            has_target=True,
        ),
        System(
            "chimera",
            "baseline: Chimera, without a model (:mod:`saic.evaluation.external`)",
            lambda pipeline, source, reference, seed: chimera(source[0], seed=seed),
            has_target=True,
            is_external=True,
        ),
        System(
            "griffin_lim",
            "as ``vocoder``, with Griffin-Lim instead of the vocoder of the weights",
            lambda pipeline, source, reference, seed: pipeline.with_griffin_lim().resynthesize(source),
            is_vocoder_baseline=True,
        ),
        System(
            "convert_griffin_lim",
            "as ``convert``, with Griffin-Lim",
            lambda pipeline, source, reference, seed: pipeline.with_griffin_lim().convert(source, [reference]).wav,
            depends_on=("source", "target"),
            has_target=True,
            is_vocoder_baseline=True,
        ),
    )
}
"""All systems by name, in the order of a report."""

MAIN_SYSTEMS = tuple(
    name
    for name, system in SYSTEMS.items()
    if not (system.is_vocoder_baseline or system.is_external or system.is_linkage_only)
)
PROFILE_BASELINE = "pseudonym_prosody_kept"
"""With which the other profiles are compared in pairs, where it is measured."""
COMPARED_PROFILES = ("pseudonym", "pseudonym_strict")
VOCODER_BASELINES = tuple(name for name, system in SYSTEMS.items() if system.is_vocoder_baseline)


def controls_first(names: Sequence[str]) -> list[str]:
    """Names of systems in the order in which they are measured."""
    return sorted(names, key=lambda name: not SYSTEMS[name].is_control)


def audio_key(system: str, trial: Trial) -> tuple[str, ...]:
    """Speakers whose audio the output depends on: equal for trials that share one output."""
    return tuple(getattr(trial, role) for role in SYSTEMS[system].depends_on)


class SystemOutputs:
    """Outputs by system and trial.

    Parameters
    ----------
    dataset
        Gives the parts of a trial; its audio has passed the codec.
    cache
        Folder for the outputs after the codec, as FLAC. The key of an output is a hash of the
        pipeline's ``info`` (with the hash of the weights), the source code, the samples that went in,
        and the seed. So one folder can serve many runs, and an interrupted run continues. Outputs of
        a pipeline without a hash of its weights, such as one in training, are not reused.
    """

    def __init__(self, pipeline: EvaluatedPipeline, dataset: EvaluationSet, cache: Path, *, seed: int):
        self._pipeline = pipeline
        self._dataset = dataset
        self._cache = cache
        self._seed = seed
        self._run_key = run_key(pipeline, dataset.codec, seed)

    def of_trial(self, system: str, trial: Trial) -> np.ndarray:
        """(N,) output of the system for a trial, after the codec."""
        source, target = self._dataset.parts[trial.source], self._dataset.parts[trial.target]
        return self.of_audio(system, self._dataset.wav(source.source), self._dataset.wav(target.reference))

    def of_audio(self, system: str, source: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """(N,) output of the system, after the codec; the inputs have passed the codec."""
        run = SYSTEMS[system].run
        if run is None:
            return source  # without a second pass through the codec
        wavs = {"source": source, "target": reference}
        path = self._path(system, *(wavs[role] for role in SYSTEMS[system].depends_on))
        if not path.exists():
            output = run(self._pipeline, (source, SAMPLE_RATE), (reference, SAMPLE_RATE), self._seed_of(source))
            write_flac(path, self._dataset.codec(output))
        return soundfile.read(os.fsencode(path), dtype="float32")[0]

    def _seed_of(self, source: np.ndarray) -> int:
        """Seed of a recording: each has its own (as in VoicePrivacy), the same in every run."""
        digest = hashlib.sha256(str(self._seed).encode() + source.tobytes()).digest()
        return int.from_bytes(digest[:7])

    def _path(self, system: str, *wavs: np.ndarray) -> Path:
        digest = hashlib.sha256(f"{self._run_key}|{system}".encode())
        for wav in wavs:
            digest.update(hashlib.sha256(wav.tobytes()).digest())
        return self._cache / f"{digest.hexdigest()[:32]}.flac"


def write_flac(path: Path, wav: np.ndarray) -> None:
    """Write a (N,) wav as FLAC of 16 bits, and its folder."""
    encoded = io.BytesIO()
    soundfile.write(encoded, wav, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, encoded.getvalue(), force=True)
