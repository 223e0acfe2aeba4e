"""The Batch tab: many recordings of several people, one pseudonym for each person.

The page never sends a file name. So a recording is named by its speaker's label and by its number, in
the order in which it was added.
"""

import itertools
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from saic import file_report
from saic.audio import SAMPLE_RATE
from saic.errors import SaicError, UsageError
from saic.web.conversions import NewVoice
from saic.web.failures import gradio_errors, missing_input
from saic.web.linkage import linkage_sentence
from saic.web.parts import HEAVY, QUICK, empty_when_taken, taken
from saic.web.printed_report import printed_report
from saic.web.progress import progress_values
from saic.web.protection_card import verdict
from saic.web.server.jobs import Unfinished
from saic.web.server.logs import report as report_bug
from saic.web.server.recordings import VOICE_S, Recordings, session_of
from saic.web.server.store import GONE
from saic.web.tabs.anonymize import Anonymizer
from saic.web.texts import ENGLISH, PageTexts, Texts, texts_for, translated

MAX_FILES = 24
"""Recordings of one batch."""

MAX_LABEL = 40
"""Characters of a subject's label."""

_FILES = ("anonymized.wav", "report.html", "report.json")
_ZIP = "batch ZIP"
_FOLLOW_S = 0.4  # between two looks at a batch that another event converts
_GROUP = "batch"  # of the jobs, so that they and those of the tab Anonymize are stopped apart


