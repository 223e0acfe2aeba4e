"""The first tab: a recording in, the same words in another voice out, and what that protects."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
import numpy as np
from matplotlib.figure import Figure

from saic import audio, plots
from saic.audio import SAMPLE_RATE
from saic.errors import UsageError
from saic.web import words
from saic.web.card import card
from saic.web.desk import Desk, session_of
from saic.web.failures import ask_for, told_plainly
from saic.web.loudness import matched
from saic.web.parts import HEAVY, PRIVATE, QUICK, figure, player, recorder
from saic.web.protection import Listener, Protection
from saic.web.words import NOBODY, OWN_RECORDING

_CONVERTING = 0.85  # share of the progress bar; the rest is drawing
_DPI = 240
_WARM_UP_S = 3
_PROGRESS = gr.Progress()  # as a default value it tells Gradio to hand in the run's own


@dataclass(frozen=True)
class Shown:
    """Paths of what a conversion shows: three 16 kHz WAV and a PNG, all in one folder."""

    original: str
    reconstructed: str
    swapped: str
    spectrograms: str


class Anonymizer:
    """What the tab's buttons do.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    desk : where recordings come in and results go out
    listener : judges what was protected
    bundled : label to path of the synthetic voices
    """

    def __init__(self, pipeline, desk: Desk, listener: Listener, bundled: dict[str, str]) -> None:
        self._pipeline, self._desk, self._listener, self.bundled = pipeline, desk, listener, bundled

    def take_source(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the recording by a plain copy, so that what was sent is gone at once."""
        with told_plainly():
            return self._desk.take_in(path, session_of(request), "source")

    def take_target(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Do the same for the other person's recording."""
        with told_plainly():
            return self._desk.take_in(path, session_of(request), "target")

    def choose(self, choice: str) -> tuple[dict, dict]:
        """Show a bundled voice, or make room for a recording and ask for consent."""
        own = choice == OWN_RECORDING
        clip = gr.update(value=self.bundled.get(choice), interactive=own, visible=choice != NOBODY)
        return clip, gr.update(visible=own, value=False)

    def example(self) -> tuple:
        """Fill the tab: the first bundled voice speaks, the last one is the target."""
        source, *_, target = self.bundled
        return self.bundled[source], target, *self.choose(target)

    def warm_up(self) -> None:
        """Convert a few seconds to nowhere: what the first conversion compiles and loads is there then."""
        wav = audio.load(next(iter(self.bundled.values())))[: _WARM_UP_S * SAMPLE_RATE]
        result = self._pipeline.convert((wav, SAMPLE_RATE), (wav, SAMPLE_RATE))
        matched([wav, result.reconstruction, result.wav])
        plots.mel_comparison(result.mels).savefig(io.BytesIO(), dpi=_DPI)

    def stop(self, request: gr.Request) -> None:
        """Stop what this page runs."""
        self._desk.jobs.stop(session_of(request))

    def check(self, source: str | None, target: str | None, choice: str, consent: bool) -> None:
        """Stop before a conversion that lacks a clip, or the consent that another person's voice needs."""
        if source is None:
            raise ask_for("Record or upload the voice to protect first.")
        if target is None and choice != NOBODY:
            raise ask_for("Record or upload the other person's voice, or choose a bundled one.")
        if choice == OWN_RECORDING and not consent:
            raise ask_for("Tick that the other person has agreed to the use of their voice.")

    def show(
        self, source: str, target: str | None, choice: str, request: gr.Request = None, progress=_PROGRESS
    ) -> tuple[str, str, str, str]:
        """Convert for the page: paths of the original, the reconstruction, the swapped voice and the spectrograms."""
        with told_plainly():
            session = session_of(request)
            wav = self._desk.load(source, session)
            other = None if choice == NOBODY else self._desk.load(target, session)
            shown = self.convert(wav, other, session, progress)
            return shown.original, shown.reconstructed, shown.swapped, shown.spectrograms

    def convert(self, source: np.ndarray, target: np.ndarray | None, session: str, progress=_PROGRESS) -> Shown:
        """Say the words of a wav (N,) in the voice of another, or in one that nobody has (None)."""
        with self._desk.job("convert", session) as job:

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
            figure = plots.mel_comparison(result.mels)
            wavs = matched([source, result.reconstruction, result.wav])
            job.check()
            folder = self._desk.store.new(session, "result")
            names = ("original", "reconstructed", "swapped")
            paths = [self._desk.save(folder, name, wav) for name, wav in zip(names, wavs, strict=True)]
            return Shown(*paths, _draw(folder / "spectrograms.png", figure))

    def protected(
        self, original: str, swapped: str, target: str | None, choice: str, request: gr.Request = None
    ) -> Iterator[str]:
        """Fill the card: first how alike the voices are, then how many words are still heard."""
        with told_plainly():
            session = session_of(request)
            wavs = [self._desk.load(path, session) for path in (original, swapped)]
            other = None if choice == NOBODY else self._desk.load(target, session)
            found = self._measure(*wavs, other, session)
            if not self._listener.hears_words:
                yield card(found)
                return
            yield card(found, "listening")
            try:
                found = self._words(found, *wavs, session)
            except UsageError:  # it took too long, or somebody pressed Cancel
                yield card(found, "stopped")
                raise
            yield card(found)

    def protection(self, shown: Shown, target: np.ndarray | None, session: str) -> Protection:
        """The same for the API, as figures."""
        wavs = [self._desk.load(path, session) for path in (shown.original, shown.swapped)]
        return self._words(self._measure(*wavs, target, session), *wavs, session)

    def _measure(self, original: np.ndarray, swapped: np.ndarray, other, session: str) -> Protection:
        with self._desk.job("compare", session) as job:
            job.check()
            return self._listener.likeness(original, swapped, other, job.check)

    def _words(self, found: Protection, original: np.ndarray, swapped: np.ndarray, session: str) -> Protection:
        if not self._listener.hears_words:
            return found
        with self._desk.job("words", session) as job:
            job.check()
            return replace(found, words_kept=self._listener.words_kept(original, swapped, job.check))


def tab(do: Anonymizer, evaluation: str) -> "Tab":
    """Lay out the tab; `evaluation` is HTML."""
    with gr.Row(equal_height=True):
        with gr.Column(elem_classes="card"):
            gr.HTML(words.SOURCE)
            source = recorder("Voice to protect", "source")
        with gr.Column(elem_classes="card"):
            gr.HTML(words.TARGET)
            labels = list(do.bundled)
            choice = gr.Radio([*labels, NOBODY, OWN_RECORDING], value=labels[0], label="Voice", elem_id="choice")
            target = recorder("New voice", "target", value=do.bundled[labels[0]], interactive=False)
            consent = gr.Checkbox(label=words.CONSENT, visible=False, elem_id="consent", container=False)
    with gr.Row(elem_classes="actions"):
        convert = gr.Button("Convert", variant="primary", elem_id="convert", scale=3)
        cancel = gr.Button("Cancel", elem_id="cancel", scale=1, visible=False)
        example = gr.Button("Try it with bundled voices", elem_id="example", scale=1)
    intro = gr.HTML(words.EMPTY, elem_id="intro")
    with gr.Column(visible=False, elem_id="results") as results:
        with gr.Row(elem_classes="heading"):
            gr.HTML(words.LISTEN)
            delete = gr.Button("Delete now", elem_id="delete", size="sm", scale=0, min_width=130)
        with gr.Row():
            players = [player("Original"), player("Reconstructed"), player("Swapped voice", "swapped")]
        protection = gr.HTML(words.CARD_WAITING, elem_id="protection")
        with gr.Accordion("How well it works on average: the evaluation", open=False, elem_id="evaluation"):
            gr.HTML(evaluation)
        mels = figure("Spectrograms", words.MELS, words.MELS_ALT)
    inputs, buttons = (source, choice, target, consent), (convert, cancel, example, delete)
    return Tab(*inputs, *buttons, intro, results, players, protection, mels)


@dataclass(frozen=True)
class Tab:
    """The components of the tab."""

    source: gr.Audio
    choice: gr.Radio
    target: gr.Audio
    consent: gr.Checkbox
    convert: gr.Button
    cancel: gr.Button
    example: gr.Button
    delete: gr.Button
    intro: gr.HTML
    results: gr.Column
    players: list[gr.Audio]
    protection: gr.HTML
    mels: gr.Image

    @property
    def shown(self) -> list[gr.Component]:
        """What a conversion fills, in the order of `Shown`."""
        return [*self.players, self.mels]


def wire(do: Anonymizer, tab: Tab) -> None:
    """Say which event of the tab calls what."""
    for clip, take in ((tab.source, do.take_source), (tab.target, do.take_target)):
        taken = clip.change(take, clip, clip, show_progress="hidden", **PRIVATE)
        taken.failure(lambda: None, None, clip, **QUICK)
    tab.choice.input(do.choose, tab.choice, [tab.target, tab.consent], **QUICK)
    inputs = [tab.source, tab.target, tab.choice, tab.consent]
    checked = tab.convert.click(do.check, inputs, show_progress="hidden", **PRIVATE)  # a warning needs the queue
    filled = tab.example.click(do.example, None, [tab.source, tab.choice, tab.target, tab.consent], **QUICK)
    running = []
    for ready in (checked, filled):
        ready.success(lambda: gr.update(visible=True), None, tab.cancel, **QUICK)
        done = ready.success(do.show, inputs[:3], tab.shown, show_progress_on=tab.intro, **HEAVY)
        done.then(lambda: gr.update(visible=False), None, tab.cancel, **QUICK)
        covered = [tab.intro, tab.results, tab.protection]
        uncovered = done.success(_uncover, None, covered, scroll_to_output=True, **QUICK)
        about = [tab.players[0], tab.players[2], tab.target, tab.choice]
        judged = uncovered.success(do.protected, about, tab.protection, show_progress="hidden", **HEAVY)
        running += [done, judged]
    stop = tab.cancel.click(do.stop, None, None, cancels=running, **QUICK)
    stop.then(lambda: gr.update(visible=False), None, tab.cancel, **QUICK)


def _uncover() -> tuple[dict, dict, str]:
    return gr.update(value=""), gr.update(visible=True), words.CARD_WAITING


def _draw(path: Path, figure: Figure) -> str:
    figure.savefig(path, dpi=_DPI)
    return str(path)
