"""What a row is made of, and what becomes of a benchmark that fails."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from benchmarks.rows import Benchmark, Row, measured, ratio, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0121, "12.1 ms"), (0.9, "900 ms"), (3.44, "3.4 s"), (119.8, "2 min 0 s"), (845.0, "14 min 5 s")],
)
def test_seconds_are_written_for_people(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_ratio_says_both_figures() -> None:
    assert ratio(16.8, 0.12) == "140 times (16.8 s, 120 ms)"


def good(*, what: str = "all") -> Iterator[Row]:
    """What is good."""
    yield Row(what=what, figure="2 times", figures={"times": 2.0}, reach="at least 1", reached=True, how="by hand")


def bad() -> Iterator[Row]:
    """What is bad.

    And more about it.
    """
    yield Row(what="two", figure="1 s")
    msg = "no luck"
    raise RuntimeError(msg)


def test_a_benchmark_that_fails_is_a_row_and_keeps_what_it_measured() -> None:
    rows = list(measured(Benchmark(name="unlucky", measure=bad)))

    assert [(row.name, row.what, row.reached) for row in rows] == [
        ("unlucky", "two", None),
        ("unlucky", "What is bad.", False),
    ]
    assert rows[-1].figure == "failed: RuntimeError: no luck"


def test_a_benchmark_is_about_the_first_line_of_its_function() -> None:
    assert Benchmark(name="unlucky", measure=bad).about == "What is bad."


@pytest.mark.parametrize(("quick", "what"), [(False, "all"), (True, "a sample")], ids=["all", "quick"])
def test_quick_measures_a_sample_where_there_is_one(quick: bool, what: str) -> None:
    sampling = Benchmark(name="one", measure=good, quick=functools.partial(good, what="a sample"))

    assert [row.what for row in measured(sampling, quick=quick)] == [what]


def test_quick_measures_all_where_there_is_no_sample() -> None:
    assert [row.what for row in measured(Benchmark(name="one", measure=good), quick=True)] == ["all"]


def test_a_revision_to_compare_with_reaches_the_benchmark_that_asks_for_one() -> None:
    def against(base: str) -> Iterator[Row]:
        yield Row(what="paired", figure=f"like {base}")

    paired = Benchmark(name="paired", measure=good, against=against)
    alone = Benchmark(name="alone", measure=good)

    assert [row.figure for row in measured(paired, base="v1")] == ["like v1"]
    assert [row.what for row in measured(paired)] == ["all"]
    assert [row.what for row in measured(alone, base="v1")] == ["all"]
