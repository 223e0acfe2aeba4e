"""The Explore tab: maps of speaker and content embeddings, with the page's clips (paper Fig. 5)."""

from dataclasses import dataclass
from functools import cached_property

import gradio as gr
import numpy as np

from saic import plots
from saic.audio import SAMPLE_RATE
from saic.errors import AudioError
from saic.pipeline import Embedding
from saic.web import maps
from saic.web.failures import gradio_errors
from saic.web.notes import notes_html
from saic.web.parts import HEAVY, QUICK
from saic.web.server.jobs import Job
from saic.web.server.recordings import VOICE_S, Recordings, session_of
from saic.web.tabs.anonymize import Run, has_result
from saic.web.texts import ENGLISH, PageTexts, Texts, texts_for
from saic.web.unseen import UnseenMaps
from saic.web.voice import embed_voice

GALLERY = "gallery"
"""Instead of a run's id: the maps show the gallery alone."""


class Explorer:
    """Event handlers of the tab: maps of clips among the voices of the built-in gallery.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    recordings : reads the clips
    unseen : maps of speakers that the model was not trained on; None: there are none
    """

    def __init__(self, pipeline, recordings: Recordings, unseen: UnseenMaps | None = None) -> None:
        self._pipeline, self._recordings, self.unseen = pipeline, recordings, unseen
        self._gallery = pipeline.gallery  # loaded now, so that weights without a gallery fail when the page starts

    def warm_up(self) -> None:
        """Draw the maps of the gallery alone."""
        self._gallery_planes  # noqa: B018 - computes and caches it

    def show_maps(self, run: Run | None, drawn: str | None, request: gr.Request = None) -> tuple | dict:
        """Draw the maps with the clips of a run, unless they are drawn already.

        Parameters
        ----------
        run : the run that the Anonymize tab shows
        drawn : what the maps show: the id of a run, `GALLERY`, or nothing before the first drawing
        """
        wanted = run.id if has_result(run) else GALLERY
        if wanted == drawn:
            return gr.skip()
        texts = texts_for(request)
        if wanted == GALLERY:
            return self._gallery_maps(texts), GALLERY
        with gradio_errors(request):
            try:
                html = self._draw_run(run, session_of(request), texts)
            except Exception:
                if not run.dropped:
                    raise
        return (self._gallery_maps(texts), GALLERY) if run.dropped else (html, run.id)

    def show_unseen(self, is_drawn: bool, request: gr.Request = None) -> tuple | dict:
        """The maps of unseen speakers, at the first time: a new drawing would undo a zoom."""
        return gr.skip() if is_drawn or self.unseen is None else (*self.unseen.figures(texts_for(request)), True)

    def remove_dropped(self, run: Run | None, drawn: str | None, request: gr.Request = None) -> tuple | dict:
        """Remove the clips of a dropped run from the maps; parameters as for `show_maps`."""
        if not drawn or drawn == GALLERY or (has_result(run) and run.id == drawn):
            return gr.skip()
        return self.without_clips(drawn, texts_for(request))

    def without_clips(self, drawn: str | None, texts: Texts) -> tuple[str, str | None]:
        """The maps of a page whose recordings were deleted; `drawn` as for `remove_dropped`."""
        return (self._gallery_maps(texts), GALLERY) if drawn else (texts.EXPLORE_WAITING, None)

    def _draw_run(self, run: Run, session: str, texts: Texts) -> str:
        paths = {"original": run.result.original, "target": run.target, "swapped": run.result.swapped}
        labels = {texts.EXPLORE_CLIPS[name]: path for name, path in paths.items() if path}
        with self._recordings.job("map", session):
            return self.draw({label: self.load(path, session) for label, path in labels.items()}, session, texts)

    def load(self, path: str, session: str) -> np.ndarray:
        """The first minutes of a recording (N,), from which `embed_voice` measures; the rest leaves the memory."""
        return self._recordings.load(path, session)[: VOICE_S * SAMPLE_RATE].copy()

    def draw(self, clips: dict[str, np.ndarray], session: str, texts: Texts = ENGLISH) -> str:
        """HTML of the maps; `clips` has labels and wavs (N,), one or more.

        A clip without a voice is not on the maps, and a note says why.
        """
        embeddings: dict[str, Embedding] = {}
        refused: dict[str, tuple[str]] = {}
        with self._recordings.job("map", session) as job:
            for label, wav in clips.items():
                job.check()
                try:
                    embeddings[label] = embed_voice(self._pipeline, wav)
                except AudioError as error:
                    refused[label] = (str(error),)
            planes = self._planes(embeddings, job)
        return notes_html(refused, texts) + maps.maps_html(self._gallery, *planes, texts)

    def map_points(self, clips: list[np.ndarray], session: str) -> dict:
        """The maps of wavs (N,) as plain values, for the API; AudioError if one of them has no voice."""
        embeddings, result = {}, {}
        with self._recordings.job("map", session) as job:
            for k, wav in enumerate(clips):
                job.check()
                embeddings[str(k)] = embed_voice(self._pipeline, wav)
            planes = self._planes(embeddings, job)
        for name, plane in zip(("speaker", "content"), planes, strict=True):
            result[name] = {
                "gallery": {v: xy.round(3).tolist() for v, xy in zip(self._gallery.names, plane.gallery, strict=True)},
                "recordings": [points.round(3).tolist() for points in plane.clips.values()],
                "nearest_is_same_voice": round(plane.same_voice, 4),
                "chance": round(plane.chance, 4),
            }
        return result

    def _planes(self, embeddings: dict[str, Embedding], job: Job) -> tuple[plots.Plane, plots.Plane]:
        """Maps of the speaker and of the content embeddings."""
        job.check()
        speaker = plots.speaker_plane(self._gallery, embeddings)
        job.check()
        return speaker, plots.content_plane(self._gallery, embeddings)

    def _gallery_maps(self, texts: Texts) -> str:
        return maps.maps_html(self._gallery, *self._gallery_planes, texts)

    @cached_property
    def _gallery_planes(self) -> tuple[plots.Plane, plots.Plane]:
        return plots.speaker_plane(self._gallery, {}), plots.content_plane(self._gallery, {})


