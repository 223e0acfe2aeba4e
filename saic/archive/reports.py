"""Where the reports of recordings go."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from saic import files
from saic.archive.plan import Item
from saic.archive.recipe import MCADAMS, Recipe
from saic.errors import UsageError


def plan_reports(
    items: Sequence[Item],
    output: Path,
    report: Path | None,
    reports: Path | None,
    recipe: Recipe,
    may_replace: Callable[[Item], bool],
) -> dict[Item, Path]:
    """The report of each recording; empty if none is asked for.

    Parameters
    ----------
    may_replace
        Whether a report of this recording may be replaced.

    Raises
    ------
    UsageError
        Options that do not go together, or reports that exist or cannot be written.
    """
    if not recipe.reports:
        if recipe.asr is not None:
            raise UsageError("The recognizer counts words for a report. Add --report or --reports, or leave out --asr.")
        return {}
    is_folder = items[0].output != output
    if recipe.method == MCADAMS:
        raise UsageError("The method mcadams has no report. Leave it out, or use --method saic.")
    if (report is not None) == is_folder or (report is not None and reports is not None):
        raise UsageError("A recording has one --report FILE.json; a folder has --reports FOLDER.")
    planned = {item: report if report is not None else reports / f"{item.output_name}.json" for item in items}
    sources = {files.identity(path) for item in items for path in (item.source, item.output)}
    if any(path.suffix.lower() != ".json" or files.identity(path) in sources for path in planned.values()):
        raise UsageError("A report is a file that ends in .json. Name one.")
    if any(os.path.lexists(path) and not may_replace(item) for item, path in planned.items()):
        raise UsageError("A report exists already. Add --force to replace it, or name another.")
    files.require_writable(planned.values())
    return planned
