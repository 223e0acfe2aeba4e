"""The first tab: a recording in, the same words in another voice out, and what that protects.

A result belongs to the recordings and the choice that it was made from. Events of the page may come late and in any
order, so none is trusted: what may be seen is what a `Run` says, compared with what the page holds at that moment.
"""

import contextlib
import io
import secrets
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import gradio as gr
import numpy as np

from saic import audio, plots
from saic.audio import SAMPLE_RATE
from saic.errors import UsageError
from saic.web import texts
from saic.web.failures import ask_for, told_plainly
from saic.web.loudness import matched
from saic.web.parts import HEAVY, PRIVATE, QUICK, figure, player, recorder
from saic.web.protection import Listener, Protection
from saic.web.protection_card import protection_card
from saic.web.recordings import Recordings, session_of
from saic.web.texts import NOBODY, OWN_RECORDING

_CONVERTING = 0.85  # share of the progress bar; the rest is drawing
_DPI = 240
_WARM_UP_S = 3
_AGREE = "(agreed, clip) => (agreed && clip ? clip.path : null)"
_PROGRESS = gr.Progress()  # as a default value it tells Gradio to hand in the run's own


@dataclass(frozen=True)
class Shown:
    """Paths of what a conversion shows: three 16 kHz WAV and a PNG, all in one folder."""

    original: str
    reconstructed: str
    swapped: str
    spectrograms: str


