"""Pictures of real runs' pages, for the documentation: `python docs/screenshots.py RUN EARLIER` rewrites docs/*.png.

RUN and EARLIER are folders that `qatrix run` wrote, such as those of two releases of torch; the pages of both together
are made for the occasion. It needs playwright and Chromium, as the browser tests do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

DOCS: Final = Path(__file__).parent
_DESK: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 860}}
_DARK: Final[dict[str, Any]] = {**_DESK, "color_scheme": "dark"}
_PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
_PADDED: Final = "#q=cause:fx_pads_with_zeros"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A part of a page: `fragment` is the view, `opens` what is pressed there, `place` what is scrolled to."""

    name: str
    window: dict[str, Any]
    page: str = "index.html"
    fragment: str = ""
    opens: str | None = None
    place: str | None = None


_CASE: Final = "#grid a.id"
_CHROMIUMS: Final = ("chromium", "chromium-browser", "chromium-headless-shell")
PICTURES: Final = (
    Picture(name="report.png", window=_DESK, fragment="#sort=verdict"),
    Picture(name="report-phone.png", window=_PHONE),
    Picture(name="report-cases-dark.png", window=_DARK, fragment="#q=verdict:diverged&sort=-max_abs"),
    Picture(name="report-causes.png", window=_DESK, opens=".cause > summary", place="#causes"),
    Picture(name="report-matrix.png", window=_DESK, place="#matrix"),
    Picture(name="report-case.png", window=_DESK, fragment=_PADDED, opens=_CASE),
    Picture(name="report-case-dark.png", window=_DARK, fragment=_PADDED, opens=_CASE, place="#case-view .first"),
    Picture(name="report-case-phone.png", window=_PHONE, fragment=_PADDED, opens=_CASE),
    Picture(name="report-plots.png", window=_DESK, fragment="#plots", place="#plots"),
    Picture(name="compare.png", window=_DESK, page="compare/compare.html"),
    Picture(name="history.png", window=_DESK, page="history/history.html"),
)


def take(browser: Browser, folder: Path, picture: Picture) -> None:
    """Take one picture of a page below the folder."""
    page = browser.new_page(**picture.window)
    page.goto((folder / picture.page).as_uri() + picture.fragment)
    if picture.page == "index.html":
        page.wait_for_selector("html.ready")
    if picture.opens is not None:
        page.locator(picture.opens).first.click()
    if picture.opens == _CASE:
        page.wait_for_selector("#case-view h2")
    if picture.place is not None:
        _scroll(page, picture.place)
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=DOCS / picture.name)
    page.close()


def _scroll(page: Page, place: str) -> None:
    page.locator(place).first.evaluate("(found) => found.scrollIntoView({ behavior: 'instant' })")


def pages(run: Path, earlier: Path, folder: Path) -> None:
    """Put the pages of the run, and those of both runs together, into the folder."""
    runs = folder / "runs"
    for source in (earlier, run):
        shutil.copytree(source.resolve(), runs / source.resolve().name)
    newest = runs / run.resolve().name
    for entry in newest.iterdir():
        (folder / entry.name).symlink_to(entry)
    before = str(runs / earlier.resolve().name)
    _qatrix("compare", before, str(newest), "--out", str(folder / "compare"))
    _qatrix("history", str(runs), "--out", str(folder / "history"))


def _qatrix(*arguments: str) -> None:
    subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-m", "qatrix", *arguments, "--fail-on", "never"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1"},
    )


def main() -> None:
    """Take all pictures of the two runs that are named."""
    run, earlier = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        pages(run, earlier, Path(made))
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, _CHROMIUMS)), None),
            args=["--no-sandbox", "--disable-gpu"],
        )
        for picture in PICTURES:
            take(browser, Path(made), picture)
        browser.close()


if __name__ == "__main__":
    main()
