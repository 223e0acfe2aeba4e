"""Runs: results of an engine are written, and those of a folder are kept in its journal."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from saic import files
from saic.archive.archive import Archive
from saic.archive.engine import Engine, Job, Load, Made, Result
from saic.archive.plan import Item
from saic.audio import output
from saic.errors import UsageError
from saic.files import DiskError


@dataclass(frozen=True)
class Task:
    """A recording that is to be converted.

    Attributes
    ----------
    item, job
        What and where, and what a worker gets of it.
    report
        Where its report goes, if it has one.
    replaces, replaces_report
        Whether an output and a report that exist may be replaced.
    """

    item: Item
    job: Job
    report: Path | None = None
    replaces: bool = False
    replaces_report: bool = False


def run(
    tasks: Sequence[Task], load: Load, engine: Engine, archive: Archive | None = None
) -> Generator[Result, None, None]:
    """Convert recordings and write their outputs.

    Returns
    -------
    A result for each task, in the engine's order, once its output is on the disk or its failure in
    the journal.

    Raises
    ------
    DiskError
        The disk of the outputs or of temporary files is full or gone.
    SaicError
        As :data:`~saic.archive.engine.Engine`.
    """
    by_number = {task.job.number: task for task in tasks}
    jobs = [task.job for task in tasks]
    with contextlib.closing(engine(load, jobs, archive.begin if archive else lambda: None)) as results:
        for result in results:
            yield _kept(by_number[result.job.number], result, archive)


def _kept(task: Task, result: Result, archive: Archive | None) -> Result:
    """A result that is written, and in the journal."""
    if result.made is not None:
        try:
            if archive:
                archive.writing(task.item, result.made)
            _write(task, result.made)
            if archive:
                archive.done(task.item)
        except DiskError:
            raise
        except UsageError as error:
            result = replace(result, made=None, error=error)
    if result.error is not None and archive:
        archive.failed(task.item, result.error)
    return result


def _write(task: Task, made: Made) -> None:
    files.make_folder(task.item.output.parent)
    output.write(task.item.output, made.data, force=task.replaces)
    if task.report is not None and made.report is not None:
        files.make_folder(task.report.parent)
        try:
            files.write(task.report, made.report, force=task.replaces_report)
        except FileExistsError:
            raise UsageError("The report exists. Add --force to replace it, or name another.") from None
        except (OSError, ValueError) as error:
            raise files.as_usage_error(error, "The report cannot be written") from None
