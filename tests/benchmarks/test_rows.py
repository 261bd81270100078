"""The table of benchmarks, and what its rows are made of."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from benchmarks.cases import CONV_BN, TWIN, shipped, small_suites
from benchmarks.processes import python, without_times
from benchmarks.rows import Benchmark, Row, as_json, machine, markdown, measured, ratio, seconds
from benchmarks.waiting import exact


@pytest.mark.parametrize(
    ("value", "text"), [(0.0121, "12.1 ms"), (0.9, "900 ms"), (3.44, "3.4 s"), (845.0, "14 min 5 s")]
)
def test_seconds_are_written_for_people(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_ratio_says_both_figures() -> None:
    assert ratio(16.8, 0.12) == "140 times (16.8 s, 120 ms)"


def good() -> Iterator[Row]:
    yield Row(what="one", figure="2 times", reach="at least 1", reached=True, how="by hand")


def bad() -> Iterator[Row]:
    yield Row(what="two", figure="1 s")
    msg = "no luck"
    raise RuntimeError(msg)


def test_a_benchmark_that_fails_is_a_row_and_keeps_what_it_measured() -> None:
    rows = [row for measure in (good, bad) for row in measured(Benchmark(name=measure.__name__, measure=measure))]

    assert [(row.what, row.reached) for row in rows] == [("one", True), ("two", None), ("bad", False)]
    assert rows[-1].figure == "failed: RuntimeError: no luck"


def test_the_table_marks_what_is_reached_and_says_how() -> None:
    text = markdown([*good(), Row(what="three", figure="9 s", reach="under 1 s", reached=False)], machine(["torch 2"]))

    assert f"Python {sys.version.split()[0]}, torch 2" in text
    assert "| one | 2 times | at least 1 | ✓ |\n| three | 9 s | under 1 s | ✗ |\n" in text
    assert text.endswith("- one: by hand\n")


def test_the_table_is_there_for_programs_too() -> None:
    assert json.loads(as_json(list(good()), "here"))["rows"][0]["reached"] is True


def test_a_process_tells_its_time_memory_and_output() -> None:
    ended = python("-c", "import time; print(len(bytes(b'x') * 50_000_000)); held = b'x' * 50_000_000; time.sleep(0.2)")

    assert ended.stdout == "50000000\n"
    assert ended.seconds > 0
    assert 50e6 < ended.peak_bytes < 500e6


def test_a_process_that_fails_says_what_it_printed() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3: last words"):
        python("-c", "print('last words'); raise SystemExit(3)")


def test_the_cases_that_are_measured_exist_and_differ_in_their_quantizer_alone() -> None:
    (case,), (twin,) = shipped(CONV_BN), shipped(TWIN)

    assert (case.pattern, case.params, case.seed) == (twin.pattern, twin.params, twin.seed)
    assert case.quantizer != twin.quantizer


def test_the_small_suites_are_all_but_whole_models() -> None:
    whole = {case.suite for case in shipped() if case.pattern.factory is not None}

    assert whole
    assert not whole & set(small_suites())


def test_records_are_compared_without_times_and_tracebacks() -> None:
    case = {"seconds": 1.0, "diagnosis": {"seconds": 1}, "pipelines": {"fx": {"stages": [1], "error": None, "x": 2}}}

    assert without_times([case]) == [
        {"seconds": None, "diagnosis": None, "pipelines": {"fx": {"stages": None, "error": None, "x": 2}}}
    ]


def test_a_stand_in_record_is_exact() -> None:
    assert exact(shipped(CONV_BN)[0]).verdict == "exact"
