"""The Identify tab: open-set speaker identification among a few enrolled voices."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape

import gradio as gr
import numpy as np

from saic.evaluation.protection import TypicalRange, own_verifier
from saic.pipeline import Match
from saic.web.failures import gradio_errors, missing_input
from saic.web.notes import notes_html
from saic.web.parts import HEAVY, QUICK, decode_on_change, empty_when_taken, recorder, taken
from saic.web.server.jobs import Busy
from saic.web.server.recordings import Recordings, session_of
from saic.web.similarity import bands, number, place
from saic.web.texts import ENGLISH, PageTexts, Texts, texts_for, translated
from saic.web.voice import embed_voice, require_voice

MAX_VOICES = 12
MAX_CLIPS = 12  # of one voice
MAX_NAME = 40  # characters
_TRIES, _WAIT_S = 30, 1.0


class EnrolledVoices(dict[str, list[np.ndarray]]):
    """Name to the speaker embeddings (E,) of that person's clips; no audio.

    Attributes
    ----------
    notes : name to what was missing in that person's clips or chosen from them, as sentences
    sent : name and path of each clip: an impatient visitor may send it again before the form is empty
    removed : whether the page has others by now: an enrollment that still runs must not bring these back
    """

    def __init__(self, voices: Mapping[str, list[np.ndarray]] | None = None) -> None:
        super().__init__(voices or {})
        self.notes: dict[str, tuple[str, ...]] = {}
        self.sent: set[tuple[str, str]] = set()
        self.removed = False

    @property
    def n_clips(self) -> int:
        """Number of clips of all voices; it grows with each enrollment."""
        return sum(len(clips) for clips in tuple(self.values()))

    def add_clip(self, name: str, embedding: np.ndarray, notes: tuple[str, ...] = ()) -> None:
        """Add a clip, of a new voice or of one of these.

        Another thread may read the voices meanwhile, or add one. So readers iterate over copies.
        """
        self.notes[name] = (*self.notes.get(name, ()), *notes)
        self.setdefault(name, []).append(embedding)


@dataclass(frozen=True, eq=False)
class Identification:
    """The answer for a query clip.

    Attributes
    ----------
    clip : path of the query clip
    enrolled : the voices that it was compared with
    n_clips : number of their clips at that time
    html : the answer
    """

    clip: str
    enrolled: EnrolledVoices
    n_clips: int
    html: str


class Identifier:
    """Event handlers of the tab.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    recordings : reads the uploads
    bundled_halves : label to the paths of two disjoint halves of each bundled voice
    """

    def __init__(self, pipeline, recordings: Recordings, bundled_halves: dict[str, tuple[str, str]]) -> None:
        self._pipeline, self.recordings, self._bundled_halves = pipeline, recordings, bundled_halves
        self.scale = Scale.of(pipeline)

    def enroll(
        self, name: str, clip: str | None, enrolled: EnrolledVoices, request: gr.Request = None
    ) -> Iterator[tuple]:
        """Add a clip to a voice; yields the voices, their list as HTML, and `taken`.

        The form is emptied before the voice is measured, so that the next one can be filled in meanwhile. It stays if
        the recording cannot be used.
        """
        form = taken(name, [clip] if clip else [])
        name, texts = " ".join(name.split())[:MAX_NAME], texts_for(request)
        if clip is None:
            raise missing_input(texts.IDENTIFY_NO_CLIP)
        if not name:
            raise missing_input(texts.IDENTIFY_NO_NAME)
        if name not in enrolled and len(enrolled) >= MAX_VOICES:
            raise missing_input(texts.IDENTIFY_TOO_MANY_VOICES.format(voices=MAX_VOICES))
        if len(enrolled.get(name, [])) >= MAX_CLIPS:
            raise missing_input(texts.IDENTIFY_TOO_MANY_CLIPS.format(clips=MAX_CLIPS))
        if (name, clip) in enrolled.sent:
            return
        enrolled.sent.add((name, clip))
        try:
            with gradio_errors(request):
                session = session_of(request)
                recording = self.recordings.read(clip, session)
                require_voice(recording.wav)
        except gr.Error:
            enrolled.sent.discard((name, clip))
            raise
        yield gr.skip(), gr.skip(), form
        with gradio_errors(request):
            embedding = self._embed_once_free(recording.wav, session)
        if not enrolled.removed:
            self.recordings.store.keep_state(session)
            enrolled.add_clip(name, embedding, recording.notes)
            yield enrolled, list_html(enrolled, texts), gr.skip()

    def remove_all(self, enrolled: EnrolledVoices, request: gr.Request = None) -> tuple[EnrolledVoices, str, str]:
        """Remove all enrolled voices."""
        enrolled.removed = True
        return EnrolledVoices(), list_html(EnrolledVoices(), texts_for(request)), ""

    def decode_query(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the uploaded query clip by its decoded copy; the upload is deleted at once."""
        with gradio_errors(request):
            return self.recordings.take_in(path, session_of(request), "question")

    def update_answer(
        self,
        clip: str | None,
        enrolled: EnrolledVoices,
        identification: Identification | None,
        request: gr.Request = None,
    ) -> tuple[str, str]:
        """Note on the query clip, and the answer if it is for this clip and these voices.

        Both are HTML.
        """
        texts, labels = texts_for(request), {second: label for label, (_, second) in self._bundled_halves.items()}
        voice = translated(texts, labels[clip]) if clip in labels else ""
        note = f'<p class="soft">{escape(texts.IDENTIFY_SECOND_HALF.format(voice=voice))}</p>' if voice else ""
        is_valid = (
            identification
            and identification.enrolled is enrolled
            and identification.n_clips == enrolled.n_clips
            and self.recordings.current_path(identification.clip) == self.recordings.current_path(clip)
        )
        return note, identification.html if is_valid else ""

    def identify_speaker(
        self, clip: str | None, enrolled: EnrolledVoices, request: gr.Request = None
    ) -> Identification:
        """Compare a query clip with the enrolled voices."""
        texts = texts_for(request)
        if clip is None:
            raise missing_input(texts.IDENTIFY_NO_QUERY)
        if not enrolled:
            raise missing_input(texts.IDENTIFY_NOBODY)
        with gradio_errors(request):
            session = session_of(request)
            recording = self.recordings.read_of_page(clip, session, "question")
            query, n_clips = self.embed(recording.wav, session), enrolled.n_clips
            matches = self.rank_matches(query, enrolled)
            notes = notes_html({texts.NOTED["query"]: recording.notes}, texts)
            html = notes + answer_html(matches, self.scale, texts) + self.scale.legend(texts)
            return Identification(clip, enrolled, n_clips, html)

    def rank_matches(self, query: np.ndarray, enrolled: EnrolledVoices) -> list[Match]:
        """Matches of a speaker embedding (E,), best first, as from `Pipeline.identify`."""
        voices = tuple(enrolled.items())
        scores = {name: _cosine(query, np.mean(embeddings, axis=0)) for name, embeddings in voices}
        best_first = sorted(scores, key=scores.get, reverse=True)
        return [Match(name, scores[name], scores[name] >= self.scale.threshold) for name in best_first]

    def load_example(self, enrolled: EnrolledVoices, request: gr.Request = None) -> tuple:
        """Enroll the first half of each of the first bundled voices; query with the second half of one."""
        known, _, query = self._example_parts()
        texts = texts_for(request)
        if not set(enrolled) <= {translated(texts, label) for label in known}:
            raise missing_input(texts.IDENTIFY_NO_OVERWRITE)
        with gradio_errors(request):
            session = session_of(request)
            bundled = EnrolledVoices()
            for label in known:
                first, _ = self._bundled_halves[label]
                bundled[translated(texts, label)] = [self.embed(self.recordings.load(first, session), session)]
            if enrolled.removed:
                return gr.skip(), gr.skip(), query
            enrolled.removed = True  # replaced
            self.recordings.store.keep_state(session)
            note = f'<p class="soft">{texts.IDENTIFY_FIRST_HALVES}</p>'
            return bundled, list_html(bundled, texts) + note, query

    def demonstrate(
        self, clip: str | None, enrolled: EnrolledVoices, request: gr.Request = None
    ) -> Identification | dict:
        """Identify a bundled voice that is enrolled, and one that is not."""
        known, stranger, query = self._example_parts()
        html, texts, n_clips = "", texts_for(request), enrolled.n_clips
        if set(enrolled) != {translated(texts, label) for label in known}:  # they were removed meanwhile
            return gr.skip()
        with gradio_errors(request):
            session = session_of(request)
            for label, title in ((known[-1], texts.EXAMPLE_KNOWN), (stranger, texts.EXAMPLE_STRANGER)):
                _, second = self._bundled_halves[label]
                matches = self.rank_matches(self.embed(self.recordings.load(second, session), session), enrolled)
                html += answer_html(matches, self.scale, texts, title.format(voice=escape(translated(texts, label))))
        return Identification(query, enrolled, n_clips, html + self.scale.legend(texts))

    def _example_parts(self) -> tuple[list[str], str, str]:
        """The bundled voices to enroll, one that stays a stranger, and the query: the last of the enrolled."""
        labels = list(self._bundled_halves)
        known = labels[: len(labels) // 2]
        return known, labels[-1], self._bundled_halves[known[-1]][1]

    def _embed_once_free(self, wav: np.ndarray, session: str) -> np.ndarray:
        """As `embed`, of a recording that is nowhere else by now: a busy server is asked again for half a minute."""
        for _ in range(_TRIES):
            with suppress(Busy):
                return self.embed(wav, session)
            time.sleep(_WAIT_S)
        return self.embed(wav, session)

    def embed(self, wav: np.ndarray, session: str) -> np.ndarray:
        """Speaker embedding (E,) of a wav (N,), as a job of its own; errors as for `embed_voice`."""
        with self.recordings.job("identify", session) as job:
            job.check()
            return embed_voice(self._pipeline, wav).speaker


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def list_html(enrolled: EnrolledVoices, texts: Texts = ENGLISH) -> str:
    """HTML list of the enrolled voices, with the notes on their clips."""
    if not enrolled:
        return texts.NOBODY_ENROLLED
    items = "".join(
        f"<li><span>{escape(name)}</span><span class='soft'>"
        + (texts.CLIP if len(clips) == 1 else texts.CLIPS).format(clips=len(clips))
        + "</span></li>"
        for name, clips in tuple(enrolled.items())
    )
    return f'<ul class="enrolled">{items}</ul>{notes_html(dict(enrolled.notes), texts)}'


def answer_html(matches: list[Match], scale: "Scale", texts: Texts, title: str = "") -> str:
    """HTML of the answer, why it is so, and every score on its scale; `title` is HTML."""
    best = matches[0]
    answer = texts.MATCH.format(name=escape(best.name)) if best.accepted else texts.NO_MATCH
    reason = texts.WHY_ACCEPTED if best.accepted else texts.WHY_REJECTED
    score, threshold = number(best.score, texts), number(scale.threshold, texts)
    why = reason.format(name=escape(best.name), score=score, threshold=threshold)
    rows = "".join(
        f"""<li{' class="accepted"' if match is best and match.accepted else ""}>
<span class="who">{escape(match.name)}</span>
<span class="scale" aria-hidden="true">{bands(scale.same, scale.different)}<i style="left:{place(scale.threshold)}"></i>
<span class="mark after" style="left:{place(match.score)}"></span></span>
<span class="score">{number(match.score, texts)}</span></li>"""
        for match in matches
    )
    return f"""<section class="answer">{title}<h3>{answer}</h3><p>{why} {texts.NO_PROOF}</p>
<ol class="scores">{rows}</ol></section>"""


@dataclass(frozen=True)
class Scale:
    """What similarities of the model's speaker embeddings mean.

    Attributes
    ----------
    threshold : from which two recordings count as one person's
    same, different : typical similarities of one person, and of two people, of the built-in gallery
    """

    threshold: float
    same: TypicalRange
    different: TypicalRange

    @classmethod
    def of(cls, pipeline) -> "Scale":
        """The scale of the loaded weights."""
        verifier = own_verifier(pipeline)
        return cls(pipeline.gallery.threshold, verifier.same, verifier.different)

    def legend(self, texts: Texts) -> str:
        """HTML of what the scale shows."""
        different, same = (
            text.format(low=number(usual.low, texts), high=number(usual.high, texts))
            for text, usual in ((texts.USUAL_TWO_PEOPLE, self.different), (texts.USUAL_ONE_PERSON, self.same))
        )
        threshold = number(self.threshold, texts)
        return f"""<div><ul class="key">
<li><span class="swatch different"></span>{different}</li><li><span class="swatch same"></span>{same}</li>
<li><span class="swatch line"></span>{texts.THRESHOLD.format(threshold=threshold)}</li></ul>
<p class="soft">{texts.IDENTIFY_NOTE.format(threshold=threshold)}</p></div>"""


@dataclass(frozen=True)
class Tab:
    """Components and state of the tab.

    Attributes
    ----------
    enrolled : the `EnrolledVoices`
    identification : the last `Identification`
    name, clip_to_enroll : the form for enrollment
    enrolled_list : HTML list of the enrolled voices
    query, query_note : the clip in question, and a note on it
    answer : HTML of the identification
    """

    enrolled: gr.State
    identification: gr.State
    name: gr.Textbox
    clip_to_enroll: gr.Audio
    enroll: gr.Button
    remove_all: gr.Button
    enrolled_list: gr.HTML
    query: gr.Audio
    query_note: gr.HTML
    identify: gr.Button
    example: gr.Button
    answer: gr.HTML


def build_tab(texts: PageTexts) -> Tab:
    """Lay out the tab."""
    enrolled, identification = gr.State(EnrolledVoices()), gr.State(None)
    with gr.Row():
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.IDENTIFY_ENROLL)
            name = gr.Textbox(label=texts.IDENTIFY_NAME, max_lines=1, max_length=MAX_NAME, elem_id="name")
            clip_to_enroll = recorder(texts.IDENTIFY_CLIP, "voice")
            with gr.Row(elem_classes="actions"):
                enroll = gr.Button(texts.IDENTIFY_ENROLL_BUTTON, variant="primary", elem_id="enroll", min_width=120)
                remove_all = gr.Button(texts.IDENTIFY_REMOVE, elem_id="remove-all", min_width=120)
            enrolled_list = gr.HTML(texts.NOBODY_ENROLLED, elem_id="enrolled")
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.IDENTIFY_QUERY)
            query = recorder(texts.IDENTIFY_QUERY_LABEL, "query")
            query_note = gr.HTML("", elem_id="query-note")
            with gr.Row(elem_classes="actions"):
                identify = gr.Button(texts.IDENTIFY_BUTTON, variant="primary", elem_id="identify", min_width=120)
                example = gr.Button(texts.IDENTIFY_EXAMPLE, elem_id="identify-example", min_width=120)
            answer = gr.HTML("", elem_id="answer")
    enrollment = enrolled, identification, name, clip_to_enroll, enroll, remove_all, enrolled_list
    return Tab(*enrollment, query, query_note, identify, example, answer)


