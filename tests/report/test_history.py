"""Histories: strips of verdicts, cases that waver and cases that change with a reason, stores that are left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import html

from qatrix.claims import Verdict
from qatrix.errors import UsageError
from qatrix.outcomes import Run
from qatrix.report.history import History, history, read_runs, write_history
from qatrix.report.store import Store
from support.records import ENVIRONMENT, HOSTILE, make_hostile, make_record, make_run

TORCH_214 = replace(ENVIRONMENT, packages={**ENVIRONMENT.packages, "torch": "2.14.0"})


def keep(folder: Path, day: int, verdicts: dict[str, Verdict], **changes: object) -> Path:
    """Keep a run of a day of January with cases of these verdicts."""
    run: Run = make_run(
        **{
            "id": f"2026010{day}",
            "started": f"2026-01-0{day}T10:00:00+00:00",
            "declared": len(verdicts),
            "matrix_digest": "one",
            **changes,
        }
    )
    path = folder / run.id / "run.sqlite"
    with Store.create(path, run) as store:
        store.plan(verdicts)
        store.finish_all(make_record(case_id, verdict=verdict) for case_id, verdict in verdicts.items())
        store.end(run)
    return path


def look_back(folder: Path) -> History:
    return history(*read_runs(folder))


def test_a_verdict_that_changes_without_a_reason_wavers(tmp_path: Path) -> None:
    verdicts: list[Verdict] = ["exact", "diverged", "exact"]
    for day, verdict in enumerate(verdicts, start=1):
        keep(tmp_path, day, {"s/a": verdict, "s/b": "exact"})
    found = look_back(tmp_path)

    assert [(case.case_id, case.steadiness) for case in found.cases] == [("s/a", "flaky"), ("s/b", "steady")]
    assert [(change.at, change.before.verdict, change.after.verdict) for change in found.cases[0].changes] == [
        (1, "exact", "diverged"),
        (2, "diverged", "exact"),
    ]


def test_a_change_with_another_environment_has_a_reason(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"})
    keep(tmp_path, 2, {"s/a": "failed"}, environment=TORCH_214)
    (case,) = look_back(tmp_path).cases

    assert case.steadiness == "changed"
    assert case.changes[0].because == ("torch 2.15.0 → 2.14.0",)


def test_a_change_with_another_feature_of_the_processor_has_a_reason(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"}, environment=replace(ENVIRONMENT, cpu={"vnni": True}))
    keep(tmp_path, 2, {"s/a": "diverged"}, environment=replace(ENVIRONMENT, cpu={"vnni": False}))
    (case,) = look_back(tmp_path).cases

    assert case.steadiness == "changed"
    assert case.changes[0].because == ("processor has vnni yes → no",)


def test_a_change_with_another_matrix_has_a_reason(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"})
    keep(tmp_path, 2, {"s/a": "failed"}, matrix_digest="two")

    assert look_back(tmp_path).cases[0].changes[0].because == ("the matrix",)


def test_a_case_is_compared_with_the_run_that_last_had_it(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"})
    keep(tmp_path, 2, {"s/b": "exact"}, environment=TORCH_214)
    keep(tmp_path, 3, {"s/a": "diverged"})
    case = look_back(tmp_path).cases[0]

    assert [stop.verdict if stop else None for stop in case.stops] == ["exact", None, "diverged"]
    assert case.steadiness == "flaky"
    assert case.last.verdict == "diverged"


def test_a_case_wavers_though_runs_of_another_environment_lie_between(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"})
    keep(tmp_path, 2, {"s/a": "diverged"}, environment=TORCH_214)
    keep(tmp_path, 3, {"s/a": "diverged"})
    keep(tmp_path, 4, {"s/a": "diverged"}, environment=TORCH_214)
    (case,) = look_back(tmp_path).cases

    assert case.steadiness == "flaky"
    assert [(change.since, change.at, change.is_flaky) for change in case.changes] == [(0, 1, False), (0, 2, True)]


def test_environments_in_turn_that_each_keep_their_verdict_are_no_flakiness(tmp_path: Path) -> None:
    for day in (1, 3):
        keep(tmp_path, day, {"s/a": "exact"})
        keep(tmp_path, day + 1, {"s/a": "diverged"}, environment=TORCH_214)

    assert look_back(tmp_path).cases[0].steadiness == "changed"


def test_runs_are_in_the_order_of_time_wherever_they_lie(tmp_path: Path) -> None:
    keep(tmp_path / "b", 1, {"s/a": "exact"})
    keep(tmp_path / "a", 2, {"s/a": "exact"})
    (tmp_path / "latest").symlink_to(tmp_path / "a")

    assert [item.run.id for item in look_back(tmp_path).runs] == ["20260101", "20260102"]


def test_a_store_that_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"})
    keep(tmp_path, 2, {"s/a": "exact"}).write_bytes(b"SQLite format 3\0 and no more")
    (tmp_path / "other.sqlite").write_text("no store")
    found = look_back(tmp_path)

    assert len(found.runs) == 1
    assert sorted("not an SQLite file" in sentence or "damaged" in sentence for sentence in found.left_out) == [
        True,
        True,
    ]


def test_shards_are_left_out_where_the_run_that_they_were_merged_into_is_there(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"}, shard="1/2")
    keep(tmp_path, 2, {"s/b": "exact"}, shard="2/2")
    keep(tmp_path, 3, {"s/a": "exact", "s/b": "exact"}, merged_from=("20260101", "20260102"))
    found = look_back(tmp_path)

    assert [item.run.id for item in found.runs] == ["20260103"]
    assert all("is a shard of 20260103" in sentence for sentence in found.left_out)


def test_shards_without_their_whole_are_runs(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact"}, shard="1/2")

    assert len(look_back(tmp_path).runs) == 1


def test_a_folder_without_runs_is_refused_with_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_text("no store")

    with pytest.raises(UsageError, match=r"there is no run in .*\n.*not an SQLite file"):
        read_runs(tmp_path)


def test_page_and_json_tell_every_case_once(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact", "s/b": "exact", "s/c": "exact"})
    keep(tmp_path, 2, {"s/a": "diverged", "s/b": "exact"})
    keep(tmp_path, 3, {"s/a": "diverged", "s/b": "failed"}, environment=TORCH_214)
    page, data = write_history(look_back(tmp_path), tmp_path / "out")
    document = json.loads(data.read_text())
    tree = html.fromstring(page.read_text())

    assert {case["case_id"]: case["steadiness"] for case in document["cases"]} == {
        "s/a": "flaky",
        "s/b": "changed",
        "s/c": "once",
    }
    assert [section.get("id") for section in tree.iter("section")] == ["worse", "flaky", "changed", "once", "runs"]
    assert len(tree.xpath("//li[contains(@class, 'card')]")) == 3
    assert document["cases"][0]["verdicts"] == ["exact", "diverged", "diverged"]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    record = make_hostile()
    run = make_run(id=HOSTILE[:60].replace("\ud800", ""), declared=1)
    with Store.create(tmp_path / "run.sqlite", run) as store:
        case_id = record.case_id.encode("utf-8", "replace").decode()
        store.plan([case_id])
        store.finish(replace(record, case_id=case_id))
        store.end(run)
    page, _ = write_history(look_back(tmp_path), tmp_path / "out")

    assert "<script" not in page.read_text()


def test_a_case_leads_to_the_newest_report_that_has_it(tmp_path: Path) -> None:
    keep(tmp_path, 1, {"s/a": "exact", "s/b": "exact"})
    keep(tmp_path, 2, {"s/a": "exact"})
    for day in (1, 2):
        (tmp_path / f"2026010{day}/index.html").write_text("", encoding="utf-8")
    write_history(look_back(tmp_path), tmp_path / "out")
    page = html.fromstring((tmp_path / "out/history.html").read_text(encoding="utf-8"))

    assert {link.text_content(): link.get("href") for link in page.xpath("//p[@class='title']/a")} == {
        "s/a": "../20260102/index.html#case=s/a",
        "s/b": "../20260101/index.html#case=s/b",
    }