@dataclass(eq=False)
class Item:
    """One recording of a batch.

    Attributes
    ----------
    subject, number : its speaker's label, and its number among that speaker's recordings
    copy : path of the decoded recording; None before, and if it cannot be used
    length_s : of the decoded recording
    kinds : of the folders that it has in the store
    upload : path of a recording that the server had no time to decode; None otherwise
    state : what the page says of it; empty: it is ready
    is_reading : whether it is still to be decoded
    verdict : word and sentence of `saic.web.protection_card.verdict`
    notes : what was missing in a recording that is converted, or chosen from it, as sentences
    folder : of the results; None until it is converted
    """

    subject: str
    number: int
    copy: str | None
    length_s: float | None = None
    kinds: list[str] = field(default_factory=list)
    upload: str | None = None
    state: str = ""
    is_reading: bool = False
    verdict: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it can be converted, as far as one knows."""
        return bool(self.copy or self.upload or self.is_reading)


@dataclass(eq=False)
class Batch:
    """The recordings of one page.

    Attributes
    ----------
    uploads : paths of all uploads: an impatient visitor may send them again before the form is empty
    voices : subject and register to the voice that all recordings of that subject get
    numbers : subject to the number of its last recording: no two recordings get one number
    running : whether the batch is being converted
    dropped : whether it was cancelled or deleted, or its page closed: the run ends after its present step
    deleted : whether it was deleted: nothing of it is shown or added any more
    """

    items: list[Item] = field(default_factory=list)
    uploads: set[str] = field(default_factory=set)
    voices: dict[tuple[str, str], NewVoice] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)
    running: bool = False
    dropped: bool = False
    deleted: bool = False

    def delete(self) -> None:
        """Forget all recordings, labels and voices, and end what runs."""
        self.dropped = self.deleted = True
        self.items.clear()
        self.voices.clear()
        self.numbers.clear()


class Batcher:
    """Event handlers of the tab.

    Parameters
    ----------
    anonymizer : gives the pseudonyms; its converter converts
    recordings : reads the uploads and keeps the results
    """

    def __init__(self, anonymizer: Anonymizer, recordings: Recordings) -> None:
        self._anonymizer, self._recordings = anonymizer, recordings
        self._numbers = itertools.count()  # of the folders, which expire if another of their kind is made
        self._lock = threading.Lock()  # two additions at once: neither may take the other's places

    def add_recordings(
        self, subject: str, paths: list[str] | None, batch: Batch, request: gr.Request = None
    ) -> Iterator[tuple]:
        """Take in the recordings of one subject; yields the batch, its list, and `taken`.

        The form is emptied at once: the next subject is filled in while these recordings are decoded.
        """
        form = taken(subject or "", paths or [])
        subject, paths = " ".join((subject or "").split())[:MAX_LABEL], paths or []
        texts, session = texts_for(request), session_of(request)
        if not subject:
            raise missing_input(texts.BATCH_NO_SUBJECT)
        if not paths:
            raise missing_input(texts.BATCH_NO_FILES)
        with self._lock:
            if batch.uploads.issuperset(paths):
                return
            if len(batch.items) + len(paths) > MAX_FILES:  # what could not be read makes room
                batch.items = [item for item in batch.items if item.is_usable]
            if len(batch.items) + len(paths) > MAX_FILES:
                raise missing_input(texts.BATCH_TOO_MANY.format(files=MAX_FILES))
            first, reading = batch.numbers[subject] + 1, texts.MESSAGES["reading"]
            batch.numbers[subject] += len(paths)
            added = [Item(subject, first + k, None, state=reading, is_reading=True) for k in range(len(paths))]
            batch.items += added
            batch.uploads.update(paths)
        try:
            yield batch, list_html(batch, texts), form
            for item, path in zip(added, paths, strict=True):
                self._read_item(item, path, session, texts)
                if batch.deleted:
                    return
                if item not in batch.items:  # the list was cleared meanwhile
                    self._withdraw(item, session)
                yield batch, list_html(batch, texts), gr.skip()
        finally:
            for item in added:
                if item.is_reading:  # the page was closed
                    item.is_reading, item.state = False, translated(texts, GONE)

    def _read_item(
        self,
        item: Item,
        path: str,
        session: str,
        texts: Texts,
        group: str = "",
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """Decode one recording; an error is told in the list. *Convert all* tries again if the server had no time."""
        item.upload, item.is_reading, item.state = None, True, texts.MESSAGES["reading"]
        tell()
        try:
            copy = self._recordings.take_in(path, session, self._kind(item), group)
            if not isinstance(copy, str):  # it was chosen too long ago
                raise UsageError(GONE)
            item.copy, item.length_s, item.state = copy, self._recordings.length_s(copy), ""
        except Unfinished as error:
            item.upload, item.state = path, translated(texts, str(error))
        except SaicError as error:
            item.state = translated(texts, str(error))
        except Exception as error:
            item.state = texts.SERVER_ERROR.format(event=report_bug(error))
        finally:
            item.is_reading = False

    def convert_all(
        self, batch: Batch, register: str, profile: str, request: gr.Request = None
    ) -> Iterator[tuple[str, str | dict, dict]]:
        """Convert what is not converted yet; yields the list, the ZIP's path and an update of *Cancel*.

        A page whose connection broke calls it again: it follows what still runs, and offers the ZIP of all results.
        """
        texts = texts_for(request)
        if not any(item.is_usable for item in batch.items):
            raise missing_input(texts.BATCH_EMPTY)
        while batch.running:
            yield list_html(batch, texts), gr.skip(), gr.update(visible=True)
            time.sleep(_FOLLOW_S)
        updates: queue.SimpleQueue = queue.SimpleQueue()
        session, batch.running, batch.dropped = session_of(request), True, False
        store = self._recordings.store
        has_page = store.has_open_page(session)

        def is_over() -> bool:
            batch.dropped = batch.dropped or (has_page and not store.has_open_page(session))
            return batch.dropped

        def work() -> None:
            try:
                for item in tuple(batch.items):
                    while item.is_reading and not is_over():
                        time.sleep(0.1)
                    if item.upload and not is_over():
                        self._read_item(item, item.upload, session, texts, _GROUP, lambda: updates.put(True))
                    if item.copy and not item.folder and not is_over():
                        self._convert_item(item, batch, register, profile, session, texts, lambda: updates.put(True))
            finally:
                batch.running = False
                updates.put(False)

        updates.put(True)  # shows Cancel at once: the first recording may still be read
        threading.Thread(target=work, name="saic-batch", daemon=True).start()
        while updates.get():
            if not batch.deleted:
                yield list_html(batch, texts), gr.skip(), gr.update(visible=True)
        if batch.deleted:
            yield gr.skip(), gr.skip(), gr.update(visible=False)
            return
        ended = gr.update(visible=False)
        try:
            with gradio_errors(request):
                done = self._zip(batch, session)
        except gr.Error:
            yield list_html(batch, texts), gr.update(value=None, interactive=False), ended
            raise
        yield list_html(batch, texts), gr.update(value=done, interactive=done is not None), ended

    def show_failure(self, batch: Batch, request: gr.Request = None) -> tuple[str, dict]:
        """The list, and an update of *Cancel*, after an event that failed: what it yielded last may be lost."""
        return list_html(batch, texts_for(request)), gr.update(visible=batch.running)

    def stop(self, batch: Batch, request: gr.Request = None) -> None:
        """Stop after the present step; what is done stays."""
        if batch.running:
            batch.dropped = True
            self._recordings.jobs.stop(session_of(request), group=_GROUP)

    def clear(self, batch: Batch, request: gr.Request = None) -> tuple[str, dict]:
        """Empty the list, and delete its recordings and results; the voices of the labels stay."""
        self.stop(batch, request)
        session, items = session_of(request), tuple(batch.items)
        batch.items.clear()
        for item in items:
            self._withdraw(item, session)
        self._recordings.withdraw(session, _ZIP)
        return list_html(batch, texts_for(request)), gr.update(value=None, interactive=False)

    def _convert_item(
        self,
        item: Item,
        batch: Batch,
        register: str,
        profile: str,
        session: str,
        texts: Texts,
        tell: Callable[[], None],
    ) -> None:
        """Convert one recording; an error is told in the list and does not end the batch."""

        def progress(share: float, stage: str, left_s: float | None) -> None:
            if batch.dropped:
                raise UsageError("The batch was stopped.")
            item.state = f"{translated(texts, stage)}, {progress_values(share, left_s, texts)}"
            tell()

        converter, kind = self._anonymizer.converter, self._kind(item)
        try:
            with converter.job(session, progress, _GROUP) as job:  # one for all: none of its steps finds no room
                source = self._recordings.read(item.copy, session)
                voice = self._voice_of(item.subject, register, batch, source.wav)
                result = converter.convert(source.wav, voice, session, profile, progress, kind=kind, details=False)
                job.renew()
                result = converter.measure_words_kept(result, session)
                report = converter.report(result, source.notes)
                linkage = linkage_sentence(converter.figures.get(profile), texts)
                printed = printed_report(report, result.protection, linkage, texts)
                voice_file = self._recordings.read_bytes(result.swapped, session)
                folder = self._recordings.new(session, self._kind(item))
                for name, data in zip(_FILES, (voice_file, printed.encode(), file_report.to_json(report)), strict=True):
                    self._recordings.write(folder, name, data)
            item.folder, item.verdict, item.state = folder, verdict(result.protection, texts), texts.BATCH_DONE
            item.notes = (*source.notes, *result.notes)
        except SaicError as error:
            item.state = texts.BATCH_STOPPED if batch.dropped else translated(texts, str(error))
        except Exception as error:
            item.state = texts.SERVER_ERROR.format(event=report_bug(error))
        finally:
            self._recordings.withdraw(session, kind)
            tell()

    def _voice_of(self, subject: str, register: str, batch: Batch, wav: np.ndarray) -> NewVoice:
        """The voice of a subject: from the page's key, or drawn once for the batch, not that of the first wav (N,)."""
        if self._anonymizer.key is not None:
            return self._anonymizer.pseudonym(register, subject)
        if (subject, register) not in batch.voices:
            voice = self._anonymizer.converter.pipeline.pseudonym(
                register=register, unlike=(wav[: VOICE_S * SAMPLE_RATE], SAMPLE_RATE)
            )
            batch.voices[subject, register] = NewVoice("random", voice, register=register)
        return batch.voices[subject, register]

    def _zip(self, batch: Batch, session: str) -> str | None:
        """Write a ZIP of all results: a folder for each subject; returns its path, or None without results."""
        items = [item for item in tuple(batch.items) if item.folder]
        if not items:
            return None
        folders = folder_names({item.subject for item in items})
        files = {
            f"{folders[item.subject]}/{item.number:02d}-{name}": str(item.folder / name)
            for item in items
            for name in _FILES
        }
        try:
            folder = self._recordings.new(session, _ZIP)
            return self._recordings.write_zip(folder, "anonymized.zip", files, session)
        except UsageError:  # there is no space for it: what is there of it must not take space
            self._recordings.withdraw(session, _ZIP)
            raise

    def _withdraw(self, item: Item, session: str) -> None:
        for kind in item.kinds:
            self._recordings.withdraw(session, kind)

    def _kind(self, item: Item) -> str:
        """A kind of its own for the next folder of a recording."""
        item.kinds.append(f"batch {next(self._numbers)}")
        return item.kinds[-1]


