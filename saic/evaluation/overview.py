"""A report in five figures: words, identity, attackers by seconds, sound, degraded recordings.

Each figure has a row for a system or a kind of degradation, and in it a mark with its 95 % interval
for each corpus; of words also for its children and its adults, where it has children. Controls and
baselines of the vocoder are left out; the tables have them. A sixth figure has a row for each
attacker and a mark for each system.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saic.evaluation.linkage.report import HEADLINE_S, VARIANTS, strongest_eers
from saic.evaluation.linkage.result import SAME_SPEAKERS
from saic.evaluation.measures.words import ADULTS, CHILDREN
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.plots import COLORS, DASHES, save_png
from saic.evaluation.report_parts import by_part, estimates_of
from saic.evaluation.systems import SYSTEMS
from saic.plots import FONT_PT, WIDTH_IN

TOPICS = ("words", "identity", "attackers", "sound", "degraded")
"""What the figures show, in their order."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one more than the colors, so that pairs repeat late
_ROW_IN, _TITLE_IN, _AXIS_IN, _LEGEND_IN = 0.27, 0.3, 0.5, 0.22
_GREY = "#8a8a8a"
_KINDS = {
    "words": ("Whisper", "Moonshine"),
    "degraded": ("converted", "not converted"),
}
"""Topic to what a filled and a hollow mark stand for."""


Series = tuple[str, bool]
"""A corpus, or a system, and whether its marks are filled."""


@dataclass(frozen=True)
class Panel:
    """Marks on one axis.

    Attributes
    ----------
    title
        What the axis shows, with its unit.
    rows
        Row to series to estimate.
    chance
        Values of guessing, drawn as lines.
    best
        Which end of the axis is good: "low", "high", or "" for neither.
    """

    title: str
    rows: Mapping[str, Mapping[Series, Estimate]]
    chance: tuple[float, ...] = ()
    best: str = "low"


def topics(report: Mapping[str, Any]) -> list[str]:
    """The topics of a report that have figures."""
    return [topic for topic in TOPICS if (report["privacy"] if topic == "attackers" else _panels(report, topic))]


def figure(report: Mapping[str, Any], topic: str) -> Figure:
    """Draw one topic of :func:`topics`."""
    if topic == "attackers":
        return eer_by_seconds(report["privacy"])
    return _draw(_panels(report, topic), _KINDS.get(topic, ("", "")))


def file_names(report: Mapping[str, Any]) -> list[str]:
    """Names of the pictures of a report, in their order, in its folder ``plots``."""
    return [name for topic in topics(report) for name in figures(report, topic)]


