"""Reports in Chromium: one browser for all tests, reports written once, and no request allowed."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

from qatrix.outcomes import Record
from qatrix.report.frames import report_data
from qatrix.report.html import index_html, side_files
from qatrix.report.repro import wants_script
from qatrix.report.store import Store
from qatrix.report.writing import write_reports
from support.casepages import apart, hostile_diagnosis
from support.demo_run import demo_records, many_records, write_store
from support.diagnoses import HOSTILE, make_diagnosis
from support.lowerings import deployed_records, make_clamped
from support.records import make_diverged, make_failed, make_hostile, make_record, make_run, make_skipped

# The first is the same without windows of its own, and a page in it takes a third of the processor time.
_CHROMIUMS: Final = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM: Final = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
# The rules of axe that tell colors apart.
COLORS: Final = ("color-contrast", "link-in-text-block")
_ARGUMENTS: Final = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"
Report = Callable[[str], Path]
Open = Callable[..., Page]


# Before the tests without a group get one.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in this folder are browser tests, and one process runs them all."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine; `apt-get install chromium-headless-shell` brings it")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS.split())
        yield launched
        launched.close()


SCRIPT: Final = 'print("</script><script>alert(1)</script> & \\"quoted\\"")\n'
_RUNS: Final[dict[str, Callable[[], list[Record]]]] = {
    "demo": lambda: [*demo_records(), make_diverged("models/explained", diagnosis=make_diagnosis())],
    "thousand": lambda: many_records(1000),
    "green": lambda: [record for record in many_records(1000) if not record.unexpected],
    "large": lambda: many_records(2500),
    "drawn": lambda: [
        make_diverged("models/drawn", diagnosis=apart()),
        make_failed("models/failed"),
        make_record("models/exact"),
        make_clamped("models/deployed"),
        make_record("models/packed", diagnosis=replace(apart(), causes=())),
        make_diverged("models/hostile", diagnosis=hostile_diagnosis(HOSTILE)),
    ],
    "hostile": lambda: [replace(make_hostile(), seconds=1.0), make_record()],
    "deployed": deployed_records,
    "formulas": lambda: [make_record(axes={"pattern": "-1+cmd|' /C calc'!A1", "eps": "-1.5e-05", "dim": "-2x"})],
    "partly": lambda: [make_skipped(), make_record(axes=make_skipped().axes)],
    "none": list,
    "skipped": lambda: [make_skipped()],
}


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The page of a run, by the run's name; each is written once."""
    written: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in written:
            folder = tmp_path_factory.mktemp(name)
            if name == "huge":
                _write_page_alone(folder, many_records(100_000))
            elif name == "again":
                folder = _write_twice(folder)
            else:
                records = _RUNS[name]()
                scripts = {record.case_id: SCRIPT for record in records if wants_script(record)}
                write_reports(write_store(folder / "run.sqlite", records, scripts=scripts), folder)
            written[name] = folder / "index.html"
        return written[name]

    return write


def _write_twice(home: Path) -> Path:
    """Two runs of one case, each with its report; the folder of the second."""
    for day in (1, 2):
        run = make_run(id=f"2026010{day}", started=f"2026-01-0{day}T10:00:00+00:00", declared=1, matrix_digest="one")
        with Store.create(home / run.id / "run.sqlite", run) as store:
            store.plan(["models/a"])
            store.finish(make_diverged("models/a"))
            store.end(run)
        write_reports(home / run.id / "run.sqlite", home / run.id)
    return home / "20260102"


def _write_page_alone(folder: Path, records: list[Record]) -> None:
    """The page, its rows and the facts of the first 1,000 cases: no browser reads a file of others before one opens.

    A store, the other reports and the facts of all cases would take two minutes more.
    """
    data = report_data(make_run(declared=len(records)), records)
    (folder / "index.html").write_text(index_html(data), encoding="utf-8")
    (folder / "data").mkdir()
    for name, text in itertools.islice(side_files(data), 5):
        (folder / "data" / name).write_text(text, encoding="utf-8")


@pytest.fixture
def visit(browser: Browser, report: Report) -> Iterator[Open]:
    """Opens a report in a window of its own; any request beyond the report's files, and any error, fails the test."""
    pages = Pages(browser, report)
    try:
        yield pages.open
    finally:
        pages.close()
    pages.demand_no_errors()


@pytest.fixture(scope="module")
def _demo(browser: Browser, report: Report) -> Iterator[tuple[Pages, Page]]:
    pages = Pages(browser, report)
    try:
        yield pages, pages.open()
    finally:
        pages.close()


@pytest.fixture
def demo(_demo: tuple[Pages, Page]) -> Iterator[Page]:
    """The window of all tests of a file that do nothing but type queries: each finds every case in it."""
    pages, page = _demo
    page.fill("#query", "")
    expect(page.locator("#filter-count")).to_have_text(re.compile("^59 "))
    yield page
    pages.demand_no_errors()


class Pages:
    """Opens reports, and notes every error, dialog and request in their windows that may not be."""

    def __init__(self, browser: Browser, report: Report) -> None:
        self._browser, self._report = browser, report
        self._contexts: list[BrowserContext] = []
        self._wrong: list[str] = []

    def open(self, name: str = "demo", fragment: str = "", *, ready: bool = True, **options: object) -> Page:
        """The page of a run in a window of its own."""
        path = self._report(name)
        context = self._browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]  # as Playwright has them
        self._contexts.append(context)
        page = context.new_page()
        _watch(page, path.parent.as_uri(), self._wrong)
        page.goto(path.as_uri() + fragment)
        if ready:
            page.wait_for_selector("html.ready", timeout=60_000)
        return page

    def close(self) -> None:
        """Close them all."""
        for context in self._contexts:
            context.close()

    def demand_no_errors(self) -> None:
        """Fail where something was noted, which is forgotten then."""
        wrong, self._wrong[:] = [*self._wrong], []
        assert wrong == []


def violations(page: Page, rules: Sequence[str] = ()) -> list[tuple[str, str]]:
    """What axe finds on a page, by all its rules or by these alone: each rule with the first place."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **({"runOnly": [*rules]} if rules else {})})
    return [(item["id"], item["nodes"][0]["html"][:200]) for item in found.response["violations"]]


def violations_in_both_schemes(page: Page) -> dict[str, list[tuple[str, str]]]:
    """The same in either scheme, which differ in the colors of the style sheet alone: in one axe looks at these."""
    page.emulate_media(color_scheme="light")
    light = violations(page)
    page.emulate_media(color_scheme="dark")
    return {scheme: found for scheme, found in (("light", light), ("dark", violations(page, COLORS))) if found}


def _watch(page: Page, allowed: str, wrong: list[str]) -> None:
    """Note every error, every dialog and every request for anything but the report's own files."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            wrong.append(message.text)

    def on_dialog(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    def on_request(request: Request) -> None:
        if not request.url.startswith((allowed, "data:")):
            wrong.append(request.url)

    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", on_console)
    page.on("dialog", on_dialog)
    page.on("request", on_request)
