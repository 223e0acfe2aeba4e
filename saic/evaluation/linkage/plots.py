"""Plots of the linkage evaluation: EER by seconds of speech, and by attacker."""

import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from saic import files
from saic.evaluation.linkage.report import HEADLINE_S, worst
from saic.evaluation.plots import COLORS, DASHES, DPI
from saic.evaluation.report import estimates_of
from saic.plots import FONT_PT, WIDTH_IN

_ROW_IN = 0.28


def save(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``eer_by_seconds.png``, and ``attackers_SYSTEM.png`` of each system but real speech."""
    folder.mkdir(parents=True, exist_ok=True)
    systems = {system: groups["privacy"] for system, groups in estimates_of(report).items()}
    lengths = sorted(int(length) for length in report["data"]["speakers"])
    _write(eer_by_seconds(systems, lengths), folder / "eer_by_seconds.png")
    for system, estimates in systems.items():
        if system != "real":
            _write(eer_by_attacker(estimates, systems["real"]), folder / f"attackers_{system}.png")


def eer_by_seconds(systems: Mapping[str, Mapping[str, Any]], lengths_s: list[int]) -> Figure:
    """EER of the worst attacker on each system, over the seconds of speech on each side."""
    figure = Figure(figsize=(WIDTH_IN, 0.75 * WIDTH_IN), layout="constrained")
    axes = figure.add_subplot()
    styles = zip(itertools.cycle(DASHES), itertools.cycle(COLORS), strict=False)
    for (system, estimates), (dashes, color) in zip(systems.items(), styles, strict=False):
        found = {length: worst(estimates, length)[1] for length in lengths_s}
        points = {length: estimate for length, estimate in found.items() if estimate is not None}
        axes.plot(
            list(points),
            [estimate.value for estimate in points.values()],
            marker="o",
            ls=dashes,
            color=color,
            label=system,
        )
        bounded = {length: e for length, e in points.items() if e.low is not None}
        axes.vlines(list(bounded), [e.low for e in bounded.values()], [e.high for e in bounded.values()], color)
    axes.axhline(50, color="#8a8a8a", linewidth=0.8)
    axes.annotate("chance", (lengths_s[0], 50), va="bottom", fontsize=FONT_PT - 2, color="#6a6a6a")
    axes.set(xlabel="Speech on each side, s", ylabel="EER of the worst attacker, %", ylim=(0, 55), xticks=lengths_s)
    axes.legend(fontsize=FONT_PT - 2, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def eer_by_attacker(estimates: Mapping[str, Any], original: Mapping[str, Any]) -> Figure:
    """EER of each attacker at 15 s, on a system's outputs and on original speech."""
    ending = f".eer_{HEADLINE_S}s"
    names = [name.removesuffix(ending) for name in estimates if name.endswith(ending)]
    names.sort(key=lambda name: estimates[name + ending].value or 0.0, reverse=True)
    figure = Figure(figsize=(WIDTH_IN, 0.8 + _ROW_IN * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        estimate, before = estimates[name + ending], original.get(name + ending)
        axes.barh(place, estimate.value or 0, color="#0072b2", height=0.6)
        if estimate.low is not None:
            axes.hlines(place, estimate.low, estimate.high, color="black", linewidth=1)
        if before is not None and before.value is not None:
            axes.plot(before.value, place, marker="D", color="#d55e00", markersize=4, linestyle="none")
    axes.axvline(50, color="#8a8a8a", linewidth=0.8)
    axes.set(yticks=range(len(names)), xlim=(0, 55), xlabel=f"EER at {HEADLINE_S} s, %  (diamond: on original speech)")
    axes.set_yticklabels(names, fontsize=FONT_PT - 2)
    return figure


def _write(figure: Figure, path: Path) -> None:
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=DPI)
    files.write(path, encoded.getvalue(), force=True)
