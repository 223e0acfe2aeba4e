"""Colors and spacing of the page.

Each text color has a contrast of at least 4.5 with its background (WCAG 2 AA). Fonts are those of
the visitor's system: fetching fonts would tell another server who opened the page.
"""

import gradio as gr

from saic.web.texts import LANGUAGES

_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_FONT_MONO = ("ui-monospace", "Consolas", "monospace")

# role: (light, dark)
_INK = ("#14242b", "#e8eff1")
_SOFT_INK = ("#48595f", "#a9bbc2")
_BACKGROUND = ("#f4f7f7", "#0d161a")
_CARD = ("#ffffff", "#142127")
_RAISED = ("#eaf0f1", "#1d2d34")
_LINE = ("#c6d2d5", "#33464e")
_ACCENT = ("#0b6470", "#7fd3de")
_ACCENT_HOVER = ("#084d57", "#a5e2ea")
_ON_ACCENT = ("#ffffff", "#06222a")
_ALARM_BACKGROUND = ("#fdf1ee", "#3a1d18")
_ALARM = ("#8f2412", "#ffb9a8")

_ROLES = {
    "body_background_fill": _BACKGROUND,
    "background_fill_primary": _CARD,
    "background_fill_secondary": _RAISED,
    "body_text_color": _INK,
    "body_text_color_subdued": _SOFT_INK,
    "block_background_fill": _CARD,
    "block_label_background_fill": _RAISED,
    "block_label_text_color": _INK,
    "block_title_text_color": _INK,
    "border_color_primary": _LINE,
    "border_color_accent": _ACCENT,
    "color_accent_soft": _RAISED,
    "panel_background_fill": _CARD,
    "input_background_fill": _CARD,
    "input_border_color": _SOFT_INK,
    "input_border_color_focus": _ACCENT,
    "input_placeholder_color": _SOFT_INK,
    "link_text_color": _ACCENT,
    "link_text_color_hover": _ACCENT_HOVER,
    "link_text_color_visited": _ACCENT,
    "link_text_color_active": _ACCENT_HOVER,
    "checkbox_background_color": _CARD,
    "checkbox_border_color": _SOFT_INK,
    "checkbox_border_color_selected": _ACCENT,
    "checkbox_label_background_fill_selected": _RAISED,
    "checkbox_label_border_color_selected": _ACCENT,
    "button_primary_background_fill": _ACCENT,
    "button_primary_background_fill_hover": _ACCENT_HOVER,
    "button_primary_border_color": _ACCENT,
    "button_primary_text_color": _ON_ACCENT,
    "button_secondary_background_fill": _CARD,
    "button_secondary_background_fill_hover": _RAISED,
    "button_secondary_border_color": _ACCENT,
    "button_secondary_text_color": _ACCENT,
    "button_secondary_text_color_hover": _ACCENT_HOVER,
    "error_background_fill": _ALARM_BACKGROUND,
    "error_border_color": _ALARM,
    "error_text_color": _ALARM,
    "error_icon_color": _ALARM,
    "loader_color": _ACCENT,
    "slider_color": _ACCENT,
}

WAVEFORM = {"waveform_color": "#7d949c", "waveform_progress_color": "#1391a1"}
"""Waveform colors of the players, visible on the light and the dark card."""


def theme() -> gr.themes.Base:
    """The page's theme, light and dark."""
    roles = {name: light for name, (light, _) in _ROLES.items()}
    roles |= {f"{name}_dark": dark for name, (_, dark) in _ROLES.items()}
    base = gr.themes.Base(primary_hue="teal", neutral_hue="slate", font=_FONT, font_mono=_FONT_MONO)
    return base.set(
        **roles,
        block_shadow="none",
        input_border_width="1px",
        input_border_width_dark="1px",
        button_border_width="1px",
        button_primary_shadow="none",
        color_accent="#0b6470",
    )


