"""From what a user asks for to the tasks of a run."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from saic.archive import bids, names, plan
from saic.archive.archive import Archive
from saic.archive.engine import Job
from saic.archive.plan import Item
from saic.archive.recipe import Recipe, seed_digest
from saic.archive.reports import plan_reports
from saic.archive.run import Task
from saic.archive.subjects import subjects_from
from saic.audio.output import format_of


@dataclass(frozen=True)
class Request:
    """What is asked for: IN, the output, the voices, and what a run of a folder needs.

    Attributes
    ----------
    format
        "wav", "flac", "mp3" or "opus"; None for WAV, or what the suffix of a single output says.
    rate_hz
        Sample rate of the outputs; None takes that of each recording.
    seed
        Seed of the pseudonyms, if one was chosen.
    subject, subject_from
        Who speaks in all recordings, or where to find it, see
        :func:`saic.archive.subjects.subjects_from`.
    report, reports
        File of the report of a recording; folder of the reports of a folder.
    rename
        The mapping to write, if outputs get neutral names.
    resume, force
        As for :class:`~saic.archive.archive.Archive`.
    """

    source: Path
    output: Path
    recipe: Recipe
    format: str | None = None
    rate_hz: int | None = 16_000
    seed: int | None = None
    subject: str | None = None
    subject_from: str | None = None
    report: Path | None = None
    reports: Path | None = None
    rename: Path | None = None
    resume: bool = False
    force: bool = False

    @cached_property
    def is_folder(self) -> bool:
        return os.path.isdir(self.source)

    @cached_property
    def is_bids(self) -> bool:
        """Whether the subjects of a BIDS dataset get new labels."""
        return self.is_folder and self.rename is None and bids.is_dataset(self.source)

    @property
    def suffix(self) -> str:
        """The suffix of the outputs of a folder."""
        return f".{self.format or 'wav'}"

    @property
    def naming(self) -> str:
        """How the outputs of a folder get their names: "BIDS", "neutral" or "mirrored"."""
        return "BIDS" if self.is_bids else "mirrored" if self.rename is None else "neutral"

    def settings(self, salt: str) -> dict[str, object]:
        """What must not change when the run is resumed, see :meth:`Recipe.settings`."""
        return {
            **self.recipe.settings(salt),
            "format": self.suffix,
            "rate": self.rate_hz,
            "seed": None if self.seed is None else seed_digest(self.seed, salt),
            "way of naming outputs": self.naming,
        }


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes
    ----------
    items
        All recordings, by path.
    tasks
        What is left of them, in the order of the work.
    recipe
        How they are changed, with the subjects that speak.
    n_skipped, left_out
        How many other files IN has, and sentences about what is not copied.
    """

    items: Sequence[Item]
    tasks: Sequence[Task]
    recipe: Recipe
    n_skipped: int = 0
    left_out: Sequence[str] = ()

    @property
    def n_done_before(self) -> int:
        return len(self.items) - len(self.tasks)


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Archive | None]:
    """The archive of a folder, None for a single recording; closed at the end.

    Raises
    ------
    UsageError, JournalError
        The mapping is at a wrong place; or see :class:`~saic.archive.archive.Archive`.
    """
    if not request.is_folder:
        yield None
        return
    if request.rename is not None:
        names.require_apart(request.rename, request.output)
    with Archive(
        request.output,
        request.settings,
        mapping=request.rename,
        key=request.recipe.load_key(),
        study=request.recipe.study,
        resume=request.resume,
        force=request.force,
    ) as archive:
        yield archive


def plan_work(request: Request, archive: Archive | None) -> Work:
    """Plan a run; all that can be wrong with paths, subjects and reports is found here.

    Raises
    ------
    UsageError
    """
    extras: Mapping[str, bytes] = {}
    left_out: list[str] = []
    if archive is None:
        items, n_skipped = [plan.plan_recording(request.source, request.output, request.format)], 0
    elif request.is_bids:
        relabeling = bids.Relabeling(archive.key, request.recipe.study)
        items, n_skipped = plan.plan_folder(request.source, request.output, request.suffix, relabeling.naming)
        extras, left_out = relabeling.new_files(request.source)
    else:
        naming = plan.mirrored if request.rename is None else names.neutral(archive.known_names)
        items, n_skipped = plan.plan_folder(request.source, request.output, request.suffix, naming)
    plan.require_apart(items, request.recipe.targets)
    plan.require_free(items, request.rate_hz, request.force or request.resume)

    def replaces_report(item: Item) -> bool:
        return request.force if archive is None else archive.may_replace_report(item)

    reports = plan_reports(items, request.output, request.report, request.reports, request.recipe, replaces_report)
    subjects = _subjects(items, request)
    recipe = replace(request.recipe, subjects=frozenset(subjects.values()) - {None})
    recipe.load_key()
    left = dict.fromkeys(items, request.force)
    if archive is not None:
        left = archive.sort_out(items, subjects, reports, extras)
    tasks = [
        Task(
            item,
            Job(
                item.number,
                item.source,
                None if request.seed is None else item.seed(request.seed),
                subjects[item],
                format_of(item.output),
                request.rate_hz,
            ),
            reports.get(item),
            replaces,
            replaces_report(item),
        )
        for item, replaces in left.items()
    ]
    if request.naming != "mirrored":  # the times of the outputs must not tell the order of the old names
        tasks.sort(key=lambda task: task.item.output_name)
    return Work(items, tasks, recipe, n_skipped, left_out)


def _subjects(items: Sequence[Item], request: Request) -> dict[Item, str | None]:
    if request.is_bids:
        return {item: bids.subject_of(item.name) for item in items}
    if request.subject_from is None:
        return dict.fromkeys(items, request.subject)
    return dict(zip(items, subjects_from(items, request.subject_from), strict=True))
