"""Maps of speaker and content embeddings by PCA and t-SNE (paper Fig. 5).

The gallery's voices are training speakers or synthetic. How well speakers are separated is therefore measured on
others, if there are any (`UnseenSpeakers`), and the caption says on whom.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from saic.gallery import Gallery
from saic.plots.figure import FONT_PT, WIDTH_IN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from saic.pipeline import Embedding

# 60 styles: 10 colors that color-blind readers can distinguish (Tol's "muted", a gray), 6 shapes.
_COLORS = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#777777"),
)
_SHAPES = ("o", "s", "^", "D", "<", ">")
# Clips have black edges and decreasing sizes, so that all are visible where they coincide.
_CLIP_STYLES = (("o", "none", 16), ("P", "#ffd92f", 13), ("*", "#ff5a36", 10), ("v", "#66c2ff", 7))
BACKDROP_COLOR = "#c4ccd0"  # of the gallery beside unseen speakers
_BACKDROP = {"color": BACKDROP_COLOR, "marker": "o"}

_MAX_PER_VOICE = 6  # points of one voice or clip; more take time and add little
_PCA_SIZE = 40
_DECIMALS = 4  # of PCA's coordinates: the last bits differ between machines
_EXAGGERATION = 4.0  # of t-SNE, and a step of N / 12: see `_tsne`


@dataclass(frozen=True)
class UnseenSpeakers:
    """Speakers that the model was not trained on.

    Attributes
    ----------
    speaker, content
        (U, P, E) and (U, P, D), as in `saic.gallery.Gallery`.
    content_probe
        Accuracy in % of a probe that tells the speaker by content codes that it was not trained on.
        The probe may have other speakers than the map.
    chance
        Accuracy in % of guessing.
    name
        What they are, such as "test speakers".
    """

    speaker: np.ndarray
    content: np.ndarray
    content_probe: float
    chance: float
    name: str = "unseen speakers"


@dataclass(frozen=True)
class Plane:
    """One map: t-SNE coordinates of all points.

    Attributes
    ----------
    gallery, unseen
        (K, P, 2) and (U, P, 2); K or U may be 0.
    clips
        (n, 2) each.
    same_voice
        Share, 0 to 1, of the unseen speakers' points whose nearest neighbor is of the same speaker.
        Neighbors are found among all points, before t-SNE. Without unseen speakers, the gallery's
        points are counted.
    chance
        The same for a random neighbor.
    """

    gallery: np.ndarray
    clips: dict[str, np.ndarray]
    same_voice: float
    chance: float
    unseen: np.ndarray


def embedding_maps(
    gallery: Gallery | None,
    clips: dict[str, "Embedding"],
    unseen: UnseenSpeakers | None = None,
    *,
    seed: int = 0,
) -> "Figure":
    """Map speaker and content embeddings to the plane (Fig. 5): the gallery, clips, unseen speakers.

    Each panel is PCA, then t-SNE, of all its points together. Clusters may be artifacts of t-SNE,
    and codes that form one cloud may still contain the speaker. So the caption has a figure that is
    measured before: how often the nearest neighbor is the same speaker, and with unseen speakers
    how often a probe finds the speaker in content codes.

    Parameters
    ----------
    gallery
        Speaker (K, P, E) and content (K, P, D) embeddings; None leaves it out, which needs unseen
        speakers, and no clips.
    clips
        A `saic.pipeline.Embedding` for each legend entry, at most four.
    unseen
        Other speakers, drawn in color in front of the gallery.
    seed
        Of t-SNE: the same input and seed give the same figure.

    Returns
    -------
    A figure of two panels and a legend.
    """
    options = {"unseen": unseen, "seed": seed}
    return draw_maps(speaker_plane(gallery, clips, **options), content_plane(gallery, clips, **options), unseen)


def draw_maps(speaker: Plane, content: Plane, unseen: UnseenSpeakers | None = None) -> "Figure":
    """Draw the two planes of :func:`embedding_maps`, with their captions and a legend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 4.1), layout="constrained", facecolor="white")
    captions = [caption(plane) for plane in (speaker, content)]
    if unseen:
        captions[1] = f"Probe finds the speaker:\n{unseen.content_probe:.0f}% (chance {unseen.chance:.1f}%)"
    titles = "Speaker embeddings", "Content embeddings"
    for axes, plane, title, text in zip(figure.subplots(1, 2), (speaker, content), titles, captions, strict=True):
        _draw_map(axes, plane)
        axes.set_title(title, fontsize=FONT_PT)
        axes.set_xlabel(text, fontsize=FONT_PT - 1)
    legend = figure.legend(handles=_legend(speaker, unseen), **_LEGEND_STYLE, ncols=2)
    of_gallery = f"{len(speaker.gallery)} gallery voices"
    legend.set_title("Measured on " + (f"2 s parts of {len(unseen.speaker)} {unseen.name}" if unseen else of_gallery))
    return figure