def connect_events(identifier: Identifier, tab: Tab) -> None:
    """Connect the events of the tab to their handlers."""
    shown = [tab.query, tab.enrolled, tab.identification]
    # First among the handlers of a new clip: Gradio calls the next one after this one has ended.
    gr.on([part.change for part in shown], identifier.update_answer, shown, [tab.query_note, tab.answer], **QUICK)
    decode_on_change(identifier.recordings, tab.query, identifier.decode_query)
    form = [tab.name, tab.clip_to_enroll]
    gr.on(
        [tab.enroll.click, tab.name.submit],
        identifier.enroll,
        [*form, tab.enrolled],
        [tab.enrolled, tab.enrolled_list, empty_when_taken(*form)],
        trigger_mode="multiple",  # the next voice may be enrolled while this one is measured
        show_progress="hidden",
        **HEAVY,
    )
    everything = [tab.enrolled, tab.enrolled_list, tab.answer]
    tab.remove_all.click(identifier.remove_all, tab.enrolled, everything, **QUICK)
    filled = [tab.enrolled, tab.enrolled_list, tab.query]
    ready = tab.example.click(identifier.load_example, tab.enrolled, filled, show_progress="hidden", **HEAVY)
    identify = {"fn": identifier.identify_speaker, "inputs": [tab.query, tab.enrolled], "outputs": tab.identification}
    tab.identify.click(**identify, show_progress_on=tab.answer, **HEAVY)
    ready.success(**identify | {"fn": identifier.demonstrate}, show_progress_on=tab.answer, **HEAVY)
