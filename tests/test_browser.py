"""The page in a real browser: what a visitor does, sees and is told, and no word of it to anyone else.

Needs Chromium: the program that $CHROMIUM names, the system's, or the one that Playwright installed. All but one
test run over a fake pipeline, which is quick and can be slowed down.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
import pytest
import soundfile as sf
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from saic.pipeline import Pipeline
from saic.web import Documents, build_page, launch, load_examples, protection, serve
from saic.web.recordings import LIMITS
from saic.web.store import ClipStore
from saic.web.texts import NOBODY, OWN_RECORDING
from tests.conftest import RATE, voice
from tests.fakes import FakePipeline

ROOT = Path(__file__).parents[1]
WAIT_MS = 60_000  # a conversion on a busy machine
expect.set_options(timeout=WAIT_MS)
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0")


class SlowPipeline(FakePipeline):
    """A fake whose conversions last, in stages, while `slow` is set."""

    slow = False

    def convert(self, source, targets, *, reconstruct=True, progress=None):
        for stage in range(600):
            if not self.slow:
                break
            progress("Thinking slowly", stage / 1200)
            time.sleep(0.1)
        return super().convert(source, targets, reconstruct=reconstruct, progress=progress)


@dataclass
class Served:
    """A page that is being served."""

    page: gr.Blocks
    url: str
    pipeline: SlowPipeline
    calls_out: list[str]

    @property
    def clips(self) -> list[Path]:
        """Everything in the store that is not bundled."""
        store = self.page.recordings.store
        return [path for path in store.folder.glob("*/*") if path.parent != store.bundled]


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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the page over the fake, on a free port, and note every connection to elsewhere."""
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
    patch.setattr(protection, "independent_judge", lambda: None)  # Resemblyzer takes long to load
    patch.setattr(serve, "warm_up", lambda page: None)
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it: let it be undone
    pipeline, store = SlowPipeline(), ClipStore(tmp_path_factory.mktemp("store"))
    examples, documents = load_examples(ROOT / "assets" / "examples"), Documents.read(ROOT, None)
    page = build_page(pipeline, examples, store=store, documents=documents)
    server = launch(page, port=0, block=False)
    yield Served(page, server.url, pipeline, calls_out)
    server.close()
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
def open_page(browser: Browser, served: Served, watch: Watch) -> Iterator[Callable[..., Page]]:
    """Open the page at a width and in a colour scheme, after a script of its own."""
    contexts = []

    def opened(width: int = 1280, scheme: str = "light", script: str = "", url: str = served.url) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(script)
        watch.on(page)
        page.goto(url)
        expect(clip_of(page, "target")).to_have_count(1)  # the first bundled voice
        return page

    yield opened
    served.pipeline.slow = False
    for context in contexts:
        context.close()


def clip_of(page: Page, elem_id: str) -> Locator:
    """The clip that a recorder shows."""
    return page.locator(f"#{elem_id} audio[src]")


def upload(page: Page, elem_id: str, path: Path) -> None:
    """Choose a file, and wait until the server's plain copy has taken its place."""
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        page.locator(f"#{elem_id} input[type=file]").set_input_files(path)
    expect(clip_of(page, elem_id)).to_have_count(1)


def wait_for_results(page: Page) -> None:
    expect(page.locator(".player audio[src]")).to_have_count(3)
    expect(page.locator("#protection .verdict")).to_have_count(1)
    page.wait_for_function("[...document.querySelectorAll('.figure img')].every(image => image.naturalWidth > 0)")
    expect(page.locator(".player #duration", has_text="0:00")).to_have_count(0)


def changed(page: Page, elem_id: str, path: Path) -> None:
    """Put another recording in the place of one."""
    page.locator(f"#{elem_id}").get_by_label("Clear").click()
    upload(page, elem_id, path)


def convert(page: Page, recording: Path) -> set[str]:
    """Convert an upload to the first bundled voice; returns the addresses of what is shown."""
    asked = set()
    page.on("request", lambda request: asked.add(request.url))
    upload(page, "source", recording)
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    names = ("original.wav", "reconstructed.wav", "swapped.wav", "spectrograms.png")
    addresses = {address for address in asked if address.endswith(names)}
    assert len(addresses) == len(names)
    return addresses


