"""Components that several tabs use, and how their events are called."""

import gradio as gr

from saic.web.jobs import MAX_JOBS
from saic.web.style import WAVEFORM

PRIVATE = {"api_visibility": "private"}
QUICK = {**PRIVATE, "queue": False, "show_progress": "hidden"}
HEAVY = {**PRIVATE, "concurrency_id": "heavy", "concurrency_limit": MAX_JOBS}  # `Jobs` shares out the cores


def recorder(label: str, elem_id: str, **options) -> gr.Audio:
    """A clip as a path, to record, upload, trim and clear: Gradio's own decoding into arrays would have no limits."""
    shape = {"sources": ["upload", "microphone"], "type": "filepath", "buttons": []}
    return gr.Audio(label=label, elem_id=elem_id, waveform_options=WAVEFORM, **shape, **options)


def player(label: str, *classes: str) -> gr.Audio:
    shape = {"type": "filepath", "interactive": False, "buttons": ["download"], "min_width": 260}
    return gr.Audio(label=label, elem_classes=["player", *classes], waveform_options=WAVEFORM, **shape)


def figure(label: str, caption: str, alt_text: str) -> gr.Image:
    with gr.Row(elem_classes=["card", "figure-card"]):
        with gr.Column(scale=3, min_width=300):
            shape = {"type": "filepath", "interactive": False, "buttons": ["download", "fullscreen"]}
            image = gr.Image(label=label, show_label=False, elem_classes="figure", alt_text=alt_text, **shape)
        with gr.Column(scale=2, min_width=260, elem_classes="caption"):
            gr.HTML(caption)
    return image
