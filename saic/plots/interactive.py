"""Spectrograms as a Plotly figure: in a browser, all of them zoom and pan together.

The figure is the JSON object of Plotly's schema, so the Python package of that name (53 MB) is not
needed. Whoever has it gets its class by ``plotly.graph_objects.Figure(data=..., layout=...)``.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from saic.plots.spectrograms import (
    DEFAULT_VIEW,
    DIFFERENCE_DB,
    DIFFERENCE_PALETTE,
    PALETTES,
    Columns,
    Mels,
    Panel,
    View,
    panels,
)

_INK, _LINE = "#14242b", "#c6d2d5"
_PANEL_PX, _TOP_PX, _BAR_PX = 200, 30, 62
_AXIS_PX = 44  # of the time axis, with its labels and title
_GAP = 0.06  # between two panels, for a title
_ALL_DB = 120.0  # no level is lower
_COLORS = 33  # of a palette; Plotly interpolates between them


def plotly_figure(
    mels: Mels | Columns, f0_hz: Mapping[str, np.ndarray] | None = None, view: View = DEFAULT_VIEW
) -> dict[str, Any]:
    """The spectrograms of :func:`saic.plots.mel_comparison` as a Plotly figure.

    Levels are whole dB. Range and palette can be changed in the figure itself, as ``cmin`` and
    ``colorscale`` of ``layout.coloraxis``: its levels are not limited to the range, unless it shows a
    difference, and ``layout.meta.palettes`` has all palettes.

    Parameters
    ----------
    mels, f0_hz
        As for :func:`saic.plots.mel_comparison`, or the columns alone.

    Returns
    -------
    ``data``, ``layout`` and ``config`` of a Plotly figure, as plain values for JSON.
    """
    columns = mels if isinstance(mels, Columns) else Columns.of(mels, f0_hz)
    shown = panels(columns, view if view.difference else replace(view, range_db=_ALL_DB))
    n_bars = 1 + any(panel.is_difference for panel in shown)
    inner_px = _PANEL_PX * len(shown)
    bottom_px = _AXIS_PX + _BAR_PX * n_bars
    bars = [-(_AXIS_PX + _BAR_PX * k) / inner_px for k in range(2)]
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": _TOP_PX + inner_px + bottom_px,
        "margin": {"l": 58, "r": 12, "t": _TOP_PX, "b": bottom_px},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"color": _INK, "size": 12},
        "showlegend": False,
        "dragmode": "zoom",
        "hovermode": "closest",
        "annotations": [],
        "meta": {"palettes": {name: _color_scale(palette) for name, palette in PALETTES.items()}},
        "coloraxis": {
            "cmin": -view.range_db,
            "cmax": 0.0,
            "colorscale": _color_scale(PALETTES[view.palette]),
            "colorbar": _color_bar("Level (dB, 0 is loud speech)", bars[0]),
        },
        "coloraxis2": {
            "cmin": -DIFFERENCE_DB,
            "cmax": DIFFERENCE_DB,
            "colorscale": _color_scale(DIFFERENCE_PALETTE),
            "colorbar": _color_bar("Difference (dB)", bars[1]),
        },
        "xaxis": {
            "title": {"text": "Time (s)", "standoff": 4},
            "range": [0, max(panel.duration_s for panel in shown)],
            "anchor": f"y{len(shown)}" if len(shown) > 1 else "y",
            "linecolor": _LINE,
        },
    }
    height = (1 + _GAP) / len(shown) - _GAP
    rows, labels = view.ticks
    for index, panel in enumerate(shown):
        number = "" if index == 0 else str(index + 1)
        bottom = 1 - height - index * (height + _GAP)
        layout[f"yaxis{number}"] = {
            "domain": [max(bottom, 0.0), bottom + height],
            "range": [-0.5, len(panel.level_db) - 0.5],
            "tickvals": rows.round(3).tolist(),
            "ticktext": labels,
            "title": {"text": "Hz", "standoff": 2},
            "linecolor": _LINE,
        } | ({} if index == 0 else {"matches": "y"})
        layout["annotations"].append(_title(panel.title, bottom + height))
        data += _traces(panel, view, f"y{number}")
    return {"data": data, "layout": layout, "config": _CONFIG}


_CONFIG = {
    "displaylogo": False,
    "displayModeBar": True,  # a touch screen has no hover that would show it
    "toImageButtonOptions": {"format": "svg", "filename": "spectrograms"},
}


def _traces(panel: Panel, view: View, y_axis: str) -> list[dict[str, Any]]:
    """The spectrogram and its F0: a white line over a wider black one, so that it is seen on every color."""
    place = {"xaxis": "x", "yaxis": y_axis}
    grid = {"x0": panel.column_s / 2, "dx": panel.column_s, "y0": 0, "dy": 1}
    color_axis = "coloraxis2" if panel.is_difference else "coloraxis"
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "name": panel.title,
            "z": _encoded(panel.level_db.round(), "i1"),
            "coloraxis": color_axis,
            "hovertemplate": "%{x:.2f} s, %{z} dB<extra></extra>",
            **grid,
            **place,
        }
    ]
    if panel.f0_hz is not None:
        line = {
            "type": "scatter",
            "mode": "lines",
            "x0": grid["x0"],
            "dx": grid["dx"],
            "y": _encoded(view.row_of(panel.f0_hz), "f4"),
            "connectgaps": False,
            **place,
        }
        traces.append(line | {"line": {"color": "#000000", "width": 3.5}, "hoverinfo": "skip"})
        template = "%{x:.2f} s, F0 %{customdata:.0f} Hz<extra></extra>"
        white = {"color": "#ffffff", "width": 1.6}
        traces.append(line | {"line": white, "customdata": _encoded(panel.f0_hz, "f4"), "hovertemplate": template})
    return traces


def _encoded(values: np.ndarray, kind: str) -> dict[str, str]:
    """A typed array of Plotly: little-endian bytes in Base64."""
    encoded = {"dtype": kind, "bdata": base64.b64encode(values.astype(f"<{kind}").tobytes()).decode()}
    return encoded | ({"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {})


def _color_scale(palette: str) -> list[list[Any]]:
    from matplotlib import colormaps

    colors = (255 * colormaps[palette](np.linspace(0, 1, _COLORS))[:, :3]).round().astype(int)
    return [[k / (_COLORS - 1), "rgb({},{},{})".format(*color)] for k, color in enumerate(colors.tolist())]


def _color_bar(title: str, y: float) -> dict[str, Any]:
    return {
        "orientation": "h",
        "thickness": 10,
        "len": 0.8,
        "yanchor": "top",
        "y": y,
        "title": {"text": title, "side": "bottom"},
    }


def _title(text: str, y: float) -> dict[str, Any]:
    place = {"x": 0, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return {"text": f"<b>{text}</b>", "showarrow": False, **place}
