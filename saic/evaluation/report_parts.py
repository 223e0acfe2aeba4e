"""What the reports of an evaluation share: tables, estimates that were read from JSON, versions."""

import importlib.metadata
import platform
from collections.abc import Container, Iterable, Mapping
from typing import Any

from saic import __version__
from saic.evaluation.metrics import Estimate, Estimates

SCHEMA = 4
"""Of ``report.json``."""

_PACKAGES = (
    "torch",
    "numpy",
    "librosa",
    "av",
    "scikit-learn",
    "resemblyzer",
    "faster-whisper",
    "ctranslate2",
    "whisper-normalizer",
    "moonshine-voice",
    "speechmos",
    "distillmos",
    "onnxruntime",
)
_TWO_DIGIT_UNITS = ("MOS", "r", "cosine")


def versions() -> dict[str, str | None]:
    """Versions that figures may depend on; None for a package that is not installed."""
    return {"python": platform.python_version(), "saic": __version__} | package_versions()


def package_versions() -> dict[str, str | None]:
    """Of :func:`versions`, those of other packages."""
    found: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def estimates_of(report: Mapping[str, Any]) -> dict[str, dict[str, Estimates]]:
    """System to group to figure name to estimate, of the JSON of a report or of one corpus."""
    return {
        system: {
            group: {name: Estimate(**figure) for name, figure in figures.items()} for group, figures in groups.items()
        }
        for system, groups in report["systems"].items()
    }


def by_part(figures: Estimates) -> dict[str, Estimates]:
    """Figures named FIGURE@PART, by part and by figure; those of the whole are under ""."""
    parts: dict[str, Estimates] = {}
    for name, estimate in figures.items():
        figure, _, part = name.partition("@")
        parts.setdefault(part, {})[figure] = estimate
    return parts


def table(
    title: str,
    columns: Mapping[str, str],
    rows: Mapping[str, Estimates],
    notes: str,
    *,
    first: str = "System",
    level: int = 2,
    bracketed: Container[str] = (),
) -> list[str]:
    """The lines of a table with its notes.

    Parameters
    ----------
    columns
        Figure name to heading.
    rows
        Row label to the estimates of its figures.
    first
        Heading of the row labels.
    level
        Of the table's heading.
    bracketed
        Labels of rows whose figures are in brackets, since they may not support a privacy claim.
    """
    lines = [
        f"{'#' * level} {title}",
        "",
        f"| {first} | " + " | ".join(columns.values()) + " | Speakers |",
        "| --- |" + " --- |" * (len(columns) + 1),
    ]
    for row, figures in rows.items():
        cells = [_cell(figures.get(name)) for name in columns]
        if row in bracketed:
            cells = [f"({cell})" if name in figures else cell for name, cell in zip(columns, cells, strict=True)]
        counts = {estimate.n for estimate in known(figures, columns)} or {0}
        speakers = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        lines.append(f"| `{row}` | " + " | ".join(cells) + f" | {speakers} |")
    return [*lines, "", *([notes] if notes else [])]


def with_values(columns: Mapping[str, str], rows: Mapping[str, Estimates]) -> dict[str, str]:
    """The columns in which a row has a value."""
    return {name: label for name, label in columns.items() if any(known(row, [name]) for row in rows.values())}


def known(figures: Estimates, columns: Iterable[str]) -> list[Estimate]:
    """The estimates of the columns that have a value."""
    return [figures[name] for name in columns if name in figures and figures[name].value is not None]


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    digits = 2 if estimate.unit in _TWO_DIGIT_UNITS else 1
    if estimate.low is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
