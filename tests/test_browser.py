"""The page in a real browser: two voices in, three players and two figures out, and no word to anyone else.

Needs Chromium: the program that $CHROMIUM names, the system's, or the one that Playwright installed.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import soundfile as sf
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from saic.web.handlers import OWN_RECORDING

from saic.pipeline import Pipeline
from saic.web import build_page, launch, load_examples
from saic.web.store import ClipStore
from tests.conftest import RATE, voice
from tests.fakes import FakePipeline

ROOT = Path(__file__).parents[1]
PIPELINES = {"fake": FakePipeline, "bundled": Pipeline.from_pretrained}
WAIT_MS = 60_000  # a conversion on a busy machine
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}


@dataclass
class Watch:
    """What a page did that a visitor doesn't see: the hosts it asked, and what it complained of."""

    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))

    def _request(self, request: Request) -> None:
        if request.url.startswith("http"):  # else blob: or data:, which stay in the browser
            self.hosts.add(urlsplit(request.url).netloc)


@pytest.fixture(scope="module", params=list(PIPELINES))
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the page over each pipeline, on a free port."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it: let it be undone
    store = ClipStore(tmp_path_factory.mktemp("store"))
    page = build_page(PIPELINES[request.param](), load_examples(ROOT / "assets" / "examples"), store=store)
    _, address, _ = launch(page, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield address
    page.close()
    store.close()
    patch.undo()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A patient's and another person's recording, under names that may not show up anywhere."""
    folder = tmp_path_factory.mktemp("recordings")
    paths = {"patient": folder / "Jane Doe 1960.wav", "other": folder / "John Roe.flac"}
    for path, hz in zip(paths.values(), (220, 110), strict=True):
        sf.write(path, voice(hz, 4.0), RATE)
    return paths


@pytest.fixture(scope="module")
def browser(recordings: dict[str, Path]) -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")  # None: Playwright's own
    microphone = f"--use-file-for-fake-audio-capture={recordings['patient']}%noloop"
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", microphone]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=flags)
        except PlaywrightError:
            pytest.fail("No Chromium starts. Run `make browser`, or set CHROMIUM to its program.")
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def open_page(browser: Browser, url: str, watch: Watch) -> Iterator:
    """Open the page at a width and in a colour scheme."""
    contexts = []

    def opened(width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        watch.on(page)
        page.goto(url)
        expect(page.get_by_role("button", name="Convert")).to_be_visible()
        expect(page.locator("#target audio[src]")).to_have_count(1)  # the first bundled voice
        return page

    yield opened
    for context in contexts:
        context.close()


def clip_of(page: Page, elem_id: str) -> Locator:
    """The clip that a recorder shows, once the server's own copy has taken the upload's place."""
    return page.locator(f"#{elem_id} audio[src]")


def upload(page: Page, elem_id: str, path: Path) -> None:
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        page.locator(f"#{elem_id} input[type=file]").set_input_files(path)
    expect(clip_of(page, elem_id)).to_have_count(1)


def wait_for_results(page: Page) -> None:
    expect(page.locator(".player audio[src]")).to_have_count(3, timeout=WAIT_MS)
    expect(page.locator(".figure img")).to_have_count(2)
    page.wait_for_function("[...document.querySelectorAll('.figure img')].every(image => image.naturalWidth > 0)")
    expect(page.locator(".player #duration", has_text="0:00")).to_have_count(0)


def durations_s(page: Page) -> list[float]:
    return page.locator(".player audio[src]").evaluate_all("players => players.map(player => player.duration)")


def overflow_px(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=WCAG).response["violations"]
    return [f"{v['id']}: {[node['html'] for node in v['nodes']]}" for v in found]


def test_two_uploads_become_three_players_and_two_figures(open_page, watch: Watch, url: str, recordings) -> None:
    page = open_page()
    upload(page, "source", recordings["patient"])
    page.get_by_label(OWN_RECORDING).check()
    upload(page, "target", recordings["other"])
    page.get_by_label("has agreed").check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    assert durations_s(page) == pytest.approx([4.0, 4.0, 4.0], abs=0.05)
    assert watch.complaints == []
    assert watch.hosts == {urlsplit(url).netloc}
    for kept in (page.evaluate("JSON.stringify(localStorage)"), page.content()):
        assert "Jane" not in kept and "John" not in kept
    page.set_viewport_size({"width": 390, "height": 844})
    assert overflow_px(page) == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_one_click_converts_bundled_voices_and_everyone_can_read_it(width, scheme, open_page, watch: Watch) -> None:
    page = open_page(width, scheme)
    assert violations(page) == [] and overflow_px(page) == 0
    page.get_by_role("button", name="Try it").click()
    wait_for_results(page)
    page.mouse.move(0, 0)
    assert violations(page) == [] and overflow_px(page) == 0
    assert watch.complaints == []


def test_a_recording_from_the_microphone_is_taken(open_page) -> None:
    page = open_page()
    page.locator("#source").get_by_label("Record audio").click()
    page.locator("#source").get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(2000)
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        page.locator("#source").get_by_role("button", name="Stop").first.click()
    expect(clip_of(page, "source")).to_have_count(1)


def test_a_broken_file_is_told_and_taken_off_the_page(open_page, tmp_path: Path) -> None:
    (tmp_path / "Jane Doe.wav").write_bytes(b"not audio" * 100)
    page = open_page()
    page.locator("#source input[type=file]").set_input_files(tmp_path / "Jane Doe.wav")
    expect(page.get_by_text("This is no recording that can be decoded")).to_be_visible()
    expect(clip_of(page, "source")).to_have_count(0)
    assert "Jane" not in page.content()


def test_convert_says_what_is_missing(open_page, recordings) -> None:
    page = open_page()
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Record or upload the patient's voice first.")).to_be_visible()
    upload(page, "source", recordings["patient"])
    page.get_by_label(OWN_RECORDING).check()
    upload(page, "target", recordings["other"])
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Tick that the other person has agreed")).to_be_visible()
    expect(page.locator(".player")).to_have_count(0)
