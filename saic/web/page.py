"""The page itself: what stands where, and which button calls what."""

import os

import gradio as gr

from saic.web import words
from saic.web.examples import Example
from saic.web.handlers import OWN_RECORDING, Handlers
from saic.web.store import ClipStore
from saic.web.style import WAVEFORM

_PRIVATE = {"api_visibility": "private"}
_QUICK = {**_PRIVATE, "queue": False, "show_progress": "hidden"}
_ONE_AT_A_TIME = {"concurrency_id": "convert", "concurrency_limit": 1}  # a conversion fills a core


def build_page(pipeline, examples: list[Example], *, store: ClipStore | None = None) -> gr.Blocks:
    """Build the page over any object with the verbs of `saic.Pipeline`; serve it with `saic.web.launch`.

    Parameters
    ----------
    pipeline : converts, embeds and holds the gallery
    examples : the bundled voices, at least two
    store : where clips are kept; None opens one. Gradio keeps its uploads there too, and learns of that
        through the environment variable GRADIO_TEMP_DIR, so a process serves one page at a time.
    """
    store = store or ClipStore()
    os.environ["GRADIO_TEMP_DIR"] = str(store.folder)
    do = Handlers(pipeline, examples, store)
    with gr.Blocks(title=words.TITLE, analytics_enabled=False) as page:
        gr.HTML(words.HEADER)
        with gr.Row(equal_height=True):
            source = _source()
            choice, target, consent = _target(do)
        with gr.Row():
            convert = gr.Button("Convert", variant="primary", elem_id="convert", scale=2)
            example = gr.Button("Try it with bundled voices", elem_id="example", scale=1)
        intro = gr.HTML(words.EMPTY, elem_id="intro")
        with gr.Column(visible=False) as results:
            shown = _results()
        with gr.Accordion("What happens to recordings", open=False):
            gr.Markdown(words.PRIVACY)
        _wire_inputs(do, source, choice, target, consent)
        checked = convert.click(do.check, [source, target, choice, consent], show_progress="hidden", **_PRIVATE)
        filled = example.click(do.example, None, [source, choice, target, consent], **_QUICK)
        for ready, api in ((checked, {"api_name": "convert"}), (filled, _PRIVATE)):
            done = ready.success(do.convert, [source, target], shown, show_progress_on=intro, **_ONE_AT_A_TIME, **api)
            done.success(_uncover, None, [intro, results], scroll_to_output=True, **_QUICK)
    return page


def _source() -> gr.Audio:
    with gr.Column(elem_classes="card"):
        gr.HTML(words.SOURCE)
        return _recorder("Patient's voice", "source")


def _target(do: Handlers) -> tuple[gr.Radio, gr.Audio, gr.Checkbox]:
    labels = list(do.bundled)
    with gr.Column(elem_classes="card"):
        gr.HTML(words.TARGET)
        choice = gr.Radio([*labels, OWN_RECORDING], value=labels[0], label="Voice", elem_id="choice")
        target = _recorder("Other voice", "target", value=do.bundled[labels[0]], interactive=False)
        consent = gr.Checkbox(label=words.CONSENT, visible=False, elem_id="consent", container=False)
    return choice, target, consent


def _results() -> list[gr.Component]:
    """Lay out the five things that a conversion shows, in the order in which the API returns them."""
    with gr.Row():
        players = [_player("Original"), _player("Reconstructed"), _player("Swapped voice", "swapped")]
    mels = _figure("Spectrograms", words.MELS, words.MELS_ALT)
    maps = _figure("Voice and content maps", words.MAPS, words.MAPS_ALT)
    return [*players, mels, maps]


def _recorder(label: str, elem_id: str, **options) -> gr.Audio:
    """A clip as a path: Gradio's own decoding into arrays would have no limits."""
    shape = {"sources": ["upload", "microphone"], "type": "filepath", "editable": False, "buttons": []}
    return gr.Audio(label=label, elem_id=elem_id, waveform_options=WAVEFORM, **shape, **options)


def _player(label: str, *classes: str) -> gr.Audio:
    shape = {"type": "filepath", "interactive": False, "buttons": ["download"], "min_width": 260}
    return gr.Audio(label=label, elem_classes=["player", *classes], waveform_options=WAVEFORM, **shape)


def _figure(label: str, caption: str, alt_text: str) -> gr.Image:
    with gr.Row(elem_classes=["card", "figure-card"]):
        with gr.Column(scale=3, min_width=300):
            shape = {"type": "filepath", "interactive": False, "buttons": ["download", "fullscreen"]}
            image = gr.Image(label=label, show_label=False, elem_classes="figure", alt_text=alt_text, **shape)
        with gr.Column(scale=2, min_width=260, elem_classes="caption"):
            gr.HTML(caption)
    return image


def _wire_inputs(do: Handlers, source: gr.Audio, choice: gr.Radio, target: gr.Audio, consent: gr.Checkbox) -> None:
    for clip in (source, target):
        taken = gr.on([clip.upload, clip.stop_recording], do.take_in, clip, clip, **_PRIVATE)
        taken.failure(lambda: None, None, clip, **_QUICK)
    choice.input(do.choose, choice, [target, consent], **_QUICK)


def _uncover() -> tuple[dict, dict]:
    return gr.update(value=words.LISTEN), gr.update(visible=True)
