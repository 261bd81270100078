"""The smallest case that still shows what a case shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qatrix.declare.shrinking import smaller_cases
from qatrix.declare.spec import Case
from qatrix.outcomes import Record

Evaluate = Callable[[Case], Record]
# Most models have fewer steps than this; a case takes about a second.
MOST_RUNS: Final = 200


@dataclass(frozen=True, kw_only=True)
class Minimized:
    """The smallest case that was found, its record, what was taken away, and how many cases were run for it."""

    case: Case
    record: Record
    changes: tuple[str, ...]
    runs: int


def minimize(case: Case, record: Record, evaluate: Evaluate, *, most_runs: int = MOST_RUNS) -> Minimized:
    """Take away, one by one, whatever can go while the symptom stays; greedy, so that the result is small, not least.

    `evaluate` runs a case and returns its record.
    """
    wanted = symptom(record)
    changes: list[str] = []
    runs, found = 0, True
    while found:
        found = False
        for smaller in smaller_cases(case):
            if runs == most_runs:
                break
            runs += 1
            tried = evaluate(smaller.case)
            if symptom(tried) == wanted:
                case, record, found = smaller.case, tried, True
                changes.append(smaller.change)
                break
    return Minimized(case=case, record=record, changes=tuple(changes), runs=runs)


def symptom(record: Record) -> tuple[object, ...]:
    """What must stay: verdict, errors, the points where the pipelines part, failed checks, the first cause."""
    return (
        record.verdict,
        _told(record.error.type, record.error.message) if record.error else None,
        frozenset(
            (item.pipeline, item.status, item.failed_stage, _told(item.error.type, item.error.message))
            for item in record.pipelines.values()
            if item.error is not None
        ),
        frozenset(
            (item.at, item.left, item.right, item.status) for item in record.comparisons if _differs(item.status)
        ),
        frozenset((item.name, item.pipeline) for item in record.checks if item.status == "failed"),
        _first_causes(record),
    )


def _differs(status: str) -> bool:
    return status in {"diverged", "mismatched"}


def _told(kind: str, message: str) -> tuple[str, str]:
    """An error without its numbers and the names of nodes, which shrink with the model."""
    first = (message.strip() or "no message").splitlines()[0]
    return kind, re.sub(r"0x[0-9a-f]+|_?\d+", "#", first)


def _first_causes(record: Record) -> frozenset[str]:
    causes = () if record.diagnosis is None else record.diagnosis.causes
    return frozenset(item.name for item in causes if item.explains_first)
