"""The tab of maps: where voices and contents lie, and where your clips lie among them (paper Fig. 5)."""

import contextlib
from functools import cached_property

import gradio as gr
import numpy as np

from saic import plots
from saic.audio import SAMPLE_RATE
from saic.errors import AudioError, UsageError
from saic.pipeline import Embedding
from saic.web import maps, texts
from saic.web.anonymize import Run
from saic.web.failures import told_plainly
from saic.web.recordings import Recordings, session_of


class Explorer:
    """Maps clips among the voices of the built-in gallery."""

    def __init__(self, pipeline, recordings: Recordings) -> None:
        self._pipeline, self._recordings = pipeline, recordings
        self._voices = pipeline.voices  # read now: weights without a gallery should fail at start, not in use

    def warm_up(self) -> None:
        """Draw the maps that everyone sees first."""
        self._empty_maps  # noqa: B018 - it is kept

    def show(self, run: Run | None, drawn: Run | tuple | None, request: gr.Request = None) -> tuple | dict:
        """Draw the maps with what the first tab shows; nothing is done if that is drawn already."""
        asked = run if run and run.shown and not run.dropped else ()
        if asked == drawn:
            return gr.skip()
        if not asked:
            return self._empty_maps, ()
        with told_plainly():
            try:
                html = self._draw_run(run, session_of(request))
            except Exception:
                if not run.dropped:
                    raise
        return (self._empty_maps, ()) if run.dropped else (html, run)

    def forget(self, drawn: Run | tuple | None) -> tuple | dict:
        """Take the clips of a result that is gone off the maps."""
        return (self._empty_maps, ()) if drawn and drawn.dropped else gr.skip()

    def _draw_run(self, run: Run, session: str) -> str:
        paths = {"Your clip": run.shown.original, "New voice": run.target, "Swapped": run.shown.swapped}
        return self.draw(
            {label: self._recordings.load(path, session) for label, path in paths.items() if path}, session
        )

    def draw(self, clips: dict[str, np.ndarray], session: str) -> str:
        """HTML of the maps; `clips` are wavs (N,)."""
        if not clips:
            return self._empty_maps
        speaker, content = self._planes(clips, session)
        return maps.drawing(self._voices, speaker, content)

    def points(self, clips: dict[str, np.ndarray], session: str) -> dict:
        """The same as plain values, for the API."""
        if len(clips) > maps.MAX_CLIPS:
            raise UsageError(f"A map shows up to {maps.MAX_CLIPS} recordings. Send fewer.")
        found = {}
        for name, plane in zip(("speaker", "content"), self._planes(clips, session), strict=True):
            found[name] = {
                "gallery": {v: xy.round(3).tolist() for v, xy in zip(self._voices.names, plane.gallery, strict=True)},
                "recordings": [spots.round(3).tolist() for spots in plane.clips.values()],
                "nearest_is_same_voice": round(plane.same_voice, 4),
                "chance": round(plane.chance, 4),
            }
        return found

    def _planes(self, clips: dict[str, np.ndarray], session: str) -> tuple[plots.Plane, plots.Plane]:
        with self._recordings.job("map", session) as job:
            embeddings: dict[str, Embedding] = {}
            for label, wav in clips.items():
                job.check()
                with contextlib.suppress(AudioError):  # too little that counts as speech: nowhere on a map
                    embeddings[label] = self._pipeline.embed((wav, SAMPLE_RATE))
            job.check()
            speaker = plots.speaker_plane(self._voices, embeddings)
            job.check()
            return speaker, plots.content_plane(self._voices, embeddings)

    @cached_property
    def _empty_maps(self) -> str:
        planes = plots.speaker_plane(self._voices, {}), plots.content_plane(self._voices, {})
        return maps.drawing(self._voices, *planes)


def tab() -> tuple[gr.HTML, gr.State]:
    """Lay out the tab: the maps, and what they show."""
    gr.HTML(texts.EXPLORE)
    with gr.Column(elem_classes="card"):
        drawing = gr.HTML(texts.EXPLORE_WAITING, elem_id="maps", min_height=300)
    gr.HTML(texts.EXPLORE_HELP)
    return drawing, gr.State(None)