def expect_no_result(page: Page, said: str = "The recording or the new voice changed") -> None:
    """No player, card or spectrogram, and a sentence that says why."""
    expect(page.locator("#intro")).to_contain_text(said)
    expect(page.locator(".player, #protection, .figure")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(page.locator(".toast-body")).to_have_count(0)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def overflow_px(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=WCAG).response["violations"]
    return [f"{v['id']}: {[node['html'] for node in v['nodes']]}" for v in found]


def test_a_visit_from_two_uploads_to_delete_now(open_page, watch: Watch, served: Served, recordings) -> None:
    page, before = open_page(), set(served.clips)
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Record or upload the voice to protect first.")).to_be_visible()
    upload(page, "source", recordings["patient"])
    page.get_by_label(OWN_RECORDING).check()
    upload(page, "target", recordings["other"])
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Tick that the other person has agreed")).to_be_visible()
    page.get_by_label("has agreed").check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    durations_s = page.locator(".player audio[src]").evaluate_all("players => players.map(player => player.duration)")
    assert durations_s == pytest.approx([4.0, 4.0, 4.0], abs=0.05)
    open_tab(page, "Explore")
    expect(page.locator("#maps svg.map")).to_have_count(2)
    expect(page.locator("#maps .legend")).to_contain_text("Swapped")
    for kept in (page.evaluate("JSON.stringify([localStorage, sessionStorage])"), page.content()):
        assert "Jane" not in kept and "John" not in kept
    assert page.evaluate("localStorage.length") == 0
    own = set(served.clips) - before
    assert {path.name for path in own} >= {"recording.wav", "swapped.wav"}
    open_tab(page, "Anonymize")
    page.get_by_role("button", name="Delete now").click()
    expect(page.get_by_text("Nothing of yours is left")).to_be_visible()
    expect(page.locator(".player audio[src]")).to_have_count(0)
    assert not own & set(served.clips)
    assert watch.complaints == [] and watch.hosts == {urlsplit(served.url).netloc} and served.calls_out == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_tab_can_be_read_by_everyone(width, scheme, open_page, watch: Watch) -> None:
    page = open_page(width, scheme)
    page.get_by_label(NOBODY).check()
    page.locator("#example").focus()
    page.keyboard.press("Enter")
    wait_for_results(page)
    for name, ready in {
        "Anonymize": "#results",
        "Explore": "#maps svg.map >> nth=0",
        "Identify": "#enrol",
        "About": ".picture",
    }.items():
        open_tab(page, name)
        expect(page.locator(ready)).to_be_visible(timeout=WAIT_MS)
        if name == "Identify":
            page.locator("#identify-example").click()
            expect(page.locator("#answer .scores li")).to_have_count(6)
        if name in ("Anonymize", "About"):
            page.get_by_role("button", name="valuation").locator("visible=true").click()
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)  # a tab fades in
        assert violations(page) == [], name
        assert overflow_px(page) == 0, name
    assert watch.complaints == []


def test_a_recording_from_the_microphone_is_taken(open_page, watch: Watch) -> None:
    page = open_page()
    page.locator("#source").get_by_label("Record audio").click()
    page.locator("#source").get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        page.locator("#source").get_by_role("button", name="Stop").first.click()
    expect(clip_of(page, "source")).to_have_count(1)
    assert watch.complaints == []


def test_a_microphone_that_cannot_be_used_explains_itself(open_page) -> None:
    refuse = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', window.why); };"
    page = open_page(script=refuse)
    page.locator("#source").get_by_label("Record audio").click()
    for why, said in {"NotAllowedError": "does not let this page", "NotFoundError": "No microphone was found"}.items():
        page.evaluate(f"window.why = '{why}'")
        page.locator("#source").get_by_role("button", name="Record", exact=True).click()
        expect(page.locator("#microphone-note")).to_contain_text(said)
    page = open_page(script="Object.defineProperty(window, 'isSecureContext', {value: false});")
    page.locator("#source").get_by_label("Record audio").click()
    expect(page.locator("#microphone-note")).to_contain_text("only over https")


def test_a_broken_and_an_oversize_file_are_told_and_taken_off_the_page(open_page, served, tmp_path: Path) -> None:
    broken, large = tmp_path / "Jane Doe.wav", tmp_path / "Jane Doe large.wav"
    broken.write_bytes(b"not audio" * 100)
    with open(large, "wb") as file:
        file.truncate(LIMITS.max_bytes + 2**20)
    page, before = open_page(), len(served.clips)
    for path, said in ((broken, "no recording that can be decoded"), (large, "larger than 60 MB")):
        page.locator("#source input[type=file]").set_input_files(path)
        expect(page.get_by_text(said)).to_be_visible(timeout=WAIT_MS)
        expect(clip_of(page, "source")).to_have_count(0)
        assert "Jane" not in page.content()
    assert len(served.clips) == before


