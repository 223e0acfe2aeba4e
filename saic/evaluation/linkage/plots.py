"""Plots of the linkage evaluation: EER by seconds of speech, by attacker, and by system."""

import io
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from saic import files
from saic.evaluation.linkage.report import HEADLINE_S, worst
from saic.evaluation.metrics import Estimates
from saic.evaluation.plots import COLORS, DASHES, DPI
from saic.evaluation.report_parts import estimates_of
from saic.evaluation.systems import SYSTEMS
from saic.plots import FONT_PT, WIDTH_IN

MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one more than the colors, so that pairs repeat late
_ROW_IN = 0.28
_GREY = "#8a8a8a"


def save(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``eer_by_seconds.png``, ``attackers.png`` and ``attackers_SYSTEM.png`` into a folder.

    Controls other than real speech are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    systems, lengths = attacked(report)
    _write(eer_by_seconds(systems, lengths), folder / "eer_by_seconds.png")
    if HEADLINE_S in lengths and len(systems) > 1:
        _write(systems_by_attacker(systems), folder / "attackers.png")
    for system, estimates in systems.items():
        if system != "real":
            _write(eer_by_attacker(estimates, systems["real"]), folder / f"attackers_{system}.png")


def attacked(report: Mapping[str, Any]) -> tuple[dict[str, Estimates], list[int]]:
    """The systems of a report, controls other than real speech left out, and the seconds of speech."""
    systems = {
        system: groups["privacy"]
        for system, groups in estimates_of(report).items()
        if system == "real" or not (system in SYSTEMS and SYSTEMS[system].is_control)
    }
    return systems, sorted(int(length) for length in report["data"]["speakers"])


def eer_by_seconds(systems: Mapping[str, Mapping[str, Any]], lengths_s: list[int]) -> Figure:
    """EER of the strongest attacker over the seconds of speech on each side: one line a system."""
    figure = Figure(figsize=(WIDTH_IN, 3.6 + 0.21 * len(systems)), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for place, (system, estimates, style) in enumerate(_styled(systems)):
        found = {length: worst(estimates, length)[1] for length in lengths_s}
        points = {length: estimate for length, estimate in found.items() if estimate is not None}
        # Beside each other, so that intervals do not hide each other.
        x = [length + 0.25 * (place - (len(systems) - 1) / 2) for length in points]
        axes.plot(x, [estimate.value for estimate in points.values()], lw=1.8, ms=6, label=system, **style)
        bounded = [(at, e) for at, e in zip(x, points.values(), strict=True) if e.low is not None]
        axes.vlines(
            [at for at, _ in bounded], [e.low for _, e in bounded], [e.high for _, e in bounded], style["color"], lw=1
        )
    axes.axhline(50, color=_GREY, lw=0.8, zorder=1)
    axes.text(0.98, 50.5, "chance", transform=axes.get_yaxis_transform(), ha="right", fontsize=FONT_PT - 2, color=_GREY)
    axes.set(ylim=(0, 56), xticks=lengths_s)
    axes.set_xlabel("Speech on each side (s)", fontsize=FONT_PT)
    axes.set_ylabel("EER of the strongest attacker (%)", fontsize=FONT_PT)
    axes.tick_params(labelsize=FONT_PT - 1)
    figure.legend(loc="outside lower center", fontsize=FONT_PT - 1, frameon=False, handlelength=3.5)
    return figure


def systems_by_attacker(systems: Mapping[str, Mapping[str, Any]]) -> Figure:
    """EER of each attacker at 15 s, on all systems side by side; the weakest attacker is at the bottom."""
    ending = f".eer_{HEADLINE_S}s"
    shown = next((name for name in systems if name != "real"), "real")  # by which the rows are sorted
    names = [name.removesuffix(ending) for name in systems[shown] if name.endswith(ending)]
    names.sort(key=lambda name: systems[shown][name + ending].value or 0.0, reverse=True)
    height = 1.0 + _ROW_IN * len(names) + 0.21 * len(systems)
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for system, estimates, style in _styled(systems):
        found = [(place, estimates.get(name + ending)) for place, name in enumerate(names)]
        known = [(place, e.value) for place, e in found if e is not None and e.value is not None]
        style |= {"ls": "none", "ms": 6, "mec": "white", "mew": 0.5, "clip_on": False}
        axes.plot([value for _, value in known], [place for place, _ in known], label=system, **style)
    axes.axvline(50, color=_GREY, lw=0.8, zorder=1)
    axes.text(50, 1.01, "chance", transform=axes.get_xaxis_transform(), ha="center", fontsize=FONT_PT - 2, color=_GREY)
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set(yticks=range(len(names)), xlim=(0, 60), ylim=(-0.6, len(names) - 0.4))
    axes.set_yticklabels(names, fontsize=FONT_PT - 2)
    axes.set_xlabel(f"EER at {HEADLINE_S} s (%)", fontsize=FONT_PT)
    axes.tick_params(axis="x", labelsize=FONT_PT - 1)
    figure.legend(loc="outside lower center", fontsize=FONT_PT - 1, frameon=False)
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
    axes.axvline(50, color=_GREY, linewidth=0.8)
    axes.set(yticks=range(len(names)), xlim=(0, 55), xlabel=f"EER at {HEADLINE_S} s, %  (diamond: on original speech)")
    axes.set_yticklabels(names, fontsize=FONT_PT - 2)
    return figure


def _styled(systems: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any], dict[str, Any]]]:
    """System, its estimates, and a line style of its own."""
    styles = zip(itertools.cycle(DASHES), itertools.cycle(COLORS), itertools.cycle(MARKERS), strict=False)
    for (system, estimates), (dashes, color, marker) in zip(systems.items(), styles, strict=False):
        yield system, estimates, {"ls": dashes, "color": color, "marker": marker}


def _write(figure: Figure, path: Path) -> None:
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=DPI)
    files.write(path, encoded.getvalue(), force=True)
