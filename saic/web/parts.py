"""Components and event options that several tabs use."""

import json
from collections.abc import Callable, Sequence

import gradio as gr

from saic.web.server.jobs import MAX_JOBS
from saic.web.server.recordings import Recordings
from saic.web.style import WAVEFORM

PRIVATE = {"api_visibility": "private"}
QUICK = {**PRIVATE, "queue": False, "show_progress": "hidden"}
HEAVY = {**PRIVATE, "concurrency_id": "heavy", "concurrency_limit": MAX_JOBS}  # `Jobs` assigns the cores

# In the browser, since the visitor may have cleared or replaced the upload while the answer was on its way.
_TAKE_COPY_JS = "(shown, upload, copy) => (shown?.path === upload ? copy : {__type__: 'update'})"

# In the browser, since the visitor may have filled in the next entry while the answer was on its way.
_EMPTY_JS = """(taken, text, files) => {
  const sent = JSON.stringify([text, [files ?? []].flat().map((file) => file.path)]), skip = {__type__: "update"};
  return sent === taken ? ["", null] : [skip, skip];
}"""


def recorder(label: str, elem_id: str, **options) -> gr.Audio:
    """A player to record, upload, trim and clear a clip.

    Its value is a path: Gradio's own decoding into arrays has no limits on size and duration.
    """
    common = {"sources": ["upload", "microphone"], "type": "filepath", "buttons": []}
    return gr.Audio(label=label, elem_id=elem_id, waveform_options=WAVEFORM, **common, **options)


def player(label: str, elem_class: str) -> gr.Audio:
    """A player without a download button: what may be downloaded has a button of its own."""
    common = {"type": "filepath", "interactive": False, "buttons": [], "min_width": 260}
    return gr.Audio(label=label, elem_classes=["player", elem_class], waveform_options=WAVEFORM, **common)


def decode_on_change(recordings: Recordings, player: gr.Audio, decode: Callable) -> None:
    """Let `decode` take in each upload of a player, which then shows the decoded copy.

    With its default trigger modes, Gradio would hold back a change while a decoding runs, and then call
    all handlers of that change again: two changes in a row called each other's handlers for seconds. It
    would also ignore the end of a decoding while the answer on the copy before is on its way.
    """
    upload, copy = gr.Textbox(visible=False), gr.Audio(visible=False, type="filepath")
    several = {"trigger_mode": "multiple"}
    decoded = player.change(decode, player, gr.State(), show_progress="hidden", **several, **PRIVATE)
    for ended in (decoded.success, decoded.failure):
        found = ended(recordings.copy_of, player, [upload, copy], **several, **QUICK)
        found.success(None, [player, upload, copy], player, js=_TAKE_COPY_JS, **several)


def taken(text: str, paths: Sequence[str]) -> str:
    """What a handler gives to the component of `empty_when_taken`: the text and the paths as the page sent them."""
    return json.dumps([text, list(paths)], ensure_ascii=False, separators=(",", ":"))


def empty_when_taken(text: gr.Textbox, files: gr.File | gr.Audio) -> gr.Textbox:
    """A hidden component: once it gets what the form held, the form is emptied, unless it has another entry by now."""
    sent = gr.Textbox(visible=False)
    sent.change(None, [sent, text, files], [text, files], js=_EMPTY_JS, trigger_mode="multiple")
    return sent
