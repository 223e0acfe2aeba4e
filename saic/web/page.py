"""The page itself: the tabs, and what belongs to all of them."""

import logging
import os
import threading
import time

import gradio as gr

from saic import audio
from saic.evaluation.evaluators.whisper import Recogniser
from saic.web import about, anonymize, api, explore, identify, texts
from saic.web.about import Documents
from saic.web.anonymize import Anonymizer, Run
from saic.web.examples import Example
from saic.web.explore import Explorer
from saic.web.identify import Identifier
from saic.web.parts import HEAVY, QUICK
from saic.web.protection import Listener
from saic.web.recordings import Recordings, session_of
from saic.web.store import ClipStore

NO_DOCUMENTS = Documents()

_log = logging.getLogger(__name__)


def build_page(
    pipeline,
    examples: list[Example],
    *,
    store: ClipStore | None = None,
    documents: Documents = NO_DOCUMENTS,
    recogniser: Recogniser | None = None,
) -> gr.Blocks:
    """Build the page over any object with the verbs of `saic.Pipeline`; serve it with `saic.web.launch`.

    Parameters
    ----------
    pipeline : converts, embeds, identifies and holds the gallery
    examples : the bundled voices, at least two
    store : where clips are kept; None opens one. Gradio learns of it through the environment variable
        GRADIO_TEMP_DIR, so a process serves one page at a time.
    documents : what the page quotes
    recogniser : counts the words that are kept; None: they are not counted
    """
    store = store or ClipStore()
    os.environ["GRADIO_TEMP_DIR"] = str(store.folder)
    recordings, listener = Recordings(store), Listener(pipeline, recogniser)
    bundled, halves = _bundle(examples, store)
    anonymizer = Anonymizer(pipeline, recordings, listener, bundled)
    explorer, identifier = Explorer(pipeline, recordings), Identifier(pipeline, recordings, halves)
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False) as page:
        gr.HTML(texts.HEADER)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Anonymize"):
                first = anonymize.tab(anonymizer, documents.evaluation)
            with gr.Tab("Explore") as exploring:
                maps, drawn = explore.tab()
            with gr.Tab("Identify"):
                second = identify.tab()
            with gr.Tab("About"):
                about.tab(documents, pipeline.info())
        anonymize.wire(anonymizer, first)
        identify.wire(identifier, second)
        exploring.select(explorer.show, [first.run, drawn], [maps, drawn], show_progress_on=maps, **HEAVY)
        gr.on([first.known.change, first.intro.change], explorer.forget, drawn, [maps, drawn], **QUICK)
        _wire_delete(recordings, anonymizer, first, second, maps, drawn)
        page.verbs = api.offer(recordings, anonymizer, identifier, explorer)
    page.recordings = recordings  # for launch, as the verbs are
    page.warm_ups = (recordings.sandbox.warm_up, anonymizer.warm_up, listener.warm_up, explorer.warm_up)
    return page


def warm_up(page: gr.Blocks) -> threading.Thread:
    """Do once in the background what a first visitor would wait for; a visitor who is quicker goes first."""

    def rehearse() -> None:
        began = time.monotonic()
        for step in page.warm_ups:
            page.recordings.jobs.wait_until_idle()
            try:
                step()
            except Exception as error:  # whoever needs it tries again, and is told
                _log.error("warm-up: %s", type(error).__name__)
        _log.info("warm after %.1f s", time.monotonic() - began)

    thread = threading.Thread(target=rehearse, name="saic-warm-up", daemon=True)
    thread.start()
    return thread


def _bundle(examples: list[Example], store: ClipStore) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Write the bundled voices into the store: label to the path of the clip, and to those of its halves."""
    whole, halves = {}, {}
    for number, example in enumerate(examples, start=1):
        wav = audio.load(example.path)
        middle = len(wav) // 2
        paths = [str(store.bundled / f"voice-{number:02d}{part}.wav") for part in ("", "-first", "-second")]
        for path, part in zip(paths, (wav, wav[:middle], wav[middle:]), strict=True):
            audio.save(path, part)
        whole[example.label], *parts = paths
        halves[example.label] = tuple(parts)
    return whole, halves


def _wire_delete(
    recordings: Recordings, do: Anonymizer, first: anonymize.Tab, second: identify.Tab, maps: gr.HTML, drawn: gr.State
) -> None:
    """*Delete now*: the server forgets, then the page does."""

    async def forget_all(choice: str, run: Run | None, request: gr.Request) -> tuple:
        # async: it needs no thread, which others may hold
        if run is not None:
            run.dropped = True
        recordings.delete(session_of(request))
        anonymized = [None, *do.choose(choice), None, *anonymize.below(said=texts.DELETED)]
        return *anonymized, None, texts.EXPLORE_WAITING, {}, identify.listing({}), None, None, ""

    cleared = [first.source, first.target, first.consent, first.agreed, *first.below, drawn, maps]
    said = [second.known, second.listed, second.voice, second.clip, second.said]
    first.delete.click(forget_all, [first.choice, first.run], [*cleared, *said], **QUICK)
