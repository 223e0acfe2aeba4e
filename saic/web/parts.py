"""Components and event options that several tabs use."""

import gradio as gr

from saic.web.server.jobs import MAX_JOBS
from saic.web.style import WAVEFORM

PRIVATE = {"api_visibility": "private"}
QUICK = {**PRIVATE, "queue": False, "show_progress": "hidden"}
HEAVY = {**PRIVATE, "concurrency_id": "heavy", "concurrency_limit": MAX_JOBS}  # `Jobs` assigns the cores


def recorder(label: str, elem_id: str, **options) -> gr.Audio:
    """A player to record, upload, trim and clear a clip.

    Its value is a path: Gradio's own decoding into arrays has no limits on size and duration.
    """
    common = {"sources": ["upload", "microphone"], "type": "filepath", "buttons": []}
    return gr.Audio(label=label, elem_id=elem_id, waveform_options=WAVEFORM, **common, **options)


def player(label: str, *classes: str) -> gr.Audio:
    """A player without a download button: what may be downloaded has a button of its own."""
    common = {"type": "filepath", "interactive": False, "buttons": [], "min_width": 260}
    return gr.Audio(label=label, elem_classes=["player", *classes], waveform_options=WAVEFORM, **common)
