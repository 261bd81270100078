"""Findings as data: written as JSON, read back, and refused where they do not fit together."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qatrix.claims import Expectation
from qatrix.errors import UsageError
from qatrix.outcomes import Record
from qatrix.report.findings import as_json, document, document_page, findings, findings_page, from_json
from qatrix.report.findings.data import FindingsRun
from support.lowerings import make_clamped
from support.records import EXPECTED, make_comparison, make_outcome, make_record, make_run

ROOT = Path(__file__).parents[2]
TITLE = "FX graph mode pads with zeros"
SCRIPT = "import torch\n\nprint(torch.__version__)\n"


def explained(case_id: str, title: str = TITLE, **changes: Any) -> Record:
    """A case that diverged as expected."""
    expectation = Expectation(
        cases="*", verdict="diverged", because=f"{title}, because", title=title, source=EXPECTED, **changes
    )
    return make_record(
        case_id,
        verdict="diverged",
        summary="pt2e and fx are 0.02 apart",
        expected=expectation,
        comparisons=(make_comparison("convert", status="diverged", max_abs=0.02, max_steps=math.inf),),
        pipelines={"pt2e": make_outcome("pt2e", sqnr_db=20.0), "fx": make_outcome("fx", sqnr_db=32.0)},
    )


def side(*records: Record, scripts: dict[str, str] | None = None) -> FindingsRun:
    return FindingsRun(run=make_run(), records=records, scripts=scripts or {})


def test_the_json_is_the_same_document_again() -> None:
    told = document(findings([side(explained("a/p/x=1"), explained("a/p/x=2", "Other"), scripts={"a/p/x=1": SCRIPT})]))

    assert from_json(as_json(told)) == told
    assert as_json(from_json(as_json(told))) == as_json(told)


def test_a_page_of_the_json_is_the_page_of_the_runs() -> None:
    found = findings([side(explained("a/p/x=1"), make_clamped(expected=None), scripts={"a/p/x=1": SCRIPT})])

    assert document_page(from_json(as_json(document(found))), scripts="causes") == findings_page(
        found, scripts="causes"
    )


def test_a_script_is_kept_line_by_line() -> None:
    told = document(findings([side(explained("a/p/x=1"), scripts={"a/p/x=1": SCRIPT})]))

    assert json.loads(as_json(told))["findings"][0]["script"] == ["import torch", "", "print(torch.__version__)"]


def test_what_is_not_known_of_a_cause_is_null() -> None:
    (facts,) = json.loads(as_json(document(findings([side(explained("a/p/x=1"))]))))["findings"]

    assert {facts[name] for name in ("sentence", "impact", "advice", "issue")} == {None}


@pytest.mark.parametrize(
    ("title", "changes", "names"),
    [
        pytest.param("FX graph mode pads with zeros", {}, ("FX graph mode",), id="a pipeline that the title names"),
        pytest.param("Neither pipeline quantizes LSTMs", {}, ("PT2E", "FX graph mode"), id="both pipelines"),
        pytest.param("FX's own kernels have no GELU", {}, ("FX's own kernels",), id="kernels are no pipeline"),
        pytest.param("XNNPACKQuantizer of torchao", {}, ("XNNPACKQuantizer", "torchao"), id="a class and its package"),
        pytest.param("A batch of one", {"pipeline": "pt2e"}, ("PT2E",), id="the pipeline that fails"),
        pytest.param("Something else", {}, ("PT2E", "FX graph mode"), id="without a hint, those that ran"),
    ],
)
def test_a_finding_is_about_what_its_title_and_its_failure_name(
    title: str, changes: dict[str, Any], names: tuple[str, ...]
) -> None:
    (facts,) = document(findings([side(explained("a/p/x=1", title, **changes))])).findings

    assert facts.components == names


def test_a_finding_of_deployed_models_alone_is_about_their_runtimes() -> None:
    clamp = Expectation(cases="*", verdict="diverged", because="it is not clamped", source=EXPECTED)
    (facts,) = document(findings([side(make_clamped("d/a", expected=clamp, unexpected=False))])).findings

    assert facts.components == ("FX's own kernels",)


def damaged(change: Callable[[dict[str, Any]], object]) -> str:
    data = json.loads(as_json(document(findings([side(explained("a/p/x=1"), explained("a/p/x=2", "Other"))]))))
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("{", "these are not findings that `qatrix findings --out FILE.json` wrote", id="no JSON"),
        pytest.param("[]", "these are not findings", id="no object"),
        pytest.param(damaged(lambda data: data.update(more=1)), "has no field more", id="an unknown field"),
        pytest.param(damaged(lambda data: data.pop("runs")), "runs", id="a missing field"),
        pytest.param(damaged(lambda data: data.update(format=99)), "have format 99; this qatrix reads 1", id="format"),
        pytest.param(
            damaged(lambda data: data["findings"][0].update(verdicts={"odd": 1})),
            "has an unknown verdict: odd",
            id="an unknown verdict",
        ),
        pytest.param(
            damaged(lambda data: data["findings"][0].update(impact="odd")),
            "FindingFacts.impact",
            id="an unknown impact",
        ),
        pytest.param(
            damaged(lambda data: data["findings"][0].update(counts=[1, 2])),
            "2 counts, and there are 1 runs",
            id="counts",
        ),
        pytest.param(
            damaged(lambda data: data["findings"][0].update(name="other")), "are not unique", id="one name twice"
        ),
        pytest.param(damaged(lambda data: data["findings"][0].update(key="a b")), "are not unique", id="no key"),
        pytest.param(
            damaged(lambda data: data["findings"][0].update(name="../up")), "not names of files", id="a name of a path"
        ),
    ],
)
def test_what_does_not_fit_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        from_json(text)


def test_the_findings_that_come_with_qatrix_are_as_it_writes_them() -> None:
    text = (ROOT / "docs/findings.json").read_text(encoding="utf-8")

    assert as_json(from_json(text)) == text


def test_an_impact_and_an_issue_are_read() -> None:
    told = document(findings([side(explained("a/p/x=1"))]))
    data = json.loads(as_json(told))
    issue = {"link": "https://example.org/1", "state": "open", "checked": "2026-11-30"}
    data["findings"][0] |= {"impact": "wrong_numbers", "sentence": "It pads.", "advice": "Use PT2E.", "issue": issue}

    (facts,) = from_json(json.dumps(data)).findings
    assert (facts.impact, facts.sentence, facts.advice) == ("wrong_numbers", "It pads.", "Use PT2E.")
    assert facts.issue is not None
    assert dataclasses.asdict(facts.issue) == issue