def test_cancel_reload_and_a_second_visitor_in_the_middle(open_page, served: Served) -> None:
    page, jobs, before = open_page(), served.page.recordings.jobs, set(served.clips)
    served.pipeline.slow = True
    page.locator("#example").click()
    expect(page.get_by_text("Thinking slowly")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    until(lambda: not jobs.running)
    expect(page.locator(".player")).to_have_count(0)
    page.get_by_role("button", name="Convert").click()  # what was filled in is still there
    expect(page.get_by_text("Thinking slowly")).to_be_visible()
    page.reload()
    until(lambda: not jobs.running)  # nobody waits for it any more
    assert not [path for path in set(served.clips) - before if path.name == "swapped.wav"]
    served.pipeline.slow = False
    expect(clip_of(page, "target")).to_have_count(1)
    expect(clip_of(page, "source")).to_have_count(0)
    other = open_page()
    page.locator("#example").click()
    wait_for_results(page)
    expect(other.locator(".player")).to_have_count(0)
    open_tab(other, "Explore")
    expect(other.locator("#maps .legend li")).to_have_count(1)  # the gallery alone


CHANGES: dict[str, Callable[[Page, dict[str, Path]], None]] = {
    "another recording": lambda page, recordings: changed(page, "source", recordings["other"]),
    "none": lambda page, recordings: page.locator("#source").get_by_label("Clear").click(),
    "the microphone": lambda page, recordings: page.locator("#source").get_by_label("Record audio").click(),
    "a part of it": lambda page, recordings: trim(page, "source"),
    "another voice": lambda page, recordings: page.locator("#choice label").nth(1).click(),
    "a voice of nobody's": lambda page, recordings: page.get_by_label(NOBODY).check(),
    "another person's voice": lambda page, recordings: page.get_by_label(OWN_RECORDING).check(),
}


def trim(page: Page, elem_id: str) -> None:
    """Cut a recording to a part of it."""
    page.locator(f"#{elem_id}").get_by_label("Trim audio to selection").click()
    with page.expect_response(lambda response: response.url.endswith("/recording.wav")):
        page.locator(f"#{elem_id}").get_by_role("button", name="Trim", exact=True).click()


@pytest.mark.parametrize("change", CHANGES)
def test_a_result_goes_when_what_it_was_made_from_changes(change, open_page, watch, recordings) -> None:
    page = open_page()
    addresses = convert(page, recordings["patient"])
    assert {page.request.get(address).status for address in addresses} == {200}
    open_tab(page, "Explore")
    expect(page.locator("#maps .legend")).to_contain_text("Swapped")
    open_tab(page, "Anonymize")
    CHANGES[change](page, recordings)
    expect_no_result(page)
    assert {page.request.get(address).status for address in addresses} == {404}
    expect(page.locator("#maps .legend li")).to_have_count(1)  # the gallery alone, before anybody looks
    open_tab(page, "Explore")
    expect(page.locator("#maps .legend li")).to_have_count(1)
    assert watch.complaints == []


def test_the_other_persons_recording_takes_the_result_and_the_consent_with_it(open_page, watch, recordings) -> None:
    page = open_page()
    upload(page, "source", recordings["patient"])
    page.get_by_label(OWN_RECORDING).check()
    upload(page, "target", recordings["other"])
    page.get_by_label("has agreed").check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    expect(page.get_by_label("has agreed")).to_be_checked()
    changed(page, "target", recordings["patient"])
    expect(page.get_by_label("has agreed")).not_to_be_checked()
    expect_no_result(page)
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Tick that the other person has agreed")).to_be_visible()
    assert "Error" not in page.locator("main").inner_text()
    page.get_by_label("has agreed").check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)
    assert watch.complaints == []


def test_a_tick_that_is_quicker_than_the_copy_counts(open_page, recordings) -> None:
    page = open_page()
    upload(page, "source", recordings["patient"])
    page.get_by_label(OWN_RECORDING).check()
    page.locator("#target input[type=file]").set_input_files(recordings["other"])
    expect(clip_of(page, "target")).to_have_count(1)
    page.get_by_label("has agreed").check()
    page.get_by_role("button", name="Convert").click()
    wait_for_results(page)


def test_a_change_while_a_conversion_runs_stops_it(open_page, watch, served: Served, recordings) -> None:
    page, jobs, before = open_page(), served.page.recordings.jobs, set(served.clips)
    upload(page, "source", recordings["patient"])
    served.pipeline.slow = True
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Thinking slowly")).to_be_visible()
    changed(page, "source", recordings["other"])
    expect_no_result(page)
    expect(page.get_by_text("Thinking slowly")).to_have_count(0)
    until(lambda: not jobs.running)
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Thinking slowly")).to_be_visible()
    page.get_by_label(NOBODY).check()
    page.get_by_role("button", name="Convert").click()  # at once, while the other may still be stopping
    served.pipeline.slow = False
    wait_for_results(page)
    expect(page.locator("#protection")).to_contain_text("belongs to nobody")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(page.locator(".toast-body")).to_have_count(0)
    assert len([path for path in set(served.clips) - before if path.name == "swapped.wav"]) == 1
    assert watch.complaints == []


