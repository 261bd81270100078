"""Tests of report.junit."""

from __future__ import annotations

from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from junitparser import TestCase as Case
from lxml import etree

from qatrix.outcomes import Record
from qatrix.report.frames import ReportData, report_data
from qatrix.report.junit import junit_xml
from support.diagnoses import make_diagnosis
from support.lowerings import make_clamped
from support.records import make_diverged, make_failed, make_record, make_run, make_skipped

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "junit.xsd"))


def _cases(data: ReportData) -> list[Case]:
    return [case for suite in JUnitXml.fromstring(junit_xml(data).encode()) for case in suite]


def _only_case(record: Record) -> Case:
    (case,) = _cases(report_data(make_run(), [record]))
    return case


def test_the_xml_of_any_run_is_valid(any_data: ReportData) -> None:
    SCHEMA.assertValid(etree.fromstring(junit_xml(any_data).encode()))


def test_every_case_is_a_test_case(any_data: ReportData) -> None:
    assert len(_cases(any_data)) == len(any_data.records)


@pytest.mark.parametrize(
    ("record", "results"),
    [
        pytest.param(make_record(), [], id="exact passes"),
        pytest.param(make_failed(), [], id="expected passes"),
        pytest.param(make_skipped(), [Skipped], id="skipped"),
        pytest.param(make_skipped(verdict="unavailable"), [Skipped], id="unavailable"),
        pytest.param(make_diverged(), [Failure], id="diverged fails"),
        pytest.param(make_failed(expected=None, unexpected=True), [Error], id="failed is an error"),
        pytest.param(make_record(verdict="crashed", unexpected=True), [Error], id="crashed is an error"),
        pytest.param(make_record(unexpected=True), [Failure], id="better than expected fails"),
    ],
)
def test_a_verdict_has_its_result(record: Record, results: list[type]) -> None:
    assert [type(result) for result in _only_case(record).result] == results


def test_an_expected_difference_says_so_in_its_output() -> None:
    output = _only_case(make_failed()).system_out
    assert output.startswith("failed as expected: FX graph mode has no QAT module")


def test_a_failure_gives_the_figures() -> None:
    (failure,) = _only_case(make_diverged()).result
    assert "at most 0.0831 apart (3 quantization steps), 412 of 27 values out of tolerance" in failure.text


def test_axes_are_properties() -> None:
    xml = etree.fromstring(junit_xml(report_data(make_run(), [make_record()])).encode())
    properties = {item.get("name"): item.get("value") for item in xml.findall(".//testcase/properties/property")}
    assert properties["dim"] == "2"
    assert properties["source"] == "matrix/suites/conv_bn.yaml:4:3"


def test_suites_that_alternate_are_one_suite_each() -> None:
    records = [make_record("a", suite="x"), make_record("b", suite="y"), make_record("c", suite="x")]
    suites = JUnitXml.fromstring(junit_xml(report_data(make_run(), records)).encode())
    assert [(suite.name, suite.tests) for suite in suites] == [("x", 2), ("y", 1)]


def test_cases_without_a_verdict_are_errors(interrupted: ReportData) -> None:
    text = junit_xml(interrupted)
    SCHEMA.assertValid(etree.fromstring(text.encode()))
    messages = [result.message for case in _cases(interrupted) for result in case.result]
    assert messages == [
        "no verdict: the run was interrupted, it was running",
        "no verdict: the run was interrupted, it had not started",
    ]


def test_a_failure_says_where_the_pipelines_part_and_how_to_run_it_alone() -> None:
    record = make_diverged(diagnosis=make_diagnosis())
    (failure,) = _only_case(record).result

    assert "They part at bn." in failure.text
    assert f"run it alone: qatrix run --case {record.case_id}" in failure.text


def test_a_case_has_a_property_for_each_axis_and_the_file_that_declares_it() -> None:
    tree = etree.fromstring(junit_xml(report_data(make_run(), [make_record()])).encode())
    (case,) = tree.iter("testcase")
    properties = {item.get("name"): item.get("value") for item in case.iter("property")}

    assert properties["dim"] == "2"
    assert properties["verdict"] == "exact"
    assert case.get("file") == "matrix/suites/conv_bn.yaml"


def test_a_case_has_its_runtimes_and_their_figures_as_properties() -> None:
    tree = etree.fromstring(junit_xml(report_data(make_run(), [make_clamped()])).encode())
    properties = {item.get("name"): item.get("value") for item in tree.iter("property")}

    assert {name: value for name, value in properties.items() if name.startswith("fx_")} == {
        "fx_runtime": "native (engine qnnpack)",
        "fx_lowered_runs_in": "integers",
        "fx_lowered_sqnr_db": "-1.3",
        "fx_lowered_steps": "95.0",
    }


def test_a_failure_says_where_a_runtime_leaves_its_reference_and_why() -> None:
    (failure,) = _only_case(make_clamped()).result

    assert "fx on native (engine qnnpack): SQNR -1.3 dB, 95 quantization steps from its reference" in failure.text
    assert "fx on native (engine qnnpack): the runtime first leaves its reference at relu" in failure.text
    assert "fx on native (engine qnnpack): Cause, defect: fx's clamp is wrong." in failure.text
