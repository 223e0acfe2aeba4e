"""Conversions for the page and its API: the work itself, its files, and what it protected."""

import contextlib
import io
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from saic import file_report, plots
from saic.audio import SAMPLE_RATE
from saic.audio.output import encode
from saic.conversion import Voice
from saic.errors import UsageError
from saic.evaluation.protection import Protection, ProtectionMeasurer
from saic.files import sha256
from saic.pipeline import SpooledConversion
from saic.signal.loudness import normalize
from saic.signal.mel import N_MELS
from saic.spool import Spool
from saic.web.linkage import Linkage
from saic.web.progress import COMPARING, WRITING, Pace, Progress
from saic.web.server.jobs import Job
from saic.web.server.recordings import VOICE_S, Recordings
from saic.web.server.store import GONE, StoreFull
from saic.web.texts import ENGLISH

OnProgress = Callable[[float, str, float | None], None]
"""Called with the share done, 0 to 1, the stage, and the seconds left (None: not known)."""

FORMATS = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "opus": "Opus"}
"""Formats of the anonymized voice, and their names on the page."""

_WAITING = "Waiting for a free processor core, {before} ahead of you"
_ARRAYS = "spectrograms.npz"
_CODE_DIGITS = 6
_COLUMNS = "columns.npz"  # what the page draws the spectrograms from
_BLOCK_FRAMES = 10_000  # of a mel that are converted to 16 bits at once
_WARM_UP_S = 10
_TICK_S = 0.4  # between two updates of the progress bar


@dataclass(frozen=True)
class NewVoice:
    """The voice that a recording is converted to.

    Attributes
    ----------
    kind : "random" or "seed" (a new pseudonym), "key" (a subject's) or "target" (a recording)
    voice : of a subject, or of a recording that was measured before; None: it is drawn or measured
    wav : (M,) the target's recording
    register : of a pseudonym, as for `saic.pipeline.Pipeline.anonymize`
    seed : of kind "seed"
    """

    kind: str
    voice: Voice | None = None
    wav: np.ndarray | None = None
    register: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Result:
    """A conversion: its files, all in one folder, and what was measured on it.

    Attributes
    ----------
    original, swapped : paths of 16 kHz WAVs
    reconstructed, arrays : paths of a third one, and of `saic.plots.mel_arrays`; None without details
    new_voice : what it was converted to, without its wav and voice
    profile, voice_similarity : as in `saic.pipeline.Conversion`
    duration_s : length of the anonymized voice
    protection : the similarities; `words_kept` is measured later
    notes : on the conversion, as sentences; those on the source's file are with the recording
    """

    original: str
    swapped: str
    reconstructed: str | None
    arrays: str | None
    new_voice: NewVoice
    profile: str
    voice_similarity: float | None
    duration_s: float
    protection: Protection
    notes: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """What the names of the files for download end in: the first digits of the WAV's SHA-256, as in the report."""
        return Path(self.swapped).stem.rpartition("-")[2]

    @property
    def clips(self) -> tuple[str, str, str]:
        """Paths of the WAVs: original, reconstructed, swapped."""
        return self.original, self.reconstructed, self.swapped

    @property
    def folder(self) -> Path:
        """The folder of all files of the result."""
        return Path(self.swapped).parent


