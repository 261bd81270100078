"""Scores add up, and go into the page between its markers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mutants import scores
from mutants.campaign import Mutant, Result, Status, Way
from mutants.page import BEGIN, END, written

ALIKE = Mutant(case_id="calibrated/a", fault="relu_lost", layer="relu", pipelines=("pt2e", "fx"))


def result(status: Status, *, way: Way = "alike", fault: str = "relu_lost") -> Result:
    mutant = replace(ALIKE, fault=fault, pipelines=("fx",) if way == "alone" else ALIKE.pipelines)
    return Result(mutant=mutant, status=status, because="sound")


RESULTS = [
    *[result("killed")] * 3,
    result("equivalent"),
    result("survived", fault="bias_dropped"),
    *[result("killed", way="alone")] * 2,
    result("noticed", way="alone", fault="bias_dropped"),
    result("raised", way="alone"),
]


def test_the_parts_add_up_to_what_was_planted() -> None:
    whole = scores.score_of(RESULTS, "alike")

    assert (whole.planted, whole.killed, whole.equivalent, whole.survived) == (5, 3, 1, 1)
    assert sum(scores.score_of(RESULTS, way).planted for way in scores.WAYS) == len(RESULTS)
    kinds = [scores.score_of(RESULTS, "alike", kind=kind) for kind in ("relu_lost", "bias_dropped")]
    assert sum(kind.planted for kind in kinds) == whole.planted


def test_what_is_equivalent_or_raises_does_not_count() -> None:
    assert scores.score_of(RESULTS, "alike").percent == 75.0
    assert scores.score_of([result("equivalent")], "alike").percent == 100.0
    assert scores.score_of([result("raised", way="alone")], "alone").percent == 100.0


def test_what_is_noticed_and_not_named_is_not_killed() -> None:
    assert scores.score_of(RESULTS, "alone").percent == pytest.approx(200 / 3)


def test_both_ways_must_reach_what_is_due() -> None:
    good = [*[result("killed")] * 19, result("survived"), *[result("killed", way="alone")] * 49]

    assert scores.is_enough([*good, result("survived", way="alone")])
    assert not scores.is_enough([*good, result("survived"), result("survived")])
    assert not scores.is_enough([*good, result("noticed", way="alone"), result("noticed", way="alone")])


def test_the_table_has_a_row_for_each_kind_that_was_planted_and_one_for_all() -> None:
    head, rule, *rows = scores.table(RESULTS).splitlines()

    assert {line.count("|") for line in (head, rule, *rows)} == {12}
    assert rows == [
        "| `bias_dropped` | 1 | 0 | 0 | 1 | 1 | 0 | 0 | 0 | 1 | 0 |",
        "| `relu_lost` | 4 | 3 | 1 | 0 | 3 | 2 | 0 | 1 | 0 | 0 |",
        "| **all** | 5 | 3 | 1 | 1 | 4 | 2 | 0 | 1 | 1 | 0 |",
    ]


def test_each_survivor_is_told_with_its_case_and_its_place() -> None:
    assert list(scores.survivors(RESULTS)) == [
        "survived: bias_dropped at relu in pt2e and fx of calibrated/a: sound",
        "noticed: bias_dropped at relu in fx of calibrated/a: sound",
    ]


def test_the_page_has_the_table_between_its_markers_and_nothing_else_changes() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = written(page, RESULTS)

    assert once.startswith(f"before\n{BEGIN}\n")
    assert once.endswith(f"{END}\nafter\n")
    assert scores.table(RESULTS) in once
    assert "old" not in once
    assert written(once, RESULTS) == once


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="between which the table goes"):
        written("no markers", RESULTS)