@dataclass(eq=False)
class Run:
    """A conversion that the page asked for.

    Attributes
    ----------
    source, target, choice : what it was asked for with; `target` is None for a voice that nobody has
    number : tells it from others
    shown : its result, once there is one
    works : whether it converts, or its result is being judged
    dropped : whether nobody wants it any more: then nothing of it is shown, whenever it comes
    failed : whether it ended with an error
    """

    source: str
    target: str | None
    choice: str
    number: str = field(default_factory=lambda: secrets.token_hex(4))
    shown: Shown | None = None
    works: bool = False
    dropped: bool = False
    failed: bool = False

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Have something to stop. Once it is dropped, an error is no news: the page has said why it ended."""
        self.works = True
        try:
            yield
        except Exception:
            self.failed = True
            if not self.dropped:
                raise
        finally:
            self.works = False


class Anonymizer:
    """What the tab's buttons do.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    recordings : where recordings come in and results go out
    listener : judges what was protected
    bundled : label to path of the synthetic voices
    """

    def __init__(self, pipeline, recordings: Recordings, listener: Listener, bundled: dict[str, str]) -> None:
        self._pipeline, self._recordings, self._listener, self.bundled = pipeline, recordings, listener, bundled

    def take_source(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the recording by a plain copy, so that what was sent is gone at once."""
        with told_plainly():
            return self._recordings.take_in(path, session_of(request), "source")

    def take_target(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Do the same for the other person's recording."""
        with told_plainly():
            return self._recordings.take_in(path, session_of(request), "target")

    def place(self, path: str | None) -> str | dict:
        """Put the plain copy into its player, unless that was filled anew while the copy was made."""
        now = self._now(path)
        return gr.skip() if now == path else now

    def choose(self, choice: str) -> tuple[dict, dict]:
        """Show a bundled voice, or make room for a recording and ask for consent."""
        own = choice == OWN_RECORDING
        clip = gr.update(value=self.bundled.get(choice), interactive=own, visible=choice != NOBODY)
        return clip, gr.update(visible=own, value=False)

    def keep_consent(self, target: str | None, consent: bool, agreed: str | None) -> dict:
        """Take the tick back if another recording has come in the place of the one that it was for."""
        return gr.update(value=False) if consent and not self._is_same(target, agreed) else gr.skip()

    def example(self) -> tuple:
        """Fill the tab and ask for a conversion: the first bundled voice speaks, the last one is the target."""
        source, *_, target = self.bundled
        run = Run(self.bundled[source], self.bundled[target], target)
        return self.bundled[source], target, *self.choose(target), run

    def warm_up(self) -> None:
        """Convert a few seconds to nowhere: what the first conversion compiles and loads is there then."""
        wav = audio.load(next(iter(self.bundled.values())))[: _WARM_UP_S * SAMPLE_RATE]
        result = self._pipeline.convert((wav, SAMPLE_RATE), (wav, SAMPLE_RATE))
        matched([wav, result.reconstruction, result.wav])
        plots.mel_comparison(result.mels).savefig(io.BytesIO(), dpi=_DPI)

    def check(
        self, source: str | None, target: str | None, choice: str, consent: bool, agreed: str | None = None
    ) -> None:
        """Stop before a conversion that lacks a clip, or the consent that another person's voice needs.

        `agreed` is the recording that the box was ticked for: consent to one recording is none to the next.
        """
        if source is None:
            raise ask_for("Record or upload the voice to protect first.")
        if target is None and choice == OWN_RECORDING:
            raise ask_for("Record or upload the other person's voice, or choose a bundled one.")
        if choice == OWN_RECORDING and not (consent and self._is_same(target, agreed)):
            raise ask_for("Tick that the other person has agreed to the use of their voice.")

    def ask(self, source: str | None, target: str | None, choice: str, consent: bool, agreed: str | None) -> Run:
        """Ask for a conversion of what the page holds."""
        self.check(source, target, choice, consent, agreed)
        return Run(source, self._voice(target, choice), choice)

    def begin(self, run: Run, earlier: Run | None, request: gr.Request = None) -> tuple:
        """Let a run take the place of the one before, of which nothing stays."""
        if run is not earlier:
            self._drop(earlier, request)
        return run, *below(known=run.number, runs=True)

    def settle(
        self,
        source: str | None,
        target: str | None,
        choice: str,
        known: str | None,
        run: Run | None,
        request: gr.Request = None,
    ) -> tuple | dict:
        """Drop a run, and its result, if the page no longer holds what it was asked for with.

        `known` is the number of the run that the page showed: what it held before it knew of a run says nothing
        about that. A result whose run the server has forgotten goes, too.
        """
        if run is not None:
            if run.number != known or run.dropped or self._is_of(run, source, target, choice):
                return gr.skip()
            self._drop(run, request)
        return below(said=texts.CHANGED) if known else gr.skip()

    def cancel(self, run: Run | None, request: gr.Request = None) -> tuple:
        """Stop a run at the next stage; nothing of it is kept."""
        self._drop(run, request)
        return below(said=texts.EMPTY)

    def failed(self, run: Run | None) -> tuple | dict:
        """Show that nothing runs, unless the run that failed was dropped and another has begun since."""
        return below(said=texts.EMPTY) if run is None or run.dropped or run.failed else gr.skip()

    def show(self, run: Run | None, request: gr.Request = None, progress=_PROGRESS) -> tuple | dict:
        """Convert for the page: paths of the original, the reconstruction, the swapped voice and the spectrograms."""

        def report(share: float, desc: str) -> None:
            if run.dropped:  # perhaps before there was a job to stop
                raise UsageError("The run was dropped.")
            progress(share, desc=desc)

        if run is None or run.works or run.shown:  # it was deleted meanwhile, or two buttons began the same run
            return gr.skip()
        with told_plainly(), run.working():
            session = session_of(request)
            wav = self._recordings.load(run.source, session)
            other = None if run.target is None else self._recordings.load(run.target, session)
            run.shown = self.convert(wav, other, session, report)
        return gr.skip() if run.dropped else astuple(run.shown)

    def uncover(
        self, source: str | None, target: str | None, choice: str, run: Run | None, request: gr.Request = None
    ) -> tuple | dict:
        """Show a result that has come, if the page still holds what it was made from."""
        if run is None or run.dropped or run.shown is None:  # what came is of an earlier run
            return gr.skip()
        if self._is_of(run, source, target, choice):
            return below(known=run.number, result=True)
        self._drop(run, request)
        return below(said=texts.CHANGED)

    def convert(self, source: np.ndarray, target: np.ndarray | None, session: str, progress=_PROGRESS) -> Shown:
        """Say the words of a wav (N,) in the voice of another, or in one that nobody has (None)."""
        waits = lambda before: progress(0, desc=texts.WAITING.format(before=before))  # noqa: E731
        with self._recordings.job("convert", session, waits) as job:

            def report(stage: str, share: float) -> None:
                job.check()
                progress(share * _CONVERTING, desc=stage)

            clip = (source, SAMPLE_RATE)
            if target is None:
                result = self._pipeline.anonymize(clip, reconstruct=True, progress=report)
            else:
                result = self._pipeline.convert(clip, (target, SAMPLE_RATE), progress=report)
            job.check()
            progress(_CONVERTING, desc="Drawing the spectrograms")
            picture = io.BytesIO()
            plots.mel_comparison(result.mels).savefig(picture, dpi=_DPI)
            wavs = matched([source, result.reconstruction, result.wav])
            job.check()
            folder = self._recordings.new(session, "result")
            names = ("original", "reconstructed", "swapped")
            paths = [self._recordings.save(folder, name, wav) for name, wav in zip(names, wavs, strict=True)]
            return Shown(*paths, self._recordings.write(folder, "spectrograms.png", picture.getvalue()))

    def protected(self, run: Run | None, request: gr.Request = None) -> Iterator[str]:
        """Fill the card: first how alike the voices are, then how many words are still heard."""
        if run is None or run.shown is None:  # what came is of an earlier run
            return
        with told_plainly(), run.working():
            for html in self._cards(run, run.shown, session_of(request)):
                if run.dropped:
                    return
                yield html

    def _cards(self, run: Run, shown: Shown, session: str) -> Iterator[str]:
        wavs = [self._recordings.load(path, session) for path in (shown.original, shown.swapped)]
        other = None if run.target is None else self._recordings.load(run.target, session)
        found = self._measure(*wavs, other, session)
        if not self._listener.hears_words:
            yield protection_card(found)
            return
        yield protection_card(found, "listening")
        try:
            found = self._words(found, *wavs, session)
        except UsageError:  # it took too long, or was stopped
            yield protection_card(found, "stopped")
            raise
        yield protection_card(found)

    def protection(self, shown: Shown, target: np.ndarray | None, session: str) -> Protection:
        """The same for the API, as figures."""
        wavs = [self._recordings.load(path, session) for path in (shown.original, shown.swapped)]
        return self._words(self._measure(*wavs, target, session), *wavs, session)

    def _measure(self, original: np.ndarray, swapped: np.ndarray, other, session: str) -> Protection:
        with self._recordings.job("compare", session) as job:
            job.check()
            return self._listener.likeness(original, swapped, other, job.check)

    def _words(self, found: Protection, original: np.ndarray, swapped: np.ndarray, session: str) -> Protection:
        if not self._listener.hears_words:
            return found
        with self._recordings.job("words", session) as job:
            job.check()
            return replace(found, words_kept=self._listener.words_kept(original, swapped, job.check))

    def _drop(self, run: Run | None, request: gr.Request | None) -> None:
        """Stop a run, and let the addresses of its files answer nothing."""
        if run is not None and not run.dropped:
            session, run.dropped = session_of(request), True
            if run.works:  # else nothing is stopped: the next recording may just be coming in
                self._recordings.jobs.stop(session)
            self._recordings.withdraw(session, "result")

    def _is_of(self, run: Run, *held: str | None) -> bool:
        """Whether a run was asked for with the source, target and choice that the page holds."""
        return self._named(run.source, run.target, run.choice) == self._named(*held)

    def _named(self, source: str | None, target: str | None, choice: str) -> tuple:
        return self._now(source), self._now(self._voice(target, choice)), choice

    def _voice(self, target: str | None, choice: str) -> str | None:
        """The recording that a choice stands for; a player may still show another when the choice has just changed."""
        return target if choice == OWN_RECORDING else self.bundled.get(choice)

    def _is_same(self, one: str | None, other: str | None) -> bool:
        """Whether two names are of one recording: an upload and its plain copy are."""
        return one is not None and self._now(one) == self._now(other)

    def _now(self, path: str | None) -> str | None:
        """The name that a recording has by now."""
        return path and str(self._recordings.store.current(Path(path)))


def below(*, said: str = "", known: str = "", runs: bool = False, result: bool = False) -> tuple:
    """What stands below the buttons: a sentence, or how far a run is, or its result; `known` is the run's number."""
    files = [gr.skip() if result else None] * 4
    runs = gr.update(visible=runs)
    return known, runs, gr.update(value=said), runs, gr.update(visible=result), texts.CARD_WAITING, *files


def tab(do: Anonymizer, evaluation: str) -> "Tab":
    """Lay out the tab; `evaluation` is HTML."""
    with gr.Row(equal_height=True):
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.SOURCE)
            source = recorder("Voice to protect", "source")
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.TARGET)
            labels = list(do.bundled)
            choice = gr.Radio([*labels, NOBODY, OWN_RECORDING], value=labels[0], label="Voice", elem_id="choice")
            target = recorder("New voice", "target", value=do.bundled[labels[0]], interactive=False)
            consent = gr.Checkbox(label=texts.CONSENT, visible=False, elem_id="consent", container=False)
    with gr.Row(elem_classes="actions"):
        convert = gr.Button("Convert", variant="primary", elem_id="convert", scale=3)
        cancel = gr.Button("Cancel", elem_id="cancel", scale=1, visible=False)
        example = gr.Button("Try it with bundled voices", elem_id="example", scale=1)
        delete = gr.Button("Delete now", elem_id="delete", scale=1, min_width=130)
    intro = gr.HTML(texts.EMPTY, elem_id="intro")
    progress = gr.HTML(texts.CONVERTING, elem_id="progress", visible=False)
    with gr.Column(visible=False, elem_id="results") as results:
        gr.HTML(texts.LISTEN)
        with gr.Row():
            players = [player("Original"), player("Reconstructed"), player("Swapped voice", "swapped")]
        protection = gr.HTML(texts.CARD_WAITING, elem_id="protection")
        with gr.Accordion("How well it works on average: the evaluation", open=False, elem_id="evaluation"):
            gr.HTML(evaluation)
        mels = figure("Spectrograms", texts.MELS, texts.MELS_ALT)
    inputs, buttons = (source, choice, target, consent), (convert, cancel, example, delete)
    states = gr.Textbox(visible=False), gr.State(None), gr.State(None), gr.Textbox(visible=False)
    return Tab(*inputs, *buttons, intro, progress, results, players, protection, mels, *states)


