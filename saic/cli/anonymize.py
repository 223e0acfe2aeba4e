"""``saic anonymize``: a recording, or a folder of them, in voices that are not the speakers'."""

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

from saic import files
from saic.cli.options import (
    DeviceOption,
    ForceOption,
    JsonOption,
    Profile,
    ProfileOption,
    RateOption,
    WeightsOption,
    printable,
    progress_bar,
    show,
)
from saic.errors import AudioError, PartialFailure, UsageError
from saic.files import DiskError

if TYPE_CHECKING:
    from saic.cli.batch import BatchItem
    from saic.file_report import FileReporter
    from saic.pipeline import Conversion, Pipeline, ProgressCallback

    _Changer = Callable[[Path, int, str | None, ProgressCallback], Conversion]

_REGISTERS = ("lower", "higher", "same", "any")
_SAIC = "use --method saic."
_UNKEYED_SUBJECT = (
    "A subject needs a key: without one, whoever guesses its name could compute its voice. Make a key with"
    " saic key new FILE, and name it with --key-file."
)
_KEYED_SAME = (
    "With a key, the voice must not depend on the recording: --voice same could give a subject two voices, and tells"
    " the sex of the speaker. Use lower, higher or any."
)
_NEAR = (
    "This voice happens to be near the speaker's own: similarity {:.2f}, where {:.2f} counts as one speaker. Choose"
    " another voice, or for a key another study."
)
_IS_TARGET = "This recording is a --target too, so its output has the voice of its own speaker."


class Method(StrEnum):
    """How :func:`anonymize` changes a voice."""

    SAIC = "saic"
    MCADAMS = "mcadams"


class Format(StrEnum):
    """Formats of the outputs of a folder."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"


def anonymize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A recording, or a folder with its subfolders.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write: .wav, .flac, .mp3 or .opus; for a folder, a folder.")
    ],
    method: Annotated[
        Method, typer.Option("--method", help="saic gives a pseudonym; mcadams moves formants, and protects little.")
    ] = Method.SAIC,
    voice: Annotated[
        str,
        typer.Option(
            "--voice",
            metavar="lower|higher|same|any|NAME",
            help="Register of the pseudonyms, or a gallery voice by its name.",
        ),
    ] = "any",
    profile: ProfileOption = None,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", help="Recording of the voice to give instead of a pseudonym; repeat for more."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="Key of saic key new: each subject gets one voice.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="ID", help="Who speaks in IN; needs --key-file.")
    ] = None,
    subject_from: Annotated[
        str | None,
        typer.Option(
            "--subject-from",
            metavar="PATTERN|FILE.csv:COLUMN",
            help="Who speaks: a regular expression on the path in IN, or a table.",
        ),
    ] = None,
    study: Annotated[
        str, typer.Option("--study", metavar="NAME", help="Another study gives a subject another voice.")
    ] = "",
    new_voices: Annotated[
        bool, typer.Option("--new-voices", help="Use the key with other weights than it was made for.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Seed of the pseudonyms, one per file; keep it secret.", show_default="random"
        ),
    ] = None,
    format: Annotated[
        Format | None, typer.Option("--format", help="Format of a folder's outputs.", show_default="wav")
    ] = None,
    rate: RateOption = 16_000,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.json", help="Write how far the voice was protected.")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option("--reports", metavar="FOLDER", help="For a folder: write a report on each file.")
    ] = None,
    asr: Annotated[
        str | None, typer.Option("--asr", help="Recognizer that counts the words kept, as for saic evaluate.")
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give each recording of IN another voice, keep the words.

    Outputs keep the names and folders of the recordings. Rename those that identify a speaker. A
    recording that cannot be used is reported by its number in the order of the paths. The others
    are still processed.

    With --key-file, the voice depends on the key, the subject and the study alone. All recordings
    of a subject get one voice, in every run and on every machine. Name the subject of all
    recordings with --subject, or find it in each path: --subject-from "^([^/]+)/" takes the first
    folder. A table has a column "path", relative to IN. Whoever has the key can link the outputs to
    names. Subjects without a key are refused: whoever guesses a name could compute its voice.

    Without --key-file every file gets a pseudonym of its own. With the same --seed, the same file
    (by its path in IN) gets the same pseudonym in every run. Its outputs can then be linked to each
    other, and whoever knows the seed can draw the same pseudonyms: protect it like the originals.
    Without --seed, every run draws new pseudonyms, and only --json prints the seed that was drawn.

    A report names neither the recording nor the subject. Its similarities are measurements of a
    person: keep it with the originals.

    The method mcadams needs no model. It is a weak protection, for comparison or where nothing else
    runs.
    """
    from saic import audio
    from saic.cli import batch

    choice = _Choice(method, voice, profile, target or [], key_file, study, new_voices)
    choice.require_valid(subject is not None, subject_from is not None, seed is not None)
    items, n_skipped = batch.plan(source, output, format)
    batch.require_free(items, rate, force)
    report_of = _plan_reports(items, output, report, reports, asr, method, force)
    subjects = batch.subjects(items, subject_from) if subject_from is not None else [subject] * len(items)
    drawn = seed
    if seed is None and choice.draws_by_seed:
        drawn = secrets.randbits(53)  # every JSON reader keeps 53 bits exactly, and nobody can try all of them
    pipeline, change = choice.load(weights, device, subjects)
    reporter = _reporter(pipeline, asr) if report_of else None
    settings = choice.voice_kind(has_seed=seed is not None), choice.register, rate
    targets = {path.resolve() for path in target or ()}
    subject_of = dict(zip(items, subjects, strict=True))

    def process(item: batch.BatchItem, update: "ProgressCallback") -> tuple[float, list[str]]:
        conversion = change(item.source, item.seed(drawn), subject_of[item], update)
        item.save(conversion.wav, rate, force)
        if reporter is not None:
            update("Measuring the protection", 0.9)
            _write_report(reporter, item, conversion, report_of[item], settings, force)
        own = [_IS_TARGET] if item.source.resolve() in targets else []
        return len(conversion.wav) / audio.SAMPLE_RATE, [*own, *dict.fromkeys(conversion.notes)]

    outcome = _process_all(items, process, quiet=as_json)
    facts = {
        "output": str(output),
        "method": method,
        "profile": None if pipeline is None else profile or pipeline.default_profile,
        "seed": drawn,
        "written": outcome.n_written,
        "left": len(items) - outcome.n_written - len(outcome.failures),
        "skipped": n_skipped,
        "duration_s": outcome.duration_s,
        "rate_hz": rate,
        "notes": [{"number": n, "note": note} for n, notes in outcome.notes.items() for note in notes],
        "failed": [{"number": n, "error": type(e).__name__, "reason": str(e)} for n, e in outcome.failures.items()],
    }
    text = f"Wrote {outcome.n_written} of {len(items)} recordings, {outcome.duration_s:.1f} s, to "
    others = f"; {n_skipped} other files left out" if n_skipped else ""
    show(as_json, facts, text + printable(str(output)) + others)
    outcome.raise_failures(len(items))


