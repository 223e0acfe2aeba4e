"""``saic anonymize``: a recording, or a folder of them, in voices that are not the speakers'."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saic.cli.options import (
    DeviceOption,
    ForceOption,
    JsonOption,
    ProfileOption,
    RateOption,
    WeightsOption,
    printable,
    show,
)
from saic.errors import UsageError

if TYPE_CHECKING:
    from saic.archive.work import Request

_SAIC = "use --method saic."
_UNKEYED_SUBJECT = (
    "A subject needs a key: without one, whoever guesses its name could compute its voice. Make a key with"
    " saic key new FILE, and name it with --key-file."
)
_KEYED_SAME = (
    "With a key, the voice must not depend on the recording: --voice same could give a subject two voices, and tells"
    " the sex of the speaker. Use lower, higher or any."
)
_UNKEYED_BIDS = (
    "IN is a BIDS dataset, whose subjects get new labels from a key. Add --key-file KEY, or --rename MAPPING.csv to"
    " give all outputs neutral names."
)


class Method(StrEnum):
    """How :func:`anonymize` changes a voice."""

    SAIC = "saic"
    MCADAMS = "mcadams"


class Engine(StrEnum):
    """Where the recordings of a folder are converted."""

    LOCAL = "local"
    RAY = "ray"


class Format(StrEnum):
    """Formats of the outputs of a folder."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"


