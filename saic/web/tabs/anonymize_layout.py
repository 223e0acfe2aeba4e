"""Layout and events of the Anonymize tab."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import gradio as gr

from saic import plots
from saic.evaluation.linkage.report import HEADLINE_S
from saic.profiles import STRICT
from saic.web.conversions import FORMATS, Converter, Result
from saic.web.parts import HEAVY, PRIVATE, QUICK, decode_on_change, player, recorder
from saic.web.progress import STARTING, progress_html
from saic.web.texts import ENGLISH, PageTexts, Texts, decimal, percent, translated
from saic.web.texts.en import OWN_RECORDING, PSEUDONYM

if TYPE_CHECKING:
    from saic.web.tabs.anonymize import Anonymizer

HIDDEN = "hidden"
"""Visibility of a player that is not shown. With False, Gradio mounts it later, and each update then counts as a
change of its clip."""

_CONSENTED_RECORDING_JS = "(consent, clip) => (consent && clip ? clip.path : null)"
_TO_RESULT_JS = "() => setTimeout(() => document.getElementById('results')?.scrollIntoView({behavior: 'smooth'}), 100)"
_ALLOW_JS = "(ticked) => Array(2).fill({__type__: 'update', interactive: ticked})"

# The browser itself applies range and palette (see `saic.plots.plotly_figure`), and does so again after half a second,
# in case that the figure was just being drawn. It returns the settings that only the server draws, for `drawn_view`.
_RECOLOR_JS = """(axis, palette, range, difference) => {
  const recolor = () => {
    const plot = document.querySelector("#spectrograms .js-plotly-plot"), shown = plot?.layout?.coloraxis;
    const colors = plot?.layout?.meta?.palettes[palette];
    if (!colors || (shown.cmin === -range && String(shown.colorscale) === String(colors))) return;
    Plotly.relayout(plot, {"coloraxis.cmin": -range, "coloraxis.colorscale": colors});
  };
  for (const ms of [0, 500]) setTimeout(recolor, ms);
  return JSON.stringify(difference ? [axis, range] : [axis]);
}"""

PICTURES = ("png", "svg")
"""Formats in which the spectrograms can be downloaded."""


@dataclass(frozen=True)
class Tab:
    """Components and state of the tab.

    Attributes
    ----------
    pseudonym : group of the pseudonym's settings
    protection : the verdict
    measured : the card
    downloads : of the anonymized voice in `FORMATS`, of the report to print, of the report for programs
    details : what a reader of the result needs second: other clips, spectrograms
    guard : tick that allows the downloads of what has the speaker's own voice
    own_download, data : downloads of the reconstruction, and of the spectrograms as arrays
    pictures : downloads of the spectrograms in `PICTURES`
    view : settings of the spectrograms
    drawn_view : those that the server draws by; kept by the browser
    consented : path of the recording that the consent was given for; kept by the browser
    requested : the `Run` that was requested last
    run : the `Run` that was started last
    shown_run_id : id of the run that the page shows; kept by the browser
    """

    source: gr.Audio
    choice: gr.Radio
    target: gr.Audio
    consent: gr.Checkbox
    pseudonym: gr.Group
    register: gr.Radio
    subject: gr.Textbox
    profile: gr.Radio
    convert: gr.Button
    cancel: gr.Button
    example: gr.Button
    intro: gr.HTML
    progress: gr.HTML
    results: gr.Column
    notes: gr.HTML
    protection: gr.HTML
    swapped: gr.Audio
    downloads: list[gr.DownloadButton]
    measured: gr.HTML
    details: gr.Accordion
    original: gr.Audio
    reconstructed: gr.Audio
    guard: gr.Checkbox
    own_download: gr.DownloadButton
    data: gr.DownloadButton
    spectrograms: gr.Plot
    pictures: list[gr.DownloadButton]
    view: list[gr.Component]
    drawn_view: gr.Textbox
    consented: gr.Textbox
    requested: gr.State
    run: gr.State
    shown_run_id: gr.Textbox

    @property
    def inputs(self) -> list[gr.Component]:
        """What a run is made from, in the order of `saic.web.tabs.anonymize.Run`."""
        return [self.source, self.target, self.choice, self.profile, self.register, self.subject]

    @property
    def detail_parts(self) -> list[gr.Component]:
        """Components that are filled when the details are opened, besides the pictures for download."""
        return [self.original, self.reconstructed, self.own_download, self.data, self.spectrograms]

    @property
    def results_area(self) -> list[gr.Component]:
        """Components below the buttons, in the order of `update_results_area`."""
        state = [self.shown_run_id, self.cancel, self.intro, self.progress, self.results, self.notes]
        result = [self.protection, self.measured, self.swapped, *self.downloads]
        return [*state, *result, self.details, self.guard, *self.detail_parts, *self.pictures]


def offer_files(paths: Sequence[str]) -> tuple[dict, ...]:
    """Updates of download buttons, each for a file that exists now."""
    return tuple(gr.update(value=path, interactive=True) for path in paths)


def update_results_area(
    *,
    message: str = "",
    run_id: str = "",
    running: bool = False,
    result: Result | None = None,
    verdict: str = "",
    card: str = "",
    reports: list[str] | None = None,
    notes: str = "",
    texts: Texts = ENGLISH,
) -> tuple:
    """Updates of the components below the buttons, in the order of `Tab.results_area`.

    Parameters
    ----------
    message : HTML, shown while there is neither a run nor a result
    run_id : id of the run that the page shows
    running : whether to show the progress and "Cancel"
    result : the result to show, with its WAV alone to download; None removes it from the page
    verdict, card : HTML of a result
    reports : paths of the reports; None while they are not complete
    notes : HTML, shown above the result if it isn't empty
    texts : of the page's language
    """
    bar = {"value": progress_html(STARTING, 0.0, None, texts)} if running else {}
    progress = gr.update(visible=running, **bar)
    state = run_id, gr.update(visible=running), gr.update(value=message), progress, gr.update(visible=bool(result))
    paths = result and result.swapped, *[None] * (len(FORMATS) - 1), *(reports or (None, None))
    downloads = [gr.update(value=path, interactive=path is not None) for path in paths]
    shown = verdict, card, result and result.swapped, *downloads
    no_file = gr.update(value=None, interactive=False)
    details = gr.update(open=False), False, None, None, no_file, no_file, None, *[no_file] * len(PICTURES)
    return *state, gr.update(value=notes, visible=bool(notes)), *shown, *details


def _guard(top1: float | None, texts: Texts) -> str:
    """What a visitor confirms before downloads of the reconstruction."""
    return texts.GUARD + ("" if top1 is None else texts.GUARD_MEASURED.format(share=percent(top1)))


def build_tab(anonymizer: "Anonymizer", texts: PageTexts, reconstruction_top1: float | None = None) -> Tab:
    """Lay out the tab; the figure is that of `saic.web.documents.Documents`."""
    converter = anonymizer.converter
    several = len(converter.profiles) > 1
    with gr.Row(equal_height=True, elem_classes="pair"):
        with gr.Column(elem_classes="card"):
            gr.HTML(texts(lambda texts: texts.SOURCE.format(minutes=decimal(texts, anonymizer.max_minutes))))
            source = recorder(texts.SOURCE_LABEL, "source")
        with gr.Column(elem_classes="card"):
            gr.HTML(texts.TARGET)
            voices = [(texts.PSEUDONYM, PSEUDONYM), (texts.OWN_RECORDING, OWN_RECORDING)]
            voices += [(texts(lambda texts, name=name: translated(texts, name)), name) for name in anonymizer.bundled]
            choice = gr.Radio(voices, value=PSEUDONYM, label=texts.CHOICE_LABEL, elem_id="choice")
            with gr.Column(elem_id="pseudonym") as pseudonym:
                registers = texts.choices("REGISTERS")
                register = gr.Radio(registers, value="any", label=texts.REGISTER_LABEL, elem_id="register")
                subject = gr.Textbox(
                    label=texts.SUBJECT, info=texts.SUBJECT_INFO, elem_id="subject", visible=anonymizer.key is not None
                )
            target = recorder(texts.TARGET_LABEL, "target", interactive=False, visible=HIDDEN)
            consent = gr.Checkbox(label=texts.CONSENT, visible=False, elem_id="consent", container=False)
    profile = _profile_choice(converter, texts, visible=several)
    with gr.Column(elem_classes="always-visible"):
        starting = texts(lambda texts: progress_html(STARTING, 0.0, None, texts))
        progress = gr.HTML(starting, elem_id="progress", visible=False)
        with gr.Row(elem_classes="actions"):
            convert = gr.Button(texts.CONVERT, variant="primary", elem_id="convert", scale=3)
            cancel = gr.Button(texts.CANCEL, elem_id="cancel", scale=1, visible=False)
            example = gr.Button(texts.EXAMPLE, elem_id="example", scale=1, min_width=300)
    intro = gr.HTML(texts(anonymizer.empty_message), elem_id="intro")
    with gr.Column(visible=False, elem_id="results") as results:
        notes = gr.HTML("", elem_id="notes", visible=False)
        protection = gr.HTML("", elem_id="protection")
        swapped = player(texts.ANONYMIZED, "swapped")
        gr.HTML(texts.REPORT)
        with gr.Row(elem_classes="actions"):
            downloads = [
                gr.DownloadButton(label, elem_id=f"download-{name}", min_width=90) for name, label in FORMATS.items()
            ]
            downloads += [
                gr.DownloadButton(label, elem_id=f"download-{name}", interactive=False, min_width=190)
                for label, name in texts.choices("DOWNLOAD_REPORTS")
            ]
        measured = gr.HTML("", elem_id="measured")
        with gr.Accordion(texts.DETAILS, open=False, elem_id="details") as details:
            gr.HTML(texts.LISTEN)
            with gr.Row():
                original = player(texts.ORIGINAL, "original")
                reconstructed = player(texts.RECONSTRUCTED, "reconstructed")
            with gr.Row(elem_classes="actions"):
                guard = gr.Checkbox(
                    label=texts(partial(_guard, reconstruction_top1)), elem_id="guard", container=False, scale=3
                )
                own_download, data = (
                    gr.DownloadButton(label, elem_id=f"download-{name}", interactive=False)
                    for label, name in texts.choices("GUARDED_DOWNLOADS")
                )
            gr.HTML(texts(lambda texts: _mels_caption(texts, converter.profiles)))
            plot = gr.Plot(label=texts.MELS_LABEL, show_label=False, elem_id="spectrograms", container=False)
            with gr.Row(elem_classes="actions"):
                pictures = [_picture_download(texts, kind) for kind in PICTURES]
            view = _view_choices(texts)
            drawn_view = gr.Textbox(json.dumps([plots.View().axis]), visible=False)
    states = gr.Textbox(visible=False), gr.State(None), gr.State(None), gr.Textbox(visible=False)
    inputs = source, choice, target, consent, pseudonym, register, subject, profile
    result = notes, protection, swapped, downloads, measured
    more = details, original, reconstructed, guard, own_download, data, plot, pictures, view, drawn_view
    return Tab(*inputs, convert, cancel, example, intro, progress, results, *result, *more, *states)


def _mels_caption(texts: Texts, profiles: Sequence[str]) -> str:
    return texts.MELS.format(strict=texts.MELS_STRICT if STRICT in profiles else "")


def _picture_download(texts: PageTexts, kind: str) -> gr.DownloadButton:
    label = texts(lambda texts: texts.DOWNLOAD_MELS.format(kind=kind.upper()))
    return gr.DownloadButton(label, elem_id=f"download-{kind}", interactive=False)


def _view_choices(texts: PageTexts) -> list[gr.Component]:
    """Settings of the spectrograms, in the order of `Anonymizer.show_spectrograms`."""
    default = plots.View()
    with gr.Accordion(texts.VIEW, open=False, elem_id="view"):
        with gr.Row():
            axis = gr.Radio(texts.choices("VIEW_AXES"), value=default.axis, label=texts.VIEW_AXIS)
            palette = gr.Radio(list(plots.PALETTES), value=default.palette, label=texts.VIEW_PALETTE)
        range_db = gr.Slider(30, 110, value=default.range_db, step=10, label=texts.VIEW_RANGE, buttons=[])
        difference = gr.Checkbox(label=texts.VIEW_DIFFERENCE, value=default.difference, elem_id="difference")
    return [axis, palette, range_db, difference]


def _profile_choice(converter: Converter, texts: PageTexts, visible: bool) -> gr.Radio:
    """Radio buttons of the profiles, each with its figure; hidden where there is only one."""
    figures = converter.figures

    def label(texts: Texts, name: str) -> str:
        words = f"{texts.PROFILE_NAMES[name]}. {texts.PROFILES[name]}"
        if name in figures:
            words += " " + texts.PROFILE_FIGURE.format(eer=percent(figures[name].eer[HEADLINE_S]))
        return words

    def note(texts: Texts) -> str:
        is_measured = figures.keys() & set(converter.profiles)
        measured = texts.PROFILE_NOTE.format(seconds=HEADLINE_S) if is_measured else ""
        return f'<p class="soft">{measured} {texts.NO_PATIENT}</p>'

    options = [(texts(lambda texts, name=name: label(texts, name)), name) for name in converter.profiles]
    with gr.Column(elem_classes="card", visible=visible):
        gr.HTML(texts.PROFILE)
        choice = gr.Radio(options, value=converter.default_profile, label=texts.PROFILE_LABEL, elem_id="profile")
        gr.HTML(texts(note))
    return choice


def connect_events(anonymizer: "Anonymizer", tab: Tab) -> None:
    """Connect the events of the tab to their handlers."""
    inputs, area = tab.inputs, tab.results_area
    # Gradio calls the handlers of one event in this order, each after the one before has ended. So
    # the quick ones come first.
    changes = [part.change for part in (*inputs, tab.shown_run_id)]
    state = [*inputs, tab.shown_run_id, tab.run]
    checked = gr.on(changes, anonymizer.drop_if_changed, state, area, trigger_mode="always_last", **QUICK)
    # It fails if a file that the page names is gone from the server.
    checked.failure(anonymizer.show_changed, None, area, **QUICK)
    consent = [tab.target, tab.consent, tab.consented]
    tab.target.change(anonymizer.reset_consent, consent, tab.consent, **QUICK)
    for clip, decode in ((tab.source, anonymizer.decode_source), (tab.target, anonymizer.decode_target)):
        decode_on_change(anonymizer.converter.recordings, clip, decode)
    chosen = [tab.target, tab.consent, tab.pseudonym]
    # By default, Gradio ignores a choice while the answer to the one before is on its way.
    tab.choice.input(anonymizer.choose_target, tab.choice, chosen, trigger_mode="always_last", **QUICK)
    # In the browser, so that the path is known before any later click.
    tab.consent.input(None, [tab.consent, tab.target], tab.consented, js=_CONSENTED_RECORDING_JS)
    tab.guard.change(None, tab.guard, [tab.own_download, tab.data], js=_ALLOW_JS)
    # A warning needs the queue. The output is a state and not a visible component: there, Gradio
    # would write "Error" for screen readers.
    requested = tab.convert.click(
        anonymizer.request_run,
        [*inputs, tab.consent, tab.consented],
        tab.requested,
        show_progress="hidden",
        **PRIVATE,
    )
    filled = [tab.source, tab.choice, *chosen, tab.requested]
    hidden = {"show_progress": "hidden"}
    example = tab.example.click(anonymizer.load_example, [tab.source, tab.profile], filled, **hidden, **PRIVATE)
    drawn = [tab.run, *tab.view]
    recolor = {"fn": None, "inputs": tab.view, "outputs": tab.drawn_view, "js": _RECOLOR_JS}
    gr.on([part.change for part in tab.view], **recolor)
    redrawn = tab.drawn_view.change(anonymizer.show_spectrograms, drawn, tab.spectrograms, **hidden, **HEAVY)
    redrawn.success(**recolor)  # it may have changed again meanwhile
    several = {"trigger_mode": "multiple"}  # a dropped run may still be in its last stage when the next one starts
    waiting = {"show_progress": "full", "show_progress_on": tab.spectrograms}
    opened = tab.details.expand(anonymizer.show_details, drawn, tab.detail_parts, **waiting, **several, **HEAVY)
    opened.success(anonymizer.draw_pictures, tab.run, tab.pictures, **hidden, **several, **HEAVY)
    for ready in (requested, example):
        started = ready.success(anonymizer.start_run, [tab.requested, tab.run], [tab.run, *area], **several, **QUICK)
        converted = started.success(anonymizer.run_with_progress, tab.run, tab.progress, **hidden, **several, **HEAVY)
        converted.failure(anonymizer.show_failure, tab.run, area, **several, **QUICK)
        shown = converted.success(anonymizer.show_result, [*inputs, tab.run], area, **several, **QUICK)
        shown.success(None, None, None, js=_TO_RESULT_JS)
        encoded = tab.downloads[1 : len(FORMATS)]
        shown.success(anonymizer.encode_downloads, tab.run, encoded, **hidden, **several, **HEAVY)
        if anonymizer.converter.measurer.has_asr:
            counted = [tab.measured, *tab.downloads[len(FORMATS) :]]
            shown.success(anonymizer.count_words, tab.run, counted, **hidden, **several, **HEAVY)
    tab.cancel.click(anonymizer.cancel, tab.run, area, **QUICK)
