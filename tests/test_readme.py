"""The first page: short, and its figures are those of the findings."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from qatrix.report.findings import FindingFacts, from_json

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FINDINGS = from_json((ROOT / "docs/findings.json").read_text(encoding="utf-8")).findings


def finding(beginning: str) -> tuple[FindingFacts, str]:
    """The finding whose title begins so, and what the README says of it."""
    (facts,) = (facts for facts in FINDINGS if facts.title.startswith(beginning))
    (said,) = re.findall(rf"^- \*\*{re.escape(beginning)}[^*]*\*\*(.*)$", README, flags=re.MULTILINE)
    return facts, said


def test_it_says_how_many_findings_there_are_of_each_impact() -> None:
    count = Counter(facts.impact for facts in FINDINGS)

    assert f"\n{len(FINDINGS)} findings, each with its cause" in README
    assert (
        f"{count['wrong_numbers']} give wrong numbers without an error, {count['left_in_float']} leave layers in float, "
        f"{count['error']} raise an error, and {count['by_design']} are by design"
    ) in README


def test_it_says_what_wrong_padding_costs() -> None:
    facts, said = finding("FX graph mode pads with zeros, whatever the padding mode")

    assert facts.spread is not None
    cases = sum(facts.verdicts.values())
    assert (
        f"in {facts.spread.nearer['pt2e']} of {cases} cases, in the median by {facts.spread.median_db:.1f} dB" in said
    )


def test_it_says_what_another_eps_costs() -> None:
    facts, said = finding("PT2E trains every batch norm with an eps of 1e-5")

    assert f"{facts.verdicts['diverged']} cases differ, by up to {facts.most_abs:.3g}" in said


def test_it_says_what_misplaced_values_cost() -> None:
    facts, said = finding("QNNPACK's ReLU6 and Hardtanh put channels-last values in the wrong places")

    (loss,) = facts.losses
    assert (
        f"{loss.median_db:.1f} dB further from the float model than its reference in the median of {loss.cases}" in said
    )


@pytest.mark.parametrize("command", ["pip install tox && tox -e matrix", "tox"])
def test_it_shows_the_two_commands(command: str) -> None:
    assert f"$ {command}\n" in README


def test_it_leads_to_every_page() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}

    assert pages - set(re.findall(r"\]\(docs/([\w-]+\.md)", README)) == set()


def test_it_is_one_screen_besides_its_example() -> None:
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)

    assert len(prose.split()) < 500
