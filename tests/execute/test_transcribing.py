"""Checks that are written from what real pipelines make: they hold of the case, and of no other graph."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.claims import CheckPoint, GraphCheck
from qatrix.declare.expand import check_values
from qatrix.declare.load import load
from qatrix.declare.spec import Case
from qatrix.declare.transcripts import check_text
from qatrix.execute.case import run_case
from qatrix.execute.transcribing import Untranscribed, transcribe_case
from qatrix.outcomes import CheckOutcome
from support.cases import shipped_cases, written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]


PTQ = "batches/conv_of_batch/dim=2,batch=4,spatial=7,quantizer=xnnpack_int8_per_channel_ptq,device=cpu"


def frozen(case: Case, pipeline: str, at: CheckPoint, tmp_path: Path, *, values: bool = False) -> GraphCheck:
    """The check that is written of a case, as it is read from its file."""
    transcript = transcribe_case(case, pipeline, at, values=values)
    path = tmp_path / "frozen.yaml"
    path.write_text(check_text(transcript, case, name="frozen", pipeline=pipeline, at=at, origin=["A test."]))
    loaded = load([path])
    assert loaded.matrix is not None, loaded.problems
    return loaded.matrix.checks["frozen"]


def outcome(check: GraphCheck, case: Case) -> CheckOutcome:
    """What becomes of a check on a case."""
    bound = replace(check, scope={**check.scope, **check_values(case.params, case.axes, case.quantizer)})
    record = run_case(replace(case, checks=(bound,)), diagnose="never")
    (found,) = (item for item in record.checks if item.name == "frozen")
    return found


@functools.cache
def every_case() -> tuple[Case, ...]:
    """The shipped matrix, which takes seconds to read."""
    return shipped_cases("*")


def only(name: str) -> Case:
    (case,) = (case for case in every_case() if case.case_id == name)
    return case


@pytest.mark.parametrize("at", ["prepare", "convert"])
@pytest.mark.parametrize("pipeline", ["pt2e", "fx"])
@pytest.mark.parametrize(
    "name",
    [
        PTQ,
        "conv_bn_relu_fusion/conv_bn_relu/dim=2,quantizer=xnnpack_int8_per_channel_qat,device=cpu",
        "x86/conv_bn_relu/dim=2,quantizer=x86_int8_ptq,device=cpu",
        "linear_dynamic_declared/two_linear/quantizer=int8_dynamic,device=cpu",
        "capture_functions/conv_bn_pairs_cat/dim=2,capture=strict,quantizer=xnnpack_int8_per_channel_ptq,device=cpu",
        "dynamic_batches_ptq/self_attention/dynamic_batch=true,quantizer=xnnpack_int8_per_channel_ptq,device=cpu",
    ],
    ids=["calibrated", "fused for training", "x86", "quantized as they come", "shared observers", "free batch"],
)
def test_what_is_written_of_a_case_holds_of_it(name: str, pipeline: str, at: CheckPoint, tmp_path: Path) -> None:
    case = only(name)
    check = frozen(case, pipeline, at, tmp_path)
    found = outcome(check, case)

    assert (found.status, found.message) == ("passed", None)
    assert sum(check.counts.values()) > len(check.order) > 0


@pytest.mark.parametrize("pipeline", ["pt2e", "fx"])
def test_the_numbers_of_a_case_hold_of_it_and_not_of_other_inputs(pipeline: str, tmp_path: Path) -> None:
    case = only(PTQ)
    check = frozen(case, pipeline, "convert", tmp_path, values=True)

    assert outcome(check, case).status == "passed"
    other = outcome(check, replace(case, seed=case.seed + 1))
    assert other.status == "failed"
    assert "scale" in str(other.message)


@pytest.mark.parametrize("pipeline", ["pt2e", "fx"])
def test_another_quantizer_makes_another_graph(pipeline: str, tmp_path: Path) -> None:
    case = only(PTQ)
    check = frozen(case, pipeline, "convert", tmp_path)
    other = next(item.quantizer for item in every_case() if item.quantizer.name == "x86_int8_ptq")
    found = outcome(check, replace(case, quantizer=other))

    assert found.status == "failed"
    assert "expected" in str(found.message)


def test_a_case_that_does_not_get_as_far_says_why(tmp_path: Path) -> None:
    text = """
patterns:
  broken:
    layers: {a: "Linear(3, 3)"}
    forward: ["return a(x).reshape(7)"]
    inputs: {x: {shape: [2, 3]}}
suites:
  broken: {axes: {pattern: broken, quantizer: xnnpack_int8_per_channel_ptq}}
"""
    (case,) = written_cases(tmp_path, text)

    with pytest.raises(Untranscribed, match="pt2e failed at capture, before it had a graph after convert: "):
        transcribe_case(case, "pt2e", "convert", values=False)


def test_a_case_that_is_skipped_has_no_graph() -> None:
    with pytest.raises(Untranscribed, match="because"):
        transcribe_case(replace(only(PTQ), skip="because"), "pt2e", "convert", values=False)
