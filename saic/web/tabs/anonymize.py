"""The Anonymize tab: convert a recording to another voice, and measure what that protects.

A result belongs to the source, target and choices that it was made from. The page's events can
arrive late and in any order. So every handler compares the `Run` with the page's present inputs
before it shows anything.
"""

import contextlib
import io
import json
import queue
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
import numpy as np
from gradio.components.plot import PlotData

from saic import audio, file_report, plots
from saic.audio import SAMPLE_RATE
from saic.conversion import Voice
from saic.errors import UsageError
from saic.evaluation.linkage.report import HEADLINE_S
from saic.evaluation.protection import Protection, ProtectionMeasurer
from saic.pipeline import Conversion
from saic.signal.loudness import normalize_loudness
from saic.web import texts
from saic.web.failures import gradio_errors, missing_input
from saic.web.linkage import Linkage, linkage_sentence
from saic.web.notes import notes_html
from saic.web.parts import HEAVY, PRIVATE, QUICK, player, recorder
from saic.web.progress import DRAWING, Pace, Progress, about, progress_html
from saic.web.protection_card import AsrStatus, protection_card
from saic.web.server.recordings import LIMITS, Recordings, session_of
from saic.web.server.store import GONE
from saic.web.texts import OWN_RECORDING, PSEUDONYM

_WARM_UP_S = 10
_TICK_S = 0.4  # between two updates of the progress bar
_NO_FIGURES: Mapping[str, Linkage] = MappingProxyType({})
_CONSENTED_RECORDING_JS = "(consent, clip) => (consent && clip ? clip.path : null)"

OnProgress = Callable[[float, str, float | None], None]
"""Called with the share done, 0 to 1, the stage, and the seconds left (None: not known)."""


@dataclass(frozen=True)
class Result:
    """A conversion: paths of three 16 kHz WAVs, a PNG and an NPZ, all in one folder, and facts for its report.

    Attributes
    ----------
    arrays : path of `saic.plots.mel_arrays`
    profile, voice_similarity : as in `saic.pipeline.Conversion`
    duration_s : length of the swapped voice
    """

    original: str
    reconstructed: str
    swapped: str
    spectrograms: str
    arrays: str
    profile: str
    voice_similarity: float | None
    duration_s: float

    @property
    def files(self) -> tuple[str, str, str, str]:
        """Paths of the WAVs and the PNG, in the order of `Tab.result_files`."""
        return self.original, self.reconstructed, self.swapped, self.spectrograms


@dataclass(eq=False)
class Run:
    """One conversion that a page requested.

    Attributes
    ----------
    source, target : paths of the recordings; `target` is None for a pseudonym
    choice : the selected option of the radio buttons "Voice"
    profile : the selected profile
    id : random, to compare with the id that the page shows
    notes : name of a recording to what was missing in it or chosen from it, as sentences
    result : None until the conversion is done
    running : whether the conversion or the measurement of its protection is in progress
    dropped : whether it was cancelled or replaced; then none of it is shown, however late it ends
    failed : whether it ended with an error
    """

    source: str
    target: str | None
    choice: str
    profile: str
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    result: Result | None = None
    running: bool = False
    dropped: bool = False
    failed: bool = False

    @contextlib.contextmanager
    def in_progress(self) -> Iterator[None]:
        """Set `running` while the block runs.

        Errors of a dropped run are suppressed: the page already shows why it ended.
        """
        self.running = True
        try:
            yield
        except Exception:
            self.failed = True
            if not self.dropped:
                raise
        finally:
            self.running = False


