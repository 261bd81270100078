"""Baselines: which run a run is held against, what is kept of it, and that later runs change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qatrix.outcomes import Record
from qatrix.report.baselines import changes_since, keep_changes, keep_changes_since_newest, newest_comparable
from qatrix.report.changes import since_line
from qatrix.report.store import Store
from qatrix.report.transitions import KINDS
from support.records import ENVIRONMENT, make_record, make_run
from support.transitions import every_transition, keep_side, make_known


def keep(folder: Path, day: int, *records: Record, **changes: Any) -> Path:
    """Keep a run of a day of January."""
    name, started = f"2026010{day}-100000", f"2026-01-0{day}T10:00:00+00:00"
    run = make_run(**{"id": name, "started": started, "declared": len(records), **changes})
    path = folder / name / "run.sqlite"
    with Store.create(path, run) as store:
        store.plan(record.case_id for record in records)
        store.finish_all(records)
        store.end(run)
    return path


def comparable(store: Path) -> Path | None:
    with Store.reading(store) as opened:
        return newest_comparable(store.parent, opened.run())


def test_the_first_run_has_no_baseline(tmp_path: Path) -> None:
    store = keep(tmp_path, 1, make_record())
    keep_changes_since_newest(store)

    with Store.reading(store) as opened:
        assert opened.since() is None


def test_the_baseline_is_the_newest_run_before(tmp_path: Path) -> None:
    stores = [keep(tmp_path, day, make_record()) for day in (1, 2, 3, 4)]

    assert comparable(stores[2]) == stores[1]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"selectors": ("--only dim=2",)}, id="another selection"),
        pytest.param({"shard": "1/2"}, id="a shard"),
        pytest.param({"finished": False}, id="interrupted"),
        pytest.param({"reference": "fx of torch 2.5.1"}, id="compared with a reference"),
        pytest.param({"environment": replace(ENVIRONMENT, devices={"cpu": "…"})}, id="other devices"),
        pytest.param({"environment": replace(ENVIRONMENT, platform="macOS-15-arm64")}, id="another system"),
        pytest.param(
            {"environment": replace(ENVIRONMENT, packages={**ENVIRONMENT.packages, "torchao": None})},
            id="without a package",
        ),
    ],
)
def test_a_run_that_cannot_be_compared_is_no_baseline(tmp_path: Path, changes: dict[str, Any]) -> None:
    first = keep(tmp_path, 1, make_record())
    keep(tmp_path, 2, make_record(), **changes)

    assert comparable(keep(tmp_path, 3, make_record())) == first


def test_another_release_is_a_baseline_and_is_named(tmp_path: Path) -> None:
    older = replace(ENVIRONMENT, packages={**ENVIRONMENT.packages, "torch": "2.14.0"})
    store = keep(tmp_path, 1, make_record(), environment=older)
    since = changes_since(store, keep(tmp_path, 2, make_record()))

    assert since_line(since, "2026-01-02") == "1 Jan 2026: 1 the same (with torch 2.14.0 → 2.15.0)"


def test_a_store_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    first = keep(tmp_path, 1, make_record())
    keep(tmp_path, 2, make_record()).write_bytes(b"SQLite format 3\0 and no more")

    assert comparable(keep(tmp_path, 3, make_record())) == first


def test_every_transition_is_counted_and_all_but_the_same_are_listed_the_worst_first(tmp_path: Path) -> None:
    stores = [keep_side(tmp_path, side) for side in every_transition()]
    since = changes_since(*stores)

    assert since.counts == dict.fromkeys(KINDS, 1)
    assert [move.kind for move in since.moves] == [kind for kind in KINDS if kind != "same"]
    assert since.folder == "../before"
    assert since.told.startswith("1 newly unexpected, 1 worse, ")


def test_what_was_kept_stays_whatever_comes_later(tmp_path: Path) -> None:
    first, second = keep(tmp_path, 1, make_known("s/a")), keep(tmp_path, 3, make_record("s/a"))
    keep_changes_since_newest(second)
    with Store.reading(second) as opened:
        before = opened.since()
    keep(tmp_path, 2, make_record("s/a"))
    first.unlink()

    with Store.reading(second) as opened:
        assert opened.since() == before
    assert before is not None
    assert before.counts == {"better": 1}


def test_no_baseline_is_kept_as_well(tmp_path: Path) -> None:
    first, second = keep(tmp_path, 1, make_record()), keep(tmp_path, 2, make_record())
    keep_changes(second, baseline=first)
    keep_changes(second, baseline=None)

    with Store.reading(second) as opened:
        assert opened.since() is None
