"""The tab that tells who speaks: a few voices with names, a clip, and "nobody I know"."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from saic.audio import SAMPLE_RATE
from saic.pipeline import Match
from saic.web import texts
from saic.web.failures import ask_for, told_plainly
from saic.web.parts import HEAVY, PRIVATE, QUICK, recorder
from saic.web.recordings import Recordings, session_of

MAX_VOICES = 12
MAX_CLIPS = 12  # of one voice
MAX_NAME = 40


class Known(dict[str, list[np.ndarray]]):
    """Name to the speaker embeddings (E,) of that person's clips; no audio."""

    removed = False
    """Whether "Remove all" was pressed: an enrolment that still runs then must not bring the voices back."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Who speaks in a clip, as HTML, and what that was judged from."""

    clip: str
    known: Known
    html: str


class Identifier:
    """What the tab's buttons do.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    recordings : where recordings come in
    halves : label to the paths of two disjoint halves of each bundled voice
    """

    def __init__(self, pipeline, recordings: Recordings, halves: dict[str, tuple[str, str]]) -> None:
        self._pipeline, self._recordings, self._halves = pipeline, recordings, halves
        self.threshold = pipeline.voices.threshold

    def enrol(self, name: str, clip: str | None, known: Known, request: gr.Request = None) -> tuple:
        """Remember a voice: returns what is known, the list, and an emptied form."""
        name = " ".join(name.split())[:MAX_NAME]
        if clip is None:
            raise ask_for("Record or upload the voice first.")
        if not name:
            raise ask_for("Give the voice a name.")
        if name not in known and len(known) >= MAX_VOICES:
            raise ask_for(f"{MAX_VOICES} voices are enrolled, which is as many as fit. Remove them to start again.")
        if len(known.get(name, [])) >= MAX_CLIPS:
            raise ask_for(f"{MAX_CLIPS} clips of this voice are enrolled, which is as many as help.")
        with told_plainly():
            session = session_of(request)
            embedding = self.embed(self._recordings.load(clip, session), session)
        if known.removed:
            return gr.skip(), gr.skip(), "", None
        known = Known(known | {name: [*known.get(name, []), embedding]})
        return known, listing(known), "", None

    def forget(self, known: Known) -> tuple[Known, str, str]:
        """Remember nobody."""
        known.removed = True
        return Known(), listing(Known()), ""

    def take_clip(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the recording in question by a plain copy."""
        with told_plainly():
            return self._recordings.take_in(path, session_of(request), "question")

    def place(self, path: str | None) -> str | dict:
        """Put the plain copy into its player, unless that was filled anew while the copy was made."""
        now = self._now(path)
        return gr.skip() if now == path else now

    def tell(self, clip: str | None, known: Known, verdict: Verdict | None) -> tuple[str, str]:
        """HTML of what is known of the clip in question, and of the verdict if it is on that clip and those voices."""
        seconds = {second: label for label, (_, second) in self._halves.items()}
        note = f'<p class="soft">The second half of {escape(seconds[clip])}.</p>' if clip in seconds else ""
        stands = verdict and verdict.known is known and self._now(verdict.clip) == self._now(clip)
        return note, verdict.html if stands else ""

    def who(self, clip: str | None, known: Known, request: gr.Request = None) -> Verdict:
        """Judge who speaks in a clip."""
        if clip is None:
            raise ask_for("Record or upload the recording in question first.")
        if not known:
            raise ask_for("Enrol at least one voice first.")
        with told_plainly():
            session = session_of(request)
            matches = self.matches(self.embed(self._recordings.load(clip, session), session), known)
            return Verdict(clip, known, answer(matches, self.threshold))

    def matches(self, probe: np.ndarray, known: Known) -> list[Match]:
        """Best first, as `Pipeline.identify` gives them."""
        scores = {name: _cosine(probe, np.mean(embeddings, axis=0)) for name, embeddings in known.items()}
        best_first = sorted(scores, key=scores.get, reverse=True)
        return [Match(name, scores[name], scores[name] >= self.threshold) for name in best_first]

    def example(self, known: Known, request: gr.Request = None) -> tuple:
        """Enrol the first half of every bundled voice, and put the second half of the last in question."""
        with told_plainly():
            session = session_of(request)
            bundled = Known()
            for label, (first, _) in self._halves.items():
                bundled[label] = [self.embed(self._recordings.load(first, session), session)]
            *_, (_, question) = self._halves.values()
            if known.removed:
                return gr.skip(), gr.skip(), question
            return bundled, listing(bundled) + '<p class="soft">Their first halves.</p>', question

    def _now(self, path: str | None) -> str | None:
        """The name that a recording has by now: an upload's plain copy has taken its place."""
        return path and str(self._recordings.store.current(Path(path)))

    def embed(self, wav: np.ndarray, session: str) -> np.ndarray:
        """Speaker embedding (E,) of a wav (N,), as a job of its own."""
        with self._recordings.job("identify", session) as job:
            job.check()
            return self._pipeline.embed((wav, SAMPLE_RATE)).speaker


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def listing(known: Known) -> str:
    """HTML of who is enrolled."""
    if not known:
        return texts.NOBODY_ENROLLED
    items = "".join(
        f"<li><span>{escape(name)}</span><span class='soft'>{len(clips)} clip{'s' * (len(clips) > 1)}</span></li>"
        for name, clips in known.items()
    )
    return f'<ul class="known">{items}</ul>'


def answer(matches: list[Match], threshold: float) -> str:
    """HTML of the verdict and every score."""
    best = matches[0]
    verdict = f"This is <strong>{escape(best.name)}</strong>." if best.accepted else "<strong>Nobody I know.</strong>"
    rows = "".join(
        f"""<li class="{"accepted" if match.accepted else ""}"><span class="who">{escape(match.name)}</span>
<span class="meter" aria-hidden="true"><span style="width:{100 * max(match.score, 0):.1f}%"></span>
<i style="left:{100 * threshold:.1f}%"></i></span><span class="score">{match.score:.2f}</span></li>"""
        for match in matches
    )
    return f"""<section class="answer"><h3>{verdict}</h3><ol class="scores">{rows}</ol>
<p class="soft">Cosine similarity of speaker embeddings. From {threshold:.2f} on (the line) a voice counts as known:
there, on speakers that never trained the model, missing a person and mistaking a stranger are equally frequent. A
score is no proof of identity.</p></section>"""


@dataclass(frozen=True)
class Tab:
    """The components of the tab."""

    known: gr.State
    verdict: gr.State
    name: gr.Textbox
    voice: gr.Audio
    enrol: gr.Button
    forget: gr.Button
    listed: gr.HTML
    clip: gr.Audio
    note: gr.HTML
    ask: gr.Button
    example: gr.Button
    said: gr.HTML


def tab() -> Tab:
    """Lay out the tab."""
    known, verdict = gr.State(Known()), gr.State(None)
    with gr.Row(equal_height=True):
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.IDENTIFY_ENROL)
            name = gr.Textbox(label="Name", max_lines=1, max_length=MAX_NAME, elem_id="name")
            voice = recorder("Voice to enrol", "voice")
            with gr.Row(elem_classes="actions"):
                enrol = gr.Button("Enrol", variant="primary", elem_id="enrol", min_width=120)
                forget = gr.Button("Remove all", elem_id="forget", min_width=120)
            listed = gr.HTML(texts.NOBODY_ENROLLED, elem_id="known")
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.IDENTIFY_ASK)
            clip = recorder("Recording in question", "question")
            note = gr.HTML("", elem_id="question-note")
            with gr.Row(elem_classes="actions"):
                ask = gr.Button("Who speaks?", variant="primary", elem_id="ask", min_width=120)
                example = gr.Button("Try it", elem_id="identify-example", min_width=120)
            said = gr.HTML("", elem_id="answer")
    return Tab(known, verdict, name, voice, enrol, forget, listed, clip, note, ask, example, said)


