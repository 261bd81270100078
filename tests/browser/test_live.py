"""A page that watch writes shows the run after it, where the reader is; no other page looks for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, expect

from qatrix.report.store import Store
from qatrix.report.writing import write_results
from support.demo_run import demo_records, many_records
from support.records import make_run


def write_run(folder: Path, name: str, *, count: int = 59, live: bool = True) -> None:
    """A run in a folder of its own, at which `latest` points then, as it does for a while before there is a page."""
    run = folder / name
    run.mkdir(parents=True)
    fresh = folder / "fresh"
    fresh.symlink_to(name)
    fresh.replace(folder / "latest")
    records = demo_records() if count == 59 else many_records(count)
    with Store.create(run / "run.sqlite", replace(make_run(declared=len(records)), id=name)) as store:
        store.plan([record.case_id for record in records])
        store.finish_all(records)
    write_results(run / "run.sqlite", run, live=live)


def test_an_open_page_shows_the_next_run_and_keeps_what_was_chosen(browser: Browser, tmp_path: Path) -> None:
    write_run(tmp_path, "one")
    page = browser.new_page()
    page.goto(f"{(tmp_path / 'latest/index.html').as_uri()}#verdict=failed")
    expect(page.locator("header")).to_contain_text("Run one")
    write_run(tmp_path, "two", count=30)

    expect(page.locator("header")).to_contain_text("Run two", timeout=20_000)
    assert page.url.endswith("latest/index.html#verdict=failed")
    page.close()


def test_a_page_of_the_newest_run_is_left_as_it_is(browser: Browser, tmp_path: Path) -> None:
    write_run(tmp_path, "one")
    page = browser.new_page()
    page.goto((tmp_path / "latest/index.html").as_uri())
    page.evaluate("window.stays = true")
    looked: list[str] = []
    page.on("requestfinished", lambda request: looked.append(request.url))
    while len(looked) < 3:
        page.wait_for_timeout(100)

    assert page.evaluate("window.stays") is True
    assert all("/latest/version.js?" in url for url in looked)
    page.close()


def test_a_page_of_qatrix_run_looks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    write_run(tmp_path, "one", live=False)
    text = (tmp_path / "one/index.html").read_text()

    assert "version.js" not in text
    assert "file:" not in text.partition("</head>")[0].partition("script-src")[2].partition(";")[0]
    assert not (tmp_path / "one/version.js").exists()