@dataclass(frozen=True)
class _Choice:
    """The options that choose the new voice."""

    method: Method
    voice: str
    profile: Profile | None
    targets: list[Path]
    key_file: Path | None
    study: str
    new_voices: bool

    @property
    def is_register(self) -> bool:
        """Whether --voice is a register, and no name of a voice."""
        return self.voice in _REGISTERS

    @property
    def draws_by_seed(self) -> bool:
        return not self.targets and self.key_file is None and self.is_register

    def require_valid(self, has_subject: bool, has_source_of_subjects: bool, has_seed: bool) -> None:
        """Raise :class:`UsageError` for options that exclude or need each other."""
        is_mcadams = self.method is Method.MCADAMS
        for refused, message in (
            (is_mcadams and self.targets, "The method mcadams has no target voice. Leave out --target, or " + _SAIC),
            (is_mcadams and self.voice != "any", "The method mcadams has no voices. Leave out --voice, or " + _SAIC),
            (is_mcadams and self.profile, "The method mcadams has no profiles. Leave out --profile, or " + _SAIC),
            (is_mcadams and self.key_file, "The method mcadams has no key. Leave out --key-file, or " + _SAIC),
            (self.targets and has_seed, "With --target no pseudonym is drawn. Leave out --seed, or --target."),
            (self.targets and self.voice != "any", "--target names the voice. Leave out --voice, or --target."),
            (self.targets and self.key_file, "With --target no pseudonym is drawn. Leave out --key-file, or --target."),
            (self.key_file and has_seed, "The key decides the pseudonyms. Leave out --seed, or --key-file."),
            (self.key_file and self.voice == "same", _KEYED_SAME),
            (
                self.key_file and not self.is_register,
                "The key decides the voices. Leave out --voice NAME, or --key-file.",
            ),
            (has_seed and not self.is_register, "--voice NAME is one voice. Leave out --seed, or name a register."),
            (has_subject and has_source_of_subjects, "Name the subject once: by --subject, or by --subject-from."),
            (
                self.key_file and not (has_subject or has_source_of_subjects),
                "A key needs a subject: add --subject ID, or --subject-from PATTERN for a folder of several people.",
            ),
            (not self.key_file and (has_subject or has_source_of_subjects), _UNKEYED_SUBJECT),
            (
                not self.key_file and (self.study or self.new_voices),
                "--study and --new-voices are about a key. Add --key-file, or leave them out.",
            ),
        ):
            if refused:
                raise UsageError(message)

    @property
    def register(self) -> str | None:
        """The register of the pseudonyms; None if there are none."""
        return self.voice if self.is_register and not self.targets else None

    def voice_kind(self, has_seed: bool) -> str:
        """Where the voices are from, as in :class:`saic.file_report.Settings`."""
        if self.targets:
            return "target"
        if not self.is_register:
            return "gallery"
        return "key" if self.key_file is not None else "seed" if has_seed else "random"

    def load(self, weights: str | None, device: str, subjects: Sequence[str | None]) -> "tuple[Pipeline, _Changer]":
        """Load what is needed, and return the function that converts a recording.

        All that can be wrong with key, subjects and voice is found here, before the first
        recording.
        """
        if self.method is Method.MCADAMS:
            return None, _mcadams
        from saic.pipeline import Pipeline

        if self.key_file is not None:
            from saic import keys

            key = keys.Key.load(self.key_file)
            for each in set(subjects):
                key.bits(each, self.study)
            if keys.is_readable_by_others(self.key_file):
                print("Note: other accounts of this machine can read the key file: chmod 600 FILE.", file=sys.stderr)
        pipeline = Pipeline.from_pretrained(weights, device=device)
        kept = {"profile": self.profile and self.profile.value}
        if self.targets:
            voice = pipeline.voice(self.targets)  # measured once for all recordings
            return pipeline, lambda clip, seed, subject, progress: pipeline.convert(
                clip, voice, **kept, reconstruct=False, progress=progress
            )
        if self.key_file is not None:
            settings = {"study": self.study, "register": self.voice, "new_voices": self.new_voices}
            voices = {each: pipeline.pseudonym(key=key, subject=each, **settings) for each in set(subjects)}
        elif not self.is_register:
            voices = dict.fromkeys(subjects, pipeline.gallery.voice(self.voice).to(device))
        else:
            if self.voice not in ("any", "same"):
                pipeline.pseudonym(register=self.voice)  # a gallery without that register is refused now
            return pipeline, lambda clip, seed, subject, progress: pipeline.anonymize(
                clip, seed=seed, register=self.voice, **kept, progress=progress
            )
        return pipeline, lambda clip, seed, subject, progress: _noted(
            pipeline.anonymize(clip, voice=voices[subject], **kept, progress=progress), pipeline.gallery.threshold
        )