class Anonymizer:
    """Event handlers of the tab.

    Parameters
    ----------
    pipeline : a `saic.Pipeline`
    recordings : reads the uploads and keeps the results
    measurer : measures what a conversion protects
    bundled : label to path of the bundled synthetic voices
    figures : what the evaluation found about linking recordings of each profile
    """

    def __init__(
        self,
        pipeline,
        recordings: Recordings,
        measurer: ProtectionMeasurer,
        bundled: dict[str, str],
        figures: Mapping[str, Linkage] = _NO_FIGURES,
    ) -> None:
        self._pipeline, self._recordings, self._measurer, self.bundled = pipeline, recordings, measurer, bundled
        self.figures = figures
        self._weights_sha256 = pipeline.info()["sha256"]
        self._bundled_voices: dict[str, Voice] = {}
        self.pace = Pace()

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles that the weights allow, in the order of the page."""
        return tuple(name for name in texts.PROFILE_NAMES if name in self._pipeline.profiles)

    @property
    def default_profile(self) -> str:
        """The profile of a page on which none was chosen."""
        return self._pipeline.default_profile

    def require_profile(self, profile: str | None) -> str:
        """The profile of that name, the default for None; UsageError if the weights don't allow it."""
        if profile is None:
            return self.default_profile
        if profile not in self.profiles:
            raise UsageError(f"There is no such profile. Use one of these: {', '.join(self.profiles)}.")
        return profile

    def decode_source(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the uploaded source by its decoded copy; the upload is deleted at once."""
        with gradio_errors():
            return self._recordings.take_in(path, session_of(request), "source")

    def decode_target(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the uploaded target by its decoded copy; the upload is deleted at once."""
        with gradio_errors():
            return self._recordings.take_in(path, session_of(request), "target")

    def update_player(self, path: str | None) -> str | dict:
        """Show the decoded copy in its player, unless the player has another recording by now."""
        current = self._current_path(path)
        return gr.skip() if current == path else current

    def choose_target(self, choice: str) -> tuple[dict, dict]:
        """Updates of the target player and the consent box for a choice of voice."""
        own = choice == OWN_RECORDING
        clip = gr.update(value=self.bundled.get(choice), interactive=own, visible=choice != PSEUDONYM)
        return clip, gr.update(visible=own, value=False)

    def reset_consent(self, target: str | None, consent: bool, consented: str | None) -> dict:
        """Untick the consent box if `target` is not the recording that it was ticked for."""
        return gr.update(value=False) if consent and not self._is_same_recording(target, consented) else gr.skip()

    def load_example(self, profile: str) -> tuple:
        """Request a run from the first bundled voice to the last, and fill the tab with both."""
        source, *_, target = self.bundled
        run = Run(self.bundled[source], self.bundled[target], target, profile)
        return self.bundled[source], target, *self.choose_target(target), run

    def warm_up(self) -> None:
        """Load and compile what a conversion needs, and measure how long one takes.

        The first conversion, of a short part, compiles. The second one is measured.
        """
        wav = audio.load(next(iter(self.bundled.values())))[: _WARM_UP_S * SAMPLE_RATE]
        voice = self._pipeline.voice((wav, SAMPLE_RATE))
        for part, pace in ((wav[: len(wav) // 4], Pace()), (wav, self.pace)):
            so_far = Progress(pace, len(part) / SAMPLE_RATE)
            self._compute(part, voice, self.default_profile, so_far, lambda stage: None)

    def empty_message(self) -> str:
        """HTML for a page without a result, with the measured times of a conversion."""
        ten, five = self.pace.total_s(10), self.pace.total_s(LIMITS.max_duration_s)
        times = "" if ten is None else texts.TIMES.format(ten=about(ten), five=about(five))
        return texts.EMPTY.format(times=times)

    def show_times(self, run: Run | None) -> str | dict:
        """The message of a page that was just opened."""
        return self.empty_message() if run is None else gr.skip()

    def check_inputs(
        self, source: str | None, target: str | None, choice: str, consent: bool, consented: str | None = None
    ) -> None:
        """Raise an error if a recording, or the consent to use another person's voice, is missing.

        `consented` is the path of the recording that the consent box was ticked for: consent for
        one recording does not hold for the next.
        """
        if source is None:
            raise missing_input("Record or upload the voice to protect first.")
        if target is None and choice == OWN_RECORDING:
            raise missing_input("Record or upload the other person's voice, or choose a bundled one.")
        if choice == OWN_RECORDING and not (consent and self._is_same_recording(target, consented)):
            raise missing_input("Tick that the other person has agreed to the use of their voice.")

    def request_run(
        self, source: str | None, target: str | None, choice: str, profile: str, consent: bool, consented: str | None
    ) -> Run:
        """A new run from the page's present inputs."""
        self.check_inputs(source, target, choice, consent, consented)
        return Run(source, self._target_path(target, choice), choice, profile)

    def start_run(self, run: Run, previous: Run | None, request: gr.Request = None) -> tuple:
        """Make `run` the page's current run; drop the previous one with its files."""
        if run is not previous:
            self._drop(previous, request)
        return run, *update_results_area(run_id=run.id, running=True)

    def drop_if_changed(
        self,
        source: str | None,
        target: str | None,
        choice: str,
        profile: str,
        shown_run_id: str | None,
        run: Run | None,
        request: gr.Request = None,
    ) -> tuple | dict:
        """Drop the run and its result if the page's inputs are no longer those of the run.

        `shown_run_id` is the id of the run that the page shows. If it is not that of `run`, the
        event is older than this run and is ignored. If the server has no run any more, a result
        that the page still shows is removed.
        """
        if run is not None:
            if run.id != shown_run_id or run.dropped or self._has_inputs(run, source, target, choice, profile):
                return gr.skip()
            self._drop(run, request)
        return update_results_area(message=texts.CHANGED) if shown_run_id else gr.skip()

    def cancel(self, run: Run | None, request: gr.Request = None) -> tuple:
        """Stop a run at its next stage and keep nothing of it."""
        self._drop(run, request)
        return update_results_area(message=self.empty_message())

    def show_failure(self, run: Run | None) -> tuple | dict:
        """Show that nothing runs, unless the failed run was dropped and another one has started."""
        is_over = run is None or run.dropped or run.failed
        return update_results_area(message=self.empty_message()) if is_over else gr.skip()

    def run_with_progress(self, run: Run | None, request: gr.Request = None) -> Iterator[tuple]:
        """Run `run_conversion` in a thread; yields HTML of the progress, and last the files.

        Gradio's own progress bar starts late on the second run of a page and does not move during a stage.
        """
        updates: queue.SimpleQueue = queue.SimpleQueue()

        def work() -> None:
            try:
                updates.put(self.run_conversion(run, request, lambda *update: updates.put(update[:3])))
            except BaseException as error:
                updates.put(error)

        if run is None:
            yield gr.skip(), *[gr.skip()] * 4
            return
        threading.Thread(target=work, name="saic-convert", daemon=True).start()
        while True:
            update = updates.get()
            if isinstance(update, BaseException):
                raise update
            if isinstance(update, dict):  # nothing to do, or dropped
                yield gr.skip(), *[gr.skip()] * 4
                return
            if len(update) == 4:
                yield progress_html(texts.DONE, 1.0, 0.0), *update
                return
            share, stage, left_s = update
            yield progress_html(stage, share, left_s), *[gr.skip()] * 4

    def run_conversion(
        self, run: Run | None, request: gr.Request = None, progress: OnProgress = lambda *update: None
    ) -> tuple | dict:
        """Convert for the page; returns the paths of `Result`."""

        def report(share: float, desc: str, left_s: float | None = None) -> None:
            if run.dropped:  # possibly before it had a job, which `_drop` would have stopped
                raise UsageError("The run was dropped.")
            progress(share, desc, left_s)

        if run is None or run.running or run.result:  # deleted meanwhile, or two buttons started the same run
            return gr.skip()
        with gradio_errors(), run.in_progress():
            session = session_of(request)
            source = self._recordings.read(run.source, session)
            target, target_notes = self._target_of(run, session)
            run.notes = {texts.NOTED_SOURCE: source.notes, texts.NOTED_TARGET: target_notes}
            run.result = self.convert(source.wav, target, session, run.profile, report)
        return gr.skip() if run.dropped else run.result.files

    def show_result(
        self,
        source: str | None,
        target: str | None,
        choice: str,
        profile: str,
        run: Run | None,
        request: gr.Request = None,
    ) -> tuple | dict:
        """Make a new result visible if the page's inputs are still those that it was made from."""
        if run is None or run.dropped or run.result is None:  # the event belongs to an earlier run
            return gr.skip()
        if self._has_inputs(run, source, target, choice, profile):
            return update_results_area(run_id=run.id, result=run.result, notes=notes_html(run.notes))
        self._drop(run, request)
        return update_results_area(message=texts.CHANGED)

    def _target_of(self, run: Run, session: str) -> tuple[np.ndarray | Voice | None, tuple[str, ...]]:
        """What `convert` takes as the target, and the notes on the target's recording.

        Each bundled voice is measured only once.
        """
        if run.target is None:
            return None, ()
        if run.target not in self.bundled.values():
            recording = self._recordings.read(run.target, session)
            return recording.wav, recording.notes
        if run.target not in self._bundled_voices:
            wav = self._recordings.load(run.target, session)
            with self._recordings.job("measure", session):
                self._bundled_voices[run.target] = self._pipeline.voice((wav, SAMPLE_RATE))
        return self._bundled_voices[run.target], ()

    def convert(
        self,
        source: np.ndarray,
        target: np.ndarray | Voice | None,
        session: str,
        profile: str,
        progress: OnProgress = lambda *update: None,
    ) -> Result:
        """Convert a wav (N,) to the voice of a wav (M,), a `Voice`, or (None) a pseudonym."""
        report_wait = lambda before: progress(0.0, texts.WAITING.format(before=before), None)  # noqa: E731
        with self._recordings.job("convert", session, report_wait) as job:
            target_s = len(target) / SAMPLE_RATE if isinstance(target, np.ndarray) else 0.0
            so_far = Progress(self.pace, len(source) / SAMPLE_RATE, target_s)
            with so_far.reported(progress, _TICK_S) as report:

                def enter(stage: str) -> None:
                    job.check()
                    report()

                conversion, wavs, png, npz = self._compute(source, target, profile, so_far, enter)
            job.check()
            folder = self._recordings.new(session, "result")
            names = ("original", "reconstructed", "swapped")
            paths = [self._recordings.save(folder, name, wav) for name, wav in zip(names, wavs, strict=True)]
            for name, data in {"spectrograms.png": png, "spectrograms.npz": npz}.items():
                paths.append(self._recordings.write(folder, name, data))
            duration_s = len(conversion.wav) / SAMPLE_RATE
            return Result(*paths, conversion.profile, conversion.voice_similarity, duration_s)

    def _compute(
        self,
        source: np.ndarray,
        target: np.ndarray | Voice | None,
        profile: str,
        so_far: Progress,
        on_stage: Callable[[str], None],
    ) -> tuple[Conversion, list[np.ndarray], bytes, bytes]:
        """The conversion, the three wavs of a result, and its spectrograms as PNG and as NPZ."""

        def enter(stage: str, share: float = 0.0) -> None:
            so_far.enter(stage)
            on_stage(stage)

        clip = (source, SAMPLE_RATE)
        if target is None:
            result = self._pipeline.anonymize(clip, profile=profile, reconstruct=True, progress=enter)
        else:
            voice = (target, SAMPLE_RATE) if isinstance(target, np.ndarray) else target
            result = self._pipeline.convert(clip, voice, profile=profile, progress=enter)
        enter(DRAWING)
        png, npz = io.BytesIO(), io.BytesIO()
        plots.mel_comparison(result.mels, result.f0_hz).savefig(png, dpi=plots.DPI)
        arrays = plots.mel_arrays(result.mels, result.f0_hz)
        np.savez(npz, **{name: array.astype(np.float16) for name, array in arrays.items()})
        wavs = [normalize_loudness(wav) for wav in (source, result.reconstruction, result.wav)]
        so_far.finish()
        return result, wavs, png.getvalue(), npz.getvalue()

    def show_spectrograms(
        self,
        run: Run | None,
        axis: str,
        palette: str,
        range_db: float,
        difference: bool,
        request: gr.Request = None,
    ) -> PlotData | dict:
        """The spectrograms of a result as a Plotly figure; the other arguments are those of `saic.plots.View`."""
        if run is None or run.result is None or run.dropped:  # the event belongs to an earlier run
            return gr.skip()
        try:
            with gradio_errors(), self._recordings.job("draw", session_of(request)):
                npz = self._recordings.read_bytes(run.result.arrays, session_of(request))
                view = plots.View(axis, range_db, palette, difference)
                figure = plots.plotly_figure(*plots.from_arrays(np.load(io.BytesIO(npz))), view)
        except Exception:
            if not run.dropped:
                raise
        return gr.skip() if run.dropped else PlotData(type="plotly", plot=json.dumps(figure))

    def show_protection(self, run: Run | None, request: gr.Request = None) -> Iterator[tuple[str, dict]]:
        """Fill the card: first the similarities, then the share of words kept; last give the report."""
        if run is None or run.result is None:  # the event belongs to an earlier run
            return
        with gradio_errors(), run.in_progress():
            for html, report in self._protection_cards(run, run.result, session_of(request)):
                if run.dropped:
                    return
                yield html, gr.skip() if report is None else gr.update(value=report, interactive=True)

    def _protection_cards(self, run: Run, result: Result, session: str) -> Iterator[tuple[str, str | None]]:
        """HTML of the card, and the path of the report, None before it is complete."""
        wavs = [self._recordings.load(path, session) for path in (result.original, result.swapped)]
        other = None if run.target is None else self._recordings.load(run.target, session)
        protection = self._measure_similarity(*wavs, other, session)

        def card(status: AsrStatus) -> str:
            return protection_card(
                protection, status, result.profile, linkage_sentence(self.figures.get(result.profile))
            )

        def report() -> str:
            made = self.report(result, protection, run.target is None, run.notes[texts.NOTED_SOURCE])
            return self._recordings.write(Path(result.swapped).parent, "report.json", file_report.to_json(made))

        if not self._measurer.has_asr:
            yield card("absent"), report()
            return
        yield card("running"), None
        try:
            protection = self._measure_words_kept(protection, *wavs, session)
        except UsageError:  # it took too long, or was stopped
            yield card("stopped"), report()
            raise
        yield card("absent"), report()

    def report(
        self, result: Result, protection: Protection, is_pseudonym: bool, notes: Iterable[str]
    ) -> dict[str, Any]:
        """The report of a result, see `saic.file_report`; `notes` are those on the source."""
        settings = ("random", "any") if is_pseudonym else ("target", None)
        try:
            return file_report.build(
                protection,
                file_report.Settings(*settings, SAMPLE_RATE),
                Path(result.swapped),
                profile=result.profile,
                voice_similarity=result.voice_similarity,
                threshold=self._pipeline.gallery.threshold,
                duration_s=result.duration_s,
                notes=notes,
                weights_sha256=self._weights_sha256,
            )
        except OSError:  # the result has been deleted
            raise UsageError(GONE) from None

    def measure_protection(self, result: Result, target: np.ndarray | None, session: str) -> Protection:
        """The measurements of the card, for the API."""
        wavs = [self._recordings.load(path, session) for path in (result.original, result.swapped)]
        return self._measure_words_kept(self._measure_similarity(*wavs, target, session), *wavs, session)

    def _measure_similarity(self, original: np.ndarray, swapped: np.ndarray, other, session: str) -> Protection:
        with self._recordings.job("compare", session) as job:
            job.check()
            return self._measurer.measure_similarity(original, swapped, other, job.check)

    def _measure_words_kept(
        self, protection: Protection, original: np.ndarray, swapped: np.ndarray, session: str
    ) -> Protection:
        if not self._measurer.has_asr:
            return protection
        with self._recordings.job("transcribe", session) as job:
            job.check()
            return replace(protection, words_kept=self._measurer.measure_words_kept(original, swapped, job.check))

    def _drop(self, run: Run | None, request: gr.Request | None) -> None:
        """Stop a run and delete its files."""
        if run is not None and not run.dropped:
            session, run.dropped = session_of(request), True
            if run.running:  # otherwise the session's job may be the decoding of its next recording
                self._recordings.jobs.stop(session)
            self._recordings.withdraw(session, "result")

    def _has_inputs(self, run: Run, *inputs: str | None) -> bool:
        """Whether a run was made from these inputs: source, target, choice and profile."""
        own = self._current_inputs(run.source, run.target, run.choice, run.profile)
        return own == self._current_inputs(*inputs)

    def _current_inputs(self, source: str | None, target: str | None, choice: str, profile: str) -> tuple:
        return self._current_path(source), self._current_path(self._target_path(target, choice)), choice, profile

    def _target_path(self, target: str | None, choice: str) -> str | None:
        """Path of the target for a choice; the player's own path counts for `OWN_RECORDING` alone.

        Just after a change of the choice, the player may still hold another recording.
        """
        return target if choice == OWN_RECORDING else self.bundled.get(choice)

    def _is_same_recording(self, one: str | None, other: str | None) -> bool:
        """Whether two paths are of the same recording: equal, or an upload and its decoded copy."""
        return one is not None and self._current_path(one) == self._current_path(other)

    def _current_path(self, path: str | None) -> str | None:
        """Path of a recording now: that of the decoded copy, once an upload has one."""
        return path and str(self._recordings.store.current(Path(path)))


def update_results_area(
    *, message: str = "", run_id: str = "", running: bool = False, result: Result | None = None, notes: str = ""
) -> tuple:
    """Updates of the components below the buttons, in the order of `Tab.results_area`.

    Parameters
    ----------
    message : HTML, shown while there is neither a run nor a result
    run_id : id of the run that the page shows
    running : whether to show the progress and "Cancel"
    result : the result to show, whose files the page has; None removes them from the page
    notes : HTML, shown above the result if it isn't empty
    """
    files = [gr.skip() if result else None] * 5
    downloads = [gr.update(value=result and result.swapped), gr.update(value=None, interactive=False)]
    bar = {"value": progress_html(texts.STARTING, 0.0, None)} if running else {}
    cancel, progress = gr.update(visible=running), gr.update(visible=running, **bar)
    intro, results = gr.update(value=message), gr.update(visible=result is not None)
    noted = gr.update(value=notes, visible=bool(notes))
    return run_id, cancel, intro, progress, results, texts.PROTECTION_WAITING, noted, *downloads, *files


def build_tab(anonymizer: Anonymizer, evaluation: str) -> "Tab":
    """Lay out the tab; `evaluation` is HTML."""
    with gr.Row(equal_height=True):
        with gr.Column(elem_classes="stack"):
            with gr.Column(elem_classes="card"):
                gr.HTML(texts.SOURCE)
                source = recorder("Voice to protect", "source")
            profile = _profile_choice(anonymizer)
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.TARGET.format(step=3 if len(anonymizer.profiles) > 1 else 2))
            labels = list(anonymizer.bundled)
            choice = gr.Radio([*labels, PSEUDONYM, OWN_RECORDING], value=labels[0], label="Voice", elem_id="choice")
            target = recorder("New voice", "target", value=anonymizer.bundled[labels[0]], interactive=False)
            consent = gr.Checkbox(label=texts.CONSENT, visible=False, elem_id="consent", container=False)
    with gr.Row(elem_classes=["actions", "always-visible"]):
        convert = gr.Button("Convert", variant="primary", elem_id="convert", scale=3)
        cancel = gr.Button("Cancel", elem_id="cancel", scale=1, visible=False)
        example = gr.Button("Try it with bundled voices", elem_id="example", scale=1, min_width=300)
        delete = gr.Button("Delete now", elem_id="delete", scale=1, min_width=130)
    intro = gr.HTML(anonymizer.empty_message(), elem_id="intro")
    progress = gr.HTML(progress_html(texts.STARTING, 0.0, None), elem_id="progress", visible=False)
    with gr.Column(visible=False, elem_id="results") as results:
        notes = gr.HTML("", elem_id="notes", visible=False)
        gr.HTML(texts.LISTEN)
        with gr.Row():
            players = [player("Original"), player("Reconstructed"), player("Swapped voice", "swapped")]
        with gr.Row(elem_classes="actions"):
            downloads = [
                gr.DownloadButton(texts.DOWNLOAD_VOICE, elem_id="download-voice"),
                gr.DownloadButton(texts.DOWNLOAD_REPORT, elem_id="download-report", interactive=False),
            ]
        gr.HTML(texts.REPORT)
        protection = gr.HTML(texts.PROTECTION_WAITING, elem_id="protection")
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.mels(anonymizer.profiles))
            plot = gr.Plot(label="Spectrograms", show_label=False, elem_id="spectrograms", container=False)
            with gr.Row(elem_classes="actions"):
                mels = gr.DownloadButton(texts.DOWNLOAD_MELS, elem_id="download-spectrograms")
            view = _view_choices()
        with gr.Accordion("How well it works on average: the evaluation", open=False, elem_id="evaluation"):
            gr.HTML(evaluation)
    inputs, buttons = (source, choice, target, consent, profile), (convert, cancel, example, delete)
    pictures = mels, plot, view
    states = gr.Textbox(visible=False), gr.State(None), gr.State(None), gr.Textbox(visible=False)
    return Tab(*inputs, *buttons, intro, progress, results, notes, players, downloads, protection, *pictures, *states)


def _view_choices() -> list[gr.Component]:
    """Settings of the spectrograms, in the order of `Anonymizer.show_spectrograms`."""
    default = plots.View()
    with gr.Accordion(texts.VIEW, open=False, elem_id="view"):
        with gr.Row():
            axis = gr.Radio(texts.VIEW_AXES, value=default.axis, label="Frequency axis")
            palette = gr.Radio(list(plots.PALETTES), value=default.palette, label="Colors")
        range_db = gr.Slider(30, 110, value=default.range_db, step=10, label=texts.VIEW_RANGE, buttons=[])
        difference = gr.Checkbox(label=texts.VIEW_DIFFERENCE, value=default.difference, elem_id="difference")
    return [axis, palette, range_db, difference]


def _profile_choice(anonymizer: Anonymizer) -> gr.Radio:
    """Radio buttons of the profiles, each with its figure; hidden where there is only one."""
    options, figures = [], anonymizer.figures
    for name in anonymizer.profiles:
        label = f"{texts.PROFILE_NAMES[name]}. {texts.PROFILES[name]}"
        if name in figures:
            label += " " + texts.PROFILE_FIGURE.format(eer=f"{figures[name].eer[HEADLINE_S]:.0f} %")
        options.append((label, name))
    several = len(options) > 1
    with gr.Column(elem_classes="card", visible=several):
        gr.HTML(texts.PROFILE)
        choice = gr.Radio(options, value=anonymizer.default_profile, label="Profile", elem_id="profile")
        if figures.keys() & set(anonymizer.profiles):
            gr.HTML(f'<p class="soft">{texts.PROFILE_NOTE.format(seconds=HEADLINE_S)}</p>')
    return choice


@dataclass(frozen=True)
class Tab:
    """Components and state of the tab.

    Attributes
    ----------
    downloads : of the swapped voice, and of the report
    mels : download of the picture
    view : settings of the spectrograms
    consented : path of the recording that the consent was given for; kept by the browser
    requested : the `Run` that was requested last
    run : the `Run` that was started last
    shown_run_id : id of the run that the page shows; kept by the browser
    """

    source: gr.Audio
    choice: gr.Radio
    target: gr.Audio
    consent: gr.Checkbox
    profile: gr.Radio
    convert: gr.Button
    cancel: gr.Button
    example: gr.Button
    delete: gr.Button
    intro: gr.HTML
    progress: gr.HTML
    results: gr.Column
    notes: gr.HTML
    players: list[gr.Audio]
    downloads: list[gr.DownloadButton]
    protection: gr.HTML
    mels: gr.DownloadButton
    spectrograms: gr.Plot
    view: list[gr.Component]
    consented: gr.Textbox
    requested: gr.State
    run: gr.State
    shown_run_id: gr.Textbox

    @property
    def result_files(self) -> list[gr.Component]:
        """Components that show the files of a `Result`, in its order."""
        return [*self.players, self.mels]

    @property
    def results_area(self) -> list[gr.Component]:
        """Components below the buttons, in the order of `update_results_area`."""
        state = [self.shown_run_id, self.cancel, self.intro, self.progress]
        files = [*self.downloads, *self.result_files, self.spectrograms]
        return [*state, self.results, self.protection, self.notes, *files]


def connect_events(anonymizer: Anonymizer, tab: Tab) -> None:
    """Connect the events of the tab to their handlers."""
    inputs = [tab.source, tab.target, tab.choice, tab.profile]
    area = tab.results_area
    # Gradio calls the handlers of one event in this order, each after the one before has ended. So
    # the quick ones come first.
    changes = [part.change for part in (*inputs, tab.shown_run_id)]
    state = [*inputs, tab.shown_run_id, tab.run]
    checked = gr.on(changes, anonymizer.drop_if_changed, state, area, trigger_mode="always_last", **QUICK)
    # It fails if a file that the page names is gone from the server.
    checked.failure(lambda: update_results_area(message=texts.CHANGED), None, area, **QUICK)
    consent = [tab.target, tab.consent, tab.consented]
    tab.target.change(anonymizer.reset_consent, consent, tab.consent, **QUICK)
    for clip, decode in ((tab.source, anonymizer.decode_source), (tab.target, anonymizer.decode_target)):
        decoded = clip.change(decode, clip, gr.State(), show_progress="hidden", **PRIVATE)
        decoded.success(anonymizer.update_player, clip, clip, **QUICK)
        decoded.failure(lambda: None, None, clip, **QUICK)
    tab.choice.input(anonymizer.choose_target, tab.choice, [tab.target, tab.consent], **QUICK)
    # In the browser, so that the path is known before any later click.
    tab.consent.input(None, [tab.consent, tab.target], tab.consented, js=_CONSENTED_RECORDING_JS)
    # A warning needs the queue. The output is a state and not a visible component: there, Gradio
    # would write "Error" for screen readers.
    requested = tab.convert.click(
        anonymizer.request_run,
        [*inputs, tab.consent, tab.consented],
        tab.requested,
        show_progress="hidden",
        **PRIVATE,
    )
    filled = [tab.source, tab.choice, tab.target, tab.consent, tab.requested]
    example = tab.example.click(anonymizer.load_example, tab.profile, filled, **QUICK)
    hidden = {"show_progress": "hidden"}
    draw = anonymizer.show_spectrograms, [tab.run, *tab.view], tab.spectrograms
    gr.on([part.change for part in tab.view], *draw, trigger_mode="always_last", **hidden, **HEAVY)
    several = {"trigger_mode": "multiple"}  # a dropped run may still be in its last stage when the next one starts
    for ready in (requested, example):
        started = ready.success(anonymizer.start_run, [tab.requested, tab.run], [tab.run, *area], **several, **QUICK)
        converted = started.success(
            anonymizer.run_with_progress,
            tab.run,
            [tab.progress, *tab.result_files],
            show_progress="hidden",
            **several,
            **HEAVY,
        )
        converted.failure(anonymizer.show_failure, tab.run, area, **several, **QUICK)
        shown = converted.success(
            anonymizer.show_result, [*inputs, tab.run], area, scroll_to_output=True, **several, **QUICK
        )
        drawn = shown.success(*draw, **hidden, **several, **HEAVY)
        measured = [tab.protection, tab.downloads[1]]
        drawn.then(anonymizer.show_protection, tab.run, measured, **hidden, **several, **HEAVY)
    tab.cancel.click(anonymizer.cancel, tab.run, area, **QUICK)
