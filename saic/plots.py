"""Figures of the paper: mel spectrograms side by side (Fig. 4), t-SNE maps of embeddings (Fig. 5).

Both are 4.8 inches wide with 11-point text, so that they are legible on a 390-pixel phone. They are
plain `Figure` objects, made without pyplot and its global state.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from saic.gallery import Gallery
from saic.signal.mel import FRAMES_PER_S, N_MELS, mel_frequencies_hz

if TYPE_CHECKING:
    from saic.pipeline import Embedding

WIDTH_IN = 4.8
FONT_PT = 11

PANELS = {"original": "Original", "reconstructed": "Reconstructed", "converted": "Swapped"}
"""Title of each mel, in the order of Fig. 4."""

_DB_PER_NEPER = 20 / np.log(10)  # a mel is ln magnitude
_DEPTH_DB = 80.0  # range of the color scale below the loudest point; quieter sounds are inaudible beside it
_TICKS_HZ = (250, 500, 1000, 2000, 4000)

# 40 styles: 10 colors that color-blind readers can distinguish (Tol's "muted", a gray), 4 shapes.
_COLORS = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#777777"),
)
_SHAPES = ("o", "s", "^", "D")
# Clips have black edges and decreasing sizes, so that all are visible where they coincide.
_CLIP_STYLES = (("o", "none", 16), ("P", "#ffd92f", 13), ("*", "#ff5a36", 10), ("v", "#66c2ff", 7))

_MAX_PER_VOICE = 6  # points of one voice or clip; more take time and add little
_PCA_SIZE = 40


def mel_comparison(mels: dict[str, np.ndarray], *, shared_time: bool = True) -> Figure:
    """Draw mels side by side on one color scale (Fig. 4).

    Parameters
    ----------
    mels
        (80, T) ln magnitude for each of ``original``, ``reconstructed``, ``converted``; T may
        differ.
    shared_time
        Whether all have one time scale; otherwise each fills its panel.

    Returns
    -------
    A figure with axes in seconds and Hz, and levels in dB re the loudest point of all three.
    """
    figure = Figure(figsize=(WIDTH_IN, 3.3), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(PANELS), sharex=shared_time, sharey=True)
    loudest = max(float(mels[key].max()) for key in PANELS)
    for axes, (key, title) in zip(panels, PANELS.items(), strict=True):
        image = _draw_mel(axes, (mels[key] - loudest) * _DB_PER_NEPER)
        axes.set_title(title, fontsize=FONT_PT)
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=2))
    if shared_time:
        panels[0].set_xlim(0, max(mels[key].shape[1] for key in PANELS) / FRAMES_PER_S)
    panels[0].set_yticks(_bin_of(_TICKS_HZ), [f"{hz:,}" for hz in _TICKS_HZ])
    panels[0].set_ylabel("Frequency (Hz)", fontsize=FONT_PT)
    panels[1].set_xlabel("Time (s)", fontsize=FONT_PT)
    bar = figure.colorbar(image, ax=panels, location="bottom", aspect=40, shrink=0.8, pad=0.02)
    bar.set_ticks(range(-int(_DEPTH_DB), 1, 20))
    bar.set_label("Level (dB, loudest point is 0)", fontsize=FONT_PT)
    figure.get_layout_engine().set(w_pad=0.08)  # else the last second of one panel touches the 0 of the next
    for axes in (*panels, bar.ax):
        axes.tick_params(labelsize=FONT_PT - 1)
    return figure


def embedding_maps(gallery: Gallery, clips: dict[str, "Embedding"], *, seed: int = 0) -> Figure:
    """Map speaker and content embeddings of the gallery and of clips to the plane (Fig. 5).

    Each panel is PCA, then t-SNE, of all its points together. Its caption gives the separation
    before t-SNE: the share of gallery points whose nearest neighbor belongs to the same voice.

    Parameters
    ----------
    gallery
        speaker (K, P, E) and content (K, P, D) embeddings
    clips
        a `saic.pipeline.Embedding` for each legend entry, at most four
    seed
        of PCA and t-SNE: the same input and seed give the same figure

    Returns
    -------
    A figure of two panels and a legend.
    """
    figure = Figure(figsize=(WIDTH_IN, 3.9), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    _draw_map(left, speaker_plane(gallery, clips, seed=seed))
    left.set_title("Speaker embeddings", fontsize=FONT_PT)
    _draw_map(right, content_plane(gallery, clips, seed=seed))
    right.set_title("Content embeddings", fontsize=FONT_PT)
    figure.legend(handles=_legend(len(gallery.names), list(clips)), **_LEGEND_STYLE, ncols=2)
    return figure


@dataclass(frozen=True)
class Plane:
    """One map: t-SNE coordinates of the gallery's and the clips' points.

    ``same_voice`` is the share of gallery points whose nearest neighbor before t-SNE belongs to the
    same voice, and ``chance`` its value for random neighbors; both 0 to 1.
    """

    gallery: np.ndarray  # (K, P, 2)
    clips: dict[str, np.ndarray]  # (n, 2) each
    same_voice: float
    chance: float


def speaker_plane(gallery: Gallery, clips: dict[str, "Embedding"], *, seed: int = 0) -> Plane:
    """Map speaker embeddings; arguments as for :func:`embedding_maps`."""
    marked = {label: _unit(clip.speaker[None]) for label, clip in clips.items()}
    return map_to_plane(_unit(gallery.speaker), marked, seed=seed)


def content_plane(gallery: Gallery, clips: dict[str, "Embedding"], *, seed: int = 0) -> Plane:
    """Map windows of content codes; arguments as for :func:`embedding_maps`."""
    marked = {label: _evenly_spaced(gallery.windows(clip.content)) for label, clip in clips.items()}
    return map_to_plane(gallery.content, marked, seed=seed)


def map_to_plane(gallery: np.ndarray, clips: dict[str, np.ndarray], *, seed: int = 0) -> Plane:
    """PCA then t-SNE of a gallery (K, P, d) and clips' points (n, d) together."""
    gallery = np.stack([_evenly_spaced(points) for points in gallery])
    n_voices, n_points, _ = gallery.shape
    flat = gallery.reshape(n_voices * n_points, -1)
    mapped = _tsne(np.concatenate([flat, *clips.values()]), seed)
    ends = np.cumsum([len(flat), *map(len, clips.values())])
    return Plane(
        gallery=mapped[: len(flat)].reshape(n_voices, n_points, 2),
        clips={label: mapped[start:end] for label, start, end in zip(clips, ends, ends[1:], strict=False)},
        same_voice=same_voice_rate(flat, np.repeat(np.arange(n_voices), n_points)),
        chance=(n_points - 1) / (len(flat) - 1),
    )