def test_a_result_that_comes_before_the_change_is_known_is_never_shown(open_page, served: Served, recordings) -> None:
    """The network holds back what tells the server of the change, until after the result."""
    page, held = open_page(), []
    settle = next(number for number, fn in served.page.fns.items() if fn.name == "settle")
    upload(page, "source", recordings["patient"])
    served.pipeline.slow = True
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_text("Thinking slowly")).to_be_visible()
    is_settle = lambda route: (route.request.post_data_json or {}).get("fn_index") == settle  # noqa: E731
    page.route("**/run/**", lambda route: held.append(route) if is_settle(route) else route.continue_())
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


def test_a_result_goes_though_another_page_has_deleted_its_recordings(open_page, served: Served, recordings) -> None:
    """The server refuses a request that names a recording that is gone, so nobody compares."""
    page, answers = open_page(), []
    page.on("response", lambda response: answers.append(response.status))
    page.get_by_label(OWN_RECORDING).check()
    upload(page, "target", recordings["other"])
    page.get_by_label("has agreed").check()
    convert(page, recordings["patient"])
    other = page.context.new_page()
    other.goto(served.url)
    other.get_by_role("button", name="Delete now").click()
    expect(other.get_by_text("Nothing of yours is left")).to_be_visible()
    page.bring_to_front()
    page.locator("#source").get_by_label("Clear").click()
    expect_no_result(page)
    assert 400 in answers


def test_the_example_can_be_tried_again_and_again(open_page, watch: Watch, recordings) -> None:
    page = open_page()
    convert(page, recordings["patient"])
    for _ in range(3):
        page.locator("#example").click()
        expect(page.locator(".player")).to_have_count(0)
        wait_for_results(page)
    page.wait_for_timeout(500)
    wait_for_results(page)
    assert watch.complaints == []


def test_the_verdict_goes_with_the_recording_and_with_who_is_enrolled(open_page, watch, recordings) -> None:
    page = open_page()
    open_tab(page, "Identify")
    page.locator("#identify-example").click()
    expect(page.locator("#answer .scores li")).to_have_count(6)
    expect(page.locator("#question-note")).to_contain_text("The second half of")
    changed(page, "question", recordings["patient"])
    expect(page.locator("#answer")).to_be_empty()
    expect(page.locator("#question-note")).to_be_empty()
    page.locator("#ask").click()
    expect(page.locator("#answer .scores li")).to_have_count(6)
    page.get_by_label("Name").fill("Anna")
    page.locator("#voice input[type=file]").set_input_files(recordings["patient"])
    expect(clip_of(page, "voice")).to_have_count(1)
    page.locator("#enrol").click()
    expect(page.locator("#known li")).to_have_count(7)
    expect(page.locator("#answer .scores li")).to_have_count(0)
    page.locator("#ask").click()
    expect(page.locator("#answer h3")).to_have_text("This is Anna.")
    page.locator("#forget").click()
    expect(page.locator("#answer h3")).to_have_count(0)
    assert watch.complaints == []


def test_a_voice_that_was_enrolled_is_known_again(open_page, recordings, served: Served) -> None:
    page = open_page()
    open_tab(page, "Identify")
    page.get_by_label("Name").fill("Anna")
    page.locator("#voice input[type=file]").set_input_files(recordings["patient"])
    expect(clip_of(page, "voice")).to_have_count(1)
    page.locator("#enrol").click()
    expect(page.locator("#known li")).to_have_text(["Anna1 clip"])
    upload(page, "question", recordings["patient"])
    page.locator("#ask").click()
    expect(page.locator("#answer h3")).to_have_text("This is Anna.")
    page.locator("#forget").click()
    expect(page.locator("#known")).to_contain_text("Nobody yet")


def test_the_bundled_weights_convert_a_bundled_voice(open_page, watch: Watch, served: Served, tmp_path: Path) -> None:
    store = ClipStore(tmp_path)
    page = build_page(Pipeline.from_pretrained(), load_examples(ROOT / "assets" / "examples"), store=store)
    server = launch(page, port=0, block=False)
    try:
        visit = open_page(url=server.url)
        visit.locator("#example").click()
        wait_for_results(visit)
        assert watch.complaints == [] and watch.hosts == {urlsplit(server.url).netloc} and served.calls_out == []
    finally:
        server.close()


def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