def wire(do: Identifier, tab: Tab) -> None:
    """Say which event of the tab calls what."""
    judged_from = [tab.clip, tab.known, tab.verdict]
    # First of what a new clip calls: Gradio calls the next when this has ended.
    gr.on([part.change for part in judged_from], do.tell, judged_from, [tab.note, tab.said], **QUICK)
    taken = tab.clip.change(do.take_clip, tab.clip, gr.State(), show_progress="hidden", **PRIVATE)
    taken.success(do.place, tab.clip, tab.clip, **QUICK)
    taken.failure(lambda: None, None, tab.clip, **QUICK)
    filled = [tab.known, tab.listed, tab.name, tab.voice]
    for asked in (tab.enrol.click, tab.name.submit):
        asked(do.enrol, [tab.name, tab.voice, tab.known], filled, show_progress="hidden", **HEAVY)
    tab.forget.click(do.forget, tab.known, [tab.known, tab.listed, tab.said], **QUICK)
    tab.ask.click(do.who, [tab.clip, tab.known], tab.verdict, show_progress_on=tab.said, **HEAVY)
    ready = tab.example.click(do.example, tab.known, [tab.known, tab.listed, tab.clip], show_progress="hidden", **HEAVY)
    ready.success(do.who, [tab.clip, tab.known], tab.verdict, show_progress_on=tab.said, **HEAVY)
