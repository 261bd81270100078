"""The first page as its readers have it: how long it is, what it costs to open, and what a key costs, in Chromium."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.processes import python
from benchmarks.rows import Row, seconds
from qatrix.resources import folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

ARGUMENTS: Final = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
_CHROMIUMS: Final = ("chromium", "chromium-browser", "chromium-headless-shell")
_SCREEN: Final = 900
_WIDTHS: Final = {1440: 4, 390: 8}
_MOST_STOPS: Final = 30
# What somebody types, a key at a time: words, a value and its removal.
_TYPED: Final = ("c", "co", "conv", "verdict:", "verdict:failed", "verdict:failed -dim:3", "x86", "")
_TYPE: Final = """async (query) => {
  const field = document.getElementById("query");
  field.value = query;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 20)));
}"""
_ITSELF: Final = "async () => { await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 20))); }"


def browser_path() -> str:
    """Where Chromium is. Raises FileNotFoundError where it is not installed."""
    found = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if found is None:
        msg = "there is no chromium on this machine; `apt-get install chromium` brings it"
        raise FileNotFoundError(msg)
    return found


def default_page(*, newest: Path | None = None) -> Iterator[Row]:
    """The page of the default run, which is made first, or written again from the run in the folder `newest`."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "page"
        if newest is None or not (newest / "run.sqlite").is_file():
            python("-m", "qatrix", "run", str(folder("matrix")), "--quiet", "--fail-on", "never", "--out", place)
            newest = Path(place) / "latest"
        python("-m", "qatrix", "report", str(newest), "--out", str(out))
        yield from read(out / "index.html", "the default run")


def read(index: Path, whose: str) -> Iterator[Row]:
    """What the page at `index` costs its readers."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS.split())
        for width, screens in _WIDTHS.items():
            yield _height(browser, index, whose, width, screens)
        yield _opened(browser, index, whose)
        yield _one_case(browser, index, whose)
        yield typed(browser, index, whose)
        yield _stops(browser, index, whose)
        browser.close()


@dataclass(frozen=True, kw_only=True)
class _Tab:
    """An open page, and the session that counts what its main thread takes, from its start."""

    page: Page
    session: CDPSession

    @property
    def spent(self) -> float:
        """Seconds of processor time that the main thread has taken."""
        told = self.session.send("Performance.getMetrics")["metrics"]
        return next(float(item["value"]) for item in told if item["name"] == "TaskDuration")


def _opened_tab(browser: Browser, url: str, width: int = 1440) -> _Tab:
    page = browser.new_page(viewport={"width": width, "height": _SCREEN})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url)
    page.wait_for_selector("html.ready", timeout=60_000)
    return _Tab(page=page, session=session)


def _height(browser: Browser, index: Path, whose: str, width: int, screens: int) -> Row:
    page = _opened_tab(browser, index.as_uri(), width).page
    page.locator("#matrix").scroll_into_view_if_needed()
    page.wait_for_selector("#matrix-grid .line", state="attached")
    height = float(page.evaluate("document.documentElement.scrollHeight")) / _SCREEN
    green = page.locator("#unexpected, #since").count() == 0
    page.close()
    return Row(
        what=f"the page of {whose} at a width of {width}",
        figure=f"{height:.1f} screens",
        figures={"screens": height},
        reach=f"at most {screens} screens where nothing is unexpected or changed",
        reached=height <= screens if green else None,
        how=f"headless Chromium; a screen is {_SCREEN} pixels high",
    )


def _opened(browser: Browser, index: Path, whose: str) -> Row:
    taken = _least(browser, index.as_uri())
    return Row(
        what=f"the page of {whose}, from navigation to a list that answers",
        figure=seconds(taken),
        figures={"seconds": taken},
        reach="under 400 ms",
        reached=taken < 0.4,  # noqa: PLR2004 - the reach
        how="processor time of the main thread, which other jobs on the machine lengthen less; the least of 3",
    )


def _one_case(browser: Browser, index: Path, whose: str) -> Row:
    page = _opened_tab(browser, index.as_uri()).page
    link = page.locator("#listed a").last.get_attribute("href")
    page.close()
    taken = _least(browser, index.as_uri() + str(link))
    return Row(
        what=f"the page of {whose}, from a link to one case to that case",
        figure=seconds(taken),
        figures={"seconds": taken},
        reach="under 300 ms",
        reached=taken < 0.3,  # noqa: PLR2004 - the reach
        how="the same",
    )


def _least(browser: Browser, url: str) -> float:
    times = []
    for _ in range(3):
        tab = _opened_tab(browser, url)
        times.append(tab.spent)
        tab.page.close()
    return min(times)


def typed(browser: Browser, index: Path, whose: str) -> Row:
    """What a key in the search field costs."""
    tab = _opened_tab(browser, index.as_uri())
    tab.page.evaluate(_TYPE, "")
    slowest = max(_key(tab, query) for query in _TYPED)
    tab.page.close()
    return Row(
        what=f"a key in the search of {whose}",
        figure=seconds(slowest),
        figures={"seconds": slowest},
        reach="under 50 ms",
        reached=slowest < 0.05,  # noqa: PLR2004 - the reach
        how=f"processor time of the main thread until the frame is drawn, with layout and paint; the slowest of"
        f" {len(_TYPED)} queries, each the least of 3",
    )


def _key(tab: _Tab, query: str) -> float:
    """The least time that the query takes; another one is typed in between."""
    times = []
    for _ in range(3):
        tab.page.evaluate(_TYPE, f"{query} zzz")
        began = tab.spent
        tab.page.evaluate(_ITSELF)
        idle = tab.spent
        tab.page.evaluate(_TYPE, query)
        times.append(tab.spent - idle - (idle - began))
    return max(0.0, min(times))


def _stops(browser: Browser, index: Path, whose: str) -> Row:
    page = _opened_tab(browser, index.as_uri()).page
    # The last one is a case itself.
    stops = -1
    while stops < 10 * _MOST_STOPS and not page.evaluate("document.activeElement.closest('#listed') !== null"):
        page.keyboard.press("Tab")
        stops += 1
    page.close()
    return Row(
        what=f"stops of the Tab key before the cases of {whose}",
        figure=str(stops),
        figures={"stops": stops},
        reach=f"at most {_MOST_STOPS}",
        reached=stops <= _MOST_STOPS,
        how="the key, pressed until a case has the focus",
    )
