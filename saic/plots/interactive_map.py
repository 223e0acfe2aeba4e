"""A map of embeddings (paper Fig. 5) as a Plotly figure, which a browser can zoom and save."""

from typing import Any

from saic.plots.maps import BACKDROP_COLOR, Plane, voice_style

HEIGHT_PX = 460
_INK, _LINE = "#14242b", "#c6d2d5"
_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "<": "triangle-left",
    ">": "triangle-right",
}


def plotly_map(plane: Plane, name: str, *, gallery_label: str, unseen_label: str, speaker_label: str) -> dict[str, Any]:
    """The unseen speakers of a map in color, in front of the gallery in gray.

    Parameters
    ----------
    name
        Of the file that a reader saves.
    gallery_label, unseen_label
        Entries of the legend.
    speaker_label
        What is shown at a point, with ``{number}``, from 1.

    Returns
    -------
    ``data``, ``layout`` and ``config`` of a Plotly figure, as plain values for JSON.
    """
    behind = _points(plane.gallery.reshape(-1, 2), gallery_label, BACKDROP_COLOR, "circle", 6)
    data = [behind | {"name": gallery_label, "showlegend": True}]
    for k, spots in enumerate(plane.unseen):
        style, label = voice_style(k), speaker_label.format(number=k + 1)
        trace = _points(spots, label, style["color"], _SYMBOLS[style["marker"]], 8)
        data.append(trace | {"name": unseen_label, "legendgroup": "unseen", "showlegend": k == 0})
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "linecolor": _LINE, "mirror": True}
    layout = {
        "height": HEIGHT_PX,
        "margin": {"l": 8, "r": 8, "t": 34, "b": 36},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"color": _INK, "size": 13},
        "dragmode": "zoom",
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0},
        "xaxis": axis,
        "yaxis": axis,
    }
    config = {
        "displaylogo": False,
        "displayModeBar": True,  # a touch screen has no hover that would show it
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "svg", "filename": name},
    }
    return {"data": data, "layout": layout, "config": config}


def _points(spots: Any, label: str, color: str, symbol: str, size: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": spots[:, 0].astype(float).round(2).tolist(),
        "y": spots[:, 1].astype(float).round(2).tolist(),
        "marker": {"color": color, "symbol": symbol, "size": size},
        "hovertemplate": f"{label}<extra></extra>",
    }
