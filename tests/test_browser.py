"""The page in a real browser: use, messages, accessibility, and no connection to other hosts.

Needs Chromium: the program in $CHROMIUM, the system's headless shell or browser, or Playwright's own
headless shell. All tests but one use a fake pipeline, which is fast and can be slowed down.
"""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
import pytest
import soundfile as sf
import soxr
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Dialog,
    Locator,
    Page,
    Request,
    Route,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import expect as playwright_expect

from saic import audio
from saic.evaluation import protection
from saic.files import sha256
from saic.pipeline import Pipeline
from saic.profiles import STRICT
from saic.web import Documents, build_page, launch, load_examples
from saic.web.server import serve
from saic.web.server.store import ClipStore
from saic.web.tabs.anonymize import Anonymizer
from saic.web.tabs.anonymize_layout import PICTURES
from saic.web.texts import LANGUAGES
from saic.web.texts.en import NOT_AUDIO, OWN_RECORDING, PROFILE_NAMES, PSEUDONYM, REPLACE
from tests.conftest import RATE, voice
from tests.fakes import STRICT_STRETCH, FakePipeline

ROOT = Path(__file__).parents[1]
WAIT_MS = 60_000  # a conversion on a busy machine
WCAG = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],  # all passed checks in full take much longer
}
SIZES = ((390, 844), (1280, 900), (1366, 650), (1920, 1080))
"""Widths and heights in pixels: a phone, and three screens."""

LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0")


class Expectation:
    """That of Playwright's ``expect``, which looks only every 0.5 s if it may wait long; this one, every 0.1 s."""

    def __init__(self, actual: Page | Locator) -> None:
        self._assertions = playwright_expect(actual)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def wait(*expected: object, **options: object) -> None:
            end = time.monotonic() + WAIT_MS / 1000
            while True:
                try:
                    return getattr(self._assertions, name)(*expected, **options, timeout=2_000)
                except AssertionError:
                    if time.monotonic() > end:
                        raise

        return wait


expect = Expectation


class SlowPipeline(FakePipeline):
    """A fake whose conversions take up to a minute, in stages, while `slow` is set."""

    slow = False

    def convert_spooled(self, source, targets, *, progress=None, **options):
        for stage in range(600):
            if not self.slow:
                break
            progress("Converting slowly", stage / 1200)
            time.sleep(0.1)
        return super().convert_spooled(source, targets, progress=progress, **options)


@dataclass
class Served:
    """A page that is being served."""

    page: gr.Blocks
    url: str
    pipeline: SlowPipeline
    calls_out: list[str]

    @property
    def clips(self) -> list[Path]:
        """All files in the store but the bundled ones."""
        store = self.page.recordings.store
        return [path for path in store.folder.glob("*/*") if path.parent != store.bundled]


@dataclass
class Watch:
    """What a visitor does not see of a page: the hosts that it contacted, and its errors."""

    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))

    def _request(self, request: Request) -> None:
        if request.url.startswith("http"):  # not blob: or data:, which stay in the browser
            self.hosts.add(urlsplit(request.url).netloc)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the page with the fake on a free port, and note every connection to other hosts."""
    patch, calls_out = pytest.MonkeyPatch(), []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def noted_connect(self, address):
        if self.family != socket.AF_UNIX and address[0] not in LOOPBACK:
            calls_out.append(str(address))
        return connect(self, address)

    def noted_look_up(host, *rest, **options):
        if host and host not in LOOPBACK:
            calls_out.append(str(host))
        return look_up(host, *rest, **options)

    patch.setattr(socket.socket, "connect", noted_connect)
    patch.setattr(socket, "getaddrinfo", noted_look_up)
    patch.setattr(protection, "independent_verifier", lambda: None)  # Resemblyzer is slow to load
    patch.setattr(serve, "warm_up", lambda page: None)
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it; now undo() restores it
    pipeline, store = SlowPipeline(), ClipStore(tmp_path_factory.mktemp("store"))
    report = json.loads((ROOT / "benchmarks" / "evaluation" / "report.json").read_text())
    documents = Documents.read(ROOT, report["weights_sha256"])
    options = {"store": store, "documents": documents, "max_minutes": 5}
    page = build_page(pipeline, load_examples(ROOT / "assets" / "examples"), **options)
    server = launch(page, port=0, block=False)
    yield Served(page, server.url, pipeline, calls_out)
    server.close()
    patch.undo()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Recordings of a patient and another person; their file names must not appear anywhere.

    They are FLAC, so that only the server's copy of an upload is a ``recording.wav``.
    """
    folder = tmp_path_factory.mktemp("recordings")
    paths = {"patient": folder / "Jane Doe 1960.flac", "other": folder / "John Roe.flac"}
    for path, hz in zip(paths.values(), (220, 110), strict=True):
        sf.write(path, voice(hz, 4.0), RATE)
    return paths


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    spoken = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    sf.write(spoken, voice(220, 4.0), RATE)
    system = shutil.which("chromium-headless-shell") or shutil.which("chromium")  # None: Playwright's own
    microphone = f"--use-file-for-fake-audio-capture={spoken}%noloop"
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", microphone]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or system, args=flags)
        except PlaywrightError:
            pytest.fail("No Chromium starts. Run `make browser`, or set CHROMIUM to its program.")
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A context for the visitor of most tests: it keeps the page's scripts, which take longest to open a page."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def open_page(browser: Browser, visitor: BrowserContext, served: Served, watch: Watch) -> Iterator[Callable[..., Page]]:
    """Open the page with a size, a color scheme, a language and a script that runs first.

    Each call is another visitor.
    """
    contexts = []

    def opened(
        width: int = 1280,
        scheme: str = "light",
        script: str = "",
        url: str = served.url,
        height: int = 900,
        locale: str = "en-US",
    ) -> Page:
        context = browser.new_context() if contexts else visitor
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.add_init_script(script)
        if locale != "en-US":
            speak(page, locale)
        watch.on(page)
        page.goto(url)
        expect(page.get_by_label(LANGUAGES[locale[:2]].PSEUDONYM)).to_be_checked()
        return page

    yield opened
    served.pipeline.slow = False
    for context in contexts:
        for page in context.pages:
            page.close()
        context.clear_cookies()  # the next test has another visitor
        if context is not visitor:
            context.close()


def speak(page: Page, locale: str) -> None:
    """Set the language of a page, as Playwright does for a new context, which would have no scripts yet."""
    chromium = page.context.new_cdp_session(page)
    agent = page.evaluate("navigator.userAgent")
    chromium.send("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": locale})
    chromium.send("Emulation.setLocaleOverride", {"locale": locale})


def use_fingers(page: Page) -> CDPSession:
    """Make a page one of a phone, as ``has_touch`` and ``is_mobile`` do for a new context."""
    chromium = page.context.new_cdp_session(page)
    chromium.send("Emulation.setDeviceMetricsOverride", {**page.viewport_size, "deviceScaleFactor": 1, "mobile": True})
    chromium.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    return chromium


def clip_of(page: Page, elem_id: str) -> Locator:
    """The clip that a recorder shows."""
    return page.locator(f"#{elem_id} audio[src]")


def upload(page: Page, elem_id: str, path: Path) -> None:
    """Choose a file, and wait until the player shows the server's plain copy."""
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        for _ in range(3):  # Gradio may build the player again between a look and the choice, which is then lost
            with contextlib.suppress(PlaywrightTimeout), page.expect_request("**/upload?*", timeout=10_000):
                page.locator(f"#{elem_id} input[type=file]").set_input_files(path)
                break
    expect(clip_of(page, elem_id)).to_have_count(1)


