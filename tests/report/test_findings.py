"""Findings: what expectations explain, over the runs that show it."""

from __future__ import annotations

from typing import Any

import pytest

from qatrix.claims import Expectation
from qatrix.errors import UsageError
from qatrix.outcomes import Record
from qatrix.report.findings import findings, findings_markdown
from qatrix.report.findings.data import FindingsRun
from support.records import ENVIRONMENT, EXPECTED, make_comparison, make_outcome, make_record, make_run

EPS = "PT2E computes batch norms with an eps of its own"


def explained(case_id: str, because: str = EPS, **changes: Any) -> Record:
    """A case that diverged as expected, PT2E 12 dB further from the float model."""
    expectation = {"title": None, "link": None} | changes
    return make_record(
        case_id,
        verdict="diverged",
        summary="pt2e and fx are 0.02 apart",
        expected=Expectation(cases="*", verdict="diverged", because=because, source=EXPECTED, **expectation),
        comparisons=(make_comparison("convert", status="diverged", max_abs=0.02, max_steps=1.5),),
        pipelines={"pt2e": make_outcome("pt2e", sqnr_db=20.0), "fx": make_outcome("fx", sqnr_db=32.0)},
    )


def side(*records: Record, torch: str = "2.15.0", scripts: dict[str, str] | None = None) -> FindingsRun:
    environment = ENVIRONMENT.__class__(**{**vars(ENVIRONMENT), "packages": {**ENVIRONMENT.packages, "torch": torch}})
    return FindingsRun(run=make_run(environment=environment), records=records, scripts=scripts or {})


def test_cases_of_one_reason_are_one_finding_with_its_figures() -> None:
    found = findings([side(explained("a/p/x=1"), explained("a/p/x=2", title="PT2E has an eps of its own"))])

    (finding,) = found.found
    assert finding.title == "PT2E has an eps of its own"
    assert finding.verdicts == {"diverged": 2}
    assert (finding.most_abs, finding.most_steps, finding.counts) == (0.02, 1.5, (2,))
    assert finding.spread is not None
    assert (finding.spread.nearer, finding.spread.median_db) == ({"fx": 2}, 12.0)


def test_a_finding_without_a_title_begins_as_its_reason() -> None:
    (finding,) = findings([side(explained("a/p/x=1", "FX does this (file.py), and that"))]).found

    assert finding.title == "FX does this"


def test_findings_are_counted_in_every_run_and_shown_by_the_first_that_has_them() -> None:
    new, old = side(make_record("a/p/x=1")), side(explained("a/p/x=1"), explained("a/p/x=2"), torch="2.5.1")
    found = findings([new, old])

    assert found.found[0].counts == (0, 2)
    assert len(found.found[0].records) == 2
    assert "- Releases: torch 2.5.1 (2 cases)." in findings_markdown(found)


def test_the_shortest_script_is_shown() -> None:
    scripts = {"a/p/x=1": "import torch\nprint(torch)\n", "a/p/x=2": "import torch\n"}
    text = findings_markdown(findings([side(explained("a/p/x=1"), explained("a/p/x=2"), scripts=scripts)]))

    assert "```python\nimport torch\n```" in text
    assert "`qatrix repro 'a/p/x=2'`" in text


def test_most_cases_come_first_and_links_are_told_once() -> None:
    link = "https://github.com/pytorch/ao/issues/4107"
    records = [explained("a/p/x=1", "rare"), explained("a/p/x=2", link=link), explained("a/p/x=3", link=link)]
    text = findings_markdown(findings([side(*records)]))

    assert text.index("## PT2E computes") < text.index("## rare")
    assert text.count(f"<{link}>") == 1
    assert (
        "1. [PT2E computes batch norms with an eps of its own](#pt2e-computes-batch-norms-with-an-eps-of-its-own)"
        in text
    )


def test_a_case_that_is_not_as_expected_is_no_finding() -> None:
    unexpected = make_record("a/p/x=1", expected=explained("a/p/x=1").expected, unexpected=True)

    with pytest.raises(UsageError, match="no case of these runs is explained by an expectation"):
        findings([side(unexpected)])
