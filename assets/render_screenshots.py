"""Take the README's pictures of the page: ``python -m assets.render_screenshots``.

Opens the page with the bundled weights in a headless Chromium ($CHROMIUM, else the system's or Playwright's own),
converts the bundled voices and saves the whole page at two widths into ``assets/screenshots``.
"""

import os
import shutil
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from saic.pipeline import Pipeline
from saic.web import build_page, launch, load_examples

ASSETS = Path(__file__).parent
WIDTHS_PX = (1280, 390)
WAIT_MS = 120_000


def main() -> None:
    """Write ``page-WIDTH.png`` for each width."""
    page = build_page(Pipeline.from_pretrained(), load_examples(ASSETS / "examples"))
    _, address, _ = launch(page, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    (ASSETS / "screenshots").mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        for width in WIDTHS_PX:
            tab = browser.new_page(viewport={"width": width, "height": 900})
            tab.goto(address)
            tab.get_by_role("button", name="Try it").click()
            expect(tab.locator(".player audio[src]")).to_have_count(3, timeout=WAIT_MS)
            tab.wait_for_function(
                "[...document.querySelectorAll('.figure img')].every(image => image.naturalWidth > 0)"
            )
            tab.wait_for_timeout(2_000)  # the players draw their waveforms
            tab.screenshot(path=ASSETS / "screenshots" / f"page-{width}.png", full_page=True)
        browser.close()
    page.close()


if __name__ == "__main__":
    main()
