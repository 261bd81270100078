"""The pages of several runs, in Chromium: axe, phones, and that they look like the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from browser.conftest import violations_in_both_schemes
from qatrix.report.compare import COMPARE_FILES, compare
from qatrix.report.history import history, read_runs, write_history
from qatrix.report.store import Store
from support.demo_run import demo_records
from support.records import make_record, make_run
from support.transitions import every_transition, make_side

Opened = Callable[..., Page]


def write_compare(folder: Path) -> Path:
    demo = demo_records()
    sides = [make_side("2.14", *demo[1:]), make_side("2.15", *demo)]
    pages = ("../one/index.html", "../two/index.html")
    (folder / "compare.html").write_text(COMPARE_FILES["compare.html"](compare(sides), pages), encoding="utf-8")
    return folder / "compare.html"


def write_transitions(folder: Path) -> Path:
    (folder / "compare.html").write_text(
        COMPARE_FILES["compare.html"](compare(every_transition()), ()), encoding="utf-8"
    )
    return folder / "compare.html"


def write_three_runs(folder: Path) -> Path:
    for day, verdict in enumerate(("exact", "diverged", "exact"), start=1):
        run = make_run(id=f"2026010{day}", started=f"2026-01-0{day}T10:00:00+00:00", declared=2, matrix_digest="one")
        with Store.create(folder / run.id / "run.sqlite", run) as store:
            store.plan(["s/a", "s/b"])
            store.finish_all(
                [make_record("s/a", verdict=verdict, unexpected=verdict == "diverged"), make_record("s/b")]
            )
            store.end(run)
    write_history(history(*read_runs(folder)), folder)
    return folder / "history.html"


WRITE = {"compare": write_compare, "transitions": write_transitions, "history": write_three_runs}


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Opens one of the pages in a window of its own."""
    pages: list[Page] = []

    def open_page(name: str, **options: object) -> Page:
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]  # as Playwright has them
        pages.append(page)
        page.goto(WRITE[name](tmp_path).as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", WRITE)
def test_axe_finds_nothing(opened: Opened, name: str, width: int) -> None:
    page = opened(name, viewport={"width": width, "height": 900})
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert violations_in_both_schemes(page) == {}


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("name", WRITE)
def test_a_phone_scrolls_up_and_down_only(opened: Opened, name: str, width: int) -> None:
    page = opened(name, viewport={"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", WRITE)
def test_the_title_begins_with_the_name_of_the_tool(opened: Opened, name: str) -> None:
    page = opened(name)
    assert page.title().startswith("qatrix: ")
    assert page.locator("h1").inner_text().startswith("qatrix ")
