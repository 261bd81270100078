"""What became of a case in earlier runs: the newest first, from stores beside the run's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import html

from qatrix.report.frames import read_store
from qatrix.report.past import Past, read_past
from qatrix.report.store import Store
from qatrix.report.writing import write_reports
from support.records import make_diverged, make_outcome, make_record, make_run


def keep(folder: Path, day: int, *case_ids: str, sqnr: float = 36.4, reused: str | None = None) -> Path:
    """Keep a run of a day of January."""
    run = make_run(
        id=f"202601{day:02}", started=f"2026-01-{day:02}T10:00:00+00:00", declared=len(case_ids), matrix_digest="one"
    )
    path = folder / run.id / "run.sqlite"
    with Store.create(path, run) as store:
        store.plan(case_ids)
        pipelines = {"pt2e": make_outcome(sqnr_db=sqnr)}
        store.finish_all(
            make_diverged(case_id, pipelines=pipelines, seconds=day, reused_from=reused) for case_id in case_ids
        )
        store.end(run)
    return path


def past_of(store: Path) -> Past:
    data = read_store(store)
    return read_past(store, data.run, data.records, data.pipelines, store.parent)


def test_a_case_has_the_runs_before_that_have_it_the_newest_first(tmp_path: Path) -> None:
    keep(tmp_path, 1, "s/a", "s/b", sqnr=30.0)
    keep(tmp_path, 2, "s/b")
    keep(tmp_path, 3, "s/a", reused="20260101")
    keep(tmp_path, 5, "s/a")
    found = past_of(keep(tmp_path, 4, "s/a")).of("s/a")

    assert [(item.run.id, visit.seconds, visit.reused, visit.sqnr_db) for item, visit, _ in found] == [
        ("20260103", 3, True, {"pt2e": 36.4}),
        ("20260101", 1, False, {"pt2e": 30.0}),
    ]


def test_at_most_the_newest_twenty_are_read(tmp_path: Path) -> None:
    stores = [keep(tmp_path, day, "s/a") for day in range(1, 25)]

    assert [item.run.id for item in past_of(stores[-1]).runs] == [f"202601{day:02}" for day in range(23, 3, -1)]


def test_figures_that_are_no_numbers_are_read(tmp_path: Path) -> None:
    keep(tmp_path, 1, "s/a", sqnr=float("inf"))
    ((_, visit, _),) = past_of(keep(tmp_path, 2, "s/a")).of("s/a")

    assert visit.sqnr_db == {"pt2e": float("inf")}


def test_a_run_that_is_damaged_is_passed_over(tmp_path: Path) -> None:
    keep(tmp_path, 1, "s/a")
    keep(tmp_path, 2, "s/a").write_bytes(b"SQLite format 3\0 and no more")

    assert [item.run.id for item in past_of(keep(tmp_path, 3, "s/a")).runs] == ["20260101"]


@pytest.fixture
def page(tmp_path: Path) -> html.HtmlElement:
    """The report of the second of two runs, both with reports."""
    for day in (1, 2):
        store = keep(tmp_path, day, "s/a")
        write_reports(store, store.parent)
    return html.fromstring((tmp_path / "20260102/index.html").read_text())


def test_the_case_page_has_a_line_for_each_earlier_run_that_leads_there(page: html.HtmlElement) -> None:
    (table,) = page.xpath("//details[@class='past']//tbody")

    assert [[cell.text_content().strip() for cell in row] for row in table] == [
        ["2026-01-01 10:00 UTC", "2.15.0", "≠ diverged !", "36.4", "1.00"]
    ]
    assert table.xpath(".//@href") == ["../20260101/index.html#case=s/a"]


def test_the_first_run_has_no_earlier_ones(tmp_path: Path) -> None:
    store = keep(tmp_path, 1, "s/a")
    write_reports(store, store.parent)

    assert "earlier run" not in (tmp_path / "20260101/index.html").read_text()


def test_more_cases_have_fewer_runs(tmp_path: Path) -> None:
    keep(tmp_path, 1, "s/a")
    store = keep(tmp_path, 2, "s/a")
    data = read_store(store)
    many = [make_record("s/a")] * 30_001

    assert read_past(store, data.run, many, data.pipelines, store.parent).runs == ()
