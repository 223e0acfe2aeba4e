"""The maps of Fig. 5 as interactive SVG: pointing at a dot highlights its voice in both maps.

SVG and CSS need no script from elsewhere, stay sharp on a phone, and work with screen readers.
"""

from html import escape

import numpy as np

from saic.gallery import Gallery
from saic.plots.maps import Plane, voice_style
from saic.web.texts import ENGLISH, Texts, decimal

_SIZE = 400  # width and height of a map in SVG units
_MARGIN = 22

# One shape for each clip, in order. Each is smaller than the one before, so that all are visible
# where they coincide.
_CLIP_SHAPES = (
    '<circle r="11" fill="none" stroke="#14242b" stroke-width="3"/>',
    '<path d="M-3-9h6v6h6v6h-6v6h-6v-6h-6v-6h6z" fill="#ffd92f" stroke="#14242b" stroke-width="1.5"/>',
    '<path d="M0-9 2.6-3 9-2.8 4 1.2 5.8 7.8 0 4-5.8 7.8-4 1.2-9-2.8-2.6-3z" fill="#ff5a36" stroke="#14242b" '
    'stroke-width="1.3"/>',
    '<path d="M0 7-6-4h12z" fill="#66c2ff" stroke="#14242b" stroke-width="1.3"/>',
)
MAX_CLIPS = len(_CLIP_SHAPES)


def maps_html(gallery: Gallery, speaker: Plane, content: Plane, texts: Texts = ENGLISH) -> str:
    """HTML of both maps with a legend and a menu of voices."""
    names = [f"{name} ({texts.SEXES.get(sex, sex)})" for name, sex in zip(gallery.names, gallery.sexes, strict=True)]
    menu = f'<option value="">{texts.MAPS["all"]}</option>'
    menu += "".join(f'<option value="{k}">{escape(name)}</option>' for k, name in enumerate(names))
    rules = "".join(
        f'.maps:has(.v{k}:is(:hover,:focus)) .v:not(.v{k}),.maps[data-voice="{k}"] .v:not(.v{k}){{opacity:.08}}'
        f'.maps:has(.v{k}:is(:hover,:focus)) .v{k} text,.maps[data-voice="{k}"] .v{k} text{{display:block}}'
        for k in range(len(names))
    )
    # Not in the page's style sheet: Gradio puts a prefix before its selectors, which then outweigh these rules.
    rules = ".map .v text{display:none}" + rules
    clips = "".join(
        f'<li><svg viewBox="-12 -12 24 24" width="24" height="24" aria-hidden="true">{shape}</svg>{escape(label)}</li>'
        for label, shape in zip(speaker.clips, _CLIP_SHAPES, strict=False)
    )
    return f"""<div class="maps"><style>{rules}</style>
<p class="maps-menu"><label>{texts.MAPS["highlight"]}
<select onchange="this.closest('.maps').dataset.voice = this.value">{menu}</select>
</label></p>
<div class="maps-pair">{_map_html(texts.MAPS["speaker"], speaker, names, texts)}
{_map_html(texts.MAPS["content"], content, names, texts)}</div>
<ul class="legend"><li><svg viewBox="-12 -12 24 24" width="24" height="24" aria-hidden="true">
<circle r="4.5" fill="#44aa99"/></svg>{texts.MAPS["legend"].format(voices=len(names))}</li>
{clips}</ul></div>"""


def _map_html(title: str, plane: Plane, names: list[str], texts: Texts) -> str:
    points = np.concatenate([plane.gallery.reshape(-1, 2), *plane.clips.values()])
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-9)

    def to_svg(points: np.ndarray) -> list[tuple[float, float]]:
        unit = (points.astype(float) - low) / span
        unit[:, 1] = 1 - unit[:, 1]  # the y axis of SVG points down
        return [tuple(xy) for xy in np.round(_MARGIN + unit * (_SIZE - 2 * _MARGIN), 1)]

    gallery = "".join(
        f'<g class="v v{k}" role="img" aria-label="{escape(names[k])}" tabindex="{0 if k == 0 else -1}">'
        f'<text x="12" y="24">{escape(names[k])}</text>' + "".join(_dot(k, x, y) for x, y in to_svg(voice)) + "</g>"
        for k, voice in enumerate(plane.gallery)
    )
    clips = "".join(
        f"<g><title>{escape(label)}</title>"
        + "".join(f'<g transform="translate({x} {y})">{shape}</g>' for x, y in to_svg(clip))
        + "</g>"
        for (label, clip), shape in zip(plane.clips.items(), _CLIP_SHAPES, strict=False)
    )
    shares = {"same": f"{100 * plane.same_voice:.0f}", "chance": decimal(texts, f"{100 * plane.chance:.1f}")}
    measured = texts.MAPS["measured"].format(speakers=len(plane.gallery), **shares)
    spoken = texts.MAPS["map"].format(title=title, measured=measured)
    return (
        f'<figure><figcaption><strong>{title}</strong><br>{measured}</figcaption><svg class="map" role="group" '
        f'viewBox="0 0 {_SIZE} {_SIZE}" aria-label="{spoken}">{gallery}{clips}</svg></figure>'
    )


def _dot(k: int, x: float, y: float) -> str:
    """A point in the shape and color of voice `k`."""
    style = voice_style(k)
    color = style["color"]
    match style["marker"]:
        case "o":
            return f'<circle cx="{x}" cy="{y}" r="4.5" fill="{color}"/>'
        case "s":
            return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{color}"/>'
        case "^":
            return f'<path d="M{x} {y - 5:.1f}l5 9h-10z" fill="{color}"/>'
        case "<":
            return f'<path d="M{x - 5:.1f} {y}l9 -5v10z" fill="{color}"/>'
        case ">":
            return f'<path d="M{x + 5:.1f} {y}l-9 -5v10z" fill="{color}"/>'
        case _:
            return f'<path d="M{x} {y - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z" fill="{color}"/>'
