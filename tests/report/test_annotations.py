"""Annotations for GitHub: the unexpected cases, each on one line that nothing in it can end."""

from __future__ import annotations

import pytest

from qatrix.report.annotations import annotation_lines
from support.records import make_diverged, make_failed, make_hostile, make_record


def test_an_unexpected_case_is_annotated_where_it_is_declared() -> None:
    (line,) = annotation_lines([make_record(), make_failed(), make_diverged()])

    assert line.startswith(
        "::error file=matrix/suites/conv_bn.yaml,line=4,col=3,title=models/mobilenet_v2::diverged at convert:"
    )
    assert "%0Anot expected: no entry under `expected` covers this case%0A" in line


def test_a_run_without_unexpected_cases_has_none() -> None:
    assert list(annotation_lines([make_record(), make_failed()])) == []


def test_hostile_text_stays_on_its_line_and_in_its_place() -> None:
    (line,) = annotation_lines([make_hostile()])
    head = line.removeprefix("::error ").partition("::")[0]

    assert len(line.splitlines()) == 1
    assert [item.partition("=")[0] for item in head.split(",")] == ["file", "line", "col", "title"]


@pytest.mark.parametrize(
    ("count", "shown", "last"), [(10, 10, "::error file="), (11, 10, "::error title=qatrix::2 more")]
)
def test_github_shows_ten_and_the_last_says_how_many_there_are_more(count: int, shown: int, last: str) -> None:
    lines = list(annotation_lines([make_diverged(f"models/{number}") for number in range(count)]))

    assert len(lines) == shown
    assert lines[-1].startswith(last)
