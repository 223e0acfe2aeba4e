"""What became of the recordings of ``saic anonymize``, with its progress on stderr."""

import contextlib
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from saic.cli.options import printable, progress_bar
from saic.errors import AudioError, PartialFailure, SaicError
from saic.files import DiskError

if TYPE_CHECKING:
    from saic.archive.archive import Archive
    from saic.archive.engine import Engine, Job
    from saic.archive.work import Work


@dataclass
class Outcome:
    """What became of the recordings; the keys are their numbers. The notes on targets are the same for all."""

    n_written: int = 0
    duration_s: float = 0.0
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    target_notes: tuple[str, ...] = ()
    failures: dict[int, SaicError] = field(default_factory=dict)
    disk_error: DiskError | None = None

    def raise_failures(self, work: "Work") -> None:
        """Raise one error for all failures, if there were any; its class sets the exit code."""
        n_items, n_failed = len(work.items), len(self.failures)
        if self.disk_error:
            n_written = self.n_written + work.n_done_before
            raise DiskError(
                f"{self.disk_error} The run stopped: {n_written} of {n_items} recordings are written, {n_failed}"
                f" failed, {n_items - n_written - n_failed} are left. Free space, and run it again with --resume."
            )
        if not n_failed:
            return
        if n_failed < n_items:
            raise PartialFailure(f"{n_failed} of {n_items} recordings failed, for the reasons given.")
        for error in self.failures.values():
            if not isinstance(error, AudioError):
                raise error
        raise AudioError(f"None of the {n_items} recordings can be used, for the reasons given.")


def process(
    work: "Work",
    archive: "Archive | None",
    workers: int | None,
    quiet: bool,
    on_ray: bool = False,
    ray_address: str | None = None,
) -> Outcome:
    """Convert what is left to do, and print failures and notes on stderr.

    The failure of a single recording is raised. Of several, failures are collected, and a DiskError
    stops the run. Other errors are not caught.

    Parameters
    ----------
    workers
        Number of processes; None converts in this one, and on Ray in as many as the cluster has CPUs.
    quiet
        Draw no progress bar.
    on_ray, ray_address
        Convert on a Ray cluster, see :func:`saic.archive.cluster.run_on_ray`.
    """
    from saic.archive.cluster import run_on_ray
    from saic.archive.engine import run_here
    from saic.archive.processes import run_in_processes
    from saic.archive.run import run

    outcome = Outcome()
    tasks, n_items = work.tasks, len(work.items)
    if not tasks:
        return outcome
    name_of = {task.job.number: printable(task.item.name) for task in tasks}
    with progress_bar(quiet) as progress:
        bar = progress.add_task("Loading the model", total=len(tasks))

        def n_finished() -> int:
            return outcome.n_written + len(outcome.failures)

        def update(job: "Job", stage: str, fraction: float) -> None:
            if n_items > 1:
                stage = f"File {job.number} of {n_items}: {stage}{failed()}"
            progress.update(bar, description=stage, completed=n_finished() + fraction)

        def failed() -> str:
            return f", {len(outcome.failures)} failed" if outcome.failures else ""

        def show(message: str) -> None:
            progress.console.print(message, markup=False, highlight=False, soft_wrap=True)

        def tell(number: int, message: str) -> None:
            if n_items > 1:
                # The name is printed on a terminal only: anything else may be a log that others
                # read.
                name = f" ({name_of[number]})" if sys.stderr.isatty() else ""
                message = f"File {number}{name}: {message}"
            show(message)

        engine: Engine = partial(run_here, tell=update)
        recipe = work.recipe
        if on_ray:
            engine, recipe = partial(run_on_ray, n_workers=workers, address=ray_address), recipe.for_other_machines()
        elif workers is not None:
            engine = partial(run_in_processes, n_workers=workers)
        try:
            with contextlib.closing(run(tasks, recipe, engine, archive)) as results:
                for result in results:
                    number = result.job.number
                    if result.error is not None:
                        if n_items == 1:
                            raise result.error
                        outcome.failures[number] = result.error
                        tell(number, str(result.error))
                    else:
                        outcome.n_written += 1
                        outcome.duration_s += result.made.duration_s
                        outcome.notes[number] = result.made.notes
                        for note in result.made.notes:
                            tell(number, f"Note: {note}")
                        if outcome.n_written == 1:
                            outcome.target_notes = result.made.target_notes
                            for note in outcome.target_notes:
                                show(f"Note on --target: {note}")
                    done = f"{outcome.n_written} of {len(tasks)} files done{failed()}"
                    progress.update(bar, description=done, completed=n_finished())
        except DiskError as error:
            if n_items == 1:
                raise
            outcome.disk_error = error
    return outcome
