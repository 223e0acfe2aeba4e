"""Mel spectrograms below one another on one time axis, with F0 (paper Fig. 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from saic.errors import UsageError
from saic.plots.figure import FONT_PT, WIDTH_IN
from saic.signal.mel import F_MAX_HZ, FLOOR, FRAMES_PER_S, N_MELS, mel_frequencies_hz

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Mels = Mapping[str, np.ndarray]
"""Log-mels (80, T) by the keys of `PANELS`; T may differ."""

PANELS = {"original": "Original", "reconstructed": "Reconstructed", "converted": "Anonymized"}
"""Title of each spectrogram, from top to bottom."""

PALETTES = {"magma": "magma", "viridis": "viridis", "cividis": "cividis", "gray": "gray_r"}
"""Palettes by name, as matplotlib calls them. In "gray", for print, loud is black."""

NO_DIFFERENCE = "The recordings differ in length, as in the profile strict, so they have no difference."
DIFFERENCE_PALETTE = "RdBu_r"
DIFFERENCE_DB = 30.0  # range of the difference view, on both sides of 0
ROWS_LINEAR = 160  # of 50 Hz each, with a linear frequency axis

MAX_COLUMNS = 4000
"""Columns of a spectrogram: twice what a screen of 1,920 pixels shows, so that a part can be zoomed."""

_DB_PER_NEPER = float(20 / np.log(10))  # a mel is ln magnitude
_PEAK_DB = 10.0  # above the loud mel bands of speech: no color is spent on louder points
_TICKS_HZ = {"mel": (500, 1000, 2000, 4000), "linear": (0, 2000, 4000, 6000, 8000)}
_PANEL_IN = 1.35


@dataclass(frozen=True)
class View:
    """How spectrograms are drawn.

    Attributes
    ----------
    axis
        "mel" gives every mel band the same height, "linear" every hertz.
    range_db
        Range of the color scale below loud speech; quieter points have its last color.
    palette
        A name of `PALETTES`.
    difference
        Below the original, draw the level of each other spectrogram minus the original's.
    """

    axis: Literal["mel", "linear"] = "mel"
    range_db: float = 70.0
    palette: str = "magma"
    difference: bool = False

    def __post_init__(self) -> None:
        if self.axis not in _TICKS_HZ:
            raise UsageError(f"There is no such frequency axis. Use one of these: {', '.join(_TICKS_HZ)}.")
        if self.palette not in PALETTES:
            raise UsageError(f"There is no such palette. Use one of these: {', '.join(PALETTES)}.")
        if not 10 <= self.range_db <= 120:
            raise UsageError("The range of a spectrogram is 10 to 120 dB.")

    @property
    def ticks(self) -> tuple[np.ndarray, list[str]]:
        """Rows of the axis, and their labels in Hz."""
        hz = _TICKS_HZ[self.axis]
        return self.row_of(np.array(hz)), [f"{each:,}" for each in hz]

    def row_of(self, hz: np.ndarray) -> np.ndarray:
        """Fractional row, from 0 at the bottom, of frequencies in Hz; NaN for NaN."""
        if self.axis == "linear":
            return hz / F_MAX_HZ * ROWS_LINEAR - 0.5
        return np.interp(hz, mel_frequencies_hz(), np.arange(N_MELS))


DEFAULT_VIEW = View()


@dataclass(frozen=True)
class Panel:
    """One spectrogram as it is drawn, in at most `MAX_COLUMNS` columns.

    Attributes
    ----------
    level_db
        (R, C), the lowest frequency first: -range to 0 dB re loud speech of the same recording,
        or the difference from the original, -30 to 30 dB.
    f0_hz
        (C,), NaN where unvoiced; None if unknown.
    column_s, duration_s
        As in `Columns`.
    """

    title: str
    level_db: np.ndarray
    f0_hz: np.ndarray | None
    is_difference: bool
    column_s: float
    duration_s: float


def speech_peak(mel: np.ndarray) -> float:
    """Top of the color scale for a log-mel (80, T), as ln magnitude.

    It is 10 dB above the loud mel bands, of which a hum has few. The loudest point of a recording
    may be a hum or a knock, and would leave only dark colors for the speech.
    """
    sounding = mel[:, mel.max(axis=0) > np.log(FLOOR) + 0.5]  # muted pauses say nothing of the speech
    if sounding.shape[1] == 0:
        return 0.0
    return float(np.percentile(np.percentile(sounding, 98, axis=1), 85)) + _PEAK_DB / _DB_PER_NEPER


@dataclass(frozen=True)
class Columns:
    """Spectrograms in at most `MAX_COLUMNS` columns, from which every view is drawn.

    Attributes
    ----------
    level_db
        Name to (80, C) dB re loud speech of the same recording. Where a column stands for several
        frames, it has their mean power.
    f0_hz
        Name to (C,) of the middle frame, NaN where unvoiced, if it is known.
    duration_s
        Name to seconds of the recording.
    column_s
        Seconds of a column. The last one may stand for less.
    """

    level_db: Mapping[str, np.ndarray]
    f0_hz: Mapping[str, np.ndarray]
    duration_s: Mapping[str, float]
    column_s: float

    @classmethod
    def of(cls, mels: Mels, f0_hz: Mapping[str, np.ndarray] | None = None) -> "Columns":
        """Arguments as for :func:`mel_comparison`."""
        names, tracks = [name for name in PANELS if name in mels], f0_hz or {}
        step = -(-max(mels[name].shape[1] for name in names) // MAX_COLUMNS)
        level_db = {
            name: _mean_power((mels[name].astype(np.float32) - speech_peak(mels[name])) * _DB_PER_NEPER, step)
            for name in names
        }
        voiced_hz = {name: np.where(tracks[name] > 0, tracks[name], np.nan) for name in names if name in tracks}
        middle_hz = {name: track[step // 2 :: step] for name, track in voiced_hz.items()}
        duration_s = {name: mels[name].shape[1] / FRAMES_PER_S for name in names}
        return cls(level_db, middle_hz, duration_s, step / FRAMES_PER_S)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays to save; the levels in 16 bits."""
        halves = {name: level_db.astype(np.float16) for name, level_db in self.level_db.items()}
        tracks = {f"{name}_f0_hz": track for name, track in self.f0_hz.items()}
        durations = {f"{name}_s": np.array(duration_s) for name, duration_s in self.duration_s.items()}
        return halves | tracks | durations | {"column_s": np.array(self.column_s)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Columns":
        """What :meth:`arrays` gave."""
        names = [name for name in PANELS if name in arrays]
        return cls(
            {name: arrays[name].astype(np.float32) for name in names},
            {name: arrays[f"{name}_f0_hz"] for name in names if f"{name}_f0_hz" in arrays},
            {name: float(arrays[f"{name}_s"]) for name in names},
            float(arrays["column_s"]),
        )


def panels(columns: Columns, view: View = DEFAULT_VIEW) -> list[Panel]:
    """The spectrograms that a figure shows, in the order of `PANELS`; errors as for :func:`mel_comparison`."""
    if view.difference and len(set(columns.duration_s.values())) > 1:
        raise UsageError(NO_DIFFERENCE)
    shown_db = {name: _in_view(level_db, view) for name, level_db in columns.level_db.items()}
    shown = []
    for name, level_db in shown_db.items():
        title, is_difference = PANELS[name], view.difference and name != "original"
        if is_difference:
            title = f"{title} minus original"
            level_db = np.clip(level_db - shown_db["original"], -DIFFERENCE_DB, DIFFERENCE_DB)
        place = columns.column_s, columns.duration_s[name]
        shown.append(Panel(title, level_db, columns.f0_hz.get(name), is_difference, *place))
    return shown


def _mean_power(level_db: np.ndarray, step: int) -> np.ndarray:
    """(R, T) dB to (R, ceil(T / step)): the mean power of each ``step`` frames, fewer in the last one."""
    if step == 1:
        return level_db
    power, starts = 10 ** (level_db / 10), np.arange(0, level_db.shape[1], step)
    n_frames = np.diff(np.append(starts, level_db.shape[1]))
    return 10 * np.log10(np.add.reduceat(power, starts, axis=1) / n_frames)


def _in_view(level_db: np.ndarray, view: View) -> np.ndarray:
    """(80, C) dB to (R, C) on the axis of the view, limited to its range."""
    limited = np.clip(level_db, -view.range_db, 0)
    if view.axis == "mel":
        return limited
    hz = (np.arange(ROWS_LINEAR) + 0.5) * F_MAX_HZ / ROWS_LINEAR
    weights = np.stack([np.interp(hz, mel_frequencies_hz(), band) for band in np.eye(N_MELS)], axis=1)
    return weights.astype(np.float32) @ limited


def mel_comparison(
    mels: Mels | Columns, f0_hz: Mapping[str, np.ndarray] | None = None, view: View = DEFAULT_VIEW
) -> "Figure":
    """Draw spectrograms below one another on one time axis and one color scale (Fig. 4).

    Levels are relative to the loud speech of each recording (:func:`speech_peak`), since a
    recording's own level says nothing about its voice. At most `MAX_COLUMNS` columns are drawn.

    Parameters
    ----------
    mels
        (80, T) ln magnitude for some of ``original``, ``reconstructed``, ``converted``, as in
        `saic.pipeline.Conversion`; T may differ. Or the columns of them and their F0.
    f0_hz
        (T,) for some of them, 0 where unvoiced: drawn as a line.
    view
        Axis, range, palette, difference.

    Raises
    ------
    UsageError
        A difference between recordings of different lengths.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = panels(mels if isinstance(mels, Columns) else Columns.of(mels, f0_hz), view)
    height = 1.1 + _PANEL_IN * len(shown) + 0.55 * view.difference
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained", facecolor="white")
    axes = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    images = [_draw_panel(one, panel, view) for one, panel in zip(axes, shown, strict=True)]
    axes[-1].set_xlim(0, max(panel.duration_s for panel in shown))
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=2))
    axes[-1].set_xlabel("Time (s)", fontsize=FONT_PT)
    axes[0].set_yticks(*view.ticks)
    axes[0].set_ylim(-0.5, len(shown[0].level_db) - 0.5)
    figure.supylabel("Frequency (Hz)", fontsize=FONT_PT)
    bars = {"Level (dB, 0 is loud speech)": images[0]}
    if view.difference and len(images) > 1:
        bars["Difference (dB)"] = images[1]
    for label, image in bars.items():
        bar = figure.colorbar(image, ax=list(axes), location="bottom", aspect=40, shrink=0.8, pad=0.02)
        bar.set_label(label, fontsize=FONT_PT)
        bar.ax.tick_params(labelsize=FONT_PT - 1)
    for one in axes:
        one.tick_params(labelsize=FONT_PT - 1)
    return figure


def _draw_panel(axes: "Axes", panel: Panel, view: View) -> "AxesImage":
    from matplotlib.patheffects import Normal, Stroke

    rows, n_columns = panel.level_db.shape
    low, high = (-DIFFERENCE_DB, DIFFERENCE_DB) if panel.is_difference else (-view.range_db, 0.0)
    palette = DIFFERENCE_PALETTE if panel.is_difference else PALETTES[view.palette]
    axes.set_title(panel.title, fontsize=FONT_PT, loc="left")
    if panel.f0_hz is not None:
        time_s = (np.arange(len(panel.f0_hz)) + 0.5) * panel.column_s
        edge = [Stroke(linewidth=3, foreground="black"), Normal()]  # so that it is seen on every color
        axes.plot(time_s, view.row_of(panel.f0_hz), color="white", lw=1.3, path_effects=edge)
    extent = (0, n_columns * panel.column_s, -0.5, rows - 0.5)
    scale = {"vmin": low, "vmax": high, "cmap": palette}
    return axes.imshow(panel.level_db, origin="lower", aspect="auto", extent=extent, interpolation="nearest", **scale)


def mel_arrays(mels: Mels, f0_hz: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """What the figures show, as arrays to save.

    Returns
    -------
    ``frequency_hz`` (80,), ``frames_per_s``, and for each recording ``NAME`` (80, T) ln magnitude,
    ``NAME_top``, the ln magnitude of 0 dB in a figure, and ``NAME_f0_hz`` (T,), 0 where unvoiced.
    """
    arrays = {"frequency_hz": mel_frequencies_hz(), "frames_per_s": np.array(FRAMES_PER_S)}
    for name, mel in mels.items():
        arrays |= {name: mel, f"{name}_top": np.array(speech_peak(mel))}
        if f0_hz and name in f0_hz:
            arrays[f"{name}_f0_hz"] = f0_hz[name]
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Mels and F0, as :func:`mel_comparison` takes them, of what :func:`mel_arrays` gives."""
    mels = {name: arrays[name] for name in PANELS if name in arrays}
    return mels, {name: arrays[f"{name}_f0_hz"] for name in mels if f"{name}_f0_hz" in arrays}
