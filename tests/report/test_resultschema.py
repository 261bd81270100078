"""The JSON Schema of results.json: every run fits it, and what is wrong does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from qatrix.outcomes import Record
from qatrix.report.frames import ReportData, report_data
from qatrix.report.resultschema import results_schema
from qatrix.report.tables import results_json
from support.demo_run import demo_records
from support.diagnoses import make_diagnosis
from support.records import make_diverged, make_record, make_run

VALIDATOR = Draft202012Validator(results_schema())


def document(records: list[Record]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(results_json(report_data(make_run(declared=len(records)), records)))
    return found


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(results_schema())


def test_the_results_of_any_run_fit(any_data: ReportData) -> None:
    VALIDATOR.validate(json.loads(results_json(any_data)))


def test_a_diagnosis_fits() -> None:
    VALIDATOR.validate(document([*demo_records(), make_diverged(diagnosis=make_diagnosis())]))


@pytest.mark.parametrize("value", [(1, (2, "same")), float("nan"), "reflect", None, True])
def test_every_value_of_an_axis_fits(value: Any) -> None:
    VALIDATOR.validate(document([make_record(axes={"odd": value})]))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda case: case.pop("verdict"), id="a field is missing"),
        pytest.param(lambda case: case.update(more=1), id="a field nobody knows"),
        pytest.param(lambda case: case.update(verdict="fine"), id="no verdict"),
        pytest.param(lambda case: case.update(seconds="long"), id="text for a number"),
        pytest.param(lambda case: case["comparisons"][0].update(max_abs=[]), id="deep inside"),
    ],
)
def test_what_is_wrong_does_not_fit(change: Any) -> None:
    wrong = document([make_record()])
    change(wrong["cases"][0])

    assert not VALIDATOR.is_valid(wrong)


def test_every_object_is_described() -> None:
    described = {name: bool(item["description"]) for name, item in results_schema()["$defs"].items()}

    assert all(described.values())
    assert {"Record", "Run", "Comparison", "Diagnosis", "Environment"} <= described.keys()
