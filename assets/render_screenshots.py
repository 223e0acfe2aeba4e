"""Take the README's pictures of the page: ``python -m assets.render_screenshots [--all FOLDER]``.

Opens the page with the bundled weights in a headless Chromium ($CHROMIUM, else the system's or
Playwright's own), converts a bundled voice and saves every tab into ``assets/screenshots``. The
first tab is saved for a phone in dark mode too. ``--all`` saves every tab at each size, light and
dark, into another folder, to look at.
"""

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from app import build
from saic.web import launch

FOLDER = Path(__file__).parent / "screenshots"
WAIT_MS = 120_000
TABS = {
    "Anonymize": "#protection .verdict",
    "Batch": "#batch-add",
    "Explore": "#maps svg.map >> nth=0",
    "Identify": "#answer .scores >> nth=1",
    "Evaluation": "#topic-degraded",
    "About": ".picture",
}
SIZES = ((390, 844), (1280, 900), (1366, 650), (1920, 1080))


def main() -> None:
    """Write page-390.png, page-1280.png, and a picture of each other tab, such as explore-1280.png."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="each tab at each size, light and dark")
    folder = parser.parse_args().all
    shots = [((1280, 900), "light", list(TABS)), ((390, 844), "dark", ["Anonymize"])]
    if folder is not None:
        shots = [(size, scheme, list(TABS)) for size in SIZES for scheme in ("light", "dark")]
    page = build()
    server = launch(page, port=0, block=False)
    program = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    (folder or FOLDER).mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        for (width, height), scheme, tabs in shots:
            visit = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            visit.set_default_timeout(WAIT_MS)
            visit.goto(server.url)
            for name in tabs:
                file = "page" if name == "Anonymize" else name.lower()
                path = FOLDER / f"{file}-{width}.png" if folder is None else folder / f"{file}-{width}-{scheme}.png"
                take(visit, name, TABS[name], path)
            visit.close()
        browser.close()
    server.close()


def take(visit: Page, name: str, ready: str, path: Path) -> None:
    """Save one tab once its content is complete."""
    tab, menu = visit.get_by_role("tab", name=name), visit.locator("#tabs .overflow-menu")
    in_menu = menu.locator(".overflow-dropdown").get_by_text(name, exact=True)
    expect(tab.or_(in_menu)).to_have_count(1)
    visit.wait_for_timeout(500)  # on a narrow screen, Gradio then moves some tabs into a menu
    if tab.count() == 0:
        menu.get_by_label("More tabs").click()
        tab = in_menu
    tab.click()
    if name in ("Anonymize", "Identify"):
        visit.locator("#example" if name == "Anonymize" else "#identify-example").click()
    expect(visit.locator(ready)).to_be_visible()
    if name == "Anonymize":
        expect(visit.locator(".swapped audio[src]")).to_have_count(1)
    visit.mouse.move(0, 0)
    visit.wait_for_timeout(2_000)  # until the waveforms are drawn and the tab has faded in
    visit.screenshot(path=path, full_page=True)


if __name__ == "__main__":
    main()
