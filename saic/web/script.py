"""What the page does in the browser, besides Gradio."""

import json

from saic.audio import SUFFIXES
from saic.web.texts import LANGUAGES

_SCRIPT = r"""
() => {
  // The language of the page: Gradio has set it, also to languages that have no texts here.
  const root = document.documentElement, texts = __TEXTS__;
  if (!(root.lang in texts)) root.lang = "en";
  const words = texts[root.lang];
  document.title = words.title;
  // Explain why a microphone does not work: Gradio says little, and nothing if the page is not secure.
  const note = document.getElementById("microphone-note");
  const showNote = (text) => {
    note.textContent = text;
    note.hidden = false;
    note.scrollIntoView({block: "nearest"});
  };
  const devices = navigator.mediaDevices;
  if (!window.isSecureContext || !devices) {
    document.addEventListener("click", (event) => {
      if (event.target.closest("[aria-label='Record audio'], .record-button")) showNote(words.insecure);
    }, true);
  } else {
    const getUserMedia = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (constraints) => {
      try {
        const stream = await getUserMedia(constraints);
        note.hidden = true;
        return stream;
      } catch (error) {
        showNote(words[error.name] ?? words.other);
        throw error.name in words ? new DOMException(error.message, "NotAllowedError") : error;
      }
    };
  }
  // A recording that was stopped before the browser had any sound of it cannot be decoded, and Gradio stays with an
  // empty player. A second of silence takes its place, which the server refuses as such.
  const decode = BaseAudioContext.prototype.decodeAudioData;
  OfflineAudioContext.prototype.decodeAudioData = function (...options) {
    return decode.apply(this, options).catch(() => this.createBuffer(1, this.sampleRate, this.sampleRate));
  };
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
  // One clip of the page plays at a time. While one of the result plays, a line runs over the spectrograms. A click in
  // one plays its clip from there.
  const clipIn = (waveform) => waveform?.shadowRoot?.querySelector("audio");
  const waveforms = "#waveform > div, [data-testid='recording-waveform'] > div";
  const clips = () => [...document.querySelectorAll(waveforms)].map(clipIn).filter(Boolean);
  const drawPlayhead = (clip) => {
    const plot = document.querySelector("#spectrograms .js-plotly-plot"), layout = plot?._fullLayout;
    if (!layout?.xaxis) return;
    let line = plot.querySelector(".playhead");
    if (!line) {
      line = document.createElement("div");
      line.className = "playhead";
      plot.querySelector(".svg-container").append(line);
    }
    const x = layout.xaxis.d2p(clip.currentTime);
    line.hidden = x < 0 || x > layout.xaxis._length;
    line.style.cssText = `left:${layout.xaxis._offset + x - 1}px;top:${layout._size.t}px;height:${layout._size.h}px`;
  };
  const runPlayhead = (clip) => {
    drawPlayhead(clip);
    if (!clip.paused) requestAnimationFrame(() => runPlayhead(clip));
  };
  const follow = (clip) => {
    if (clip.dataset.followed) return;
    clip.dataset.followed = true;
    const isResult = clip.getRootNode().host.closest("#results");
    clip.addEventListener("play", () => {
      for (const other of clips()) if (other !== clip) other.pause();
      if (isResult) runPlayhead(clip);
    });
    if (isResult) clip.addEventListener("seeking", () => drawPlayhead(clip));
  };
  const playFrom = ({event, points: [point]}) => {
    const name = ["original", "reconstructed", "swapped"][Number(point.yaxis._id.slice(1) || 1) - 1];
    const clip = clipIn(document.querySelector(`#results .player.${name} #waveform > div`));
    if (!(point.x < clip?.duration)) return;
    clip.currentTime = point.x;
    if (event.detail > 1) clip.pause();  // the second click of a double-click, which shows the whole again
    else clip.play();
  };
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, (event) => {
    const plot = event.target.closest?.("#spectrograms")?.querySelector(".js-plotly-plot");
    plot?.removeAllListeners("plotly_click");  // a new drawing may have removed it, or not
    plot?.on("plotly_click", playFrom);
    if (plot || event.target.closest?.(".component-wrapper")) clips().forEach(follow);
  }, true);
  // Plotly gives a figure in a hidden tab a width of 700 px when the window changes: measure again in the open tab.
  document.addEventListener("click", (event) => {
    if (event.target.closest("#tabs .tab-wrapper button")) setTimeout(() => window.dispatchEvent(new Event("resize")));
  });
  // Under a recorder, a click on "Upload a file" opens the file dialog at once. Gradio would clear a recording without
  // a question. It would not clear one that runs, or that the server has not got: those go with a change of the source.
  const unsent = "[data-testid='recording-waveform'] > div, .record-button[style*='none']";
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".source-selection button, .icon-button-wrapper button");
    const recorder = button?.closest(".block"), sources = recorder?.querySelectorAll(".source-selection button");
    if (!sources?.length || !event.isTrusted) return;
    const [file, microphone] = sources, isUnsent = recorder.querySelector(unsent);
    const isReplaced = (button === file || button === microphone) && recorder.querySelector("#waveform");
    if ((isUnsent || isReplaced) && !confirm(words.replace)) {
      event.stopImmediatePropagation();
      return;
    }
    if (button === file) setTimeout(() => recorder.querySelector(".upload-container")?.click());
    else if (isUnsent) for (const source of [file, microphone]) setTimeout(() => source.click());
  }, true);
  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector(`#delete, ${unsent}`)) event.preventDefault();
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
    input.files = asAudio([...event.dataTransfer.files].slice(0, input.multiple ? undefined : 1));
    input.dispatchEvent(new Event("change"));
  }, true);
  // A toast is titled by the first sentence of its message, instead of "Error" or "Warning".
  const textNode = (element) => [...element.childNodes].find(
    (child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
  const entitle = () => {
    for (const toast of document.querySelectorAll(".toast-body")) {
      for (const text of toast.querySelectorAll(".toast-message-text")) {
        const node = textNode(text);
        if (node?.data.startsWith("Invalid file type")) node.data = words.notAudio;
      }
      const title = toast.querySelector(".toast-title"), text = toast.querySelector(".toast-message-text");
      if (!title || !text || title.dataset.entitled) continue;
      const message = textNode(text), name = textNode(title);
      if (!message || !name) continue;
      const said = message.data.trim();
      const [, first, rest] = said.match(/^(.*?[.!?])(?:\s+([^]*))?$/) ?? [null, said, ""];
      title.dataset.entitled = true;
      name.data = first + " ";
      message.data = rest ?? "";
      text.closest(".toast-message-item").hidden = !rest;
    }
  };
  // Screen readers tell what is new in a status that was there before. So outcomes are copied into one.
  const status = document.getElementById("live"), told = {};
  const announce = () => {
    for (const outcome of ["#protection .verdict", "#answer h3", "#batch-count"]) {
      const text = [...document.querySelectorAll(outcome)].map((element) => element.textContent).join(" ");
      if (text !== (told[outcome] ?? "")) status.textContent = told[outcome] = text;
    }
  };
  new MutationObserver(() => {
    entitle();
    announce();
  }).observe(document.body, {childList: true, characterData: true, subtree: true});
  // Gradio reloads the page if a connection breaks, and all recordings and results would be gone. Here, events that run
  // then fail with a message. Other requests are sent again until the server answers, and the page says that it waits.
  const send = window.fetch.bind(window);
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const repeat = async (request, options) => {
    for (;;) {
      try {
        const response = await send(request, options), body = await response.arrayBuffer();
        if (note.textContent === words.offline) note.hidden = true;
        return new Response(body, response);
      } catch {
        keep();
        if (note.hidden || note.textContent !== words.offline) showNote(words.offline);  // it scrolls
        await pause(2000);
      }
    }
  };
  // The server ends Gradio's event stream once no event is pending. If an event joins while the message
  // "close_stream" is on its way, Gradio's client counts on the stream that is about to close, and the event
  // stays without an answer. So a stream that ends while an event is pending is replaced by a new one.
  const pending = new Set(), completed = new Set();  // ids of events; `completed`: before their join was answered
  let joining = 0, broken = 0;  // joins under way, streams that broke
  const join = async (request, options) => {
    const before = broken;
    joining += 1;
    try {
      const response = await send(request, options);
      const id = response.ok && (await response.clone().json()).event_id;
      if (id && before !== broken) throw new Error("The event was lost with the stream.");
      if (id && !completed.delete(id)) pending.add(id);
      return response;
    } catch {
      return Response.json({detail: words.lost}, {status: 502});
    } finally {
      joining -= 1;
    }
  };
  // The server sends something every 15 s. A connection that is silent for longer is broken, which the browser notices
  // late, or never if the computer was asleep.
  const inTime = (promise) => {
    let timer;
    const late = new Promise((_, reject) => timer = setTimeout(reject, 60000, new Error("The stream is silent.")));
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  };
  // The server keeps the recordings of a page while it has a connection of its own for that. Gradio opens one, and no
  // other if it breaks.
  let session = null, isKept = false;
  const keep = async () => {
    if (isKept || !session) return;
    for (isKept = true; ; await pause(5000)) {
      let reader;
      try {
        reader = (await send(`${session.root}/heartbeat/${session.hash}`)).body.getReader();
        while (!(await inTime(reader.read())).done);
      } catch {
        reader?.cancel().catch(() => {});
      }
    }
  };
  window.addEventListener("online", keep);
  // A computer that was asleep may say nothing when it wakes, but its clock has jumped.
  let ticked = Date.now();
  setInterval(() => {
    if (Date.now() - ticked > 90000) keep();
    ticked = Date.now();
  }, 30000);
  const stream = async (request, options) => {
    const first = await send(request, options).catch(() => null);
    if (first && !first.ok) return first;
    const encoder = new TextEncoder();
    const body = new ReadableStream({async start(controller) {
      const tell = (message) => controller.enqueue(encoder.encode(message));
      let isClosed = false;
      try {
        for (let part = first; ; part = await send(request, options)) {
          const reader = part.body.pipeThrough(new TextDecoderStream()).getReader();
          let text = "", isReplaced = false;
          for (let read = await inTime(reader.read()); !read.done; read = await inTime(reader.read())) {
            const searched = Math.max(0, text.length - 1);
            text += read.value;
            for (let end = text.indexOf("\n\n", searched); end >= 0; end = text.indexOf("\n\n")) {
              const message = text.slice(0, end + 2), head = message.slice(0, 200);
              text = text.slice(end + 2);
              const id = head.match(/"msg":"process_completed".*?"event_id":"(\w+)"/)?.[1];
              if (id && !pending.delete(id)) completed.add(id);
              const isLast = head.includes('"msg":"close_stream"');
              isReplaced = isLast && (pending.size > 0 || joining > 0);
              isClosed = isLast && !isReplaced;
              if (!isReplaced) tell(message);
            }
          }
          if (!isReplaced) break;
        }
      } catch {}
      if (!isClosed) {
        keep();
        broken += 1;
        if (pending.size) document.getElementById("cancel")?.click();  // the result would not be shown
        [...pending].forEach((id, k) => {
          const output = {error: words.lost, visible: k === 0, duration: null};
          tell(`data: ${JSON.stringify({msg: "process_completed", event_id: id, success: false, output})}\n\n`);
        });
        pending.clear();
        tell('data: {"msg":"close_stream"}\n\n');
      }
      controller.close();
    }});
    return new Response(body, {headers: {"Content-Type": "text/event-stream"}});
  };
  // The server takes one file per upload. Gradio sends several in one request. An upload that breaks is sent again once
  // the server answers, but not for ever: the file may be gone from the disk.
  const sendFile = async (request, options) => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await send(request, options);
      } catch (error) {
        if (tries === 3) throw error;
        await repeat(new URL("app_id", new URL(request, location.href)));
      }
    }
  };
  const upload = async (request, options) => {
    const files = options.body.getAll("files"), paths = [];
    const failed = async (response) => {
      // Gradio tells why it has no file. It is silent about what was recorded or trimmed, which has this name.
      if (files[0].name === "audio.wav") showNote(await response.clone().text());
      return response;
    };
    try {
      for (const file of files) {
        const body = new FormData();
        body.append("files", file);
        const response = await sendFile(request, {...options, body});
        if (!response.ok) return failed(response);
        paths.push(...await response.json());
      }
    } catch {
      return failed(new Response(words.lost, {status: 502}));
    }
    note.hidden = true;
    return Response.json(paths);
  };
  window.fetch = (request, options) => {
    const path = new URL(request.url ?? request, location.href).pathname;
    if (path.endsWith("/gradio_api/upload")) return upload(request, options);
    const [, root, route] = path.match(/^(.*\/gradio_api)\/(run|queue\/join|queue\/data)\b/) ?? [];
    if (!route) return send(request, options);
    if (route !== "queue/data") session ??= {root, hash: JSON.parse(options.body).session_hash};
    return {run: repeat, "queue/join": join, "queue/data": stream}[route](request, options);
  };
}
"""

_TEXTS = {
    code: {
        **{"title": texts.TITLE, "notAudio": texts.NOT_AUDIO, "replace": texts.REPLACE},
        **texts.CONNECTION,
        **texts.MICROPHONE,
    }
    for code, texts in LANGUAGES.items()
}
SCRIPT = _SCRIPT.replace("__SUFFIXES__", json.dumps(sorted(SUFFIXES))).replace("__TEXTS__", json.dumps(_TEXTS))
