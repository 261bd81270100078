"""Two runs in which every kind of transition happens once."""

from __future__ import annotations

from pathlib import Path

from qatrix.outcomes import Record
from qatrix.report.compare import Kind, Side
from support.records import (
    make_comparison,
    make_diverged,
    make_error,
    make_failed,
    make_outcome,
    make_record,
    make_run,
    make_skipped,
)

Pair = tuple["Record | None", "Record | None"]

TRANSITIONS: dict[Kind, Pair] = {
    "worse": (make_record("s/worse"), make_diverged("s/worse")),
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
    "better": (make_failed("s/better"), make_record("s/better")),
    "figures": (
        make_record("s/figures", pipelines={"pt2e": make_outcome(sqnr_db=36.4)}),
        make_record("s/figures", pipelines={"pt2e": make_outcome(sqnr_db=36.40000000000001)}),
    ),
    "stopped": (make_record("s/stopped"), make_skipped("s/stopped")),
    "started": (make_skipped("s/started"), make_diverged("s/started")),
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
    return make_side("before", *before), make_side("after", *after)