def anonymize(
    ctx: typer.Context,
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
    rename: Annotated[
        Path | None,
        typer.Option(
            "--rename", metavar="MAPPING.csv", help="Give outputs neutral names; the mapping goes to this file."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Processes that share a folder, one thread each.", show_default="this process"
        ),
    ] = None,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Convert a folder on this machine, or on a Ray cluster.")
    ] = Engine.LOCAL,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT|auto",
            envvar="RAY_ADDRESS",
            help="A running Ray cluster.",
            show_default="one on this machine, for this run",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run of a folder that ended early.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.json", help="Write how alike the two voices are.")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option("--reports", metavar="FOLDER", help="For a folder: write a report on each file.")
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option(
            "--asr",
            metavar="FOLDER|ORG/NAME@COMMIT|none",
            help="Whisper model that counts the words kept, for a report.",
            show_default="with --report, that of saic evaluate if it has been downloaded",
        ),
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give each recording of IN another voice, keep the words.

    Outputs keep the names and folders of the recordings, unless --rename gives them neutral names.
    Recordings that differ only in their suffix, or in upper and lower case, keep the suffix as a part
    of the name. No tag is copied. A recording that cannot be used is reported by its number in the
    order of the paths. The others are still processed.

    A folder has a journal, OUTPUT/.saic-journal.sqlite: each file is queued, done, or failed with a
    reason. A run that was killed goes on with --resume and the same options. What has failed is
    tried again. An output that is not the journal's own is never replaced, except by --force, which
    starts over. The journal has the names of the outputs, but no key, study or subject.

    --workers converts in several processes, each with one thread and a model of its own. If one
    dies, its file is tried once more, and then has failed.

    --engine ray starts the workers on a Ray cluster, by default as many as it has CPUs. All its
    machines must have this version of SAIC and read IN, the key file, targets and weights at the
    same paths. Only this process writes OUTPUT and journal. They may lie on a disk that only this
    machine has.

    With --rename, outputs get random names in one folder. The mapping links them to the recordings:
    keep it with the originals. The journal then lies beside the mapping. Without --rename, and
    outside of BIDS datasets, names that identify a speaker stay.

    In a BIDS dataset (dataset_description.json, or folders sub-LABEL) the folders stay, and subjects
    get new labels, which need --key-file. participants.tsv is written anew with the labels alone.
    Sidecars and other tables are not copied. Labels of sessions and tasks stay: they may hold dates.

    With --key-file, the voice depends on the key, the subject, the study and the register (--voice)
    alone. All recordings of a subject get one voice, in every run and on every machine. Name the
    subject of all recordings with --subject, or find it in each path: --subject-from "^([^/]+)/"
    takes the first folder. A table has a column "path", relative to IN. Whoever has the key can link
    the outputs to names. Subjects without a key are refused: whoever guesses a name could compute its
    voice.

    Without --key-file every file gets a pseudonym of its own. It is new in every run, and drawn again
    while it counts as the speaker's own voice. With the same --seed, the same file (by its path in IN) gets the
    same pseudonym in every run, whoever speaks. Its outputs can then be linked to each other, and
    whoever knows the seed can draw the same pseudonyms: protect it like the originals.

    A report names neither the recording nor the subject. Its similarities are measurements of a
    person: keep it with the originals. The report of a folder's files counts words only with --asr,
    since this takes several times as long as the conversion.

    A recording has at most twelve hours. What is long lies in temporary files (TMPDIR) meanwhile.

    The method mcadams needs no model. It is a weak protection, for comparison or where nothing else
    runs. It mutes neither noise in pauses nor voices in the background. It takes recordings of at most
    ten minutes.
    """
    from saic.archive.recipe import Recipe
    from saic.archive.work import Request, opened, plan_work
    from saic.cli.outcome import process

    recipe = Recipe(
        method=method.value,
        voice=voice,
        profile=profile and profile.value,
        targets=tuple(target or ()),
        key_file=key_file,
        study=study,
        new_voices=new_voices,
        has_seed=seed is not None,
        weights=weights,
        device=device,
        reports=report is not None or reports is not None,
        asr=asr,
        asr_if_downloaded=report is not None,
    )
    request = Request(
        source,
        output,
        recipe,
        format=format and format.value,
        rate_hz=rate,
        seed=seed,
        subject=subject,
        subject_from=subject_from,
        report=report,
        reports=reports,
        rename=rename,
        resume=resume,
        force=force,
    )
    address_source = ctx.get_parameter_source("ray_address")  # it may also come from the environment
    if engine is not Engine.RAY and address_source and address_source.name == "COMMANDLINE":
        raise UsageError("--ray-address is about a Ray cluster. Add --engine ray, or leave it out.")
    _require_compatible(request, workers, engine, device)
    with opened(request) as archive:
        work = plan_work(request, archive)
        _note_key_file(key_file)
        for text in work.left_out:
            print(f"Note: {text}", file=sys.stderr)
        outcome = process(work, archive, workers, quiet=as_json, on_ray=engine is Engine.RAY, ray_address=ray_address)
    facts = {
        "output": str(output),
        "method": method,
        "profile": work.recipe.used_profile,
        "seed": seed,
        "written": outcome.n_written,
        "done_before": work.n_done_before,
        "left": len(work.tasks) - outcome.n_written - len(outcome.failures),
        "skipped": work.n_skipped,
        "left_out": work.left_out,
        "duration_s": outcome.duration_s,
        "rate_hz": rate,
        "workers": workers,
        "engine": engine,
        "journal": archive and str(archive.path),
        "mapping": rename and str(rename),
        "notes": [{"number": n, "note": note} for n, notes in sorted(outcome.notes.items()) for note in notes],
        "target_notes": outcome.target_notes,
        "failed": [
            {"number": n, "error": type(e).__name__, "reason": str(e)} for n, e in sorted(outcome.failures.items())
        ],
    }
    text = f"Wrote {outcome.n_written} of {len(work.items)} recordings, {outcome.duration_s:.1f} s, to "
    before = f"; {work.n_done_before} were done before" if work.n_done_before else ""
    others = f"; {work.n_skipped} other files left out" if work.n_skipped else ""
    show(as_json, facts, text + printable(str(output)) + before + others)
    outcome.raise_failures(work)


def _note_key_file(key_file: Path | None) -> None:
    if key_file is None:
        return
    from saic import keys

    if keys.is_readable_by_others(key_file):
        print("Note: other accounts of this machine can read the key file: chmod 600 FILE.", file=sys.stderr)


def _require_compatible(request: "Request", workers: int | None, engine: Engine, device: str) -> None:
    """Raise :class:`UsageError` for options that exclude or need each other."""
    recipe = request.recipe
    is_mcadams, keyed, has_seed = recipe.method == Method.MCADAMS, recipe.key_file is not None, recipe.has_seed
    has_subject, has_source_of_subjects = request.subject is not None, request.subject_from is not None
    on_ray = engine is Engine.RAY
    has_folder_options = workers is not None or on_ray or request.resume or request.rename is not None
    for refused, message in (
        (is_mcadams and recipe.targets, "The method mcadams has no target voice. Leave out --target, or " + _SAIC),
        (is_mcadams and recipe.weights, "The method mcadams has no weights. Leave out --weights, or " + _SAIC),
        (is_mcadams and recipe.voice != "any", "The method mcadams has no voices. Leave out --voice, or " + _SAIC),
        (is_mcadams and recipe.profile, "The method mcadams has no profiles. Leave out --profile, or " + _SAIC),
        (is_mcadams and keyed, "The method mcadams has no key. Leave out --key-file, or " + _SAIC),
        (recipe.targets and has_seed, "With --target no pseudonym is drawn. Leave out --seed, or --target."),
        (recipe.targets and recipe.voice != "any", "--target names the voice. Leave out --voice, or --target."),
        (recipe.targets and keyed, "With --target no pseudonym is drawn. Leave out --key-file, or --target."),
        (keyed and has_seed, "The key decides the pseudonyms. Leave out --seed, or --key-file."),
        (keyed and recipe.voice == "same", _KEYED_SAME),
        (keyed and not recipe.is_register, "The key decides the voices. Leave out --voice NAME, or --key-file."),
        (has_seed and not recipe.is_register, "--voice NAME is one voice. Leave out --seed, or name a register."),
        (has_subject and has_source_of_subjects, "Name the subject once: by --subject, or by --subject-from."),
        (
            request.is_bids and (has_subject or has_source_of_subjects),
            "In a BIDS dataset the folders sub-LABEL say who speaks. Leave out --subject and --subject-from.",
        ),
        (
            keyed and not (has_subject or has_source_of_subjects or request.is_bids),
            "A key needs a subject: add --subject ID, or --subject-from PATTERN for a folder of several people.",
        ),
        (not keyed and (has_subject or has_source_of_subjects), _UNKEYED_SUBJECT),
        (
            not keyed and (recipe.study or recipe.new_voices),
            "--study and --new-voices are about a key. Add --key-file, or leave them out.",
        ),
        (not keyed and request.is_bids, _UNKEYED_BIDS),
        (
            has_folder_options and not request.is_folder,
            "--workers, --engine, --resume and --rename are about a folder. IN is none: leave them out.",
        ),
        (on_ray and device != "cpu", "On a Ray cluster only processors convert. Leave out --device, or --engine."),
        (request.resume and request.force, "--resume goes on, and --force starts over. Leave one of them out."),
    ):
        if refused:
            raise UsageError(message)