class Converter:
    """Converts recordings, and measures and reports what that protected.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    recordings : keeps the results
    measurer : measures what a conversion protects
    figures : what the evaluation found about linking recordings of each profile; None: nothing is known
    """

    def __init__(
        self,
        pipeline,
        recordings: Recordings,
        measurer: ProtectionMeasurer,
        figures: Mapping[str, Linkage] | None = None,
    ) -> None:
        self.pipeline, self.recordings, self.measurer, self.figures = pipeline, recordings, measurer, figures or {}
        self.pace = Pace()
        self._columns_lock = threading.Lock()  # two events of a page may need the columns at once
        self._weights_sha256 = pipeline.info()["sha256"]

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles that the weights allow, in the order of the page."""
        return tuple(name for name in ENGLISH.PROFILE_NAMES if name in self.pipeline.profiles)

    @property
    def default_profile(self) -> str:
        """The profile of a page on which none was chosen."""
        return self.pipeline.default_profile

    def require_profile(self, profile: str | None) -> str:
        """The profile of that name, the default for None; UsageError if the weights don't allow it."""
        if profile is None:
            return self.default_profile
        if profile not in self.profiles:
            raise UsageError(f"There is no such profile. Use one of these: {', '.join(self.profiles)}.")
        return profile

    def warm_up(self, wav: np.ndarray) -> None:
        """Load and compile what a conversion needs, and measure how long one takes.

        The first conversion, of a short part, compiles. The second one is measured.

        Parameters
        ----------
        wav : (N,) speech, of which `_WARM_UP_S` are converted
        """
        wav = wav[: _WARM_UP_S * SAMPLE_RATE]
        new_voice = NewVoice("target", self.pipeline.voice((wav, SAMPLE_RATE)), wav)
        self.measurer.warm_up()
        for part, pace in ((wav[: len(wav) // 4], Pace()), (wav, self.pace)):
            so_far = Progress(pace, len(part) / SAMPLE_RATE)
            self._compute(part, new_voice, self.default_profile, so_far.enter)
            so_far.finish()

    def job(
        self, session: str, progress: OnProgress = lambda *update: None, group: str = ""
    ) -> contextlib.AbstractContextManager[Job]:
        """The job of a conversion, see `saic.web.server.jobs.Jobs.run`.

        Read the recordings in it too: a deletion then stops all of it, and nothing is written afterwards.
        """
        report_wait = lambda before: progress(0.0, _WAITING.format(before=before), None)  # noqa: E731
        return self.recordings.job("convert", session, report_wait, group)

    def convert(
        self,
        source: np.ndarray,
        new_voice: NewVoice,
        session: str,
        profile: str,
        progress: OnProgress = lambda *update: None,
        *,
        kind: str = "result",
        details: bool = True,
    ) -> Result:
        """Convert a wav (N,), write the files of the result into a folder of a kind, and compare the voices.

        Without `details` there are neither a reconstruction nor spectrograms.
        """
        with self.job(session, progress) as job:
            is_unmeasured = new_voice.kind == "target" and new_voice.voice is None
            target_s = min(len(new_voice.wav) / SAMPLE_RATE, VOICE_S) if is_unmeasured else 0.0
            so_far = Progress(self.pace, len(source) / SAMPLE_RATE, target_s, details)
            with so_far.reported(progress, _TICK_S) as report:

                def enter(stage: str, share: float = 0.0) -> None:
                    so_far.enter(stage)
                    job.check()
                    report()

                conversion, wavs, arrays, protection = self._compute(
                    source, new_voice, profile, enter, job.check, details=details
                )
                job.check()
                folder = self.recordings.new(session, kind)
                paths = {name: self.recordings.save(folder, name, wav) for name, wav in wavs.items()}
                array_path = arrays and self.recordings.write(folder, _ARRAYS, arrays)
                so_far.finish()
                report()
        return Result(
            original=paths["original"],
            swapped=str(_with_code(Path(paths["swapped"]))),
            reconstructed=paths.get("reconstructed"),
            arrays=array_path,
            new_voice=replace(new_voice, voice=None, wav=None),
            profile=conversion.profile,
            voice_similarity=conversion.voice_similarity,
            duration_s=len(conversion) / SAMPLE_RATE,
            protection=protection,
            notes=conversion.notes,
        )

    def _compute(
        self,
        source: np.ndarray,
        new_voice: NewVoice,
        profile: str,
        enter: Callable[..., None],
        check: Callable[[], None] = lambda: None,
        *,
        details: bool = True,
    ) -> tuple[SpooledConversion, dict[str, Spool], bytes | None, Protection]:
        """The conversion, the wavs of a result by name, its spectrograms as NPZ, and what was protected."""
        clip, options = (source, SAMPLE_RATE), {"profile": profile, "reconstruct": details, "progress": enter}
        if new_voice.kind == "target":
            target = None if new_voice.wav is None else new_voice.wav[: VOICE_S * SAMPLE_RATE]
            voice = (target, SAMPLE_RATE) if new_voice.voice is None else new_voice.voice
            result = self.pipeline.convert_spooled(clip, voice, **options)
        elif new_voice.voice is not None:
            result = self.pipeline.anonymize_spooled(clip, voice=new_voice.voice, **options)
        else:
            register = new_voice.register or "any"
            result = self.pipeline.anonymize_spooled(clip, seed=new_voice.seed, register=register, **options)
        enter(WRITING)
        wavs = {"original": normalize(source), "swapped": result.wavs["converted"]}  # outputs have -23 LUFS
        npz = None
        if details:
            wavs["reconstructed"] = result.wavs["reconstructed"]
            npz = _arrays_of(result)
        enter(COMPARING)
        protection = self.measurer.measure_similarity(wavs["original"], wavs["swapped"], new_voice.wav, check)
        return result, wavs, npz, protection

    def encode(self, result: Result, session: str, group: str = "") -> list[str]:
        """Write the anonymized voice in the `FORMATS` that are not WAV; returns their paths.

        For a recording of five minutes this takes two seconds, so the page does it once the verdict is shown.
        """
        paths = []
        with self.recordings.job("encode", session, group=group) as job:
            wav = self.recordings.load(result.swapped, session)
            for name in list(FORMATS)[1:]:
                job.check()
                data = encode(wav, name, SAMPLE_RATE)
                paths.append(self.recordings.write(result.folder, f"anonymized-{result.code}.{name}", data))
        return paths

    def measure_words_kept(self, result: Result, session: str, group: str = "") -> Result:
        """The result with the share of words kept, if there is a speech recognizer."""
        if not self.measurer.has_asr:
            return result
        with self.recordings.job("transcribe", session, group=group) as job:
            original, swapped = (self.recordings.load(path, session) for path in (result.original, result.swapped))
            job.check()
            words_kept = self.measurer.measure_words_kept(original, swapped, job.check)
        return replace(result, protection=replace(result.protection, words_kept=words_kept))

    def columns(self, result: Result, session: str) -> plots.Columns:
        """What the spectrograms of a result are drawn from. The first call computes it and writes it beside them."""
        path = result.folder / _COLUMNS
        with self._columns_lock:
            if path.exists():
                return plots.Columns.from_arrays(self._load(str(path), session))
            columns = plots.Columns.of(*plots.from_arrays(self._load(result.arrays, session)))
            with contextlib.suppress(StoreFull):  # the next call computes it again
                self.recordings.write(result.folder, _COLUMNS, _npz(columns.arrays()))
            return columns

    def pictures(self, result: Result, session: str, kinds: Sequence[str] = ("png",)) -> list[str]:
        """Draw the spectrograms of a result as PNG and SVG beside its files, once; returns their paths."""
        paths = {kind: result.folder / f"spectrograms.{kind}" for kind in kinds}
        with self.recordings.job("draw", session) as job:
            columns = self.columns(result, session)
            if not all(path.exists() for path in paths.values()):
                figure = plots.mel_comparison(columns)
                for kind, path in paths.items():
                    job.check()
                    self.recordings.write(result.folder, path.name, plots.to_bytes(figure, kind))
        return [str(path) for path in paths.values()]

    def _load(self, path: str, session: str) -> Mapping[str, np.ndarray]:
        return np.load(io.BytesIO(self.recordings.read_bytes(path, session)))

    def report(self, result: Result, notes: Iterable[str]) -> dict[str, Any]:
        """The report of a result, see `saic.file_report`; `notes` are those on the source's file."""
        try:
            return file_report.build(
                result.protection,
                file_report.Settings(result.new_voice.kind, result.new_voice.register, SAMPLE_RATE),
                Path(result.swapped),
                profile=result.profile,
                voice_similarity=result.voice_similarity,
                threshold=self.pipeline.gallery.threshold,
                duration_s=result.duration_s,
                notes=(*notes, *result.notes),
                weights_sha256=self._weights_sha256,
            )
        except OSError:  # the result has been deleted
            raise UsageError(GONE) from None


def _with_code(wav: Path) -> Path:
    """Rename the anonymized WAV, so that it and its report are found together among others."""
    try:
        return wav.rename(wav.with_name(f"anonymized-{sha256(wav)[:_CODE_DIGITS]}.wav"))
    except OSError:  # the result has been deleted
        raise UsageError(GONE) from None


def _arrays_of(conversion: SpooledConversion) -> bytes:
    """The spectrograms of a conversion, `saic.plots.mel_arrays` in 16 bits, as NPZ."""
    halves = {
        name: np.concatenate([block.cpu().numpy().astype(np.float16) for block in mel.blocks(_BLOCK_FRAMES)], axis=-1)
        for name, mel in conversion.mels.items()
    }
    mels = {name: half.reshape(N_MELS, -1) for name, half in halves.items()}
    f0_hz = {name: track.cpu().numpy() for name, track in conversion.f0_hz.items()}
    return _npz({name: array.astype(np.float16) for name, array in plots.mel_arrays(mels, f0_hz).items()})


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
