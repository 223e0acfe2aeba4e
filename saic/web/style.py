"""Colors, spacing and scripts of the page.

Each text color has a contrast of at least 4.5 with its background (WCAG 2 AA). Fonts are those of
the visitor's system: fetching fonts would tell another server who opened the page.
"""

import json

import gradio as gr

from saic.audio import SUFFIXES
from saic.web.texts import NOT_AUDIO

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
    "block_border_color": _LINE,
    "block_label_background_fill": _RAISED,
    "block_label_border_color": _LINE,
    "block_label_text_color": _INK,
    "block_title_text_color": _INK,
    "block_info_text_color": _SOFT_INK,
    "border_color_primary": _LINE,
    "border_color_accent": _ACCENT,
    "color_accent_soft": _RAISED,
    "panel_background_fill": _CARD,
    "input_background_fill": _CARD,
    "input_border_color": _LINE,
    "input_placeholder_color": _SOFT_INK,
    "link_text_color": _ACCENT,
    "link_text_color_hover": _ACCENT_HOVER,
    "link_text_color_visited": _ACCENT,
    "link_text_color_active": _ACCENT_HOVER,
    "accordion_text_color": _INK,
    "checkbox_background_color": _CARD,
    "checkbox_background_color_selected": ("#0b6470", "#0b6470"),  # under a white tick
    "checkbox_border_color": _SOFT_INK,
    "checkbox_border_color_selected": _ACCENT,
    "checkbox_label_background_fill": _CARD,
    "checkbox_label_background_fill_hover": _RAISED,
    "checkbox_label_background_fill_selected": _RAISED,
    "checkbox_label_border_color": _LINE,
    "checkbox_label_border_color_selected": _ACCENT,
    "checkbox_label_text_color": _INK,
    "checkbox_label_text_color_selected": _INK,
    "button_primary_background_fill": _ACCENT,
    "button_primary_background_fill_hover": _ACCENT_HOVER,
    "button_primary_border_color": _ACCENT,
    "button_primary_text_color": _ON_ACCENT,
    "button_primary_text_color_hover": _ON_ACCENT,
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
.gradio-container .main { padding: 1rem clamp(.8rem, 3vw, 2rem) !important; }
.gradio-container h1 { font-size: clamp(1.55rem, 4vw, 1.9rem); line-height: 1.2;
  margin: .5rem 0 .25rem; letter-spacing: -.01em; }
