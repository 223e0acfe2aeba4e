"""The page: its tabs, and the events that concern several of them."""

import logging
import os
import threading
import time

import gradio as gr

from saic import audio
from saic.evaluation.evaluators.whisper import WhisperASR
from saic.evaluation.protection import ProtectionMeasurer
from saic.keys import Key
from saic.web import api, linkage
from saic.web.conversions import Converter
from saic.web.documents import Documents
from saic.web.examples import Example
from saic.web.parts import PRIVATE, QUICK
from saic.web.server.recordings import MAX_MINUTES, Recordings, limits_of, session_of
from saic.web.server.store import MAX_BYTES, UPLOAD_KEEP_S, ClipStore
from saic.web.tabs import about, anonymize_layout, batch, evaluation, explore, identify
from saic.web.tabs.anonymize import Anonymizer, Run
from saic.web.tabs.evaluation import Evaluation
from saic.web.tabs.explore import Explorer
from saic.web.tabs.identify import EnrolledVoices, Identifier
from saic.web.texts import ENGLISH, PageTexts, texts_for

NO_DOCUMENTS = Documents()

_log = logging.getLogger(__name__)


def build_page(
    pipeline,
    examples: list[Example],
    *,
    store: ClipStore | None = None,
    documents: Documents = NO_DOCUMENTS,
    asr: WhisperASR | None = None,
    key: Key | None = None,
    study: str = "",
    max_minutes: float = MAX_MINUTES,
) -> gr.Blocks:
    """Build the page; serve it with `saic.web.launch`.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`, or another object with its methods
    examples : the bundled voices, at least two
    store : keeps the recordings; None creates one. Gradio finds it through the environment variable
        GRADIO_TEMP_DIR, so a process serves one page at a time.
    documents : documents that the page shows
    asr : speech recognizer that counts the words kept; None: they are not counted
    key : gives the subjects of a study their voices; None: the page has no field for subjects
    study : name of the study, another name gives other voices
    max_minutes : of one recording

    Raises
    ------
    OtherVoices (the key was made for other weights or another gallery)
    """
    if key is not None:
        pipeline.pseudonym(key=key, subject="-")  # a key that cannot be used ends the start, not a conversion
    store = store or ClipStore(max_bytes=max(MAX_BYTES, 32 * limits_of(max_minutes).max_bytes))
    os.environ["GRADIO_TEMP_DIR"] = str(store.folder)
    recordings, measurer = Recordings.of_minutes(store, max_minutes), ProtectionMeasurer(pipeline, asr)
    store.upload_keep_s = max(UPLOAD_KEEP_S, recordings.jobs.deadline_s)
    bundled, halves = _store_examples(examples, store)
    default = pipeline.default_profile
    figures = linkage.by_profile(documents.linkage, pipeline.profiles, default)
    anonymizer = Anonymizer(Converter(pipeline, recordings, measurer, figures), recordings, bundled, key, study)
    measured = Evaluation(documents, figures, default)
    texts = PageTexts()
    explorer, identifier = Explorer(pipeline, recordings, documents.unseen), Identifier(pipeline, recordings, halves)
    with gr.Blocks(title=ENGLISH.TITLE, analytics_enabled=False) as page:
        with gr.Row(elem_classes="header"):
            gr.HTML(texts.HEADER)
            delete = gr.Button(texts.DELETE, elem_id="delete", scale=0, min_width=130, visible=False)
        with gr.Tabs(elem_id="tabs"):
            labels = {name: label for label, name in texts.choices("TABS")}
            with gr.Tab(labels["anonymize"]):
                anonymize_tab = anonymize_layout.build_tab(anonymizer, texts, documents.reconstruction_top1)
            with gr.Tab(labels["batch"]):
                batch_tab = batch.build_tab(anonymizer, texts)
            with gr.Tab(labels["explore"]) as explore_label:
                explore_tab = explore.build_tab(explorer, texts)
            with gr.Tab(labels["identify"]):
                identify_tab = identify.build_tab(texts)
            with gr.Tab(labels["evaluation"]) as evaluation_label:
                topics = evaluation.build_tab(texts)
            with gr.Tab(labels["about"]):
                about.build_tab(documents.model_card, pipeline.info(), figures.get(default), texts)
        anonymize_layout.connect_events(anonymizer, anonymize_tab)
        batch.connect_events(batch.Batcher(anonymizer, recordings), batch_tab)
        page.load(anonymizer.show_times, anonymize_tab.run, anonymize_tab.intro, **QUICK)
        identify.connect_events(identifier, identify_tab)
        explore.connect_events(explorer, explore_tab, explore_label, anonymize_tab.run)
        evaluation_label.select(measured.show, None, topics, show_progress="hidden", **PRIVATE)
        changes = [part.change for part in (anonymize_tab.shown_run_id, anonymize_tab.intro, explore_tab.drawn)]
        shown = [anonymize_tab.run, explore_tab.drawn]
        gr.on(changes, explorer.remove_dropped, shown, [explore_tab.maps, explore_tab.drawn], **QUICK)
        tabs = anonymize_tab, batch_tab, explore_tab, identify_tab
        _connect_delete(page, recordings, anonymizer, explorer, delete, *tabs)
        page.endpoints = api.register_endpoints(recordings, anonymizer, identifier, explorer)
    page.recordings = recordings  # for `launch`, as `page.endpoints`
    page.i18n_instance = texts.i18n  # Gradio sends it to the browser
    page.warm_ups = (_load_matplotlib, recordings.sandbox.warm_up, anonymizer.warm_up, explorer.warm_up)
    return page