def caption(plane: Plane) -> str:
    """The separation of a map, in two lines."""
    return f"Nearest neighbor is the same\nvoice: {plane.same_voice:.0%} (chance {plane.chance:.1%})"


def speaker_plane(
    gallery: Gallery | None, clips: dict[str, "Embedding"], unseen: UnseenSpeakers | None = None, *, seed: int = 0
) -> Plane:
    """Map speaker embeddings; arguments as for :func:`embedding_maps`."""
    marked = {label: _unit(clip.speaker[None]) for label, clip in clips.items()}
    return map_to_plane(gallery and _unit(gallery.speaker), marked, unseen and _unit(unseen.speaker), seed=seed)


def content_plane(
    gallery: Gallery | None, clips: dict[str, "Embedding"], unseen: UnseenSpeakers | None = None, *, seed: int = 0
) -> Plane:
    """Map windows of content codes; arguments as for :func:`embedding_maps`."""
    marked = {label: _evenly_spaced(gallery.windows(clip.content)) for label, clip in clips.items()}
    return map_to_plane(gallery and gallery.content, marked, unseen and unseen.content, seed=seed)


def map_to_plane(
    gallery: np.ndarray | None, clips: dict[str, np.ndarray], unseen: np.ndarray | None = None, *, seed: int = 0
) -> Plane:
    """PCA then t-SNE of a gallery (K, P, d), clips' points (n, d) and unseen speakers (U, Q, d) together."""
    groups = [_groups(points) for points in (gallery, unseen)]
    speakers = np.concatenate([group.reshape(-1, group.shape[-1]) for group in groups if group.size])
    mapped = _tsne(np.concatenate([speakers, *clips.values()]), seed)
    sizes = [group.shape[0] * group.shape[1] for group in groups]
    parts = np.split(mapped, np.cumsum([*sizes, *map(len, clips.values())])[:-1])
    names = np.repeat(np.arange(sum(map(len, groups))), [g.shape[1] for g in groups for _ in g])
    is_measured = np.arange(sum(sizes)) >= (sizes[0] if sizes[1] else 0)
    planes = [part.reshape(*group.shape[:2], 2) for part, group in zip(parts, groups, strict=False)]
    return Plane(
        gallery=planes[0],
        clips=dict(zip(clips, parts[2:], strict=True)),
        same_voice=same_voice_rate(speakers, names, is_measured),
        chance=(groups[1 if sizes[1] else 0].shape[1] - 1) / (len(speakers) - 1),
        unseen=planes[1],
    )


def map_arrays(speaker: Plane, content: Plane) -> dict[str, np.ndarray]:
    """What two maps show, as arrays to save.

    Returns
    -------
    ``MAP gallery``, ``MAP unseen``, ``MAP clip LABEL``, ``MAP same_voice``, ``MAP chance``; MAP is
    ``speaker`` or ``content``.
    """
    arrays = {}
    for name, plane in (("speaker", speaker), ("content", content)):
        of_map = {"gallery": plane.gallery, "unseen": plane.unseen}
        of_map |= {f"clip {label}": points for label, points in plane.clips.items()}
        of_map |= {"same_voice": np.array(plane.same_voice), "chance": np.array(plane.chance)}
        arrays |= {f"{name} {key}": values for key, values in of_map.items()}
    return arrays


def planes_from_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[Plane, Plane]:
    """The two maps of :func:`map_arrays`, without clips; KeyError if an array is missing."""
    speaker, content = (
        Plane(
            gallery=arrays[f"{name} gallery"],
            clips={},
            same_voice=float(arrays[f"{name} same_voice"]),
            chance=float(arrays[f"{name} chance"]),
            unseen=arrays[f"{name} unseen"],
        )
        for name in ("speaker", "content")
    )
    return speaker, content


def _groups(points: np.ndarray | None) -> np.ndarray:
    """At most `_MAX_PER_VOICE` points of each speaker of (K, P, d); (0, 0, 0) for None."""
    return np.zeros((0, 0, 0)) if points is None else np.stack([_evenly_spaced(own) for own in points])


