"""How the recordings of a run are changed: what each worker needs to know, and the function it makes of it."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from saic import audio, files
from saic.archive.engine import Convert, Job, Made, Tell
from saic.audio.output import encode_blocks, rate_for
from saic.audio.source_rate import source_rate
from saic.errors import UsageError, WeightsError
from saic.profiles import BALANCED, PROSODY_KEPT

if TYPE_CHECKING:
    from saic.evaluation.evaluators.whisper import WhisperASR
    from saic.file_report import FileReporter
    from saic.keys import Key
    from saic.pipeline import Pipeline, ProgressCallback, SpooledConversion

    _Changer = Callable[[Job, ProgressCallback], SpooledConversion]

SAIC, MCADAMS = "saic", "mcadams"
REGISTERS = ("lower", "higher", "same", "any")
_NEAR = (
    "This voice happens to be near the speaker's own: similarity {:.2f}, where {:.2f} counts as one speaker. Choose"
    " another voice or seed, or for a key another study."
)
_OTHER_WEIGHTS = (
    "A machine has other weights than the one that writes. Install the same version of SAIC on all, or name weights"
    " that all have with --weights."
)
IS_TARGET = "This recording is a --target too, so its output has the voice of its own speaker."


@dataclass(frozen=True)
class Recipe:
    """The choice of the new voices. It can be pickled: a key is read from its file where it is used.

    Attributes
    ----------
    method
        "saic" or "mcadams".
    voice
        A register of pseudonyms, or the name of a voice of the gallery.
    profile
        See :mod:`saic.profiles`; None takes the default of the weights.
    targets
        Recordings of the voice to give instead of a pseudonym.
    key_file, study, new_voices, subjects
        As for :meth:`saic.pipeline.Pipeline.pseudonym`; ``subjects`` are all that speak.
    has_seed
        Whether the seed was chosen, for the reports.
    weights, device
        As for :meth:`saic.pipeline.Pipeline.from_pretrained`.
    reports, asr
        Whether each file has a report, and the recognizer that counts its words; "none" or None: words
        are not counted.
    asr_if_downloaded
        Whether None means Whisper instead, if it has been downloaded.
    required_hashes
        The :attr:`hashes` that the weights must have; None for any.
    """

    method: str = SAIC
    voice: str = "any"
    profile: str | None = None
    targets: tuple[Path, ...] = ()
    key_file: Path | None = None
    study: str = ""
    new_voices: bool = False
    subjects: frozenset[str] = frozenset()
    has_seed: bool = False
    weights: Path | str | None = None
    device: str = "cpu"
    reports: bool = False
    asr: str | None = None
    asr_if_downloaded: bool = False
    required_hashes: tuple[str | None, ...] | None = None

    @property
    def is_register(self) -> bool:
        """Whether ``voice`` is a register, and no name of a voice."""
        return self.voice in REGISTERS

    @property
    def register(self) -> str | None:
        """The register of the pseudonyms; None if there are none."""
        return self.voice if self.is_register and not self.targets else None

    @property
    def voice_kind(self) -> str:
        """Where the voices are from, as in :class:`saic.file_report.Settings`."""
        if self.targets:
            return "target"
        if not self.is_register:
            return "gallery"
        return "key" if self.key_file is not None else "seed" if self.has_seed else "random"

    @cached_property
    def folder(self) -> Path:
        """The folder of the weights, checked."""
        from saic.weights import resolve

        return resolve(self.weights)

    @property
    def used_profile(self) -> str | None:
        """The profile, or the default of the weights; None if there are no profiles."""
        if self.method == MCADAMS:
            return None
        from saic.weights import PROSODY

        return self.profile or (BALANCED if (self.folder / PROSODY).is_file() else PROSODY_KEPT)

    def load_key(self) -> "Key | None":
        """The key, checked with all subjects."""
        if self.key_file is None:
            return None
        from saic.keys import Key

        key = Key.load(self.key_file)
        for subject in self.subjects:
            key.bits(subject, self.study)
        return key

    @property
    def hashes(self) -> dict[str, str | None]:
        """Hashes of the weights and of their gallery, by their names in messages; empty for mcadams."""
        if self.method == MCADAMS:
            return {}
        from saic.weights import VOICES, fingerprint

        gallery = self.folder / VOICES
        return {
            "set of weights": fingerprint(self.folder),
            "gallery": sha256_of(gallery) if gallery.is_file() else None,
        }

    def for_other_machines(self) -> "Recipe":
        """This recipe with absolute paths. Each machine finds the weights for itself, and must have these."""
        weights, asr = self.weights, self.asr
        if weights is not None and os.path.isdir(weights):
            weights = os.path.abspath(weights)
        if asr is not None and os.path.isdir(asr):
            asr = os.path.abspath(asr)
        targets = tuple(path.absolute() for path in self.targets)
        key_file = self.key_file and self.key_file.absolute()
        required = tuple(self.hashes.values())
        return replace(self, weights=weights, asr=asr, targets=targets, key_file=key_file, required_hashes=required)

    def settings(self, salt: str) -> dict[str, object]:
        """What must not change while a run goes on, by its name in messages.

        Key, study and seed cannot be read from it: those of the key are keyed by itself, and a seed
        is hashed slowly.

        Parameters
        ----------
        salt
            Random bits, so that the hashes of two runs cannot be compared.
        """
        settings: dict[str, object] = {
            "method": self.method,
            "voice": self.voice,
            "profile": self.used_profile,
            "target": [_salted(sha256_of(path), salt) for path in self.targets],
            "report": self.reports,
        }
        settings |= self.hashes
        if key := self.load_key():
            settings["key"] = key.digest("saic journal key", salt).hex()
            settings["study"] = key.digest("saic journal study", salt, self.study).hex()
        return settings

    def __call__(self) -> Convert:
        """Load what is needed, and return the function that converts a recording.

        All that can be wrong with key, subjects and voice is found here.
        """
        if self.method == MCADAMS:
            return _Converter(self, _mcadams).convert
        from saic.pipeline import Pipeline

        self.load_key()  # wrong keys and subjects are refused before the model is loaded
        if self.required_hashes not in (None, tuple(self.hashes.values())):
            raise WeightsError(_OTHER_WEIGHTS)
        pipeline = Pipeline.from_pretrained(self.folder, device=self.device)
        return _Converter(self, self._changer(pipeline), self._reporter(pipeline)).convert

    def _changer(self, pipeline: "Pipeline") -> "_Changer":
        profile = self.profile
        if self.targets:
            voice = pipeline.voice(list(self.targets))  # measured once for all recordings
            return lambda job, progress: pipeline.convert_spooled(job.source, voice, profile=profile, progress=progress)
        voices = None  # by subject, unless each recording gets a pseudonym of its own
        if key := self.load_key():
            settings = {"study": self.study, "register": self.voice, "new_voices": self.new_voices}
            voices = {each: pipeline.pseudonym(key=key, subject=each, **settings) for each in self.subjects}
        elif not self.is_register:
            voices = {None: pipeline.gallery.voice(self.voice).to(self.device)}
        elif self.voice not in ("any", "same"):
            pipeline.pseudonym(register=self.voice)  # a gallery without that register is refused now

        def change(job: Job, progress: "ProgressCallback") -> "SpooledConversion":
            choice = {"seed": job.seed, "register": self.voice} if voices is None else {"voice": voices[job.subject]}
            conversion = pipeline.anonymize_spooled(job.source, **choice, profile=profile, progress=progress)
            return _noted(conversion, pipeline.gallery.threshold)

        return change

    def _reporter(self, pipeline: "Pipeline") -> "FileReporter | None":
        if not self.reports:
            return None
        from saic.file_report import FileReporter

        return FileReporter(pipeline, self._recognizer())

    def _recognizer(self) -> "WhisperASR | None":
        from saic.evaluation.evaluators.whisper import NO_ASR, WhisperASR

        if self.asr is None:
            return WhisperASR.downloaded() if self.asr_if_downloaded else None
        return None if self.asr == NO_ASR else WhisperASR(self.asr)


class _Converter:
    """Converts recordings as a recipe says."""

    def __init__(self, recipe: Recipe, change: "_Changer", reporter: "FileReporter | None" = None) -> None:
        self._recipe, self._change, self._reporter = recipe, change, reporter
        self._targets = {sha256_of(path) for path in recipe.targets}  # by content: a copy has another path

    def convert(self, job: Job, tell: Tell) -> Made:
        began, source_sha256 = time.monotonic(), sha256_of(job.source)  # before it is read: it may change meanwhile
        conversion = self._change(job, lambda stage, share: tell(job, stage, share))
        rate_hz = job.rate_hz or rate_for(job.format, source_rate(job.source))
        data = encode_blocks(conversion.blocks(rate_hz), job.format, rate_hz)
        report = None
        if self._reporter is not None:
            tell(job, "Measuring the protection", 0.9)
            report = self._report(job, conversion, data, rate_hz)
        own = [IS_TARGET] if source_sha256 in self._targets else []
        return Made(
            data,
            source_sha256,
            duration_s=len(conversion) / audio.SAMPLE_RATE,
            seconds=time.monotonic() - began,
            notes=(*own, *dict.fromkeys(conversion.notes)),
            target_notes=conversion.target_notes,
            report=report,
        )

    def _report(self, job: Job, conversion: "SpooledConversion", data: BinaryIO, rate_hz: int) -> bytes:
        from saic import file_report

        settings = file_report.Settings(self._recipe.voice_kind, self._recipe.register, rate_hz)
        original = audio.load(job.source, limits=audio.LONG)  # a report needs all of it in memory
        return file_report.to_json(self._reporter.report(original, conversion.whole(), data, settings))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex digits; :class:`~saic.errors.UsageError` if it is none or cannot be read."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe would block
            raise UsageError("A recording is a folder, a pipe or a device. Name a file.")
        return files.sha256(path)
    except OSError as error:  # no DiskError, which would end a run: other files may be readable
        raise UsageError(f"A file cannot be read: {error.strerror}.") from None


def seed_digest(seed: int, salt: str) -> str:
    """A hash of a seed that is slow to compute, since a short seed can be guessed."""
    return hashlib.scrypt(str(seed).encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()


def _salted(digest: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}/{digest}".encode()).hexdigest()


@dataclass(frozen=True)
class _McAdams:
    """A conversion by the method mcadams, as far as a converter needs it."""

    wav: np.ndarray
    notes: tuple[str, ...]
    target_notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.wav)

    def blocks(self, rate_hz: int) -> Iterator[np.ndarray]:
        from saic.signal.loudness import normalize_for_rate

        yield normalize_for_rate(self.wav, rate_hz)[:]


def _mcadams(job: Job, progress: "ProgressCallback") -> _McAdams:
    from saic.signal import mcadams
    from saic.signal.loudness import normalize_loudness

    recording = audio.read(job.source)
    return _McAdams(normalize_loudness(mcadams.anonymize(recording.wav, seed=job.seed)), recording.notes)


def _noted(conversion: "SpooledConversion", threshold: float) -> "SpooledConversion":
    """The conversion, with a note if the similarity of the new voice to the speaker reaches a threshold."""
    similarity = conversion.voice_similarity
    if similarity < threshold:
        return conversion
    return replace(conversion, notes=(*conversion.notes, _NEAR.format(similarity, threshold)))