def save(report: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures of a report into a folder."""
    for topic in topics(report):
        for name, draw in figures(report, topic).items():
            save_png(draw(), folder / name)


def figures(report: Mapping[str, Any], topic: str) -> dict[str, Callable[[], Figure]]:
    """File name of each picture of a topic to what draws it; the first is that of :func:`figure`."""
    if topic != "attackers":
        return {f"{topic}.png": partial(figure, report, topic)}
    panel = _by_attacker(report["privacy"])
    by_attacker = {"attackers.png": partial(_draw, [panel], ("", ""))} if panel.rows else {}
    return {"eer_by_seconds.png": partial(figure, report, topic), **by_attacker}


def _by_attacker(privacy: Mapping[str, Any]) -> Panel:
    """EER of each attacker at 15 s on all systems, the strongest attacker on pseudonyms first."""
    ending, rows = f".eer_{HEADLINE_S}s", {}
    for system, estimates in _attacked(privacy).items():
        for name, eer in estimates.items():
            attacker = name.removesuffix(ending)
            if name.endswith(ending) and eer.value is not None and not attacker.endswith(VARIANTS):
                rows.setdefault(attacker, {})[system, True] = eer
    first = next((key for row in rows.values() for key in row if key[0] != "real"), ("real", True))
    order = sorted(rows, key=lambda name: rows[name][first].value if first in rows[name] else math.inf)
    return Panel(f"EER at {HEADLINE_S} s (%)", {name: rows[name] for name in order}, (50.0,), best="high")


def eer_by_seconds(privacy: Mapping[str, Any]) -> Figure:
    """EER of the strongest attacker over the seconds of speech on each side: one line a system.

    A line joins figures of the same speakers, if the report has them. Then hollow marks show those of
    all speakers with so much speech.
    """
    systems, lengths_s = _attacked(privacy), sorted(int(length) for length in privacy["data"]["speakers"])
    figure = Figure(figsize=(WIDTH_IN, 3.6 + 0.21 * len(systems)), layout="constrained", facecolor="white")
    axes, has_same = figure.add_subplot(), False
    for place, (system, estimates) in enumerate(systems.items()):
        color, marker = COLORS[place % len(COLORS)], _MARKERS[place % len(_MARKERS)]
        style = {"ls": DASHES[place % len(DASHES)], "color": color, "marker": marker}
        parts = by_part(estimates)
        everybody, same = (strongest_eers(parts.get(part, {}), lengths_s) for part in ("", SAME_SPEAKERS))
        points = same or everybody
        # Beside each other, so that intervals do not hide each other.
        shift = 0.25 * (place - (len(systems) - 1) / 2)
        x = [length + shift for length in points]
        axes.plot(x, [estimate.value for estimate in points.values()], lw=1.8, ms=6, label=system, **style)
        if same:
            has_same = True
            at = [length + shift for length in everybody]
            hollow = style | {"ls": "none", "mfc": "white"}
            axes.plot(at, [estimate.value for estimate in everybody.values()], ms=6, **hollow)
        bounded = [(at, e) for at, e in zip(x, points.values(), strict=True) if e.low is not None]
        axes.vlines(
            [at for at, _ in bounded], [e.low for _, e in bounded], [e.high for _, e in bounded], style["color"], lw=1
        )
    axes.axhline(50, color=_GREY, lw=0.8, zorder=1)
    axes.text(0.98, 50.5, "chance", transform=axes.get_yaxis_transform(), ha="right", fontsize=FONT_PT - 2, color=_GREY)
    axes.set(ylim=(0, 56), xticks=lengths_s)
    marks = "\nLines: the same speakers at each length; hollow: all" if has_same else ""
    axes.set_xlabel(f"Speech on each side (s){marks}", fontsize=FONT_PT)
    axes.set_ylabel("EER of the strongest attacker (%)", fontsize=FONT_PT)
    axes.tick_params(labelsize=FONT_PT - 1)
    figure.legend(loc="outside lower center", fontsize=FONT_PT - 1, frameon=False, handlelength=3.5)
    return figure


def _attacked(privacy: Mapping[str, Any]) -> dict[str, Estimates]:
    """Figures of the attacked systems, without controls other than real speech."""
    return {
        system: groups["privacy"]
        for system, groups in estimates_of(privacy).items()
        if system == "real" or not (system in SYSTEMS and SYSTEMS[system].is_control)
    }


def _panels(report: Mapping[str, Any], topic: str) -> list[Panel]:
    """The panels of a topic other than the attackers that have marks."""
    return [panel for panel in _PANELS[topic](report) if panel.rows]


def _words(report: Mapping[str, Any]) -> list[Panel]:
    figures = {"wer": "WER, transcript of the source (%)", "wer_true": "WER, true text (%)"}
    return [
        _by_system(report, "utility", name, title, hollow=f"moonshine_{name}", recordings="true" in name)
        for name, title in figures.items()
    ]


def _identity(report: Mapping[str, Any]) -> list[Panel]:
    chance = tuple(of_corpus["data"]["chance_percent"] for of_corpus in report["corpora"].values())
    return [
        _by_system(report, "identity", "source_top1", "Taken for the source speaker (%)", chance=chance),
        _by_system(report, "identity", "target_top1", "Taken for the target speaker (%)", chance=chance, best="high"),
    ]


def _sound(report: Mapping[str, Any]) -> list[Panel]:
    figures = {
        "dnsmos_ovrl": "DNSMOS OVRL (1 to 5)",
        "distillmos": "Distill-MOS (1 to 5)",
        "f0_correlation": "F0 correlation with the source",
    }
    return [
        _by_system(report, "utility", name, title, best="high" if "mos" in name else "", recordings=True)
        for name, title in figures.items()
    ]


def _degraded(report: Mapping[str, Any]) -> list[Panel]:
    rows: dict[str, dict[Series, Estimate]] = {}
    for corpus, systems in _by_corpus(report).items():
        for name, estimate in systems.get("convert", {}).get("robustness", {}).items():
            degradation, figure_name = name.split(".")
            if figure_name in ("wer", "wer_unconverted") and estimate.value is not None:
                rows.setdefault(degradation, {})[corpus, figure_name == "wer"] = estimate
    return [Panel("WER, transcript of the clean source (%)", rows)]


_PANELS: dict[str, Callable[[Mapping[str, Any]], list[Panel]]] = {
    "words": _words,
    "identity": _identity,
    "sound": _sound,
    "degraded": _degraded,
}


def _by_corpus(report: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Estimates]]]:
    return {corpus: estimates_of(of_corpus) for corpus, of_corpus in report["corpora"].items()}


def _by_system(
    report: Mapping[str, Any],
    group: str,
    name: str,
    title: str,
    *,
    hollow: str = "",
    chance: tuple[float, ...] = (),
    best: str = "low",
    recordings: bool = False,
) -> Panel:
    """A row for each system with one of two figures; ``recordings``: also for the recordings themselves.

    Parts of a corpus by age, if they have the figure, have marks of their own.
    """
    corpora = _by_corpus(report)
    rows: dict[str, dict[Series, Estimate]] = {}
    for system, about in SYSTEMS.items():
        if (about.is_control and not (recordings and system == "real")) or about.is_vocoder_baseline:
            continue
        for corpus, systems in corpora.items():
            figures = systems.get(system, {}).get(group, {})
            for part, is_filled in itertools.product(("", ADULTS, CHILDREN), (True, False)):
                key = (name if is_filled else hollow) + f"@{part}" * bool(part)
                if key in figures and figures[key].value is not None:
                    rows.setdefault(system, {})[f"{corpus} {part}".strip(), is_filled] = figures[key]
    return Panel(title, rows, chance, best)


def _draw(panels: list[Panel], kinds: tuple[str, str]) -> Figure:
    series = list(dict.fromkeys(key for panel in panels for row in panel.rows.values() for key in row))
    corpora = list(dict.fromkeys(corpus for corpus, _ in series))
    row_in = _ROW_IN * max(1.0, len(series) / 3)
    heights = [_TITLE_IN + _AXIS_IN + row_in * len(panel.rows) for panel in panels]
    has_kinds = len({is_filled for _, is_filled in series}) > 1
    legend_rows = -(-(len(corpora) + 2 * has_kinds) // 2)
    size = WIDTH_IN, sum(heights) + _LEGEND_IN * legend_rows + 0.2
    drawn = Figure(figsize=size, layout="constrained", facecolor="white")
    grid = drawn.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(grid, panels, strict=True):
        _draw_panel(axes, panel, series, corpora)
    marks = [_mark(corpora.index(corpus), True) | {"label": corpus} for corpus in corpora]
    if has_kinds:
        grey = {"color": _GREY, "marker": "o", "ms": 6}
        marks += [grey | {"mfc": fill, "label": label} for fill, label in zip((_GREY, "white"), kinds, strict=True)]
    handles = [Line2D([], [], ls="none", **mark) for mark in marks]
    drawn.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=FONT_PT - 1, frameon=False)
    return drawn


def _draw_panel(axes: Axes, panel: Panel, series: list[Series], corpora: list[str]) -> None:
    for place, row in enumerate(panel.rows.values()):
        for number, key in enumerate(series):
            if (estimate := row.get(key)) is None:
                continue
            at = place + 0.7 * ((number + 0.5) / len(series) - 0.5)
            mark = _mark(corpora.index(key[0]), key[1])
            if estimate.low is not None:
                axes.hlines(at, estimate.low, estimate.high, mark["color"], lw=1.2)
            axes.plot(estimate.value, at, ls="none", clip_on=False, zorder=3, **mark)
    for value in set(panel.chance):
        axes.axvline(value, color=_GREY, lw=0.8, ls="--", zorder=1)
    for place in range(1, len(panel.rows)):
        axes.axhline(place - 0.5, color="#dddddd", lw=0.6, zorder=0)
    axes.set(yticks=range(len(panel.rows)), ylim=(len(panel.rows) - 0.5, -0.5))
    axes.set_yticklabels(panel.rows, fontsize=FONT_PT - 1)
    axes.tick_params(axis="x", labelsize=FONT_PT - 1)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    notes = [{"low": "◀ better", "high": "better ▶"}.get(panel.best), "dashed: chance" if panel.chance else None]
    axes.set_title(panel.title, fontsize=FONT_PT, loc="left")
    axes.set_xlabel(", ".join(filter(None, notes)), fontsize=FONT_PT - 1, color="#555555")
    if panel.best == "low":
        # The axis ends soon after the last mark: lines of wide intervals end there, and the marks stay apart.
        last = max(estimate.value for row in panel.rows.values() for estimate in row.values())
        axes.set_xlim(0, min(axes.get_xlim()[1], 1.2 * last) or None)


def _mark(corpus: int, is_filled: bool) -> dict[str, Any]:
    """Color and shape of the ``corpus``-th corpus."""
    color, shape = COLORS[corpus % len(COLORS)], _MARKERS[corpus % len(_MARKERS)]
    return {"color": color, "marker": shape, "ms": 6, "mfc": color if is_filled else "white"}
