"""How fast the page is in a browser, and how well it predicts the time of a conversion.

``python -m benchmarks.page [--tree FOLDER] [--lengths 10 30 60 300]`` starts ``app.py`` with the
bundled weights and opens it in headless Chromium. It prints the seconds until the server answers
and until the page can be used, and for each length the seconds from the click on Convert to the
result on the page. ``--tree`` names another checkout of the project, with an environment of its own
in ``.venv``: it is measured in turn with this one. Processor time and memory are those of the server
during a conversion; the memory is the largest resident size minus that before it. Details are the
seconds from the click on them until the spectrograms are drawn, on this checkout alone.

The page promises the time left until its result is visible. The error of the promise is measured on
every change of the progress bar after the first second of runs over four seconds: by how much the
promised seconds of the whole run, from the click to the verdict on the page, differ from the actual
ones, in percent; median and worst of all changes, and the median with its sign (below 0: promised
too little). ``--repeat`` converts each recording several times.
"""

import argparse
import contextlib
import os
import re
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

from benchmarks.examples import EXAMPLES, write_repeated
from benchmarks.server import ROOT, UP_TIMEOUT_S, serve
from saic import audio
from saic.web.server.recordings import MAX_MINUTES

FIRST_S, LONG_S = 1.0, 4.0

_WATCH = """() => {
  window.told = [];
  new MutationObserver(() => {
    const bar = document.querySelector('#progress [role=progressbar]');
    if (bar) window.told.push([performance.now() / 1000, bar.getAttribute('aria-valuetext')]);
  }).observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['aria-valuetext']});
}"""


@dataclass(frozen=True)
class Run:
    """What the module's docstring says of one conversion."""

    length_s: float  # of the recording
    result_s: float
    cpu_s: float
    memory_mb: float
    details_s: float | None
    errors_percent: list[float]  # of the promised time, at each change of the bar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, action="append", default=[], help="another checkout to compare with")
    parser.add_argument("--lengths", type=float, nargs="+", default=[10, 30, 60, 300], help="of the recordings, in s")
    parser.add_argument("--repeat", type=int, default=1, help="conversions of each recording")
    arguments = parser.parse_args()
    if max(arguments.lengths) > 60 * MAX_MINUTES:
        parser.error(f"The page takes up to {60 * MAX_MINUTES:g} s.")
    with tempfile.TemporaryDirectory() as folder:
        clips = {length: Path(folder) / f"{length:g}.wav" for length in arguments.lengths}
        for length, path in clips.items():
            write_repeated(path, [audio.load(EXAMPLES[0])], length)
        for tree in (ROOT, *(path.resolve() for path in arguments.tree)):
            measure(tree, clips, arguments.repeat)


def measure(tree: Path, clips: dict[float, Path], repeat: int) -> None:
    """Measure the page of one checkout, and print a table."""
    began = time.monotonic()
    server, url = serve(tree)
    try:
        print(f"{tree.name}: server up after {time.monotonic() - began:.1f} s")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM")
                or shutil.which("chromium-headless-shell")
                or shutil.which("chromium"),
                args=["--no-sandbox"] if os.geteuid() == 0 else [],
            )
            page = browser.new_page(viewport={"width": 1366, "height": 650})
            page.set_default_timeout(1000 * (UP_TIMEOUT_S + 0.2 * max(clips)))
            opened = time.monotonic()
            page.goto(url)
            page.locator("#convert").wait_for()
            print(f"page usable after {time.monotonic() - opened:.1f} s")
            print(
                "| Recording, s | Result, s | Processor, s | Memory, MB | Details, s | Error of the promise, %: median"
                " | worst | sign |"
            )
            print("| --- | --- | --- | --- | --- | --- | --- | --- |")
            for length, path in [clip for clip in clips.items() for _ in range(repeat)]:
                run = _convert(page, server.pid, length, path, has_details=tree == ROOT)
                errors, cells = run.errors_percent, ["-"] * 3
                if errors:
                    size = [abs(error) for error in errors]
                    cells = [f"{x:.0f}" for x in (statistics.median(size), max(size), statistics.median(errors))]
                details = "-" if run.details_s is None else f"{run.details_s:.1f}"
                cells = [f"{run.result_s:.1f}", f"{run.cpu_s:.1f}", f"{run.memory_mb:.0f}", details, *cells]
                print(f"| {run.length_s:g} | {' | '.join(cells)} |", flush=True)
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _convert(page: Page, pid: int, length_s: float, path: Path, *, has_details: bool) -> Run:
    page.reload()
    page.locator("#convert").wait_for()
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        page.locator("#source input[type=file]").set_input_files(path)
    page.locator("#source audio[src]").first.wait_for(state="attached")
    page.evaluate(_WATCH)
    cpu_s, began = _cpu_s(pid), page.evaluate("performance.now() / 1000")
    with _peak_memory_mb(pid) as peak_mb:
        page.get_by_role("button", name="Convert").click()
        page.locator("#protection .verdict, .toast-body").first.wait_for()
    if page.locator(".toast-body").count():
        raise SystemExit(f"The page refused: {page.locator('.toast-body').inner_text()}")
    ended = page.evaluate("performance.now() / 1000")
    total_s, cpu_s, errors, details_s = ended - began, _cpu_s(pid) - cpu_s, [], None
    if total_s > LONG_S:
        for now, text in page.evaluate("window.told"):
            left_s = _seconds(text)
            if left_s is not None and now - began > FIRST_S:
                errors.append(100 * (now - began + left_s - total_s) / total_s)
    if has_details:
        began_details = time.monotonic()
        page.locator("#details > button").click()
        page.locator("#spectrograms .heatmaplayer image").nth(2).wait_for(state="attached")
        details_s = time.monotonic() - began_details
    return Run(length_s, total_s, cpu_s, peak_mb[0], details_s, errors)


@contextlib.contextmanager
def _peak_memory_mb(pid: int) -> Iterator[list[float]]:
    """A list whose one number, once the block has ended, is by how many MB a process grew at most."""
    process, ended, peak_mb = psutil.Process(pid), threading.Event(), [0.0]
    before = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(0.05):
            peak_mb[0] = max(peak_mb[0], (process.memory_info().rss - before) / 1e6)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak_mb
    finally:
        ended.set()
        watching.join()


def _seconds(text: str | None) -> float | None:
    """The time left of a progress bar's text; None if it tells none."""
    if not (found := re.search(r"about (?:(\d+) min)? ?(?:(\d+) s)?", text or "")) or not any(found.groups()):
        return None
    minutes, seconds = found.groups(default="0")
    return 60 * int(minutes) + int(seconds)


def _cpu_s(pid: int) -> float:
    """Processor time of a process with its threads."""
    return sum(psutil.Process(pid).cpu_times()[:2])


if __name__ == "__main__":
    main()
