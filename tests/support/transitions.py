"""Two runs in which every kind of transition happens once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qatrix.outcomes import Record
from qatrix.report.compare import Kind, Side
from qatrix.report.store import Store
from support.records import (
    make_comparison,
    make_diverged,
    make_error,
    make_expectation,
    make_failed,
    make_outcome,
    make_record,
    make_run,
    make_skipped,
)

Pair = tuple["Record | None", "Record | None"]


def make_known(case_id: str = "models/mobilenet_v2") -> Record:
    """A case that diverges as was declared."""
    expected = make_expectation("diverged")
    return make_diverged(case_id, expected=expected, unexpected=False, unexpected_because=None)


TRANSITIONS: dict[Kind, Pair] = {
    "unexpected": (make_known("s/unexpected"), make_diverged("s/unexpected")),
    "worse": (make_record("s/worse"), make_known("s/worse")),
    "changed": (
        make_failed("s/changed"),
        make_failed(
            "s/changed",
            pipelines={
                "pt2e": make_outcome(),
                "fx": make_outcome("fx", status="failed", failed_stage="convert", error=make_error()),
            },
        ),
    ),
    "expected": (make_diverged("s/expected"), make_known("s/expected")),
    "better": (make_failed("s/better"), make_record("s/better")),
    "figures": (
        make_record("s/figures", pipelines={"pt2e": make_outcome(sqnr_db=36.4)}),
        make_record("s/figures", pipelines={"pt2e": make_outcome(sqnr_db=36.40000000000001)}),
    ),
    "stopped": (make_record("s/stopped"), make_skipped("s/stopped")),
    "started": (make_skipped("s/started"), make_known("s/started")),
    "unselected": (make_record("s/unselected"), None),
    "selected": (None, make_diverged("s/selected")),
    "vanished": (make_record("s/vanished"), None),
    "appeared": (None, make_record("s/appeared", comparisons=(make_comparison(),))),
    "same": (make_record("s/same"), make_record("s/same", seconds=9.0, seed=2)),
}


def make_side(label: str, *records: Record | None, **changes: object) -> Side:
    """A run of these records."""
    there = {record.case_id: record for record in records if record is not None}
    return Side(
        label=label,
        path=Path(label) / "run.sqlite",
        run=make_run(id=label, declared=len(there), **changes),
        records=there,
    )


def every_transition() -> tuple[Side, Side]:
    """Two runs in which each kind of transition happens to one case."""
    before, after = zip(*TRANSITIONS.values(), strict=True)
    return (
        replace(make_side("before", *before), unselected=frozenset({"s/selected"})),
        replace(make_side("after", *after), unselected=frozenset({"s/unselected"})),
    )


def only(side: Side, case_id: str) -> Side:
    """The same run with one of its cases at most."""
    records = {name: record for name, record in side.records.items() if name == case_id}
    return replace(side, records=records, run=replace(side.run, declared=len(records)))


def keep_side(folder: Path, side: Side, **changes: Any) -> Path:
    """Keep a run in a folder of its own, which has its label's name; that of "before" began a day earlier."""
    started = "2026-08-27T10:15:00+00:00" if side.label == "before" else "2026-08-28T10:15:00+00:00"
    run = replace(side.run, **{"started": started, **changes})
    path = folder / side.label / "run.sqlite"
    with Store.create(path, run) as store:
        store.plan(side.records)
        store.finish_all(side.records.values())
        if side.unselected is not None:
            store.keep_unselected(side.unselected)
        store.end(run)
    return path