def _plan_reports(
    items: "list[BatchItem]",
    output: Path,
    report: Path | None,
    reports: Path | None,
    asr: str | None,
    method: Method,
    force: bool,
) -> "dict[BatchItem, Path]":
    """The report of each recording; empty if none is asked for.

    Raises
    ------
    UsageError
        Options that do not go together, or reports that exist or cannot be written.
    """
    if report is None and reports is None:
        if asr is not None:
            raise UsageError("The recognizer counts words for a report. Add --report or --reports, or leave out --asr.")
        return {}
    is_folder = items[0].output != output
    if method is Method.MCADAMS:
        raise UsageError("The method mcadams has no report. Leave it out, or use --method saic.")
    if (report is not None) == is_folder or (report is not None and reports is not None):
        raise UsageError("A recording has one --report FILE.json; a folder has --reports FOLDER.")
    if report is not None:
        planned = {items[0]: report}
    else:
        planned = {item: reports / f"{item.output.relative_to(output)}.json" for item in items}
    sources = {item.source.resolve() for item in items} | {item.output.resolve() for item in items}
    if any(path.suffix.lower() != ".json" or path.resolve() in sources for path in planned.values()):
        raise UsageError("A report is a file that ends in .json. Name one.")
    if not force and any(os.path.lexists(path) for path in planned.values()):
        raise UsageError("A report exists already. Add --force to replace it, or name another.")
    files.require_writable(planned.values())
    return planned