.gradio-container h2 { font-size: 1.2rem; margin: 0 0 .35rem; }
.gradio-container h3 { font-size: 1.02rem; margin: 0 0 .4rem; }
.gradio-container p { margin: 0 0 .6rem; line-height: 1.5; }
.html-container { padding: 0 !important; }
.html-container.pending { opacity: 0; }  /* Gradio's progress bar is on top of it */
.progress { border: 1.5px dashed var(--body-text-color-subdued); border-radius: 10px; padding: 1.5rem 1.25rem; }
.progress p { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; }
.bar { height: 12px; border-radius: 6px; overflow: hidden; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); }
.bar span { display: block; height: 100%; background: var(--loader-color); transition: width .4s linear; }
/* A waveform is 20 px a second wide and scrolls in its frame. Without this, it widens the page. */
.gradio-container { overflow: clip !important; }  /* hidden would keep the buttons from sticking to the window */
.upload-container > .wrap { min-height: 9rem; }
.component-wrapper { contain: inline-size; }
.toast-message-item[hidden] { display: none; }
.title { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1rem; }
.title p { margin: 0 !important; }
.lead { font-size: 1.15rem; color: var(--body-text-color-subdued); }
.soft { color: var(--body-text-color-subdued); font-size: .9rem; }
.sr-only { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.notes { list-style: none; margin: .4rem 0 0; padding: 0; display: grid; gap: .4rem 1rem; font-size: .9rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.notes li { margin: 0 !important; padding: .35rem .7rem; border-radius: 4px; line-height: 1.4;
  border-left: 4px solid var(--button-primary-background-fill); background: var(--background-fill-secondary); }
.note-warning { border: 1px solid var(--error-border-color); background: var(--error-background-fill);
  color: var(--error-text-color); border-radius: 8px; padding: .7rem 1rem; margin: .6rem 0; }
.step { display: inline-block; width: 1.7em; height: 1.7em; line-height: 1.7em; margin-right: .35em;
  text-align: center; font-size: .85em; border-radius: 50%; background: var(--button-primary-background-fill);
  color: var(--button-primary-text-color); }
.tab-container button { font-size: 1rem; }
.card { background: var(--block-background-fill); border: 1px solid var(--border-color-primary);
  border-radius: 10px; padding: 1.1rem; }
.card > .hide-container { flex-grow: 0; }  /* keep a heading next to its content */
.actions { align-items: stretch; flex-grow: 0; }
#choice .wrap:has(label) { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.2rem, 1fr)); gap: .3rem; }
#choice .wrap > label { padding: .4rem .35rem; white-space: nowrap; }
#choice .wrap > label > span { margin-left: .35rem; }
#choice .wrap > label:nth-last-child(-n+2) { grid-column: 1 / -1; }
#profile .wrap:has(label) { display: grid; gap: .3rem; }
#profile .wrap > label { align-items: flex-start; line-height: 1.35; padding: .4rem .5rem; }
#profile .wrap > label > input { margin-top: .15em; flex: none; }
#profile { padding: 0; border: 0 !important; }
#profile > span { position: absolute; clip-path: inset(50%); }  /* its label: the heading says the same */
.stack > .card:first-child { flex-grow: 1; }
.card > .form { flex-grow: 0 !important; }
.form:has(> #profile) { border: 0; background: none; }
.empty { border: 1.5px dashed var(--body-text-color-subdued); border-radius: 10px; padding: 2rem 1.25rem;
  text-align: center; }
.empty p { max-width: 40rem; margin: .25rem auto 0; color: var(--body-text-color-subdued); }
p.empty { padding: .8rem; margin: 0; color: var(--body-text-color-subdued); }
#spectrograms { min-height: 736px; background: #fff; border-radius: 6px; overflow: hidden; }
#intro:not(:has(.empty)) { display: none; }
#intro { min-height: 4rem; }
.dark .gradio-container { --color-accent: var(--border-color-accent); }  /* Gradio has no dark variant of it */
.swapped { border: 2px solid var(--border-color-accent) !important; }
footer .divider { display: none; }
.columns { display: grid; gap: .5rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.columns > div > :first-child { margin-top: 0 !important; }
.plain { margin: 0; padding-left: 1.1rem; list-style: disc; }
.plain li { margin: 0 0 .45rem !important; line-height: 1.45; }

/* What was protected: a scale from 0 to 1 with two typical ranges as bands, and two marks. */
.protection { --different: #9db4bb; --same: #e0a458; --before: #14242b; --after: #0b6470; }
.dark .protection { --different: #48626c; --same: #96661f; --before: #e8eff1; --after: #7fd3de; }
.protection h2 { margin-top: 0 !important; }
.verdict { font-size: 1.05rem; }
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
.meter { position: relative; height: 10px; border-radius: 5px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); }
.meter span { position: absolute; inset: 0 auto 0 0; border-radius: 5px; background: var(--body-text-color-subdued); }
.accepted .meter span { background: var(--button-primary-background-fill); }
.meter i { position: absolute; top: -5px; bottom: -5px; width: 2px; background: var(--body-text-color); }
.score { font-variant-numeric: tabular-nums; text-align: right; }

/* About, with its documents */
.about h2 { margin: 1.2rem 0 .5rem !important; }
.about li { margin: .3rem 0; line-height: 1.5; }

.report { contain: inline-size; }
.report + .report { margin-top: 1.2rem; }
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
  .row:has(> .stack) { display: grid; grid-template-columns: 1fr 1fr; }
  .always-visible { position: sticky; bottom: 0; z-index: 5; padding: .5rem 0;
    background: var(--body-background-fill); }
  .key { display: grid; grid-template-rows: auto auto; grid-auto-flow: column; justify-content: start; }
}
@media (pointer: coarse) {
  #spectrograms .nsewdrag { pointer-events: none !important; }  /* else a finger cannot scroll past the figure */
}
@media (max-width: 640px) {
  .picture svg.wide { display: none; }
  .picture svg.tall { display: block; }
  .tab-container button { font-size: .95rem; padding-inline: .65rem; }
  .card { padding: .8rem; }
  .scores li { grid-template-columns: minmax(5rem, 1fr) 1fr 2.6rem; }
}
"""

_SCRIPT = r"""
() => {
  // Explain why a microphone does not work: Gradio says little, and nothing if the page is not secure.
  const note = document.getElementById("microphone-note");
  const showNote = (text) => {
    note.textContent = text;
    note.hidden = false;
    note.scrollIntoView({block: "nearest"});
  };
  const reasons = {
    NotAllowedError: "The browser does not let this page use the microphone. Allow it in the address bar's settings, "
      + "then record again, or upload a file.",
    NotFoundError: "No microphone was found. Plug one in and try again, or upload a file.",
    NotReadableError: "Another program is using the microphone. Close it and try again, or upload a file.",
  };
  const devices = navigator.mediaDevices;
  if (!window.isSecureContext || !devices) {
    document.addEventListener("click", (event) => {
      if (event.target.closest("[aria-label='Record audio'], .record-button")) showNote("Browsers allow recording "
        + "only over https or on the computer itself. Open the page at its https address, or upload a file.");
    }, true);
  } else {
    const getUserMedia = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (constraints) => {
      try {
        const stream = await getUserMedia(constraints);
        note.hidden = true;
        return stream;
      } catch (error) {
        showNote(reasons[error.name] || "The microphone cannot be used. Upload a file instead.");
        throw error.name in reasons ? new DOMException(error.message, "NotAllowedError") : error;
      }
    };
  }
  // In a map, the arrow keys move the focus from voice to voice.
  document.addEventListener("keydown", (event) => {
    const voice = event.target.closest?.(".map .v");
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!voice || !step) return;
    const voices = [...voice.parentElement.querySelectorAll(".v")];
    const next = voices[(voices.indexOf(voice) + step + voices.length) % voices.length];
    voice.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    event.preventDefault();
  });
  // Gradio accepts files by their MIME type, which browsers do not know for many formats. Here, the suffix decides.
  const suffixes = __SUFFIXES__;
  const isRecording = (file) => file.type.startsWith("audio/")
    || suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix));
  const asAudio = (files) => {
    const transfer = new DataTransfer();
    for (const file of files) {
      const type = !isRecording(file) ? "application/octet-stream" : file.type.startsWith("audio/") ? file.type
        : "audio/wav";
      transfer.items.add(new File([file], file.name, {type}));
    }
    return transfer.files;
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("input[type=file]") && event.target.files.length)
      event.target.files = asAudio(event.target.files);
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.matches?.("input[type=file]")) event.target.accept = ["audio/*", ...suffixes].join(",");
  }, true);
  document.addEventListener("drop", (event) => {
    const input = event.target.closest?.("button, .upload-container")?.querySelector("input[type=file]");
    if (!input || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    input.files = asAudio([...event.dataTransfer.files].slice(0, 1));
    input.dispatchEvent(new Event("change"));
  }, true);
  // A toast is titled by the first sentence of its message, instead of "Error" or "Warning".
  const entitle = () => {
    for (const toast of document.querySelectorAll(".toast-body")) {
      for (const text of toast.querySelectorAll(".toast-message-text")) {
        const node = [...text.childNodes].find((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
        if (node?.data.startsWith("Invalid file type")) node.data = __NOT_AUDIO__;
      }
      const title = toast.querySelector(".toast-title"), text = toast.querySelector(".toast-message-text");
      if (!title || !text || title.dataset.entitled) continue;
      const words = [...text.childNodes].find((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
      const name = [...title.childNodes].find((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
      if (!words || !name) continue;
      const [, first, rest] = words.data.trim().match(/^(.*?[.!?])(?:\s+([^]*))?$/) ?? [null, words.data.trim(), ""];
      title.dataset.entitled = true;
      name.data = first + " ";
      words.data = rest ?? "";
      text.closest(".toast-message-item").hidden = !rest;
    }
  };
  new MutationObserver(entitle).observe(document.body, {childList: true, subtree: true});
  // The server ends Gradio's event stream once no event is pending. If an event joins while the message
  // "close_stream" is on its way, Gradio's client counts on the stream that is about to close, and the event
  // stays without an answer. So a stream that ends while an event is pending is replaced by a new one.
  const send = window.fetch.bind(window);
  const pending = new Set(), completed = new Set();  // ids of events; `completed`: before their join was answered
  let joining = 0;
  const join = async (request, options) => {
    joining += 1;
    try {
      const response = await send(request, options);
      const id = response.ok && (await response.clone().json()).event_id;
      if (id && !completed.delete(id)) pending.add(id);
      return response;
    } finally {
      joining -= 1;
    }
  };
  const stream = async (request, options) => {
    const first = await send(request, options);
    if (!first.ok) return first;
    const encoder = new TextEncoder();
    const body = new ReadableStream({async start(controller) {
      try {
        for (let part = first; ; part = await send(request, options)) {
          const reader = part.body.pipeThrough(new TextDecoderStream()).getReader();
          let text = "", isReplaced = false;
          for (let read = await reader.read(); !read.done; read = await reader.read()) {
            const searched = Math.max(0, text.length - 1);
            text += read.value;
            for (let end = text.indexOf("\n\n", searched); end >= 0; end = text.indexOf("\n\n")) {
              const message = text.slice(0, end + 2), head = message.slice(0, 200);
              text = text.slice(end + 2);
              const id = head.match(/"msg":"process_completed".*?"event_id":"(\w+)"/)?.[1];
              if (id && !pending.delete(id)) completed.add(id);
              isReplaced = head.includes('"msg":"close_stream"') && (pending.size > 0 || joining > 0);
              if (!isReplaced) controller.enqueue(encoder.encode(message));
            }
          }
          if (!isReplaced) break;
        }
        controller.close();
      } catch (error) {
        controller.error(error);
      }
    }});
    return new Response(body, {status: first.status, headers: first.headers});
  };
  window.fetch = (request, options) => {
    const path = new URL(request.url ?? request, location.href).pathname;
    return (path.endsWith("/queue/join") ? join : path.endsWith("/queue/data") ? stream : send)(request, options);
  };
}
"""

SCRIPT = _SCRIPT.replace("__SUFFIXES__", json.dumps(sorted(SUFFIXES))).replace("__NOT_AUDIO__", json.dumps(NOT_AUDIO))
