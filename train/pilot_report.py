"""Figures of a pilot, as JSON and as a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from saic import files
from saic.evaluation.metrics import Estimate, estimate_mean
from train.pilot_trials import Trial

SCHEMA = 1
_TITLES = {
    "wer_reconstruction": "WER, reconstruction",
    "wer_conversion": "WER, conversion",
    "moonshine_wer_reconstruction": "Moonshine, reconstruction",
    "moonshine_wer_conversion": "Moonshine, conversion",
    "leak_resemblyzer": "Leak, Resemblyzer",
    "leak_campp": "Leak, CAM++",
}


class Score(NamedTuple):
    """Errors of one trial out of a number: of words, or leaks of one conversion."""

    errors: int
    total: int


def report(scores: Mapping[str, Mapping[str, Sequence[Score]]], trials: Sequence[Trial], steps: int) -> dict[str, Any]:
    """All figures with 95 % intervals from a bootstrap by speaker, in %.

    Parameters
    ----------
    scores
        Design to figure to one score per trial. The first design is the one that others are compared
        with.
    trials
        The trials.
    steps
        Of every training.

    Returns
    -------
    ``designs``: name to figure to ``{value, low, high, n, unit}``; ``differences``: the same for the
    paired differences to ``reference``, the first design.
    """
    speakers = [trial.speaker for trial in trials]
    rates = {
        design: {figure: _rates(each, speakers) for figure, each in figures.items()}
        for design, figures in scores.items()
    }
    first, *others = rates
    return {
        "schema": SCHEMA,
        "steps": steps,
        "n_clips": len(trials),
        "n_speakers": len(set(speakers)),
        "reference": first,
        "designs": {
            design: {figure: asdict(_mean(each)) for figure, each in figures.items()}
            for design, figures in rates.items()
        },
        "differences": {
            design: {
                figure: asdict(_mean({speaker: each[speaker] - rates[first][figure][speaker] for speaker in shared}))
                for figure, each in rates[design].items()
                if (shared := sorted(each.keys() & rates[first][figure].keys()))
            }
            for design in others
        },
    }


def table(found: Mapping[str, Any]) -> str:
    """Markdown: a row for each design, with its difference to the first below each figure."""
    figures = [figure for figure in _TITLES if figure in found["designs"][found["reference"]]]
    lines = [
        f"{found['n_clips']} clips of {found['n_speakers']} speakers, {found['steps']} steps. In %, with 95 %"
        f" intervals; in italics the paired difference to {found['reference']}.",
        "",
        "| Design | " + " | ".join(_TITLES[figure] for figure in figures) + " |",
        "| --- |" + " --- |" * len(figures),
    ]
    for design, values in found["designs"].items():
        cells = [_cell(values.get(figure), found["differences"].get(design, {}).get(figure)) for figure in figures]
        lines.append(f"| {design} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(folder: Path, found: Mapping[str, Any]) -> None:
    """Write ``pilot.json`` and ``pilot.md``."""
    files.write(folder / "pilot.json", (json.dumps(found, indent=2) + "\n").encode(), force=True)
    files.write(folder / "pilot.md", table(found).encode(), force=True)


def _rates(scores: Sequence[Score], speakers: Sequence[str]) -> dict[str, float]:
    """Rate in % of each speaker who has something to count, over all of the speaker's trials."""
    errors, totals = dict.fromkeys(speakers, 0), dict.fromkeys(speakers, 0)
    for score, speaker in zip(scores, speakers, strict=True):
        errors[speaker] += score.errors
        totals[speaker] += score.total
    return {speaker: 100 * errors[speaker] / total for speaker, total in totals.items() if total}


def _mean(rates: Mapping[str, float]) -> Estimate:
    return estimate_mean(list(rates.values()), list(rates), "%")


def _cell(value: Mapping[str, Any] | None, difference: Mapping[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "-"
    text = f"{value['value']:.1f} {_interval(value)}"
    if difference is None or difference["value"] is None:
        return text
    return f"{text}, *{difference['value']:+.1f} {_interval(difference)}*"


def _interval(estimate: Mapping[str, Any]) -> str:
    return "" if estimate["low"] is None else f"[{estimate['low']:.1f}, {estimate['high']:.1f}]"
