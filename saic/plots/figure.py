"""Size and font of all figures, and how they are saved.

With 4.8 inches and 11-point text, a figure is legible on a 390-pixel phone.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from saic import files
from saic.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_IN = 4.8
FONT_PT = 11
DPI = 200
FORMATS = ("png", "svg")


def require_format(path: Path) -> str:
    """The format that the suffix names, "png" or "svg"; UsageError for another one."""
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        raise UsageError("A figure is written as .png or .svg. Give the output one of these suffixes.")
    return name


def to_bytes(figure: "Figure", kind: str, *, as_text: bool = False) -> bytes:
    """A figure as "png" or "svg"; figures that are made alike give the same bytes.

    With ``as_text``, an SVG has text in the reader's fonts instead of outlines, which is a third of
    the size.
    """
    from matplotlib import rc_context

    data = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    # Without a salt, an SVG's ids are random.
    with rc_context({"svg.hashsalt": "saic", "svg.fonttype": "none" if as_text else "path"}):
        figure.savefig(data, format=kind, dpi=DPI, metadata=metadata)
    return data.getvalue()


def save(figure: "Figure", path: Path, *, force: bool = False) -> None:
    """Write a figure as PNG or SVG, by the suffix; figures that are made alike give the same bytes.

    Raises
    ------
    UsageError
        Another suffix.
    FileExistsError
        The file exists, and ``force`` is not set.
    """
    files.write(path, to_bytes(figure, require_format(path)), force=force)