def wait_for_results(page: Page) -> None:
    expect(page.locator("#protection .verdict")).to_have_count(1)
    expect(page.locator(".swapped audio[src]")).to_have_count(1)
    expect(page.locator(".swapped #duration", has_text="0:00")).to_have_count(0)


def open_details(page: Page) -> None:
    """Open the details of a result, and wait until they are there."""
    page.locator("#details > button").click()
    expect(page.locator(".player #duration")).to_have_count(3)
    for player in page.locator(".player").all():
        player.scroll_into_view_if_needed()  # until then, it has no sound
        expect(player.locator("audio[src]")).to_have_count(1)
    expect(page.locator("#spectrograms .heatmaplayer image")).to_have_count(3)
    expect(page.locator(".player #duration", has_text="0:00")).to_have_count(0)
    for kind in PICTURES:
        expect(page.locator(f"#download-{kind}")).to_be_enabled()


def replace_clip(page: Page, elem_id: str, path: Path) -> None:
    """Replace a recording by another."""
    page.locator(f"#{elem_id}").get_by_label("Clear").click()
    expect(clip_of(page, elem_id)).to_have_count(0)  # a file chosen before that is lost
    upload(page, elem_id, path)


def convert(page: Page, recording: Path) -> set[str]:
    """Convert an upload to the chosen voice, and open the details; returns the URLs of the result."""
    requested = set()
    page.on("request", lambda request: requested.add(request.url))
    upload(page, "source", recording)
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    open_details(page)
    result = re.compile(r"/(original|reconstructed|anonymized-\w{6})\.wav$")
    addresses = {address for address in requested if result.search(address)}
    assert len(addresses) == 3
    return addresses


