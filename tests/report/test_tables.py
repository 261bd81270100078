"""Tests of report.tables."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from qatrix import codec
from qatrix.outcomes import Record
from qatrix.report.frames import ReportData, report_data
from qatrix.report.tables import results_csv, results_json
from support.records import make_comparison, make_diverged, make_failed, make_record, make_run


def test_the_json_of_any_run_is_strict_and_gives_the_records_back(any_data: ReportData) -> None:
    cases = json.loads(results_json(any_data), parse_constant=pytest.fail)["cases"]
    assert [codec.dumps(codec.from_jsonable(Record, case)) for case in cases] == [
        codec.dumps(record) for record in any_data.records
    ]


def test_the_json_has_the_documented_shape() -> None:
    content = json.loads(results_json(report_data(make_run(), [make_diverged()])))
    assert content["run"]["environment"]["torch"] == "2.15.0"
    assert content["run"]["seconds"] == 63.4
    (case,) = content["cases"]
    assert case["verdict"] == "diverged"
    assert case["expected"] is None
    assert case["comparisons"][1]["max_steps"] == 3.0
    assert case["checks"][0]["status"] == "passed"
    assert case["pipelines"]["pt2e"]["sqnr_db"] == 36.4
    assert case["pipelines"]["pt2e"]["stages"][0] == {"name": "build", "seconds": 0.03}


def test_equal_runs_give_equal_texts(demo: ReportData) -> None:
    assert results_json(demo) == results_json(report_data(demo.run, demo.records))


def test_unfinished_cases_are_named_in_the_json(interrupted: ReportData) -> None:
    assert json.loads(results_json(interrupted))["unfinished"] == ["s/b", "s/c"]


def test_the_csv_of_any_run_has_a_row_per_case(any_data: ReportData) -> None:
    frame = pd.read_csv(io.StringIO(results_csv(any_data).encode("utf-8", "replace").decode()))
    assert len(frame) == len(any_data.records)


def test_numbers_of_the_csv_are_numbers() -> None:
    data = report_data(make_run(), [make_diverged(), make_failed()])
    frame = pd.read_csv(io.StringIO(results_csv(data)))
    assert frame["convert_max_abs"][0] == 0.0831
    assert frame["pt2e_sqnr_db"].dtype == "float64"
    assert frame["pt2e_fake_quantizes"].dtype == "int64"
    assert frame["axis_dim"].tolist()[1] == 2
    assert frame["fx_failed_stage"][1] == "prepare"


def test_what_was_measured_as_nan_is_not_an_empty_cell() -> None:
    comparison = make_comparison("convert", max_abs=float("nan"), max_rel=float("-inf"), max_steps=None)
    text = results_csv(report_data(make_run(), [make_record(comparisons=(comparison,))]))
    row = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False).iloc[0]
    assert (row["convert_max_abs"], row["convert_max_rel"], row["convert_max_steps"]) == ("nan", "-inf", "")


def test_what_another_case_measured_is_an_empty_cell() -> None:
    invalid = make_record("a", verdict="invalid", comparisons=(), checks=(), pipelines={}, axes={})
    text = results_csv(report_data(make_run(), [invalid, make_diverged()]))
    row, other = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False).to_dict("records")

    missing = [name for name in row if str(name).startswith(("convert_", "pt2e_", "axis_"))]

    assert {row[name] for name in missing} == {""}
    assert (other["pt2e_quantize_ops"], other["convert_max_abs"]) == ("2", "0.0831")