def folder_names(subjects: set[str]) -> dict[str, str]:
    """A folder's name for each subject: letters, digits, "-" and "_"; no two are equal on any system."""
    names: dict[str, str] = {}
    for subject in sorted(subjects):
        base = re.sub(r"[^\w-]", "_", subject)
        taken = {name.casefold() for name in names.values()}
        candidates = itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2)))
        names[subject] = next(name for name in candidates if name.casefold() not in taken)
    return names


def list_html(batch: Batch, texts: Texts = ENGLISH) -> str:
    """HTML table of the recordings and what became of them, and what the verdicts in it mean."""
    items = tuple(batch.items)
    if not items:
        return texts.BATCH_NOTHING
    rows = "".join(
        f"<tr><th scope='row'>{escape(item.subject)}</th><td>{item.number}</td><td>{_length(item)}</td>"
        f"<td>{_state_html(item, texts)}</td></tr>"
        for item in items
    )
    head = "".join(f'<th scope="col">{column}</th>' for column in texts.BATCH_COLUMNS.values())
    count = texts.BATCH_COUNT.format(done=sum(item.folder is not None for item in items), all=len(items))
    verdicts = dict.fromkeys(item.verdict for item in items if item.verdict)
    meanings = "".join(f'<p><span class="mark-{word}">{sentence}</span></p>' for word, sentence in verdicts)
    return f"""<p id="batch-count">{count}</p>
<div class="report"><div class="table" tabindex="0" role="group" aria-label="{texts.BATCH_FILES}"><table>
<thead><tr>{head}</tr></thead>
<tbody>{rows}</tbody></table></div>{meanings}</div>"""


