"""The Anonymize tab: convert a recording to another voice, and measure what that protects.

A result belongs to the source, target and choices that it was made from. The page's events can
arrive late and in any order. So every handler compares the `Run` with the page's present inputs
before it shows anything.
"""

import contextlib
import json
import queue
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from saic import audio, file_report, plots
from saic.audio import SAMPLE_RATE
from saic.conversion import Voice
from saic.errors import UsageError
from saic.keys import Key
from saic.web.conversions import Converter, NewVoice, OnProgress, Result
from saic.web.failures import gradio_errors, missing_input
from saic.web.linkage import linkage_sentence
from saic.web.notes import notes_html
from saic.web.printed_report import printed_report
from saic.web.progress import SHOWING, about, progress_html
from saic.web.protection_card import AsrStatus, protection_card, verdict_html
from saic.web.server.logs import report as report_bug
from saic.web.server.recordings import Recordings, session_of
from saic.web.tabs.anonymize_layout import HIDDEN, PICTURES, offer_files, update_results_area
from saic.web.texts import ENGLISH, Texts, decimal, texts_for, translated
from saic.web.texts.en import OWN_RECORDING, PSEUDONYM

_ANY = "any"  # register of a pseudonym
_GROUP = "conversion"  # of the jobs that end with a run
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"  # between thousands
_NO_KEY = "This page has no key for subjects. Start it with app.py --key-file KEY, or leave the subject out."
_SEED_AND_SUBJECT = "A subject's voice is not drawn from a seed. Leave out the seed or the subject."


@dataclass(eq=False)
class Run:
    """One conversion that a page requested.

    Attributes
    ----------
    source, target : paths of the recordings; `target` is None for a pseudonym
    choice : the selected option of the radio buttons "Voice"
    profile : the selected profile
    register, subject : of a pseudonym; `subject` is empty where the voice is drawn at random
    id : random, to compare with the id that the page shows
    notes : "source" and "target" to what was missing in that recording or chosen from it, as sentences
    result : None until the conversion is done
    ended_at : when the server had finished the result, in seconds (monotonic); None once it is shown
    running : whether the conversion or the counting of words is in progress
    dropped : whether it was cancelled or replaced; then none of it is shown, however late it ends
    failed : whether it ended with an error
    """

    source: str
    target: str | None
    choice: str
    profile: str
    register: str = _ANY
    subject: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    result: Result | None = None
    ended_at: float | None = None
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


def has_result(run: Run | None) -> bool:
    """Whether a run has a result to show. An event may belong to an earlier run, which was dropped."""
    return run is not None and run.result is not None and not run.dropped