def expect_no_result(page: Page, message: str = "The recording or your choice changed", toasts: int | None = 0) -> None:
    """Expect a message, and no player, verdict, card or spectrogram; ``toasts`` None allows any number."""
    expect(page.locator("#intro")).to_contain_text(message)
    expect(page.locator(".player, #protection, #measured, #spectrograms .js-plotly-plot")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    if toasts is not None:
        expect(page.locator(".toast-body")).to_have_count(toasts)


def open_tab(page: Page, name: str) -> None:
    """Select a tab; on a narrow screen, Gradio may have moved it into a menu."""
    tab = page.get_by_role("tab", name=name)
    menu = page.locator("#tabs .overflow-menu")
    in_menu = menu.locator(".overflow-dropdown").get_by_text(name, exact=True)
    expect(tab.or_(in_menu)).to_have_count(1)
    for _ in range(5):  # Gradio may lay the tabs out again between a look and a click
        with contextlib.suppress(PlaywrightTimeout):
            if tab.count() == 1:
                tab.click(timeout=5_000)
            else:
                menu.get_by_label("More tabs").click(timeout=5_000)
                in_menu.click(timeout=5_000)
            break
    expect(tab).to_have_attribute("aria-selected", "true")  # also from the menu, it moves among the others


def plain(html: str) -> str:
    """The text of HTML."""
    return " ".join(re.sub("<[^>]+>", "", html).split())


def overflow_px(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=WCAG).response["violations"]
    return [f"{v['id']}: {[node['html'] for node in v['nodes']]}" for v in found]


def download(page: Page, elem_id: str, folder: Path) -> Path:
    """Click on a download button; returns the file, under the name that the browser suggests."""
    with page.expect_download() as started:
        page.locator(f"#{elem_id}").click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_visit_from_two_uploads_to_delete_now(
    open_page, watch: Watch, served: Served, recordings, tmp_path: Path
) -> None:
    page, before = open_page(), set(served.clips)
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Record or upload the voice to protect first.")).to_be_visible()
    upload(page, "source", recordings["patient"])
    page.get_by_label(OWN_RECORDING).check()
    upload(page, "target", recordings["other"])
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Tick that the other person has agreed")).to_be_visible()
    page.get_by_label("has agreed").check()
    page.get_by_label(PROFILE_NAMES[STRICT]).check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    open_details(page)
    durations_s = page.locator(".player audio[src]").evaluate_all("players => players.map(player => player.duration)")
    assert sorted(durations_s) == pytest.approx([4.0, 4.0, 4.0 * STRICT_STRETCH], abs=0.05)
    swapped, flac, mp3, opus, printed, report = (
        download(page, f"download-{name}", tmp_path) for name in ("wav", "flac", "mp3", "opus", "report", "json")
    )
    code = sha256(swapped)[:6]
    assert swapped.name == f"anonymized-{code}.wav"
    assert (printed.name, report.name) == (f"report-{code}.html", f"report-{code}.json")
    assert [sf.info(path).format for path in (swapped, flac, mp3, opus)] == ["WAV", "FLAC", "MP3", "OGG"]
    assert "Report of a voice conversion" in printed.read_text() and "Jane" not in printed.read_text()
    page.get_by_label("I know that reconstruction").check()
    assert download(page, "download-reconstruction", tmp_path).name == "reconstructed.wav"
    assert np.load(download(page, "download-data", tmp_path))["converted"].shape[0] == 80
    found = json.loads(report.read_text())
    assert found["profile"] == STRICT and found["output_sha256"] == sha256(swapped)
    assert "Jane" not in report.read_text()
    expect(page.locator("#profile-used")).to_contain_text("Strict.")
    open_tab(page, "Explore")
    expect(page.locator("#maps svg.map")).to_have_count(2)
    expect(page.locator("#maps .legend")).to_contain_text("Anonymized")
    for kept in (page.evaluate("JSON.stringify([localStorage, sessionStorage])"), page.content()):
        assert "Jane" not in kept and "John" not in kept
    assert page.evaluate("localStorage.length") == 0
    own = set(served.clips) - before
    assert {path.name for path in own} >= {"recording.wav", swapped.name, report.name}
    open_tab(page, "Anonymize")
    page.get_by_role("button", name="Delete now").click()
    expect(page.get_by_text("Your recordings and results were removed")).to_be_visible()
    expect(page.locator(".player audio[src], #download-report, #delete")).to_have_count(0)
    assert not own & set(served.clips)
    # An event that names a recording deleted a moment ago is refused with 400.
    assert [error for error in watch.errors if "status of 400" not in error] == []
    assert watch.hosts == {urlsplit(served.url).netloc} and served.calls_out == []


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(size, scheme, marks=[] if (size, scheme) == (SIZES[0], "dark") else pytest.mark.proof)
        for size in SIZES
        for scheme in ("light", "dark")
    ],
)
def test_every_tab_passes_wcag_without_overflow(size, scheme, open_page, watch: Watch) -> None:
    page = open_page(size[0], scheme, height=size[1])
    page.locator("#example").focus()
    page.keyboard.press("Enter")
    wait_for_results(page)
    open_details(page)
    for name, ready in {
        "Anonymize": "#results",
        "Batch": "#batch-add",
        "Explore": "#maps svg.map >> nth=0",
        "Identify": "#enroll",
        "Evaluation": "#topic-degraded",
        "About": ".picture",
    }.items():
        open_tab(page, name)
        expect(page.locator(ready)).to_be_visible()
        if name == "Identify":
            page.locator("#identify-example").click()
            expect(page.locator("#answer .scores li")).to_have_count(6)
        if name == "Explore":
            expect(page.locator(".unseen-map .scatterlayer")).to_have_count(2)
        if name == "Evaluation":
            widths = page.locator(".topic img").evaluate_all("all => all.map(one => one.naturalWidth)")
            assert len(widths) == 6 and min(widths) > 300
            page.locator("#topic-attackers summary").first.click()
            page.locator("#topic-attackers details details summary").nth(1).click()
            expect(page.locator("#topic-attackers table").nth(1)).to_be_visible()
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)  # a tab fades in
        assert violations(page) == [], name
        assert overflow_px(page) == 0, name
    assert watch.errors == []


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.proof)])
def test_recording_voice_profile_and_button_are_above_the_fold(scheme, open_page) -> None:
    page = open_page(1366, scheme, height=650)
    for part in ("#source", "#choice", "#register", "#profile", "#convert"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 650, part
    upload, record = (
        page.locator("#source").get_by_label(name).bounding_box() for name in ("Upload file", "Record audio")
    )
    assert upload["width"] == pytest.approx(record["width"], abs=2) and record["height"] > 40
    header = page.locator(".header").bounding_box()
    assert header["height"] < 60 and page.locator(".warning").inner_text().startswith("It changes the voice, not")


@pytest.mark.parametrize(
    "locale", ["de-DE", *(pytest.param(code, marks=pytest.mark.proof) for code in ("fr-FR", "es"))]
)
def test_page_is_in_the_language_of_the_browser(locale, open_page, watch: Watch, tmp_path: Path) -> None:
    page, texts = open_page(1366, height=650, locale=locale), LANGUAGES[locale[:2]]
    expect(page).to_have_title(texts.TITLE)
    assert page.locator("html").get_attribute("lang") == texts.CODE
    button = page.get_by_role("button", name=texts.CONVERT, exact=True)
    for part in ("#source", "#choice", "#register", "#profile"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= button.bounding_box()["y"], f"{part} is not above the fold"
    for label in page.locator("#choice label, #register label").all():
        assert label.evaluate("label => label.scrollWidth <= label.clientWidth"), label.inner_text()
    button.click()
    expect(page.get_by_text(texts.NO_SOURCE.split(".")[0])).to_be_visible()
    page.locator("#example").click()
    wait_for_results(page)
    expect(page.locator("#protection .verdict")).to_have_text(plain(texts.VERDICT_DIFFERENT))
    printed = download(page, "download-report", tmp_path).read_text()
    assert f'<html lang="{texts.CODE}">' in printed and texts.VERDICT_DIFFERENT in printed
    assert texts.PRINTED_TITLE in printed and texts.PRINTED_NO_PATIENT in printed
    assert "errs" not in page.locator("body").inner_text()
    for _ in range(page.locator(".toast-close").count()):  # Gradio's toast nests buttons
        page.locator(".toast-close").first.click()
    expect(page.locator(".toast-body")).to_have_count(0)
    assert overflow_px(page) == 0
    open_tab(page, texts.TABS["evaluation"])
    expect(page.locator(".topic > h2")).to_have_text([title for title, _ in texts.TOPICS.values()])
    assert watch.errors == []


@pytest.mark.proof
@pytest.mark.parametrize("locale", ["de-DE", "fr-FR", "es"])
def test_page_of_a_language_fits_phones_and_passes_wcag(locale, open_page) -> None:
    page, texts = open_page(1366, height=650, locale=locale), LANGUAGES[locale[:2]]
    page.locator("#example").click()
    wait_for_results(page)
    page.wait_for_timeout(500)  # the buttons of the downloads fade in
    assert violations(page) == []
    for width in (390, 320):  # tabs that do not fit are in a menu
        page.set_viewport_size({"width": width, "height": 844})
        for name in texts.TABS.values():
            open_tab(page, name)
            page.wait_for_function(
                "document.documentElement.scrollWidth <= window.innerWidth"
            )  # figures are drawn anew
    open_tab(page, texts.TABS["evaluation"])
    assert violations(page) == []


def test_delete_is_there_as_soon_as_there_is_something(open_page, recordings) -> None:
    page, delete = open_page(), lambda page: page.locator("#delete")
    page.wait_for_timeout(500)
    expect(delete(page)).to_have_count(0)
    page.locator("#source input[type=file]").set_input_files(recordings["patient"])
    expect(delete(page)).to_be_visible()
    delete(page).click()
    expect(page.get_by_text("Your recordings and results were removed")).to_be_visible()
    expect(delete(page)).to_have_count(0)
    open_tab(page, "Batch")
    page.locator("#batch-files input[type=file]").set_input_files(recordings["patient"])
    expect(delete(page)).to_be_visible()
    delete(page).click()
    expect(delete(page)).to_have_count(0)
    open_tab(page, "Identify")
    page.locator("#identify-example").click()  # enrolled voices are of the page, not in the store
    expect(delete(page)).to_be_visible()


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.proof)])
def test_batch_of_several_files_of_two_people(width, open_page, watch: Watch, served: Served, tmp_path: Path) -> None:
    page = open_page(width)
    for k in range(3):
        sf.write(tmp_path / f"Jane Doe {k}.wav", voice(200 + 10 * k, 1.5), RATE)
    files = sorted(tmp_path.iterdir())
    open_tab(page, "Batch")
    for subject, several in (("P01", files[:2]), ("P02", files[2:])):
        page.get_by_label("Subject's label").locator("visible=true").fill(subject)
        page.locator("#batch-files input[type=file]").set_input_files(several)
        expect(page.locator("#batch-files .file-preview")).to_be_visible()
        page.locator("#batch-add").click()
        expect(page.locator("#batch-files .file-preview")).to_have_count(0)
    expect(page.locator("#batch-list tbody tr")).to_have_count(3)
    expect(page.locator("#delete")).to_be_visible()
    page.locator("#batch-convert").click()
    for said in ("#batch-count", "#live"):
        expect(page.locator(said)).to_have_text("3 of 3 done")
    expect(page.locator("#batch-list td", has_text="Done.")).to_have_count(3)
    path = download(page, "batch-zip", tmp_path)
    assert path.name == "anonymized.zip"
    with zipfile.ZipFile(path) as file:
        assert len(file.namelist()) == 9 and {name[:4] for name in file.namelist()} == {"P01/", "P02/"}
        assert not any(b"Jane" in file.read(name) for name in file.namelist())
    page.mouse.move(0, 0)
    assert violations(page) == [] and overflow_px(page) == 0 and "Jane" not in page.content()
    page.locator("#delete").click()
    expect(page.locator("#batch-list")).to_contain_text("No recordings yet")
    assert watch.errors == [] and not [path for path in served.clips if path.name == "anonymized.zip"]


@pytest.mark.proof
def test_late_answer_to_add_or_enroll_leaves_what_was_typed_meanwhile(open_page, watch: Watch, recordings) -> None:
    page = open_page(script=LATE_JOIN)
    open_tab(page, "Batch")
    label = page.get_by_label("Subject's label").locator("visible=true")
    label.fill('P"1 \\ é')
    page.locator("#batch-files input[type=file]").set_input_files(recordings["patient"])
    expect(page.locator("#batch-files .file-preview")).to_be_visible()
    page.locator("#batch-add").click()
    label.fill("P02")
    expect(page.locator("#batch-list tbody tr")).to_have_count(1)
    expect(label).to_have_value("P02")
    open_tab(page, "Identify")
    page.get_by_label("Name").fill("Anna")
    page.locator("#voice input[type=file]").set_input_files(recordings["patient"])
    expect(clip_of(page, "voice")).to_have_count(1)
    page.locator("#enroll").click()
    page.get_by_label("Name").fill("Ben")
    expect(page.locator("#enrolled li")).to_have_count(1)
    expect(page.get_by_label("Name")).to_have_value("Ben")
    page.get_by_label("Name").fill("Anna")
    page.locator("#voice").get_by_label("Clear").click()
    page.locator("#voice input[type=file]").set_input_files(recordings["patient"])
    page.locator("#enroll").click()
    expect(page.locator("#enrolled li")).to_have_text("Anna2 clips")
    expect(page.get_by_label("Name")).to_have_value("")  # nothing else was typed
    assert watch.errors == []


