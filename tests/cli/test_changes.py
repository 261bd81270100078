"""What has changed from one run to the next, in lines."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from qatrix.cli.changes import changes, records_of, tell
from qatrix.console import Console
from qatrix.outcomes import Record
from support.records import make_diverged, make_record


def told(before: list[Record], after: list[Record]) -> list[str]:
    out = io.StringIO()
    tell(Console(out=out), before, after)
    return out.getvalue().splitlines()


def named(case_id: str) -> Record:
    return replace(make_record(), case_id=case_id)


def again(record: Record) -> Record:
    return replace(record, reused_from="20261129-120000")


def test_nothing_is_told_of_cases_that_are_as_they_were() -> None:
    assert told([named("s/a"), named("s/b")], [again(named("s/a")), named("s/b")]) == [
        "1 case ran, 1 not again: nothing changed; nothing unexpected"
    ]


def test_a_changed_verdict_a_new_case_and_one_that_is_gone_have_a_line_each() -> None:
    worse = replace(make_diverged(), case_id="s/a", unexpected=True)

    assert told([named("s/a"), named("s/b")], [worse, named("s/c")]) == [
        "  exact → diverged, unexpected: s/a",
        "  new, exact: s/c",
        "  gone: s/b",
        "2 cases ran, 0 not again: 1 changed, 1 new, 1 gone; 1 unexpected",
    ]


def test_other_numbers_are_a_change() -> None:
    before = replace(named("s/a"), verdict="close", summary="max abs 1e-6")
    after = replace(before, summary="max abs 2e-6")

    assert changes([before], [after]).changed == ((before, after),)


def test_how_long_a_case_took_is_no_change() -> None:
    assert changes([named("s/a")], [replace(named("s/a"), seconds=99.0)]).changed == ()


def test_the_unexpected_ones_are_told_first_and_no_more_than_a_few() -> None:
    before = [named(f"s/{number}") for number in range(30)]
    after = [replace(record, verdict="close") for record in before]
    after[29] = replace(after[29], verdict="diverged", unexpected=True)
    lines = told(before, after)

    assert lines[0] == "  exact → diverged, unexpected: s/29"
    assert lines[12] == "  and 18 more, which the report has"
    assert len(lines) == 14


def test_of_a_run_that_cannot_be_read_there_are_no_records(tmp_path: Path) -> None:
    assert records_of(None) is None
    assert records_of(tmp_path) is None
