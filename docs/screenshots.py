"""Pictures of a real run's report, for the documentation: `python docs/screenshots.py RUN` rewrites docs/report*.png.

RUN is a folder that `qatrix run` wrote. It needs playwright and Chromium, as the browser tests do.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

DOCS: Final = Path(__file__).parent
_DESK: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 860}}
_PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
_TABLE: Final = "#q=verdict:diverged&sort=-max_abs"
# File, window, the view's fragment, and what is scrolled to: nothing is the top.
PICTURES: Final[tuple[tuple[str, dict[str, Any], str, str | None], ...]] = (
    ("report.png", _DESK, "", None),
    ("report-matrix.png", _DESK, "", "#matrix"),
    ("report-cases-dark.png", {**_DESK, "color_scheme": "dark"}, _TABLE, "#cases"),
    ("report-case.png", _DESK, "#case", None),
    ("report-plots.png", _DESK, "#plots", "#plots"),
    ("report-phone.png", _PHONE, "", None),
)


def take(browser: Browser, page_url: str, picture: tuple[str, dict[str, Any], str, str | None]) -> None:
    """Take one picture of the page."""
    name, window, fragment, place = picture
    page = browser.new_page(**window)
    page.goto(page_url + (_TABLE if fragment == "#case" else fragment))
    page.wait_for_selector("html.ready")
    if fragment == "#case":
        page.locator("#grid a.id").first.click()
        page.wait_for_selector("#case-view h2")
    if place is not None:
        page.locator(place).evaluate("(found) => found.scrollIntoView({ behavior: 'instant' })")
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=DOCS / name)
    page.close()


def main() -> None:
    """Take all pictures of the run that is named."""
    (run,) = sys.argv[1:] or ["reports/latest"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        for picture in PICTURES:
            take(browser, (Path(run) / "index.html").resolve().as_uri(), picture)
        browser.close()


if __name__ == "__main__":
    main()