@dataclass(frozen=True)
class Tab:
    """The components of the tab, and what the server keeps for it.

    Attributes
    ----------
    agreed : path of the recording that the consent was given for, in the browser
    asked : the `Run` that was asked for last
    run : the `Run` that was begun last
    known : number of the run that the page shows, kept by the browser
    """

    source: gr.Audio
    choice: gr.Radio
    target: gr.Audio
    consent: gr.Checkbox
    convert: gr.Button
    cancel: gr.Button
    example: gr.Button
    delete: gr.Button
    intro: gr.HTML
    progress: gr.HTML
    results: gr.Column
    players: list[gr.Audio]
    protection: gr.HTML
    mels: gr.Image
    agreed: gr.Textbox
    asked: gr.State
    run: gr.State
    known: gr.Textbox

    @property
    def shown(self) -> list[gr.Component]:
        """What a conversion fills, in the order of `Shown`."""
        return [*self.players, self.mels]

    @property
    def below(self) -> list[gr.Component]:
        """What stands below the buttons, in the order of `below`."""
        return [self.known, self.cancel, self.intro, self.progress, self.results, self.protection, *self.shown]


def wire(do: Anonymizer, tab: Tab) -> None:
    """Say which event of the tab calls what."""
    held = [tab.source, tab.target, tab.choice]
    # Gradio calls what belongs to one event in this order, each when the one before has ended: the quick ones first.
    changes = [part.change for part in (*held, tab.known)]
    settled = gr.on(changes, do.settle, [*held, tab.known, tab.run], tab.below, trigger_mode="always_last", **QUICK)
    settled.failure(lambda: below(said=texts.CHANGED), None, tab.below, **QUICK)  # a file of the page is gone
    tab.target.change(do.keep_consent, [tab.target, tab.consent, tab.agreed], tab.consent, **QUICK)
    for clip, take in ((tab.source, do.take_source), (tab.target, do.take_target)):
        taken = clip.change(take, clip, gr.State(), show_progress="hidden", **PRIVATE)
        taken.success(do.place, clip, clip, **QUICK)
        taken.failure(lambda: None, None, clip, **QUICK)
    tab.choice.input(do.choose, tab.choice, [tab.target, tab.consent], **QUICK)
    # In the browser, so that no click can be quicker.
    tab.consent.input(None, [tab.consent, tab.target], tab.agreed, js=_AGREE)
    # A warning needs the queue. Its output is none that one sees: Gradio would write "Error" there for screen readers.
    inputs = [*held, tab.consent, tab.agreed]
    asked = tab.convert.click(do.ask, inputs, tab.asked, show_progress="hidden", **PRIVATE)
    filled = [tab.source, tab.choice, tab.target, tab.consent, tab.asked]
    example = tab.example.click(do.example, None, filled, **QUICK)
    several = {"trigger_mode": "multiple"}  # a run that was dropped may be at its last stage when the next begins
    for ready in (asked, example):
        begun = ready.success(do.begin, [tab.asked, tab.run], [tab.run, *tab.below], **several, **QUICK)
        done = begun.success(do.show, tab.run, tab.shown, show_progress_on=tab.progress, **several, **HEAVY)
        done.failure(do.failed, tab.run, tab.below, **several, **QUICK)
        bare = done.success(do.uncover, [*held, tab.run], tab.below, scroll_to_output=True, **several, **QUICK)
        bare.success(do.protected, tab.run, tab.protection, show_progress="hidden", **several, **HEAVY)
    tab.cancel.click(do.cancel, tab.run, tab.below, **QUICK)
