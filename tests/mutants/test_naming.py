"""A record names a fault where one sentence has the pipeline, the layer and the quantity."""

from __future__ import annotations

import pytest

from mutants.faults.fault import Quantity
from mutants.naming import names, noticed
from qatrix.diagnoses import Cause, ParameterRow
from qatrix.outcomes import CheckOutcome, Record
from support.diagnoses import make_diagnosis, make_point
from support.records import make_error, make_outcome, make_record

BEFORE = make_record()


def with_check(message: str, *, pipeline: str = "fx") -> Record:
    failed = CheckOutcome(name="sound", pipeline=pipeline, status="failed", message=message)
    return make_record(verdict="check_failed", checks=(*BEFORE.checks, failed))


def is_named(record: Record, *, pipeline: str = "fx", layer: str = "conv", quantity: Quantity = "scale") -> bool:
    return names(record, BEFORE, pipeline=pipeline, layers=(layer,), quantity=quantity)


@pytest.mark.parametrize(
    "message",
    ["the scale of conv is 0.5, and its observer says 0.25", "conv.weight has the scale 0.5", "'conv': scale 0.5"],
)
def test_a_check_that_says_all_three_names_the_fault(message: str) -> None:
    assert is_named(with_check(message))


@pytest.mark.parametrize(
    "message",
    [
        "the zero point of conv is 3",
        "the scale of conv2 is 0.5",
        "the scale of block.conv is 0.5",
        "a scale is 0.5",
    ],
)
def test_another_quantity_or_another_layer_names_another_fault(message: str) -> None:
    assert not is_named(with_check(message))


def test_a_check_on_the_other_pipeline_names_another_fault() -> None:
    assert not is_named(with_check("the scale of conv is 0.5", pipeline="pt2e"))


def test_two_sentences_do_not_name_a_fault_together() -> None:
    first, second = with_check("the scale of x is 0.5"), with_check("conv is left in float")
    both = make_record(checks=(*first.checks, second.checks[-1]))

    assert not is_named(both)
    assert not is_named(with_check("the scale of x is 0.5; conv is left in float"))
    assert is_named(with_check("x is left in float; the scale of conv is 0.5"))


def test_a_check_that_failed_without_the_fault_says_nothing() -> None:
    record = with_check("the scale of conv is 0.5")

    assert noticed(record, record) == ()
    assert not names(record, record, pipeline="fx", layers=("conv",), quantity="scale")


def test_a_cause_names_a_fault_of_its_pipeline() -> None:
    cause = Cause(name="other_scale", kind="defect", sentence="fx has another scale", pipeline="fx", layer="conv")
    record = make_record(diagnosis=make_diagnosis(causes=(cause,), points=(), first=None))

    assert is_named(record)
    assert not is_named(record, pipeline="pt2e")


def test_parameters_that_differ_point_at_the_pipeline_that_is_farther_from_float() -> None:
    row = ParameterRow(tensor="conv.weight", status="differs", differing=("scale",))
    points = (make_point(parameters=(row,), nearer="pt2e"),)
    record = make_record(diagnosis=make_diagnosis(causes=(), points=points, first=None))

    assert is_named(record)
    assert not is_named(record, pipeline="pt2e")


def test_an_error_of_the_pipeline_is_a_sentence_too() -> None:
    outcome = make_outcome("fx", status="failed", failed_stage="convert", error=make_error("conv has a scale of 0"))
    record = make_record(verdict="failed", pipelines={**BEFORE.pipelines, "fx": outcome})

    assert is_named(record)
    assert noticed(record, BEFORE) == ("failed",)


def test_a_verdict_and_each_check_are_noticed_once() -> None:
    checks = [CheckOutcome(name="sound", pipeline=name, status="failed") for name in ("pt2e", "fx")]
    record = make_record(verdict="diverged", checks=(*BEFORE.checks, *checks))

    assert noticed(record, BEFORE) == ("diverged", "sound")