def _load_matplotlib() -> None:
    """Load what the first event needs, by Gradio, and the first picture."""
    import matplotlib.figure  # noqa: F401


def warm_up(page: gr.Blocks) -> threading.Thread:
    """Load and compile in the background what a first visitor would wait for.

    Visitors' jobs go first.
    """

    def run_warm_ups() -> None:
        started = time.monotonic()
        for step in page.warm_ups:
            page.recordings.jobs.wait_until_idle()
            try:
                step()
            except Exception as error:  # the first use tries again, and reports the error to its visitor
                _log.error("warm-up: %s", type(error).__name__)
        _log.info("warm-up took %.1f s", time.monotonic() - started)

    thread = threading.Thread(target=run_warm_ups, name="saic-warm-up", daemon=True)
    thread.start()
    return thread


def _store_examples(examples: list[Example], store: ClipStore) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Write the bundled voices into the store.

    Returns
    -------
    Label to the path of the clip, and label to the paths of its two halves.
    """
    clips, halves = {}, {}
    for number, example in enumerate(examples, start=1):
        wav = audio.load(example.path)
        middle = len(wav) // 2
        paths = [str(store.bundled / f"voice-{number:02d}{part}.wav") for part in ("", "-first", "-second")]
        for path, part in zip(paths, (wav, wav[:middle], wav[middle:]), strict=True):
            audio.save(path, part)
        clips[example.label], *parts = paths
        halves[example.label] = tuple(parts)
    return clips, halves


def _connect_delete(
    page: gr.Blocks,
    recordings: Recordings,
    anonymizer: Anonymizer,
    explorer: Explorer,
    delete: gr.Button,
    anonymize_tab: anonymize_layout.Tab,
    batch_tab: batch.Tab,
    explore_tab: explore.Tab,
    identify_tab: identify.Tab,
) -> None:
    """*Delete now*: shown as soon as there is something; deletes everything on the server, then clears the page."""

    def show_delete(enrolled: EnrolledVoices, request: gr.Request) -> dict:
        return gr.update(visible=bool(enrolled) or recordings.store.has_clips(session_of(request)))

    async def delete_all(
        choice: str,
        run: Run | None,
        many: batch.Batch,
        enrolled: EnrolledVoices,
        drawn: str | None,
        request: gr.Request,
    ) -> tuple:
        # async: it needs none of the threads, which may all be in use
        if run is not None:
            run.dropped = True
        many.delete()
        enrolled.removed = True
        recordings.delete(session_of(request))
        texts = texts_for(request)
        results = anonymize_layout.update_results_area(message=texts.DELETED)
        anonymized = [None, *anonymizer.choose_target(choice), None, *results]
        identified = EnrolledVoices(), identify.list_html(EnrolledVoices(), texts), None, None, ""
        batched = batch.Batch(), batch.list_html(batch.Batch(), texts), "", None
        batched += (gr.update(value=None, interactive=False),)
        return *anonymized, *explorer.without_clips(drawn, texts), *identified, *batched, gr.update(visible=False)

    tab = anonymize_tab
    inputs = [tab.source, tab.target, tab.consent, tab.pseudonym, tab.consented]
    enrollment = [identify_tab.enrolled, identify_tab.enrolled_list, identify_tab.clip_to_enroll]
    identified = [*enrollment, identify_tab.query, identify_tab.answer]
    batched = [batch_tab.batch, batch_tab.listed, batch_tab.subject, batch_tab.files, batch_tab.archive]
    maps = [explore_tab.maps, explore_tab.drawn]
    outputs = [*inputs, *tab.results_area, *maps, *identified, *batched, delete]
    held = [tab.choice, tab.run, batch_tab.batch, identify_tab.enrolled, explore_tab.drawn]
    delete.click(delete_all, held, outputs, **QUICK)
    clips = [tab.source, tab.target, tab.protection, identify_tab.clip_to_enroll, identify_tab.query, batch_tab.files]
    changes = [page.load, *(part.change for part in (*clips, identify_tab.enrolled_list))]
    gr.on(changes, show_delete, identify_tab.enrolled, delete, trigger_mode="always_last", **QUICK)
