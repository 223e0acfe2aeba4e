"""Figures of the paper: mel spectrograms (Fig. 4), t-SNE maps of embeddings (Fig. 5).

==================  ===========================================================================
``spectrograms``    levels and F0 of several spectrograms, as a picture or as arrays
``interactive``     the same as a Plotly figure, which a browser can zoom
``maps``            PCA and t-SNE of speakers and of clips
``interactive_map`` a map as a Plotly figure
``figure``          size and font of all figures, and how they are saved
==================  ===========================================================================

The pictures are plain `Figure` objects of matplotlib, made without pyplot and its global state.
matplotlib takes half a second to load, so it is imported where one is drawn, and not by the page's start.
"""

from saic.plots.figure import DPI, FONT_PT, WIDTH_IN, require_format, save, to_bytes
from saic.plots.interactive import plotly_figure
from saic.plots.interactive_map import plotly_map
from saic.plots.maps import (
    Plane,
    UnseenSpeakers,
    content_plane,
    draw_maps,
    embedding_maps,
    map_arrays,
    planes_from_arrays,
    speaker_plane,
)
from saic.plots.spectrograms import (
    NO_DIFFERENCE,
    PALETTES,
    PANELS,
    Columns,
    View,
    from_arrays,
    mel_arrays,
    mel_comparison,
)

__all__ = [
    "DPI",
    "FONT_PT",
    "NO_DIFFERENCE",
    "PALETTES",
    "PANELS",
    "WIDTH_IN",
    "Columns",
    "Plane",
    "UnseenSpeakers",
    "View",
    "content_plane",
    "draw_maps",
    "embedding_maps",
    "from_arrays",
    "map_arrays",
    "mel_arrays",
    "mel_comparison",
    "planes_from_arrays",
    "plotly_figure",
    "plotly_map",
    "require_format",
    "save",
    "speaker_plane",
    "to_bytes",
]