def test_files_that_are_dropped_are_all_taken_where_a_field_takes_several(open_page, watch: Watch, recordings) -> None:
    page, data = open_page(), base64.b64encode(recordings["patient"].read_bytes()).decode()

    def drop(elem_id: str) -> None:
        files = page.evaluate_handle(
            """(data) => {
              const transfer = new DataTransfer(), bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt());
              for (const name of ["Jane Doe 1.flac", "Jane Doe 2.flac"]) transfer.items.add(new File([bytes], name));
              return transfer;
            }""",
            data,
        )
        for _ in range(3):  # as in `upload`
            with contextlib.suppress(PlaywrightTimeout), page.expect_request("**/upload?*", timeout=10_000):
                page.locator(f"#{elem_id} input[type=file]").dispatch_event("drop", {"dataTransfer": files})
                break

    drop("source")
    expect(clip_of(page, "source")).to_have_count(1)
    open_tab(page, "Batch")
    page.get_by_label("Subject's label").locator("visible=true").fill("P01")
    drop("batch-files")
    expect(page.locator("#batch-files .file-preview")).to_be_visible()
    page.locator("#batch-add").click()
    expect(page.locator("#batch-list tbody tr")).to_have_count(2)
    expect(page.locator("#batch-list td", has_text="Ready")).to_have_count(2)
    assert watch.errors == []


@pytest.mark.proof
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_three_tasks_of_a_visitor(size, scheme, open_page, watch: Watch, recordings, tmp_path: Path) -> None:
    """Anonymize a recording and file the report; see what changed in the sound; convert files of four patients."""
    page = open_page(size[0], scheme, height=size[1])
    upload(page, "source", recordings["patient"])
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    wav, report = (download(page, f"download-{name}", tmp_path) for name in ("wav", "report"))
    assert (
        sf.info(wav).duration == pytest.approx(4.0, abs=0.05) and "Report of a voice conversion" in report.read_text()
    )

    open_details(page)
    page.locator("#view > button").click()
    page.locator("#difference").get_by_role("checkbox").check()
    expect(page.locator("#spectrograms .annotation", has_text="minus original")).to_have_count(2)
    assert download(page, "download-png", tmp_path).read_bytes().startswith(b"\x89PNG")
    page.mouse.move(0, 0)
    assert violations(page) == [] and overflow_px(page) == 0

    open_tab(page, "Batch")
    for k in range(4):
        files = [tmp_path / f"Jane Doe {k} {i}.wav" for i in range(3)]
        for i, path in enumerate(files):
            sf.write(path, voice(120 + 40 * k + 5 * i, 1.5), RATE)
        page.get_by_label("Subject's label").locator("visible=true").fill(f"P{k}")
        page.locator("#batch-files input[type=file]").set_input_files(files)
        expect(page.locator("#batch-files .file-preview")).to_be_visible()
        page.locator("#batch-add").click()
        expect(page.locator("#batch-files .file-preview")).to_have_count(0)
    page.locator("#batch-convert").click()
    expect(page.locator("#batch-list td", has_text="Done.")).to_have_count(12)
    page.mouse.move(0, 0)
    assert violations(page) == [] and overflow_px(page) == 0
    with zipfile.ZipFile(download(page, "batch-zip", tmp_path)) as file:
        assert {name[:3] for name in file.namelist()} == {f"P{k}/" for k in range(4)}
        assert len([name for name in file.namelist() if name.endswith(".wav")]) == 12
    page.locator("#delete").click()
    expect(page.locator("#batch-list")).to_contain_text("No recordings yet")
    assert watch.errors == []


def tab_to(page: Page, goal: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(150):
        if goal.evaluate("element => element === document.activeElement || element.contains(document.activeElement)"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"No Tab leads to {goal}.")


@pytest.mark.proof
def test_tasks_by_keyboard_alone(open_page, watch: Watch, recordings, tmp_path: Path) -> None:
    page = open_page()
    for _ in range(3):  # Gradio may build the player again while the page opens, and a key is then lost
        tab_to(page, page.locator("#source").get_by_label("Drop an audio file"))
        with contextlib.suppress(PlaywrightTimeout), page.expect_file_chooser(timeout=10_000) as chooser:
            page.keyboard.press("Enter")
            break
    chooser.value.set_files(recordings["patient"])
    expect(clip_of(page, "source")).to_have_count(1)
    tab_to(page, page.get_by_role("button", name="Convert"))
    page.keyboard.press("Enter")
    wait_for_results(page)
    for name in ("wav", "report"):
        tab_to(page, page.locator(f"#download-{name}"))
        with page.expect_download() as started:
            page.keyboard.press("Enter")
        assert Path(started.value.path()).stat().st_size > 1000
    tab_to(page, page.locator("#details > button"))
    page.keyboard.press("Enter")
    expect(page.locator("#spectrograms .heatmaplayer image")).to_have_count(3)
    tab_to(page, page.locator("#view > button"))
    page.keyboard.press("Enter")
    tab_to(page, page.locator("#difference").get_by_role("checkbox"))
    page.keyboard.press("Space")
    expect(page.locator("#spectrograms .annotation", has_text="minus original")).to_have_count(2)
    tab_to(page, page.get_by_role("tab", name="Batch"))
    page.keyboard.press("Enter")
    label = page.get_by_label("Subject's label").locator("visible=true")
    expect(label).to_be_visible()
    tab_to(page, label)
    page.keyboard.type("P01")
    assert watch.errors == []


def record(page: Page) -> None:
    """Record a second with the microphone, which was selected."""
    page.locator("#source").get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#source time.duration")).to_have_text("0:01")  # the recorder runs
    page.locator("#source").get_by_role("button", name="Stop").first.click()


def test_microphone_recording_becomes_the_source(open_page, watch: Watch) -> None:
    page = open_page()
    page.locator("#source").get_by_label("Record audio").click()
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        record(page)
    expect(clip_of(page, "source")).to_have_count(1)
    assert watch.errors == []


def test_recording_that_the_server_does_not_get_is_sent_again_or_the_page_says_why(open_page) -> None:
    page, uploads, asked = open_page(), "**/gradio_api/upload*", []
    note, microphone = page.locator("#microphone-note"), page.locator("#source").get_by_label("Record audio")
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.route(uploads, lambda route: route.abort(), times=2)
    microphone.click()
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        record(page)
    expect(page.locator("#source #waveform")).to_be_visible()
    page.locator("#source").get_by_label("Clear").click()
    assert asked == []

    page.route(uploads, lambda route: route.fulfill(status=507, body="The server is full."), times=1)
    record(page)
    expect(note).to_have_text("The server is full.")
    page.locator("#source").get_by_label("Clear").click()  # its second recorder; Gradio would keep the first
    assert asked == [REPLACE]
    page.route(uploads, lambda route: route.abort(), times=3)
    record(page)
    expect(note).to_have_text(LANGUAGES["en"].CONNECTION["lost"])
    microphone.click()
    assert asked == [REPLACE] * 2
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        record(page)
    expect(page.locator("#source #waveform")).to_be_visible()
    expect(note).to_be_hidden()


def test_recording_is_not_lost_without_a_question(open_page, recordings) -> None:
    page, asked, answers = open_page(), [], []
    file, microphone = (page.locator("#source").get_by_label(name) for name in ("Upload file", "Record audio"))

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept() if answers.pop(0) else dialog.dismiss()

    page.on("dialog", answer)
    microphone.click()
    for source in (microphone, file, file):
        with contextlib.nullcontext() if source is microphone else page.expect_file_chooser():
            source.click()
    page.reload()
    assert asked == []

    upload(page, "source", recordings["patient"])
    expect(page.locator("#delete")).to_be_visible()
    answers += [False, False, False]
    file.click()
    microphone.click()
    page.evaluate("setTimeout(() => location.reload())")
    until(lambda: page.wait_for_timeout(50) or len(asked) == 3)
    assert asked == ["confirm", "confirm", "beforeunload"]
    expect(clip_of(page, "source")).to_have_count(1)
    answers += [True]
    with page.expect_file_chooser():
        file.click()
    expect(clip_of(page, "source")).to_have_count(0)

    answers += [False, True]
    microphone.click()
    page.locator("#source").get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#source time.duration")).to_have_text("0:01")
    file.click()
    expect(page.locator("#source").get_by_role("button", name="Stop").first).to_be_visible()
    page.reload()  # also while it records
    assert asked[4:] == ["confirm", "beforeunload"]


def test_recording_that_the_browser_cannot_read_back_is_refused_as_silent(open_page) -> None:
    """As one that is stopped before the encoder of a busy computer has begun."""
    refuse = (
        "BaseAudioContext.prototype.decodeAudioData = async () => { throw new DOMException('', 'EncodingError'); };"
    )
    page = open_page(script=refuse)
    page.locator("#source").get_by_label("Record audio").click()
    page.locator("#source").get_by_role("button", name="Record", exact=True).click()
    page.locator("#source").get_by_role("button", name="Stop").first.click()
    expect(page.get_by_text("The recording is silent")).to_be_visible()
    expect(page.locator("#source").get_by_role("button", name="Record", exact=True)).to_be_visible()


def test_unusable_microphone_shows_the_reason(open_page) -> None:
    refuse = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', window.why); };"
    page = open_page(script=refuse)
    page.locator("#source").get_by_label("Record audio").click()
    for why, message in {
        "NotAllowedError": "does not let this page",
        "NotFoundError": "No microphone was found",
    }.items():
        page.evaluate(f"window.why = '{why}'")
        page.locator("#source").get_by_role("button", name="Record", exact=True).click()
        expect(page.locator("#microphone-note")).to_contain_text(message)
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false});")
    page.reload()
    expect(page.get_by_label(PSEUDONYM)).to_be_checked()
    page.locator("#source").get_by_label("Record audio").click()
    expect(page.locator("#microphone-note")).to_contain_text("only over https")


