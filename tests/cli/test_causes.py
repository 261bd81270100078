"""Causes that a matrix declares, through the verbs, with pipelines that do nothing."""

from __future__ import annotations

import json

import pytest

from support.project import Project, ended_with

CAUSES = """
causes:
  rounding:
    title: They round differently
    sentence: Outputs are a step apart.
    impact: by_design
    advice: Allow one step.
    because: the one rounds to even
expected:
  - {cases: "*", verdict: diverged, cause: rounding}
"""


@pytest.fixture
def explained(project: Project) -> Project:
    """A project with a run whose cases all diverged for a declared cause."""
    project.write({"matrix/expected.yaml": CAUSES})
    project.execution.records = lambda case: ended_with(case, "diverged", "diverged")
    project.run("run")
    return project


def test_a_record_keeps_what_its_cause_says(explained: Project) -> None:
    results = json.loads((explained.path / "reports/latest/results.json").read_text())
    told = [{key: case["expected"][key] for key in ("cause", "impact", "advice")} for case in results["cases"]]
    assert told
    assert all(item == {"cause": "rounding", "impact": "by_design", "advice": "Allow one step."} for item in told)


def test_show_says_what_to_do(explained: Project) -> None:
    case_id = json.loads((explained.path / "reports/latest/results.json").read_text())["cases"][0]["case_id"]
    assert "what to do: Allow one step." in explained.run("show", case_id).out


def test_report_summary_and_findings_have_one_anchor(explained: Project) -> None:
    latest = explained.path / "reports/latest"
    assert 'id="cause-rounding"' in (latest / "index.html").read_text()
    assert '<a id="cause-rounding"></a>' in (latest / "summary.md").read_text()
    assert '<a id="cause-rounding"></a>' in explained.run("findings", "reports/latest").out


def test_check_warns_of_a_cause_that_no_expectation_names(project: Project) -> None:
    project.write({"matrix/expected.yaml": CAUSES.partition("expected:")[0]})
    ended = project.run("check")
    assert ended.code == 0
    assert "unused cause: no expectation names 'rounding'" in f"{ended.out}{ended.err}"
