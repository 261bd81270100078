"""What a comparison names as new in the later run."""

from __future__ import annotations

from qatrix.outcomes import CheckOutcome, Record
from qatrix.report.compare import Row, cause_lines
from support.records import make_record


def row(before: Record | None, after: Record | None) -> Row:
    return Row(case_id="a/b", suite="a", records=(before, after), steps=())


def checked(*messages: str) -> Record:
    """A record in which the check fails with each message, on the pipelines p0, p1, …"""
    failed = (
        CheckOutcome(name="as_specified", pipeline=f"p{place}", status="failed", message=message)
        for place, message in enumerate(messages)
    )
    return make_record(checks=tuple(failed))


def test_a_check_that_fails_in_the_later_run_alone_is_named_with_what_it_found_first() -> None:
    rows = [row(checked(), checked("x: one; y: two")), row(checked(), checked("z: three"))]

    assert cause_lines(rows) == ("2 cases: as_specified fails on p0 now, for example: x: one",)


def test_what_failed_before_is_not_named() -> None:
    assert cause_lines([row(checked("x"), checked("y", "z"))]) == (
        "1 case: as_specified fails on p1 now, for example: z",
    )


def test_of_a_case_that_one_run_lacks_nothing_is_said() -> None:
    assert cause_lines([row(None, checked("x")), row(checked("x"), None)]) == ()
