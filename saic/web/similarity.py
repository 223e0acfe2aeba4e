"""Similarities of voices: as numbers, and in HTML on a scale from 0 to 1."""

from saic.evaluation.protection import TypicalRange
from saic.web.texts import Texts, decimal


def number(value: float | None, texts: Texts) -> str:
    """A similarity with two decimals; "-" if there is none."""
    return "-" if value is None else decimal(texts, f"{round(value, 2) + 0.0:.2f}")  # + 0.0: no "-0.00"


def place(value: float) -> str:
    """CSS length of a similarity on the scale, from its left end."""
    return f"{100 * min(max(value, 0.0), 1.0):.1f}%"


def bands(same: TypicalRange, different: TypicalRange) -> str:
    """HTML of the typical similarities of one person, and of two people."""
    return "".join(
        f'<span class="band {name}" style="left:{place(usual.low)};right:{place(1 - usual.high)}"></span>'
        for name, usual in (("different", different), ("same", same))
    )