def _reporter(pipeline: "Pipeline", asr: str | None) -> "FileReporter":
    from saic.file_report import FileReporter

    return FileReporter(pipeline, asr)


def _write_report(
    reporter: "FileReporter",
    item: "BatchItem",
    conversion: "Conversion",
    path: Path,
    settings: tuple[str, str | None, int],
    force: bool,
) -> None:
    from saic import audio, file_report

    original = audio.load(item.source)
    made = reporter.report(original, conversion, item.output, file_report.Settings(*settings))
    file_report.write(path, made, force=force)


@dataclass
class _Outcome:
    """What became of the recordings; the keys are their numbers."""

    n_written: int = 0
    duration_s: float = 0.0
    notes: dict[int, list[str]] = field(default_factory=dict)
    failures: dict[int, AudioError | UsageError] = field(default_factory=dict)
    disk_error: DiskError | None = None

    def raise_failures(self, n_items: int) -> None:
        """Raise one error for all failures, if there were any; its class sets the exit code."""
        n_failed = len(self.failures)
        if self.disk_error:
            raise DiskError(
                f"{self.disk_error} The run stopped: {self.n_written} of {n_items} recordings are written, {n_failed}"
                f" failed, {n_items - self.n_written - n_failed} are left. Free space, or name an output on another"
                " disk, and run it again."
            )
        if not n_failed:
            return
        if n_failed < n_items:
            raise PartialFailure(f"{n_failed} of {n_items} recordings failed, for the reasons given.")
        for error in self.failures.values():
            if not isinstance(error, AudioError):
                raise error
        raise AudioError(f"None of the {n_items} recordings can be used, for the reasons given.")


def _process_all(
    items: "list[BatchItem]",
    process: "Callable[[BatchItem, ProgressCallback], tuple[float, list[str]]]",
    quiet: bool,
) -> _Outcome:
    """Process the recordings one by one, and print failures and notes on stderr.

    An AudioError or UsageError fails its recording alone, unless it is the only one. A DiskError
    stops the run. Other errors are not caught.

    Parameters
    ----------
    process
        Write the output of a recording; return its seconds and notes on it.
    quiet
        Draw no progress bar.
    """
    outcome = _Outcome()
    with progress_bar(quiet) as progress:
        task = progress.add_task("", total=len(items))
        for number, item in enumerate(items, start=1):

            def update(stage: str, fraction: float, number: int = number) -> None:
                stage = f"File {number} of {len(items)}: {stage}" if len(items) > 1 else stage
                progress.update(task, description=stage, completed=number - 1 + fraction)

            def tell(message: str, number: int = number, item: "BatchItem" = item) -> None:
                if len(items) > 1:
                    # The name is printed on a terminal only: anything else may be a log that
                    # others read.
                    name = f" ({item.printable_name})" if sys.stderr.isatty() else ""
                    message = f"File {number}{name}: {message}"
                progress.console.print(message, markup=False, highlight=False, soft_wrap=True)

            update("Reading the recording", 0.0)
            try:
                duration_s, notes = process(item, update)
            except (AudioError, UsageError) as error:
                if len(items) == 1:
                    raise
                if isinstance(error, DiskError):
                    outcome.disk_error = error
                    break
                outcome.failures[number] = error
                tell(str(error))
                continue
            outcome.n_written += 1
            outcome.duration_s += duration_s
            outcome.notes[number] = notes
            for note in notes:
                tell(f"Note: {note}")
    return outcome


def _mcadams(clip: Path, seed: int, subject: str | None, progress: "ProgressCallback") -> SimpleNamespace:
    from saic import audio
    from saic.signal import mcadams
    from saic.signal.loudness import normalize_loudness

    recording = audio.read(clip)
    wav = normalize_loudness(mcadams.anonymize(recording.wav, seed=seed))
    return SimpleNamespace(wav=wav, notes=recording.notes)


def _noted(conversion: "Conversion", threshold: float) -> "Conversion":
    """The conversion, with a note if the similarity of the new voice to the speaker reaches a threshold."""
    similarity = conversion.voice_similarity
    if similarity < threshold:
        return conversion
    return replace(conversion, notes=(*conversion.notes, _NEAR.format(similarity, threshold)))
