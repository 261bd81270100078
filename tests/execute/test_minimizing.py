"""Minimizing: whatever can go goes, as long as the symptom stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qatrix.declare.spec import Case
from qatrix.execute.minimizing import minimize, symptom
from qatrix.outcomes import Record
from support.cases import written_cases
from support.diagnoses import make_diagnosis
from support.records import make_comparison, make_diverged, make_error, make_failed, make_outcome, make_record

SIX_LAYERS = """
patterns:
  six:
    layers: {a: "Linear(8, 8)", b: "ReLU()", c: "Linear(8, 8)", d: "Sigmoid()", e: "Linear(8, 8)", f: "Tanh()"}
    forward: ["y = b(a(x))", "y = d(c(y))", "return f(e(y))"]
    inputs: {x: {shape: [2, 8]}}
suites:
  minimizing: {axes: {pattern: six, quantizer: xnnpack_int8_per_channel_qat}}
"""


def diverges_with_the_sigmoid(case: Case) -> Record:
    layers = {layer.name for layer in case.pattern.layers}
    return make_diverged(case.case_id) if "d" in layers else make_record(case.case_id)


def test_what_the_symptom_does_not_need_is_gone(tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, SIX_LAYERS, "minimizing")
    found = minimize(case, diverges_with_the_sigmoid(case), diverges_with_the_sigmoid)

    assert [layer.name for layer in found.case.pattern.layers] == ["d"]
    assert found.changes == (
        "without the assignment of y",
        "without c",
        "without f",
        "without e",
        "1 instead of 8",
        "1 instead of 2",
    )
    assert found.record.verdict == "diverged"


def test_a_case_that_is_small_already_stays_as_it_is(tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, SIX_LAYERS, "minimizing")

    def only_whole(tried: Case) -> Record:
        return make_diverged() if tried == case else make_record()

    found = minimize(case, make_diverged(), only_whole)

    assert (found.case, found.changes) == (case, ())
    assert found.runs > 10


def test_no_more_cases_are_run_than_allowed(tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, SIX_LAYERS, "minimizing")
    found = minimize(case, diverges_with_the_sigmoid(case), diverges_with_the_sigmoid, most_runs=3)

    assert found.runs == 3


def test_another_error_is_another_symptom() -> None:
    failed = make_failed()
    other = replace(
        failed,
        pipelines={
            **failed.pipelines,
            "fx": make_outcome("fx", status="failed", failed_stage="prepare", error=make_error("something else")),
        },
    )

    assert symptom(failed) != symptom(other)


def test_numbers_in_a_message_are_no_part_of_the_symptom() -> None:
    failed = [
        replace(
            make_failed(),
            pipelines={
                "fx": make_outcome(
                    "fx", status="failed", failed_stage="prepare", error=make_error(f"{place} of {size}")
                )
            },
        )
        for place, size in (("conv2d_12", 64), ("conv2d_3", 8))
    ]

    assert symptom(failed[0]) == symptom(failed[1])


def test_the_first_cause_is_part_of_the_symptom() -> None:
    diagnosis = make_diagnosis()
    unexplained = replace(diagnosis, causes=())

    assert symptom(make_diverged(diagnosis=diagnosis)) != symptom(make_diverged(diagnosis=unexplained))


def test_how_far_apart_is_no_part_of_the_symptom() -> None:
    near, far = (
        make_diverged(comparisons=(make_comparison("convert", status="diverged", max_abs=apart),)) for apart in (0.1, 9)
    )

    assert symptom(near) == symptom(far)