def _length(item: Item) -> str:
    """Minutes and seconds."""
    if item.length_s is None:
        return ""
    minutes, seconds = divmod(round(item.length_s), 60)
    return f"{minutes}:{seconds:02d}"


def _state_html(item: Item, texts: Texts) -> str:
    if item.verdict is None:
        return escape(item.state or texts.BATCH_READY)
    word, sentence = item.verdict
    notes = "".join(f"<br>{escape(translated(texts, note))}" for note in item.notes)
    return f'<span class="mark-{word}">{escape(item.state)} {_first_words(sentence)}</span>{notes}'


def _first_words(sentence: str) -> str:
    """What a verdict says in bold type; all of a verdict without it."""
    bold = re.search("<strong>(.*?)[\\s:]*</strong>", sentence)
    return f"{bold[1]}." if bold else sentence


@dataclass(frozen=True)
class Tab:
    """Components and state of the tab: `batch` is the `Batch`, `listed` its HTML, `archive` the ZIP."""

    batch: gr.State
    subject: gr.Textbox
    files: gr.File
    add: gr.Button
    listed: gr.HTML
    register: gr.Radio
    profile: gr.Radio
    convert: gr.Button
    cancel: gr.Button
    archive: gr.DownloadButton
    clear: gr.Button


def build_tab(anonymizer: Anonymizer, texts: PageTexts) -> Tab:
    """Lay out the tab."""
    batch, converter, has_key = gr.State(Batch()), anonymizer.converter, anonymizer.key is not None

    def add_html(texts: Texts) -> str:
        return texts.BATCH_ADD.format(keyed=texts.BATCH_KEYED if has_key else texts.BATCH_UNKEYED, files=MAX_FILES)

    with gr.Row(equal_height=True, elem_classes="pair"):
        with gr.Column(elem_classes="card"):
            gr.HTML(texts(add_html))
            subject = gr.Textbox(label=texts.SUBJECT, max_lines=1, max_length=MAX_LABEL, elem_id="batch-subject")
            files = gr.File(label=texts.BATCH_FILES, file_count="multiple", elem_id="batch-files", height=140)
            add = gr.Button(texts.BATCH_ADD_BUTTON, elem_id="batch-add")
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.BATCH_CONVERT)
            registers = texts.choices("REGISTERS", ["any", "lower", "higher"])
            register = gr.Radio(registers, value="any", label=texts.REGISTER_LABEL, elem_id="batch-register")
            names = texts.choices("PROFILE_NAMES", converter.profiles)
            profile = gr.Radio(
                names,
                value=converter.default_profile,
                label=texts.BATCH_PROFILE,
                visible=len(names) > 1,
                elem_id="batch-profile",
            )
            with gr.Row(elem_classes="actions"):
                convert = gr.Button(
                    texts.BATCH_CONVERT_BUTTON, variant="primary", elem_id="batch-convert", min_width=120
                )
                cancel = gr.Button(texts.CANCEL, elem_id="batch-cancel", visible=False, min_width=90)
            with gr.Row(elem_classes="actions"):
                archive = gr.DownloadButton(texts.BATCH_ZIP, elem_id="batch-zip", interactive=False, scale=3)
                clear = gr.Button(texts.BATCH_CLEAR, elem_id="batch-clear", min_width=120, scale=1)
    listed = gr.HTML(texts.BATCH_NOTHING, elem_id="batch-list")
    return Tab(batch, subject, files, add, listed, register, profile, convert, cancel, archive, clear)


def connect_events(batcher: Batcher, tab: Tab) -> None:
    """Connect the events of the tab to their handlers."""
    hidden = {"show_progress": "hidden"}
    form = [tab.subject, tab.files]
    added = [tab.batch, tab.listed, empty_when_taken(*form)]
    # "multiple": the next subject's recordings may be added while these are decoded
    adding = tab.add.click(
        batcher.add_recordings, [*form, tab.batch], added, trigger_mode="multiple", **hidden, **HEAVY
    )
    chosen = [tab.batch, tab.register, tab.profile]
    converting = tab.convert.click(
        batcher.convert_all, chosen, [tab.listed, tab.archive, tab.cancel], **hidden, **HEAVY
    )
    for event in (adding, converting):
        event.failure(batcher.show_failure, tab.batch, [tab.listed, tab.cancel], **QUICK)
    tab.cancel.click(batcher.stop, tab.batch, None, **QUICK)
    tab.clear.click(batcher.clear, tab.batch, [tab.listed, tab.archive], **QUICK)