def same_voice_rate(points: np.ndarray, voice: np.ndarray) -> float:
    """Share, 0 to 1, of points (n, d) whose nearest neighbor has the same ``voice`` (n,)."""
    _, nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)
    # A point's first neighbor is itself, unless a duplicate of it comes first.
    other = np.where(nearest[:, 0] == np.arange(len(points)), nearest[:, 1], nearest[:, 0])
    return float(np.mean(voice[other] == voice))


def _draw_mel(axes: Axes, level_db: np.ndarray):
    """Draw one mel (80, T) in dB re the common maximum; returns the image, for the color bar."""
    extent = (0, level_db.shape[1] / FRAMES_PER_S, -0.5, N_MELS - 0.5)
    scale = {"vmin": -_DEPTH_DB, "vmax": 0.0, "cmap": "magma"}
    return axes.imshow(level_db, origin="lower", aspect="auto", extent=extent, interpolation="nearest", **scale)


def _bin_of(hz: tuple[int, ...]) -> np.ndarray:
    """Fractional mel bin of each frequency."""
    return np.interp(hz, mel_frequencies_hz(), np.arange(N_MELS))


def _draw_map(axes: Axes, plane: Plane) -> None:
    """Draw the gallery's points, then the clips' over them."""
    for k, spots in enumerate(plane.gallery):
        axes.scatter(*spots.T, s=16, alpha=0.85, linewidths=0, **voice_style(k))
    for index, spots in enumerate(plane.clips.values()):
        axes.plot(*spots.T, ls="", zorder=3, **_clip_style(index))
    same = f"Nearest neighbor is the same\nvoice: {plane.same_voice:.0%} (chance {plane.chance:.0%})"
    axes.set_xlabel(same, fontsize=FONT_PT - 1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.06)


def _tsne(points: np.ndarray, seed: int) -> np.ndarray:
    """Map points (n, d) to (n, 2); PCA first removes noise and makes runs reproducible."""
    size = min(_PCA_SIZE, *points.shape)
    points = PCA(size, svd_solver="full").fit_transform(points.astype(np.float64))
    perplexity = float(np.clip(len(points) / 20, 5, 30))  # about twice the points of a voice
    return TSNE(perplexity=perplexity, max_iter=500, random_state=seed, n_jobs=1).fit_transform(points)


def _evenly_spaced(points: np.ndarray) -> np.ndarray:
    """At most `_MAX_PER_VOICE` rows of points (n, d), evenly spaced."""
    if len(points) <= _MAX_PER_VOICE:
        return points
    return points[np.linspace(0, len(points) - 1, _MAX_PER_VOICE).round().astype(int)]


def _unit(points: np.ndarray) -> np.ndarray:
    """Scale points (..., d) to length 1, since embeddings are compared by cosine similarity."""
    return points / np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-12)


def voice_style(k: int) -> dict[str, str]:
    """Color and shape of voice ``k``; the combinations differ for 40 voices."""
    return {"color": _COLORS[k % len(_COLORS)], "marker": _SHAPES[k // len(_COLORS) % len(_SHAPES)]}


def _clip_style(index: int) -> dict[str, str | float]:
    marker, color, size = _CLIP_STYLES[index]
    return {"marker": marker, "mfc": color, "ms": size, "mec": "black", "mew": 1.3}


_LEGEND_STYLE = {
    "loc": "outside lower center",
    "fontsize": FONT_PT - 1,
    "frameon": False,
    "labelspacing": 0.7,
}


def _legend(n_voices: int, labels: list[str]) -> list[Line2D]:
    """One entry for the gallery, one for each clip."""
    entries = [Line2D([], [], ls="", marker="o", ms=5, color=_COLORS[0], label=f"Gallery: {n_voices} voices")]
    for index, label in enumerate(labels):
        entries.append(Line2D([], [], ls="", label=label, **_clip_style(index)))
    return entries