def same_voice_rate(points: np.ndarray, voice: np.ndarray, is_measured: np.ndarray | None = None) -> float:
    """Share, 0 to 1, of points (n, d) whose nearest neighbor has the same ``voice`` (n,).

    With ``is_measured`` (n,) bool, only these points count; all may be neighbors.
    """
    from sklearn.neighbors import NearestNeighbors  # a second to load, and a page starts without it

    _, nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)
    # A point's first neighbor is itself, unless a duplicate of it comes first.
    other = np.where(nearest[:, 0] == np.arange(len(points)), nearest[:, 1], nearest[:, 0])
    same = voice[other] == voice
    return float(np.mean(same if is_measured is None else same[is_measured]))


def _draw_map(axes: "Axes", plane: Plane) -> None:
    """Draw the gallery's points, then the unseen speakers', then the clips' over them."""
    in_color, behind = (plane.unseen, plane.gallery) if len(plane.unseen) else (plane.gallery, plane.unseen)
    if len(behind):
        axes.scatter(*behind.reshape(-1, 2).T, s=9, linewidths=0, **_BACKDROP)
    for k, spots in enumerate(in_color):
        axes.scatter(*spots.T, s=16, alpha=0.85, linewidths=0, **voice_style(k))
    for index, spots in enumerate(plane.clips.values()):
        axes.plot(*spots.T, ls="", zorder=3, **_clip_style(index))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.06)


def _tsne(points: np.ndarray, seed: int) -> np.ndarray:
    """Map points (n, d) to (n, 2); PCA first removes noise, and its first two components are where t-SNE starts.

    scikit-learn's defaults (exaggeration 12, a step of 50, a start of deviation 1e-4) amplify
    differences in the last bit, as between two processors, to half the map. With less exaggeration,
    smaller steps and a wider start, half the points stay within some percent of it, and the loss is no higher.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    size = min(_PCA_SIZE, *points.shape)
    points = PCA(size, svd_solver="full").fit_transform(points.astype(np.float64))
    points = (points / max(points[:, 0].std(), 1e-12)).round(_DECIMALS)
    start = points[:, :2].astype(np.float32) if size > 1 else "random"
    perplexity = float(np.clip(len(points) / 20, 5, 30))  # about twice the points of a voice
    return TSNE(
        perplexity=perplexity,
        early_exaggeration=_EXAGGERATION,
        learning_rate=len(points) / 12,
        max_iter=500,
        init=start,
        random_state=seed,
        n_jobs=1,
    ).fit_transform(points)


def _evenly_spaced(points: np.ndarray) -> np.ndarray:
    """At most `_MAX_PER_VOICE` rows of points (n, d), evenly spaced."""
    if len(points) <= _MAX_PER_VOICE:
        return points
    return points[np.linspace(0, len(points) - 1, _MAX_PER_VOICE).round().astype(int)]


def _unit(points: np.ndarray) -> np.ndarray:
    """Scale points (..., d) to length 1, since embeddings are compared by cosine similarity."""
    return points / np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-12)


def voice_style(k: int) -> dict[str, str]:
    """Color and shape of voice ``k``; the combinations differ for 60 voices."""
    return {"color": _COLORS[k % len(_COLORS)], "marker": _SHAPES[k // len(_COLORS) % len(_SHAPES)]}


def _clip_style(index: int) -> dict[str, str | float]:
    marker, color, size = _CLIP_STYLES[index]
    return {"marker": marker, "mfc": color, "ms": size, "mec": "black", "mew": 1.3}


_LEGEND_STYLE = {
    "loc": "outside lower center",
    "fontsize": FONT_PT - 1,
    "title_fontsize": FONT_PT - 1,
    "frameon": False,
    "labelspacing": 0.7,
}


def _legend(plane: Plane, unseen: UnseenSpeakers | None) -> list["Line2D"]:
    """One entry for the gallery, one for the unseen speakers, one for each clip."""
    from matplotlib.lines import Line2D

    entries = []
    if len(plane.gallery):
        style = _BACKDROP if unseen else {"marker": "o", "color": _COLORS[0]}
        entries.append(Line2D([], [], ls="", ms=5, label=f"Gallery: {len(plane.gallery)} voices", **style))
    if unseen:
        label = f"{len(unseen.speaker)} {unseen.name}"
        entries.append(Line2D([], [], ls="", marker="o", ms=5, color=_COLORS[0], label=label))
    for index, label in enumerate(plane.clips):
        entries.append(Line2D([], [], ls="", label=label, **_clip_style(index)))
    return entries