# Gradio puts ".contain" before every selector inside @media: there, only elements inside the column
# can be selected.
CSS = """
.gradio-container { max-width: 1120px !important; margin: 0 auto !important;
  --neutral-400: var(--body-text-color-subdued); }  /* times and buttons of the players: the default is too pale */
.gradio-container .main { padding: .7rem clamp(.8rem, 3vw, 2rem) !important; }
.gradio-container h1 { font-size: 1.3rem !important; line-height: 1.2; margin: 0 !important; letter-spacing: -.01em;
  white-space: nowrap; }
.gradio-container h2 { font-size: 1.1rem !important; margin: 0 0 .3rem !important; }
.gradio-container h3 { font-size: 1.02rem; margin: 0 0 .4rem; }
.gradio-container p { margin: 0 0 .6rem; line-height: 1.5; }
.html-container { padding: 0 !important; }
.html-container.pending { opacity: 0; }  /* Gradio's progress bar is on top of it */
.progress { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: .5rem .8rem .7rem;
  background: var(--block-background-fill); }
.progress p { margin: 0 0 .3rem; display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; }
.bar { height: 12px; border-radius: 6px; overflow: hidden; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); }
.bar span { display: block; height: 100%; background: var(--loader-color); transition: width .4s linear; }
/* A waveform is 20 px a second wide and scrolls in its frame. Without this, it widens the page. */
.gradio-container { overflow: clip !important; }  /* hidden would keep the buttons from sticking to the window */
.upload-container > .wrap { min-height: 6rem; }
.component-wrapper { contain: inline-size; }
.toast-message-item[hidden] { display: none; }
.header { align-items: center; flex-wrap: nowrap !important; }
.title { display: flex; flex-wrap: wrap; align-items: baseline; gap: .1rem 1.2rem; }
.title .warning { margin: 0 !important; font-size: .82rem; line-height: 1.3; }
.header > div:first-child { gap: 0; }
#delete { white-space: nowrap; align-self: center; padding-block: .35rem; flex: none; width: max-content; }
.gradio-container :is(input, textarea, select):focus-visible {
  box-shadow: 0 0 0 3px var(--border-color-accent) !important; }
.gradio-container label:has(> input:focus-visible) { outline: 2px solid var(--border-color-accent);
  outline-offset: 2px; }
.soft { color: var(--body-text-color-subdued); font-size: .9rem; }
.sr-only { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.note-warning { border: 1px solid var(--error-border-color); background: var(--error-background-fill);
  color: var(--error-text-color); border-radius: 8px; padding: .7rem 1rem; margin: .6rem 0; }
.step { display: inline-block; width: 1.7em; height: 1.7em; line-height: 1.7em; margin-right: .35em;
  text-align: center; font-size: .85em; border-radius: 50%; background: var(--button-primary-background-fill);
  color: var(--button-primary-text-color); }
.tab-container button { font-size: 1rem; }
.tab-wrapper { contain: inline-size; }  /* else tabs can widen the page instead of moving into the menu */
.card { background: var(--block-background-fill); border: 1px solid var(--border-color-primary);
  border-radius: 10px; padding: .8rem 1rem; gap: .6rem !important; }
.card > .hide-container { flex-grow: 0; }  /* keep a heading next to its content */
.actions { align-items: stretch; flex-grow: 0; }
#choice .wrap:has(label) { display: grid; gap: .3rem; grid-template-columns: repeat(6, minmax(0, 1fr)); }
#choice .wrap > label, #register .wrap > label { padding: .3rem .35rem; white-space: nowrap; }
#choice .wrap > label > span, #register .wrap > label > span { margin-left: .3rem; }
#choice .wrap > label { grid-column: span 2; }
#choice .wrap > label:nth-child(-n+2) { grid-column: span 3; }
#choice, #register, #profile { padding: 0; border: 0 !important; }
:is(#choice, #profile) > span { position: absolute; clip-path: inset(50%); }  /* the label: a heading says the same */
#register .wrap { gap: .3rem; }
.form:has(> :is(#choice, #register, #profile)) { border: 0; background: none; }
.form:has(> :is(#choice, #register)) { gap: .6rem; }
/* The sources are two equal buttons under the recorder. */
:is(#source, #target, #voice, #query) .source-selection { display: flex; gap: .5rem; height: auto; padding: .5rem;
  border: 0; }
:is(#voice, #query) { flex: none; overflow: visible !important; }  /* as high as what they hold */
.source-selection button { flex: 1; min-height: 2.6rem; border-radius: 8px; color: var(--button-secondary-text-color);
  border: 1px solid var(--button-secondary-border-color); font-weight: 600; display: flex; align-items: center;
  justify-content: center; gap: .5rem; line-height: 1.2; padding: .3rem; }
.source-selection button > * { flex: none; width: 1.2rem; height: 1.2rem; }
.source-selection button.selected { background: var(--background-fill-secondary); }
#profile .wrap:has(label) { display: grid; gap: .3rem .6rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
#profile .wrap > label { align-items: flex-start; line-height: 1.35; padding: .4rem .5rem; }
#profile .wrap > label > input { margin-top: .15em; flex: none; }
.card > .form { flex-grow: 0 !important; }
.empty { border: 1.5px dashed var(--body-text-color-subdued); border-radius: 10px; padding: 2rem 1.25rem;
  text-align: center; }
.empty p { max-width: 40rem; margin: .25rem auto 0; color: var(--body-text-color-subdued); }
p.empty { padding: .8rem; margin: 0; color: var(--body-text-color-subdued); }
#spectrograms { min-height: 736px; background: #fff; border-radius: 6px; overflow: hidden; contain: inline-size; }
#spectrograms .meta-text { display: none; }  /* Gradio's words beside its progress are in English */
.playhead { position: absolute; width: 2px; background: #fff; box-shadow: 0 0 0 1px #000; pointer-events: none; }
#intro:not(:has(.empty)) { display: none; }
#intro { min-height: 4rem; }
.dark .gradio-container { --color-accent: var(--border-color-accent); }  /* Gradio has no dark variant of it */
.swapped { border: 2px solid var(--border-color-accent) !important; }
footer .divider { display: none; }
.columns { display: grid; gap: .5rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.columns > div > :first-child { margin-top: 0 !important; }
.plain { margin: 0; padding-left: 1.1rem; list-style: disc; }
.plain li { margin: 0 0 .45rem !important; line-height: 1.45; }

.verdict { border-radius: 10px; border: 1px solid var(--mark); border-left: 8px solid var(--mark);
  background: var(--block-background-fill); padding: .8rem 1rem; font-size: 1.05rem; margin: 0 !important; }
[class^="mark-"] { border-left: 5px solid var(--mark); padding-left: .5rem; }
.verdict.good, .mark-good { --mark: #1f7a4d; }
.verdict.some, .mark-some { --mark: #b7791f; }
.verdict.little, .mark-little { --mark: #b3261e; }
.verdict.unknown { --mark: var(--body-text-color-subdued); }
#guard { align-self: center; }
#batch-list td { white-space: normal; }

/* What was measured: a scale from 0 to 1 with two typical ranges as bands, and two marks. */
.protection, #answer { --different: #9db4bb; --same: #e0a458; --before: #14242b; --after: #0b6470; }
.dark .protection, .dark #answer { --different: #48626c; --same: #96661f; --before: #e8eff1; --after: #7fd3de; }
.protection h2 { margin-top: 0 !important; }
.strip { margin: 0 0 1.1rem; }
.strip p { display: flex; justify-content: space-between; margin: 0 0 .3rem; }
.values { font-variant-numeric: tabular-nums; }
.values strong { margin-left: .25em; }
.was { color: var(--body-text-color-subdued); }
.scale { position: relative; height: 14px; border-radius: 7px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); }
.band { position: absolute; top: 0; bottom: 0; border-radius: 6px; }
.band.different, .swatch.different { background: var(--different); }
.band.same, .swatch.same { background: var(--same); }
.mark { position: absolute; top: -4px; width: 20px; height: 20px; margin-left: -10px; border-radius: 50%;
  border: 3px solid var(--before); background: var(--block-background-fill); }
.mark.after { border-color: var(--block-background-fill); background: var(--after); outline: 1px solid var(--after); }
.key { list-style: none; padding: 0; margin: 0 0 .6rem; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.key li { margin: 0 !important; display: flex; align-items: center; gap: .45rem; font-size: .9rem; }
.swatch { width: 18px; height: 12px; border-radius: 4px; }
.swatch.before, .swatch.after { width: 14px; height: 14px; border-radius: 50%; border: 3px solid var(--before); }
.swatch.after { border-color: var(--after); background: var(--after); }

/* Maps: on white in both modes, as in the paper. */
.maps-menu { display: flex; justify-content: flex-end; margin: 0 0 .6rem !important; }
.maps-menu select { margin-left: .5rem; padding: .3rem .5rem; border-radius: 6px; color: var(--body-text-color);
  background: var(--input-background-fill); border: 1px solid var(--body-text-color-subdued); max-width: 60vw;
  appearance: auto; }
.maps-pair { display: grid; gap: 1rem 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.maps figure { margin: 0; }
.maps figcaption { min-height: 3.2em; margin-bottom: .4rem; line-height: 1.45; }
.map { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--border-color-primary);
  border-radius: 8px; }
.map .v { transition: opacity .15s; cursor: pointer; }
.map .v:focus { outline: none; }
.map .v text { font-size: 15px; font-weight: 600; fill: #14242b; stroke: #fff; stroke-width: 4px;
  paint-order: stroke; pointer-events: none; }
#unseen { margin-top: .5rem; }
.unseen-map { min-height: 460px; background: #fff; border-radius: 6px; overflow: hidden; contain: inline-size; }
.legend { list-style: none; padding: 0; margin: .9rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; }
.legend li { display: flex; align-items: center; gap: .4rem; margin: 0 !important; }
.legend svg { background: #fff; border-radius: 50%; }

/* Identify */
.enrolled { list-style: none; padding: 0; margin: 0; }
.enrolled li { display: flex; justify-content: space-between; padding: .45rem .2rem; margin: 0 !important;
  border-bottom: 1px solid var(--border-color-primary); }
.enrolled + .soft { margin-top: .6rem !important; }
.answer h3 { font-size: 1.25rem; margin: .4rem 0 .8rem; }
.scores { list-style: none; padding: 0; margin: 0 0 .8rem; }
.scores li { display: grid; grid-template-columns: minmax(6rem, 1fr) 2fr 3rem; gap: .8rem; align-items: center;
  margin: 0 0 .4rem !important; color: var(--body-text-color-subdued); }
.scores li.accepted { color: var(--body-text-color); font-weight: 600; }
.scores .who { overflow: hidden; text-overflow: ellipsis; }
.scores .scale i { position: absolute; top: -5px; bottom: -5px; width: 3px; margin-left: -1px;
  background: var(--before); }
.swatch.line { width: 3px; height: 18px; border-radius: 0; background: var(--before); }
.answer + .answer { border-top: 1px solid var(--border-color-primary); padding-top: .8rem; }
.example { font-style: italic; }
.score { font-variant-numeric: tabular-nums; text-align: right; }

/* Evaluation: figures are on white in both modes */
.topics { columns: 26rem; column-gap: 1rem; }  /* as a grid, a short topic beside a long one would leave a hole */
.topic { min-width: 0; margin-top: 1rem; break-inside: avoid; }
.topic img { display: block; width: 100%; max-width: 32rem; height: auto; background: #fff; padding: .6rem;
  border: 1px solid var(--border-color-primary); border-radius: 8px; margin-bottom: .5rem; }
.topic details { margin-top: .5rem; contain: inline-size; }
.topic details details { margin: .3rem 0 .3rem .8rem; }
.topic summary { cursor: pointer; padding: .3rem 0; font-weight: 600; }
.topic details details summary { font-weight: 400; }
.topic .soft { margin: .5rem 0 0; overflow-wrap: anywhere; }
.names { display: grid; grid-template-columns: minmax(0, max-content) 1fr; gap: .3rem 1rem; margin: .5rem 0 0; }
.names dt { overflow-wrap: anywhere; }
.names dd { margin: 0; }
.save { border: 1px solid var(--button-secondary-border-color); color: var(--button-secondary-text-color);
  border-radius: 6px; padding: .2rem .6rem; font-size: .85rem; cursor: pointer; }

/* About, with its documents */
.about h2 { margin: 1.2rem 0 .5rem !important; }
.about li { margin: .3rem 0; line-height: 1.5; }

.report { contain: inline-size; }
.report .table { overflow-x: auto; margin: .5rem 0 1rem; }
.report h3 { margin-top: 1.2rem; }
.report ul { list-style: disc; padding-left: 1.2rem; }
.report table { font-size: .85rem; font-variant-numeric: tabular-nums; }
.report td, .report th { border-color: var(--border-color-primary) !important;
  white-space: nowrap; padding: .3rem .6rem !important; }
.picture { margin: .5rem 0 1rem; overflow-x: auto; contain: inline-size; }
.picture svg { min-width: 640px; width: 100%; height: auto; display: block; }
.picture text { fill: var(--body-text-color); font-size: 16px; text-anchor: middle; }
.picture svg.tall { display: none; min-width: 0; max-width: 24rem; margin: 0 auto; }
.picture .small, .picture .note text { font-size: 13px; fill: var(--body-text-color-subdued); }
.picture rect { fill: var(--block-background-fill); stroke: var(--border-color-primary); stroke-width: 1.5; }
.picture .strong rect { fill: var(--button-primary-background-fill); stroke: none; }
.picture .strong text { fill: var(--button-primary-text-color); font-weight: 600; }
.picture .tip { fill: var(--body-text-color-subdued); stroke: none; }
.picture .flow path { fill: none; stroke: var(--body-text-color-subdued); stroke-width: 1.8; }
@media (min-width: 641px) {
  .pair { display: grid; grid-template-columns: 1fr 1fr; }
  .always-visible { position: sticky; bottom: 0; z-index: 5; padding: .5rem 0; gap: .4rem !important;
    background: var(--body-background-fill); }
  .key { display: grid; grid-template-rows: auto auto; grid-auto-flow: column; justify-content: start; }
}
@media (pointer: coarse) {
  #spectrograms .nsewdrag, .unseen-map .nsewdrag { pointer-events: none !important; }  /* else no finger scrolls past */
}
@media (max-width: 640px) {
  .header h1 { font-size: 1.1rem !important; white-space: normal; }
  #delete { min-width: max-content !important; padding-inline: .7rem; font-size: .9rem; }
  #choice .wrap > label { grid-column: span 3; }
  #choice .wrap > label:nth-child(-n+2) { grid-column: 1 / -1; }
  .picture svg.wide { display: none; }
  .picture svg.tall { display: block; }
  .tab-container button { font-size: .82rem; padding-inline: .2rem; }
  .card { padding: .8rem; }
  .scores li { grid-template-columns: minmax(5rem, 1fr) 1fr 2.6rem; }
}
"""

# Gradio's buttons of the two sources are icons, with names in English.
for _code, _texts in LANGUAGES.items():
    for _label, _text in (("Upload file", _texts.UPLOAD), ("Record audio", _texts.RECORD)):
        CSS += f'.source-selection button[aria-label="{_label}"]:lang({_code})::after {{ content: "{_text}"; }}\n'