def test_unusable_file_shows_error_and_is_removed_and_one_of_unknown_type_is_taken(
    open_page, served, tmp_path: Path
) -> None:
    broken, large = tmp_path / "Jane Doe.wav", tmp_path / "Jane Doe large.wav"
    broken.write_bytes(b"not audio" * 100)
    with open(large, "wb") as file:
        file.truncate(61 * 2**20)
    page, before = open_page(), len(served.clips)
    for path, message in ((broken, "no recording that can be decoded"), (large, "larger than 60 MB")):
        page.locator("#source input[type=file]").set_input_files(path)
        expect(page.get_by_text(message)).to_be_visible()
        expect(clip_of(page, "source")).to_have_count(0)
        assert "Jane" not in page.content()
    assert len(served.clips) == before
    path = tmp_path / "recording.caf"  # the browser knows no MIME type of it
    sf.write(path, voice(220, 2.0), RATE, format="CAF")
    upload(page, "source", path)


def test_cancel_and_reload_stop_the_job_and_other_visitor_sees_nothing(open_page, served: Served) -> None:
    page, jobs, before = open_page(), served.page.recordings.jobs, set(served.clips)
    served.pipeline.slow = True
    page.locator("#example").click()
    expect(page.get_by_text("Converting slowly")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    until(lambda: not jobs.running)
    expect(page.locator(".player")).to_have_count(0)
    page.get_by_role("button", name="Convert").click()  # the inputs are still there
    expect(page.get_by_text("Converting slowly")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())  # it asks before it leaves
    page.reload()
    until(lambda: not jobs.running)  # its page is gone
    assert not [path for path in set(served.clips) - before if path.match("anonymized-*.wav")]
    served.pipeline.slow = False
    expect(page.get_by_label(PSEUDONYM)).to_be_checked()
    expect(clip_of(page, "source")).to_have_count(0)
    other = open_page()
    page.locator("#example").click()
    wait_for_results(page)
    expect(other.locator(".player")).to_have_count(0)
    open_tab(other, "Explore")
    expect(other.locator("#maps .legend li")).to_have_count(1)  # the gallery alone


CHANGES: dict[str, Callable[[Page, dict[str, Path]], None]] = {
    "another recording": lambda page, recordings: replace_clip(page, "source", recordings["other"]),
    "no recording": lambda page, recordings: page.locator("#source").get_by_label("Clear").click(),
    "microphone": lambda page, recordings: page.locator("#source").get_by_label("Record audio").click(),
    "a trimmed recording": lambda page, recordings: trim(page, "source"),
    "another voice": lambda page, recordings: page.get_by_label("Voice B").check(),
    "another profile": lambda page, recordings: page.get_by_label(PROFILE_NAMES[STRICT]).check(),
    "another register": lambda page, recordings: page.get_by_label("Low", exact=True).check(),
    "another person's voice": lambda page, recordings: page.get_by_label(OWN_RECORDING).check(),
}


def trim(page: Page, elem_id: str) -> None:
    """Trim a recording."""
    page.locator(f"#{elem_id}").get_by_label("Trim audio to selection").click()
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        page.locator(f"#{elem_id}").get_by_role("button", name="Trim", exact=True).click()


def statuses(page: Page, addresses: set[str]) -> set[int]:
    """HTTP statuses of addresses; a connection that the server had closed is opened again."""
    return {page.request.get(address, max_retries=3).status for address in addresses}


def expect_removal(page: Page, addresses: set[str], change: Callable[[], None]) -> None:
    """Expect that a change removes a result from the page, its files, and its points in the maps."""
    assert statuses(page, addresses) == {200}
    open_tab(page, "Explore")
    expect(page.locator("#maps .legend")).to_contain_text("Anonymized")
    open_tab(page, "Anonymize")
    change()
    expect_no_result(page)
    assert statuses(page, addresses) == {404}
    expect(page.locator("#maps .legend li")).to_have_count(1)  # the gallery alone, before the tab is opened
    open_tab(page, "Explore")
    expect(page.locator("#maps .legend li")).to_have_count(1)


@pytest.mark.proof
@pytest.mark.parametrize("change", CHANGES)
def test_result_is_removed_when_an_input_changes(change, open_page, watch, recordings) -> None:
    """Of a change of the target: see the test of delete in another tab."""
    page = open_page()
    page.on("dialog", lambda dialog: dialog.accept())  # the microphone asks before it takes the place of a recording
    expect_removal(page, convert(page, recordings["patient"]), lambda: CHANGES[change](page, recordings))
    assert watch.errors == []


# Gradio's server asks the page to close its event stream. Here, the message is late.
LATE_CLOSE = """
const send = window.fetch;
window.fetch = async (...request) => {
  const response = await send(...request);
  if (!(request[0].url ?? String(request[0])).includes("/queue/data")) return response;
  const late = new TransformStream({async transform(chunk, controller) {
    const text = new TextDecoder().decode(chunk), at = text.indexOf('data: {"msg":"close_stream"');
    if (at < 0) return controller.enqueue(chunk);
    controller.enqueue(new TextEncoder().encode(text.slice(0, at)));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    controller.enqueue(new TextEncoder().encode(text.slice(at)));
  }});
  return new Response(response.body.pipeThrough(late), response);
};
"""


@pytest.mark.proof
def test_event_that_joins_while_the_stream_closes_is_answered(open_page, watch: Watch, recordings) -> None:
    page = open_page(script=LATE_CLOSE)
    for _ in range(2):
        upload(page, "source", recordings["patient"])
        page.get_by_role("button", name="Convert").click()
        wait_for_results(page)
        page.locator("#source").get_by_label("Clear").click()
        expect_no_result(page)
    assert watch.errors == []


# The server's answer that an event has joined its queue is late. What its handler has yielded by then, Gradio's client
# takes in at once: it applies the later values to the dictionaries of the earlier ones before the page shows these.
LATE_JOIN = """
const send = window.fetch;
window.fetch = async (...request) => {
  const response = await send(...request);
  if ((request[0].url ?? String(request[0])).includes("/queue/join"))
    await new Promise((resolve) => setTimeout(resolve, 3000));
  return response;
};
"""


@pytest.mark.proof
def test_answer_that_comes_before_its_event_has_joined_is_shown(
    open_page, watch: Watch, recordings, tmp_path: Path
) -> None:
    page = open_page(script=LATE_JOIN)
    convert(page, recordings["patient"])
    for kind in PICTURES:
        assert download(page, f"download-{kind}", tmp_path).name == f"spectrograms.{kind}"
    assert watch.errors == []


# `lose` breaks the connections that are open, on this side alone, as a change of the network does. While `isDown`, no
# new one can be made.
LOSS = """
const send = window.fetch, open = [];
window.lose = () => open.splice(0).forEach((controller) => controller.error(new TypeError("network error")));
window.fetch = async (...request) => {
  if (window.isDown) throw new TypeError("Failed to fetch");
  const response = await send(...request);
  if (!/[/](queue[/]data|heartbeat)/.test(request[0].url ?? String(request[0]))) return response;
  const reader = response.body.getReader();
  const body = new ReadableStream({
    start: (controller) => open.push(controller),
    pull: async (controller) => {
      const {done, value} = await reader.read();
      done ? controller.close() : controller.enqueue(value);
    },
  });
  return new Response(body, response);
};
"""


SLEEP = """
const now = Date.now, every = window.setInterval;
window.asleepMs = 0;
Date.now = () => now() + window.asleepMs;
window.setInterval = (call, ms) => every(call, ms === 30000 ? 200 : ms);
"""


@pytest.mark.proof
def test_idle_page_is_kept_after_the_computer_was_asleep(open_page, recordings) -> None:
    """Gradio's own connection may be broken then, and nothing else on the page would notice."""
    page = open_page(script=SLEEP)
    upload(page, "source", recordings["patient"])
    with page.expect_request("**/gradio_api/heartbeat/*"):
        page.evaluate("window.asleepMs = 600000")


@pytest.mark.proof
def test_page_goes_on_after_the_connection_was_lost(open_page, served: Served, recordings) -> None:
    page, texts = open_page(script=LOSS), LANGUAGES["en"]
    upload(page, "source", recordings["patient"])
    served.pipeline.slow = True
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Converting slowly")).to_be_visible()
    page.evaluate("window.isDown = true; window.lose()")
    expect(page.locator(".toast-body")).to_contain_text("Start again what was running")
    page.get_by_label(PROFILE_NAMES[STRICT]).check()
    expect(page.locator("#microphone-note")).to_have_text(texts.CONNECTION["offline"])
    with page.expect_request("**/gradio_api/heartbeat/*"):  # else the server counts the page as closed
        page.evaluate("window.isDown = false")
    expect(page.locator("#microphone-note")).to_be_hidden()
    expect_no_result(page, "converted yet", toasts=1)
    served.pipeline.slow = False
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    open_details(page)
    expect(page.locator("#profile-used")).to_contain_text("Strict.")
    page.locator(".toast-close").click()
    page.locator("#source").get_by_label("Clear").click()
    expect_no_result(page)
    page.evaluate("window.isDown = true")
    page.locator("#source input[type=file]").set_input_files(recordings["other"])
    expect(page.locator("#microphone-note")).to_have_text(texts.CONNECTION["offline"])
    page.evaluate("window.isDown = false")
    expect(clip_of(page, "source")).to_have_count(1)
    expect(page.locator("#microphone-note")).to_be_hidden()


@pytest.mark.proof
def test_new_recording_after_a_clear_sends_few_requests(open_page, recordings) -> None:
    page, sent = open_page(), []
    upload(page, "source", recordings["patient"])
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    replace_clip(page, "source", recordings["other"])
    page.wait_for_timeout(3000)
    assert len(sent) < 100  # two changes at once are some 20 requests, on a busy machine up to 50; they were 160


@pytest.mark.proof
@pytest.mark.parametrize("elem_id", ["source", "query"])
def test_cleared_recording_does_not_come_back_with_a_late_answer(
    elem_id, open_page, served: Served, recordings
) -> None:
    """The network delays the answer on the server's plain copy until after a Clear and the next upload."""
    page, held = open_page(), []
    if elem_id == "query":
        open_tab(page, "Identify")
    handlers = {number for number, fn in served.page.fns.items() if fn.name == "copy_of"}

    def hold_first(route: Route) -> None:
        is_first = not held and (route.request.post_data_json or {}).get("fn_index") in handlers
        held.append((route, route.fetch())) if is_first else route.continue_()

    page.route("**/run/**", hold_first)
    page.locator(f"#{elem_id} input[type=file]").set_input_files(recordings["patient"])
    while not held:
        page.wait_for_timeout(50)
    replace_clip(page, elem_id, recordings["other"])
    (route, answer), requested = held[0], []
    page.on("request", lambda request: requested.append(request.url))
    route.fulfill(response=answer)
    page.wait_for_timeout(1000)
    _, copy = answer.json()["data"]
    assert copy["url"] not in requested and clip_of(page, elem_id).count() == 1


def test_change_of_input_stops_running_conversion(open_page, watch, served: Served, recordings) -> None:
    page, jobs, before = open_page(), served.page.recordings.jobs, set(served.clips)
    upload(page, "source", recordings["patient"])
    served.pipeline.slow = True
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Converting slowly")).to_be_visible()
    replace_clip(page, "source", recordings["other"])
    expect_no_result(page)
    expect(page.get_by_text("Converting slowly")).to_have_count(0)
    until(lambda: not jobs.running)
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Converting slowly")).to_be_visible()
    page.get_by_label("Voice C").check()
    page.get_by_role("button", name="Convert").click()  # at once; the previous run may still be stopping
    served.pipeline.slow = False
    wait_for_results(page)
    expect(page.locator("#measured")).to_contain_text("Similarity to the new voice")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(page.locator(".toast-body")).to_have_count(0)
    assert (
        len(
            [
                path
                for path in set(served.clips) - before
                if path.name.startswith("anonymized-") and path.suffix == ".wav"
            ]
        )
        == 1
    )
    assert watch.errors == []


def test_result_is_never_shown_if_the_change_event_is_late(open_page, served: Served, recordings) -> None:
    """The network delays the event of the change until after the result."""
    page, held = open_page(), []
    change_handler = next(number for number, fn in served.page.fns.items() if fn.name == "drop_if_changed")
    upload(page, "source", recordings["patient"])
    served.pipeline.slow = True
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Converting slowly")).to_be_visible()
    is_change = lambda route: (route.request.post_data_json or {}).get("fn_index") == change_handler  # noqa: E731
    page.route("**/run/**", lambda route: held.append(route) if is_change(route) else route.continue_())
    page.evaluate(
        "new MutationObserver(() => { if (document.querySelector('.player')) window.seen = true; })"
        ".observe(document.body, {childList: true, subtree: true})"
    )
    page.locator("#source").get_by_label("Clear").click()
    page.wait_for_timeout(300)
    assert held
    served.pipeline.slow = False
    expect_no_result(page)
    for route in held:
        route.continue_()
    page.wait_for_timeout(500)
    expect_no_result(page)
    assert page.evaluate("window.seen") is None


def test_result_and_consent_are_removed_by_a_new_target_and_the_result_after_delete_in_another_tab(
    open_page, watch: Watch, served: Served, recordings
) -> None:
    page, answers = open_page(), []
    page.get_by_label(OWN_RECORDING).check()
    page.locator("#target input[type=file]").set_input_files(recordings["other"])
    expect(clip_of(page, "target")).to_have_count(1)
    page.get_by_label("has agreed").check()  # before the server's plain copy is there: valid too
    addresses = convert(page, recordings["patient"])
    expect(page.get_by_label("has agreed")).to_be_checked()
    expect_removal(page, addresses, lambda: replace_clip(page, "target", recordings["patient"]))
    open_tab(page, "Anonymize")
    expect(page.get_by_label("has agreed")).not_to_be_checked()
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Tick that the other person has agreed")).to_be_visible()
    assert "Error" not in page.locator("main").inner_text()
    page.get_by_label("has agreed").check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    assert watch.errors == []
    page.on("response", lambda response: answers.append(response.status))
    other = page.context.new_page()
    other.goto(served.url)  # it has nothing itself, but its browser has
    other.get_by_role("button", name="Delete now").click()
    expect(other.get_by_text("Your recordings and results were removed")).to_be_visible()
    page.bring_to_front()
    page.locator("#source").get_by_label("Clear").click()
    expect_no_result(page, toasts=None)  # one tells that the server refused the event
    assert 400 in answers  # since it names a deleted recording; the page still reacts


@pytest.mark.proof
def test_example_can_be_repeated(open_page, watch: Watch, recordings) -> None:
    page = open_page()
    convert(page, recordings["patient"])
    for _ in range(3):
        page.locator("#example").click()
        expect(page.locator(".player")).to_have_count(0)
        wait_for_results(page)
    page.wait_for_timeout(500)
    wait_for_results(page)
    assert watch.errors == []


def test_enrolled_voice_is_identified_and_a_change_removes_the_answer(open_page, watch, recordings) -> None:
    page = open_page()
    open_tab(page, "Identify")
    page.locator("#identify-example").click()
    expect(page.locator("#answer .answer")).to_have_count(2)  # one who is enrolled, one who is not
    expect(page.locator("#answer .scores li")).to_have_count(6)
    expect(page.locator("#query-note")).to_contain_text("The second half of")
    replace_clip(page, "query", recordings["patient"])
    expect(page.locator("#answer")).to_be_empty()
    expect(page.locator("#query-note")).to_be_empty()
    page.locator("#identify").click()
    expect(page.locator("#answer .scores li")).to_have_count(3)
    page.get_by_label("Name").fill("Anna")
    page.locator("#voice input[type=file]").set_input_files(recordings["patient"])
    expect(clip_of(page, "voice")).to_have_count(1)
    page.locator("#enroll").click()
    expect(page.locator("#enrolled li")).to_have_count(4)
    expect(page.locator("#enrolled li", has_text="Anna")).to_have_text("Anna1 clip")
    expect(page.locator("#answer .scores li")).to_have_count(0)
    page.locator("#identify").click()
    for heading in ("#answer h3", "#live"):
        expect(page.locator(heading)).to_have_text("Most likely Anna.")
    page.locator("#remove-all").click()
    expect(page.locator("#enrolled")).to_contain_text("Nobody is enrolled yet")
    expect(page.locator("#answer h3")).to_have_count(0)
    assert watch.errors == []


@pytest.mark.proof
@pytest.mark.parametrize(("duration_s", "scheme"), [(20, "light"), (300, "dark")])
def test_long_clips_do_not_widen_the_page_of_a_phone(duration_s, scheme, open_page, tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    sf.write(path, voice(220, duration_s), RATE)
    page = open_page(390, scheme)
    upload(page, "source", path)
    page.get_by_label(OWN_RECORDING).check()
    upload(page, "target", path)
    waveforms = page.locator("#source #waveform > div, #target #waveform > div")
    expect(waveforms).to_have_count(2)
    page.wait_for_function("document.querySelector('#target #duration').textContent !== '0:00'")
    page.wait_for_timeout(500)
    assert overflow_px(page) == 0
    page.get_by_label("has agreed").check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    page.wait_for_timeout(500)
    assert overflow_px(page) == 0
    open_tab(page, "Identify")
    upload(page, "query", path)
    page.wait_for_timeout(500)
    assert overflow_px(page) == 0


def test_every_run_shows_stage_share_and_time_left_in_view_and_then_the_verdict(open_page, served: Served) -> None:
    page, jobs = open_page(1366, height=650), served.page.recordings.jobs
    live = page.locator("#live[role=status]")
    expect(live).to_be_empty()
    bar = page.locator("#progress").get_by_role("progressbar")

    def expect_progress() -> None:
        expect(bar).to_have_attribute(
            "aria-valuetext", re.compile(r"Converting slowly, \d+\s%, about \d+ seconds? left")
        )
        first = int(bar.get_attribute("aria-valuenow"))
        expect(bar).not_to_have_attribute("aria-valuenow", str(first))
        assert int(bar.get_attribute("aria-valuenow")) > first
        expect(bar).to_be_visible()
        assert bar.bounding_box()["y"] + bar.bounding_box()["height"] < 650

    served.pipeline.slow = True
    page.locator("#example").click()
    expect_progress()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    until(lambda: not jobs.running)
    page.get_by_role("button", name="Convert").click()
    expect_progress()
    served.pipeline.slow = False
    expect(page.locator("#protection .verdict")).to_be_in_viewport()
    expect(live).to_have_text(page.locator("#protection .verdict").inner_text())  # for screen readers
    expect(page.locator("#delete")).to_have_count(1)  # it deletes the result


def test_toast_is_titled_by_its_message_and_keeps_the_look_of_gradio(open_page, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("button", name="Convert").click()
    title = page.locator(".toast-title")
    expect(title).to_have_text(re.compile(r"^Record or upload the voice to protect first\.\s*$"))
    look = "toasts => toasts.map(toast => getComputedStyle(toast).borderTopWidth + getComputedStyle(toast).padding)"
    assert page.locator(".toast-title").evaluate_all(look) == ["0px0px"]
    page.locator(".toast-close").click()
    expect(title).to_have_count(0)
    pdf = tmp_path / "Jane Doe.pdf"
    pdf.write_bytes(b"%PDF-1.4")
    page.locator("#source input[type=file]").set_input_files(pdf)
    expect(title).to_have_text(NOT_AUDIO + " ")
    assert "audio/" not in page.locator(".toast-body").inner_text() and "Jane" not in page.content()


def test_name_of_a_voice_appears_on_hover_focus_and_tap(open_page) -> None:
    page = open_page()
    open_tab(page, "Explore")
    names = page.locator("#maps svg.map text")
    expect(names).to_have_count(80)
    shown = lambda page: page.locator("#maps svg.map text:visible").all_text_contents()  # noqa: E731
    assert shown(page) == []
    page.locator("#maps .v39 > :last-child").first.hover()
    assert shown(page) == ["Voice 40 (male)"] * 2
    page.mouse.move(0, 0)
    assert shown(page) == []
    page.locator("#maps select").focus()
    page.keyboard.press("Tab")
    assert shown(page) == ["Voice 01 (female)"] * 2
    page.keyboard.press("ArrowRight")
    assert shown(page) == ["Voice 02 (male)"] * 2
    page.evaluate("document.activeElement.blur()")
    page.set_viewport_size({"width": 390, "height": 844})
    finger, dot = use_fingers(page), page.locator("#maps .v39 > :last-child").first
    dot.scroll_into_view_if_needed()
    assert shown(page) == []
    box = dot.bounding_box()
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(names.locator("visible=true")).to_have_text(["Voice 40 (male)"] * 2)


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.proof), 390])
def test_spectrograms_fill_the_width_zoom_together_play_follow_their_settings_and_let_fingers_scroll(
    width, open_page, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, waits, show = open_page(width), threading.Event(), Anonymizer.show_spectrograms
    page.locator("#example").click()
    wait_for_results(page)
    monkeypatch.setattr(Anonymizer, "show_spectrograms", lambda *request: waits.wait(60) and show(*request))
    page.locator("#details > button").click()
    expect(page.locator("#spectrograms .wrap.full .loader, #spectrograms .wrap.full svg").first).to_be_visible()
    waits.set()
    page.locator("#details > button").click()
    open_details(page)
    box, around = page.locator("#spectrograms .js-plotly-plot").bounding_box(), page.locator("#results").bounding_box()
    assert box["width"] > around["width"] - 50 and overflow_px(page) == 0
    layout = "document.querySelector('#spectrograms .js-plotly-plot')._fullLayout"
    axis = lambda name: page.evaluate(f"{layout}.{name}.range")  # noqa: E731
    end_s = axis("xaxis")[1]
    plays = (
        "name => !document.querySelector(`.player.${name} #waveform > div`).shadowRoot.querySelector('audio').paused"
    )
    plays_alone = f"name => ['original', 'reconstructed', 'swapped'].every(one => ({plays})(one) === (one === name))"
    for name in ("swapped", "reconstructed"):
        page.locator(f'.{name} [aria-label="Play"]').click()
        page.wait_for_function(plays_alone, arg=name)
    page.locator('.reconstructed [aria-label="Pause"]').click()
    page.wait_for_function(plays_alone, arg="none")
    page.locator("#spectrograms .nsewdrag").first.click()  # in the middle, of the original
    page.wait_for_function(plays_alone, arg="original")
    page.locator('#source [aria-label="Play"]').click()
    page.wait_for_function(plays_alone, arg="none")
    page.locator("#spectrograms .nsewdrag").first.click()
    page.wait_for_function(plays_alone, arg="original")
    expect(page.locator('#source [aria-label="Play"]')).to_be_visible()
    line, middle_s = page.locator("#spectrograms .playhead"), axis("xaxis")[1] / 2
    expect(line).to_be_visible()
    place = line.evaluate(f"line => {layout}.xaxis.p2d(line.offsetLeft + 1 - {layout}.xaxis._offset)")
    assert middle_s - 0.1 < place <= end_s
    panels = [page.locator("#spectrograms .nsewdrag").nth(k).bounding_box() for k in range(3)]
    assert len({panel["width"] for panel in panels}) == 1
    page.locator("#spectrograms .nsewdrag").nth(1).evaluate("panel => panel.scrollIntoView({block: 'center'})")
    panel = page.locator("#spectrograms .nsewdrag").nth(1).bounding_box()
    middle = panel["y"] + panel["height"] / 2
    page.mouse.move(panel["x"] + panel["width"] / 4, middle)
    page.mouse.down()
    page.mouse.move(panel["x"] + panel["width"] / 2, middle + 2, steps=5)
    page.mouse.up()
    page.wait_for_function(f"{layout}.xaxis.range[1] < {0.6 * end_s}")
    assert axis("xaxis") == pytest.approx([end_s / 4, end_s / 2], abs=end_s / 50)
    assert axis("yaxis") == axis("yaxis2") == axis("yaxis3")
    page.locator("#view > button").click()
    page.locator("#difference").get_by_role("checkbox").check()
    expect(page.locator("#spectrograms .annotation", has_text="minus original")).to_have_count(2)
    assert violations(page) == [] and overflow_px(page) == 0
    for kind in ("png", "svg"):
        assert download(page, f"download-{kind}", tmp_path).name == f"spectrograms.{kind}"
    use_fingers(page)  # they scroll past the spectrograms
    areas = page.locator("#spectrograms .nsewdrag")
    assert areas.evaluate_all("areas => areas.map(area => getComputedStyle(area).pointerEvents)") == ["none"] * 3
    expect(page.locator("#spectrograms .modebar")).to_be_visible()
    assert watch.errors == []


def test_bundled_weights_convert_without_errors_or_other_hosts(
    open_page, watch: Watch, served: Served, tmp_path: Path
) -> None:
    store = ClipStore(tmp_path)
    page = build_page(Pipeline.from_pretrained(), load_examples(ROOT / "assets" / "examples"), store=store)
    server = launch(page, port=0, block=False)
    try:
        visit = open_page(url=server.url)
        visit.locator("#example").click()
        wait_for_results(visit)
        open_details(visit)
        assert watch.errors == [] and watch.hosts == {urlsplit(server.url).netloc} and served.calls_out == []
        visit.close()  # the server waits for its visitors' connections
    finally:
        server.close()


@pytest.mark.proof
def test_page_takes_an_hour(open_page, watch: Watch, tmp_path: Path) -> None:
    """With the bundled weights: a phone's stereo MP3, to verdict, downloads and spectrograms."""
    examples = load_examples(ROOT / "assets" / "examples")
    speech = np.concatenate([audio.load(example.path) for example in examples] * 2)[: 59 * RATE]
    sound = soxr.resample(speech, RATE, 44_100)
    path = tmp_path / "hour.mp3"
    with sf.SoundFile(path, "w", 44_100, 2, format="MP3") as file:
        for _ in range(61):  # 3,599 s: players show "59:59", and `open_details` waits until none shows "0:00"
            file.write(np.stack([sound, 0.5 * sound], axis=1))
    server = launch(build_page(Pipeline.from_pretrained(), examples, store=ClipStore(tmp_path)), port=0, block=False)
    try:
        page = open_page(url=server.url)
        page.set_default_timeout(600_000)
        upload(page, "source", path)
        page.get_by_role("button", name="Convert").click()
        playwright_expect(page.locator("#protection .verdict")).to_have_count(1, timeout=1_200_000)
        wav, mp3 = (download(page, f"download-{name}", tmp_path) for name in ("wav", "mp3"))
        assert sf.info(wav).duration == pytest.approx(3599, abs=1) and mp3.stat().st_size > 2**20
        open_details(page)
        page.locator("#delete").click()
        expect(page.locator("#protection .verdict")).to_have_count(0)
        assert watch.errors == []
    finally:
        server.close()


def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