@dataclass(frozen=True)
class Tab:
    """Components and state of the tab.

    Attributes
    ----------
    maps : HTML of the maps of clips
    drawn : what they show, see `Explorer.show_maps`; kept by the browser: an answer may be lost
    unseen : the maps of unseen speakers
    is_unseen_drawn : whether they are shown
    """

    maps: gr.HTML
    drawn: gr.Textbox
    unseen: tuple[gr.Plot, gr.Plot]
    is_unseen_drawn: gr.State


def build_tab(explorer: Explorer, texts: PageTexts) -> Tab:
    """Lay out the tab."""
    gr.HTML(texts.EXPLORE)
    with gr.Column(elem_classes="card"):
        drawing = gr.HTML(texts.EXPLORE_WAITING, elem_id="maps", min_height=300)
    unseen = explorer.unseen
    with gr.Column(elem_classes="card", elem_id="unseen", visible=unseen is not None):
        gr.HTML(texts(unseen.introduction) if unseen else "")
        with gr.Row():
            plane_plots = [_plane_plot(name, unseen, texts) for name in ("speaker", "content")]
    gr.HTML(texts.EXPLORE_HELP)
    return Tab(drawing, gr.Textbox(visible=False), tuple(plane_plots), gr.State(False))


def _plane_plot(name: str, unseen: UnseenMaps | None, texts: PageTexts) -> gr.Plot:
    """A map of unseen speakers under its title, above its caption."""
    with gr.Column(min_width=300):
        gr.HTML(texts(lambda texts: f"<h3>{texts.MAPS[name]}</h3>"))
        plot = gr.Plot(show_label=False, container=False, elem_classes="unseen-map")
        gr.HTML(texts(lambda texts: unseen.captions(texts)[name]) if unseen else "")
    return plot


def connect_events(explorer: Explorer, tab: Tab, selected: gr.Tab, run: gr.State) -> None:
    """Draw the maps when the tab is selected."""
    shown = [tab.maps, tab.drawn]
    selected.select(explorer.show_unseen, tab.is_unseen_drawn, [*tab.unseen, tab.is_unseen_drawn], **QUICK)
    several = {"trigger_mode": "always_last"}  # the maps of an earlier run may still be drawn
    selected.select(explorer.show_maps, [run, tab.drawn], shown, show_progress_on=tab.maps, **several, **HEAVY)