class Anonymizer:
    """Event handlers of the tab.

    Parameters
    ----------
    converter : converts
    recordings : reads the uploads
    bundled : label to path of the bundled synthetic voices
    key, study : give the subjects of a study their voices; None: voices are drawn at random
    """

    def __init__(
        self,
        converter: Converter,
        recordings: Recordings,
        bundled: dict[str, str],
        key: Key | None = None,
        study: str = "",
    ) -> None:
        self.converter, self._recordings, self.bundled = converter, recordings, bundled
        self.key, self._study = key, study
        self._bundled_voices: dict[str, Voice] = {}

    @property
    def max_minutes(self) -> str:
        """How long a recording may be."""
        return f"{self._recordings.limits.max_duration_s / 60:g}"

    def decode_source(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the uploaded source by its decoded copy; the upload is deleted at once."""
        with gradio_errors(request):
            return self._recordings.take_in(path, session_of(request), "source")

    def decode_target(self, path: str | None, request: gr.Request = None) -> str | dict | None:
        """Replace the uploaded target by its decoded copy; the upload is deleted at once."""
        with gradio_errors(request):
            return self._recordings.take_in(path, session_of(request), "target")

    def choose_target(self, choice: str) -> tuple[dict, dict, dict]:
        """Updates of the target player, the consent box and the pseudonym's settings for a choice of voice."""
        own, pseudonym = choice == OWN_RECORDING, choice == PSEUDONYM
        clip = gr.update(value=self.bundled.get(choice), interactive=own, visible=True if not pseudonym else HIDDEN)
        return clip, gr.update(visible=own, value=False), gr.update(visible=pseudonym)

    def reset_consent(self, target: str | None, consent: bool, consented: str | None) -> dict:
        """Untick the consent box if `target` is not the recording that it was ticked for."""
        return gr.update(value=False) if consent and not self._is_same_recording(target, consented) else gr.skip()

    def load_example(self, shown: str | None, profile: str, request: gr.Request = None) -> tuple:
        """Request a run from the first bundled voice to the last, and fill the tab with both.

        A recording that the page shows is not replaced.
        """
        if shown and self._recordings.current_path(shown) not in self.bundled.values():
            raise missing_input(texts_for(request).NO_OVERWRITE)
        source, *_, target = self.bundled
        run = Run(self.bundled[source], self.bundled[target], target, profile)
        return self.bundled[source], target, *self.choose_target(target), run

    def warm_up(self) -> None:
        """Warm up the converter with a bundled voice."""
        self.converter.warm_up(audio.load(next(iter(self.bundled.values()))))

    def empty_message(self, texts: Texts = ENGLISH) -> str:
        """HTML for a page without a result, with the measured times of a conversion."""
        ten, five = (self.converter.pace.total_s(duration_s) for duration_s in (10, 300))
        times = "" if ten is None else texts.TIMES.format(ten=about(ten, texts), five=about(five, texts))
        return texts.EMPTY.format(times=times, minutes=decimal(texts, self.max_minutes))

    def show_times(self, run: Run | None, request: gr.Request = None) -> str | dict:
        """The message of a page that was just opened."""
        return self.empty_message(texts_for(request)) if run is None else gr.skip()

    def show_changed(self, request: gr.Request = None) -> tuple:
        """The message of a page whose recording or choice is no longer that of its result."""
        return update_results_area(message=texts_for(request).CHANGED)

    def check_inputs(
        self,
        source: str | None,
        target: str | None,
        choice: str,
        consent: bool,
        consented: str | None = None,
        texts: Texts = ENGLISH,
    ) -> None:
        """Raise an error if a recording, or the consent to use another person's voice, is missing.

        `consented` is the path of the recording that the consent box was ticked for: consent for
        one recording does not hold for the next.
        """
        if source is None:
            raise missing_input(texts.NO_SOURCE)
        if target is None and choice == OWN_RECORDING:
            raise missing_input(texts.NO_TARGET)
        if choice == OWN_RECORDING and not (consent and self._is_same_recording(target, consented)):
            raise missing_input(texts.NO_CONSENT)

    def request_run(
        self,
        source: str | None,
        target: str | None,
        choice: str,
        profile: str,
        register: str,
        subject: str | None,
        consent: bool,
        consented: str | None,
        request: gr.Request = None,
    ) -> Run:
        """A new run from the page's present inputs."""
        texts, subject = texts_for(request), (subject or "").strip()
        self.check_inputs(source, target, choice, consent, consented, texts)
        if choice == PSEUDONYM and subject and register == "same":
            raise missing_input(texts.SUBJECT_REGISTER)
        return Run(source, self._target_path(target, choice), choice, profile, register, subject)

    def start_run(self, run: Run | None, previous: Run | None, request: gr.Request = None) -> tuple | dict:
        """Make `run` the page's current run; drop the previous one with its files."""
        if run is None:  # deleted meanwhile
            return gr.skip()
        if run is not previous:
            self._drop(previous, request)
        return run, *update_results_area(run_id=run.id, running=True, texts=texts_for(request))

    def drop_if_changed(
        self,
        source: str | None,
        target: str | None,
        choice: str,
        profile: str,
        register: str,
        subject: str | None,
        shown_run_id: str | None,
        run: Run | None,
        request: gr.Request = None,
    ) -> tuple | dict:
        """Drop the run and its result if the page's inputs are no longer those of the run.

        `shown_run_id` is the id of the run that the page shows. If it is not that of `run`, the
        event is older than this run and is ignored. The page may still show a result whose run was
        dropped before, or is lost, because the event that shows it was late. That result is removed.
        """
        if run is not None:
            is_same = self._has_inputs(run, source, target, choice, profile, register, subject)
            if run.id != shown_run_id or is_same:
                return gr.skip()
            self._drop(run, request)
        return self.show_changed(request) if shown_run_id else gr.skip()

    def cancel(self, run: Run | None, request: gr.Request = None) -> tuple:
        """Stop a run at its next stage and keep nothing of it."""
        self._drop(run, request)
        return update_results_area(message=self.empty_message(texts_for(request)))

    def show_failure(self, run: Run | None, request: gr.Request = None) -> tuple | dict:
        """Show that nothing runs, unless the failed run was dropped and another one has started.

        A run that neither runs nor has a result did not begin: the server had no place for it.
        """
        is_over = run is None or run.dropped or run.failed or not (run.running or run.result)
        return update_results_area(message=self.empty_message(texts_for(request))) if is_over else gr.skip()

    def run_with_progress(self, run: Run | None, request: gr.Request = None) -> Iterator[str]:
        """Run `run_conversion` in a thread; yields HTML of the progress.

        Gradio's own progress bar starts late on the second run of a page and does not move during a stage.
        """
        updates: queue.SimpleQueue = queue.SimpleQueue()

        def work() -> None:
            try:
                self.run_conversion(run, request, lambda *update: updates.put(update))
                updates.put(None)
            except BaseException as error:
                updates.put(error)

        threading.Thread(target=work, name="saic-convert", daemon=True).start()
        while (update := updates.get()) is not None:
            if isinstance(update, BaseException):
                raise update
            share, stage, left_s = update
            yield progress_html(stage, share, left_s, texts_for(request))

    def run_conversion(
        self, run: Run | None, request: gr.Request = None, progress: OnProgress = lambda *update: None
    ) -> None:
        """Convert for the page: sets `Run.result`, or nothing if the run was dropped meanwhile."""

        def report(share: float, desc: str, left_s: float | None = None) -> None:
            if run.dropped:  # possibly before it had a job, which `_drop` would have stopped
                raise UsageError("The run was dropped.")
            progress(share, desc, left_s)

        if run is None or run.running or run.result:  # deleted meanwhile, or two buttons started the same run
            return
        with gradio_errors(request), run.in_progress():
            session = session_of(request)
            with self.converter.job(session, report, _GROUP):
                source = self._recordings.read_of_page(run.source, session, "source")
                new_voice, target_notes = self._new_voice_of(run, session)
                run.notes = {"source": source.notes, "target": target_notes}
                result = self.converter.convert(source.wav, new_voice, session, run.profile, report)
            if run.dropped:
                return
            run.result = result
            if not self.converter.measurer.has_asr:
                self._write_reports(run, texts_for(request))
            run.ended_at = time.monotonic()

    def show_result(
        self,
        source: str | None,
        target: str | None,
        choice: str,
        profile: str,
        register: str,
        subject: str | None,
        run: Run | None,
        request: gr.Request = None,
    ) -> tuple | dict:
        """Make a new result visible if the page's inputs are still those that it was made from."""
        if not has_result(run):
            return gr.skip()
        if not self._has_inputs(run, source, target, choice, profile, register, subject):
            self._drop(run, request)
            return self.show_changed(request)
        if run.ended_at is not None:
            duration_s = run.result.duration_s
            self.converter.pace.learn(duration_s, {SHOWING: time.monotonic() - run.ended_at})
            run.ended_at = None
        has_asr, texts = self.converter.measurer.has_asr, texts_for(request)
        shown = run.notes | {"source": (*run.notes["source"], *run.result.notes)}
        return update_results_area(
            run_id=run.id,
            result=run.result,
            verdict=verdict_html(run.result.protection, texts),
            card=self._card(run.result, "running" if has_asr else "absent", texts),
            reports=None if has_asr else _report_paths(run.result),
            notes=notes_html({texts.NOTED[of]: notes for of, notes in shown.items()}, texts),
        )

    def encode_downloads(self, run: Run | None, request: gr.Request = None) -> tuple | dict:
        """The downloads of the anonymized voice that are not WAV."""
        if not has_result(run):
            return gr.skip()
        try:
            with gradio_errors(request):
                paths = self.converter.encode(run.result, session_of(request), _GROUP)
        except Exception:
            if not run.dropped:
                raise
        return gr.skip() if run.dropped else offer_files(paths)

    def count_words(self, run: Run | None, request: gr.Request = None) -> tuple | dict:
        """The card with the share of words kept, and the downloads of both reports."""
        if not has_result(run):
            return gr.skip()
        with gradio_errors(request), run.in_progress():
            status: AsrStatus = "wordless"
            try:
                run.result = self.converter.measure_words_kept(run.result, session_of(request), _GROUP)
            except Exception as error:
                status = "stopped"
                if not isinstance(error, UsageError):  # it neither took too long nor was stopped
                    report_bug(error)
            if not run.dropped:
                self._write_reports(run, texts_for(request))
        if run.dropped:
            return gr.skip()
        return self._card(run.result, status, texts_for(request)), *offer_files(_report_paths(run.result))

    def show_details(
        self,
        run: Run | None,
        axis: str,
        palette: str,
        range_db: float,
        difference: bool,
        request: gr.Request = None,
    ) -> tuple | dict:
        """What the details show of a result, in the order of `Tab.detail_parts`."""
        if not has_result(run):
            return gr.skip()
        figure, result = self.show_spectrograms(run, axis, palette, range_db, difference, request), run.result
        if run.dropped:
            return gr.skip()
        return result.original, result.reconstructed, result.reconstructed, result.arrays, figure

    def draw_pictures(self, run: Run | None, request: gr.Request = None) -> tuple | dict:
        """The downloads of the spectrograms, one of each of `PICTURES`."""
        if not has_result(run):
            return gr.skip()
        try:
            with gradio_errors(request):
                paths = self.converter.pictures(run.result, session_of(request), PICTURES)
        except Exception:
            if not run.dropped:
                raise
        return gr.skip() if run.dropped else offer_files(paths)

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
        if not has_result(run):
            return gr.skip()
        try:
            with gradio_errors(request), self._recordings.job("draw", session_of(request)):
                columns = self.converter.columns(run.result, session_of(request))
                figure = plots.plotly_figure(columns, view=plots.View(axis, range_db, palette, difference))
        except Exception:
            if not run.dropped:
                raise
        if run.dropped:
            return gr.skip()
        return PlotData(type="plotly", plot=json.dumps(_in_language(figure, texts_for(request))))

    def _card(self, result: Result, status: AsrStatus, texts: Texts) -> str:
        linkage = linkage_sentence(self.converter.figures.get(result.profile), texts)
        return protection_card(result.protection, status, result.profile, linkage, texts)

    def _write_reports(self, run: Run, texts: Texts) -> None:
        """Write both reports beside the result. The one for programs is in English."""
        report = self.converter.report(run.result, run.notes["source"])
        linkage = linkage_sentence(self.converter.figures.get(run.result.profile), texts)
        printed = printed_report(report, run.result.protection, linkage, texts).encode()
        for path, data in zip(_report_paths(run.result), (printed, file_report.to_json(report)), strict=True):
            self._recordings.write(run.result.folder, Path(path).name, data)

    def _new_voice_of(self, run: Run, session: str) -> tuple[NewVoice, tuple[str, ...]]:
        """What `Converter.convert` takes, and the notes on the target's recording."""
        if run.target is None:
            return self.pseudonym(run.register, run.subject), ()
        return self.target_voice(run.target, session)

    def pseudonym(self, register: str, subject: str = "", seed: int | None = None) -> NewVoice:
        """The voice of a subject, or a new pseudonym.

        Raises
        ------
        UsageError (a subject without a key, a subject with a seed or the register "same")
        """
        if not subject:
            return NewVoice("random" if seed is None else "seed", register=register, seed=seed)
        if self.key is None or seed is not None:
            raise UsageError(_NO_KEY if self.key is None else _SEED_AND_SUBJECT)
        options = {"key": self.key, "subject": subject, "study": self._study, "register": register}
        voice = self.converter.pipeline.pseudonym(**options)
        return NewVoice("key", voice, register=register)

    def target_voice(self, path: str, session: str) -> tuple[NewVoice, tuple[str, ...]]:
        """The voice of a recording, and the notes on it. Each bundled voice is measured only once."""
        recording = self._recordings.read_of_page(path, session, "target")
        if path not in self.bundled.values():
            return NewVoice("target", wav=recording.wav), recording.notes
        if path not in self._bundled_voices:
            with self._recordings.job("measure", session):
                self._bundled_voices[path] = self.converter.pipeline.voice((recording.wav, SAMPLE_RATE))
        return NewVoice("target", self._bundled_voices[path], recording.wav), ()

    def _drop(self, run: Run | None, request: gr.Request | None) -> None:
        """Stop a run and delete its files."""
        if run is not None and not run.dropped:
            session, run.dropped = session_of(request), True
            self._recordings.jobs.stop(session, group=_GROUP)  # other work of this page goes on
            self._recordings.withdraw(session, "result")

    def _has_inputs(self, run: Run, *inputs: str | None) -> bool:
        """Whether a run was made from these inputs: source, target, choice, profile, register, subject."""
        own = self._current_inputs(run.source, run.target, run.choice, run.profile, run.register, run.subject)
        return own == self._current_inputs(*inputs)

    def _current_inputs(
        self, source: str | None, target: str | None, choice: str, profile: str, register: str, subject: str | None
    ) -> tuple:
        pseudonym = (register, (subject or "").strip()) if choice == PSEUDONYM else None
        target = self._recordings.current_path(self._target_path(target, choice))
        return self._recordings.current_path(source), target, choice, profile, pseudonym

    def _target_path(self, target: str | None, choice: str) -> str | None:
        """Path of the target for a choice; the player's own path counts for `OWN_RECORDING` alone.

        Just after a change of the choice, the player may still hold another recording.
        """
        return target if choice == OWN_RECORDING else self.bundled.get(choice)

    def _is_same_recording(self, one: str | None, other: str | None) -> bool:
        """Whether two paths are of the same recording: equal, or an upload and its decoded copy."""
        return one is not None and self._recordings.current_path(one) == self._recordings.current_path(other)


def _in_language(figure: Any, texts: Texts) -> Any:
    """A part of a Plotly figure with its texts and numbers as a language has them."""
    if texts is ENGLISH:
        return figure
    if isinstance(figure, list):
        return [_in_language(part, texts) for part in figure]
    if not isinstance(figure, dict):
        return figure
    changed = {key: _in_language(part, texts) for key, part in figure.items()}
    if isinstance(text := figure.get("text"), str):
        changed["text"] = re.sub("[^<>]+", lambda words: translated(texts, words[0]), text)  # "<b>Original</b>"
    if "ticktext" in figure:
        changed["ticktext"] = [label.replace(",", _THIN_SPACE) for label in figure["ticktext"]]
    if "layout" in figure:
        changed["layout"]["separators"] = texts.DECIMAL + _THIN_SPACE
    return changed


def _report_paths(result: Result) -> list[str]:
    """Paths of the reports of a result: to print, and for programs."""
    return [str(result.folder / f"report-{result.code}.{kind}") for kind in ("html", "json")]
