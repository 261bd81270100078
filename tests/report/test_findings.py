"""Findings: what expectations explain, over the runs that show it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from qatrix.claims import Expectation, Issue
from qatrix.errors import UsageError
from qatrix.outcomes import Record
from qatrix.report.findings import MARK, findings, findings_page
from qatrix.report.findings.data import FindingsRun
from support.lowerings import make_clamped, make_lowered, make_lowering
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
    assert finding.cause.title == "PT2E has an eps of its own"
    assert finding.cause.verdicts == {"diverged": 2}
    assert (finding.cause.most_abs, finding.cause.most_steps, finding.counts) == (0.02, 1.5, (2,))
    assert finding.cause.spread is not None
    assert (finding.cause.spread.nearer, finding.cause.spread.median_db) == ({"fx": 2}, 12.0)


def test_a_finding_without_a_title_begins_as_its_reason() -> None:
    (finding,) = findings([side(explained("a/p/x=1", "FX does this (file.py), and that"))]).found

    assert finding.cause.title == "FX does this"


def test_findings_are_counted_in_every_run_and_shown_by_the_first_that_has_them() -> None:
    new, old = side(make_record("a/p/x=1")), side(explained("a/p/x=1"), explained("a/p/x=2"), torch="2.5.1")
    found = findings([new, old])

    assert found.found[0].counts == (0, 2)
    assert len(found.found[0].cause.records) == 2
    assert "- Releases: torch 2.5.1 (2 cases); not torch 2.15.0." in findings_page(found).text


def test_a_release_that_ran_no_such_case_says_nothing_about_it() -> None:
    new, old = side(explained("a/p/x=1")), side(make_record("a/p/x=2"), torch="2.5.1")
    skipped = side(make_record("a/p/x=1", verdict="skipped"), torch="2.3.1")
    found = findings([new, old, skipped])

    text = findings_page(found).text
    assert found.found[0].ran == (1, 0, 0)
    assert "- Releases: torch 2.15.0 (1 case); no such case ran on torch 2.5.1 and torch 2.3.1." in text
    assert "| 1 of 1 |" in text


def test_two_runs_of_one_release_are_added_up() -> None:
    found = findings([side(explained("a/p/x=1")), side(explained("a/p/x=2"))])

    text = findings_page(found).text
    assert "- Releases: torch 2.15.0 (2 cases)." in text
    assert "| 1 of 1 |" in text


SCRIPTS = {"a/p/x=1": "import torch\nprint(torch)\n", "a/p/x=2": "import torch\n"}


def test_the_shortest_script_is_a_file_that_the_page_links_to() -> None:
    run = side(explained("a/p/x=1", title="One eps"), explained("a/p/x=2"), scripts=SCRIPTS)
    page = findings_page(findings([run]), scripts="causes")

    assert list(page.scripts) == ["one-eps.py"]
    assert page.scripts["one-eps.py"].startswith(f"{MARK}, ")
    assert page.scripts["one-eps.py"].endswith("\n# Cause: One eps\n#\nimport torch\n")
    assert (
        "\nIts [script](causes/one-eps.py) is run by `python causes/one-eps.py`; `qatrix repro 'a/p/x=2'` writes it again and runs it.\n"
        in page.text
    )


def test_the_folder_of_the_scripts_is_quoted_in_links_and_in_commands() -> None:
    run = side(explained("a/p/x=1", title="One eps"), scripts=SCRIPTS)
    text = findings_page(findings([run]), scripts="all causes").text

    assert "[script](all%20causes/one-eps.py)" in text
    assert "`python 'all causes/one-eps.py'`" in text


@pytest.mark.parametrize(
    ("folder", "scripts"),
    [
        pytest.param(None, SCRIPTS, id="a page that stands alone"),
        pytest.param("causes", {}, id="a run that kept no scripts"),
    ],
)
def test_without_a_script_there_is_the_command_that_writes_one(folder: str | None, scripts: dict[str, str]) -> None:
    page = findings_page(findings([side(explained("a/p/x=2"), scripts=scripts)]), scripts=folder)

    assert page.scripts == {}
    assert page.text.endswith("\n`qatrix repro 'a/p/x=2'` writes and runs its script.\n")
    assert "python " not in page.text
    assert "import" not in page.text


@pytest.mark.parametrize(
    ("titles", "names"),
    [
        pytest.param(["One eps", "One eps!", "One: eps"], ["one-eps", "one-eps-2", "one-eps-3"], id="one slug"),
        pytest.param(["One", "One", "One 2"], ["one", "one-2", "one-2-2"], id="a slug that a number has taken"),
        pytest.param(["freeze_bn_stats's scale of 0.1"], ["freeze_bn_statss-scale-of-01"], id="signs"),
        pytest.param(["../../Etc/passwd", "C:\\x"], ["etcpasswd", "cx"], id="paths"),
        pytest.param(["Größe", "Ä", "__"], ["gre", "finding", "finding-2"], id="letters that a file system may lack"),
        pytest.param(["a" * 300, "a" * 301], ["a" * 100, "a" * 100 + "-2"], id="long titles"),
    ],
)
def test_every_script_has_a_name_of_its_own_that_is_safe(titles: list[str], names: list[str]) -> None:
    ids = [f"a/p/x={number}" for number in range(len(titles))]
    records = [explained(item, because=item, title=title) for item, title in zip(ids, titles)]
    page = findings_page(findings([side(*records, scripts=dict.fromkeys(ids, "import torch"))]), scripts="causes")

    assert sorted(page.scripts) == sorted(f"{name}.py" for name in names)
    assert all(f"](causes/{name}.py)" in page.text for name in names)


def test_causes_of_one_title_are_linked_by_their_keys() -> None:
    records = [explained(f"a/p/x={title}", because=title, title="Findings") for title in "ab"]
    text = findings_page(findings([side(*records)])).text

    assert "| 1 | [Findings](#cause-a) |" in text
    assert "| 2 | [Findings](#cause-b) |" in text
    assert all(text.count(f'\n<a id="cause-{key}"></a>\n\n## Findings\n') == 1 for key in "ab")


DECLARED: dict[str, Any] = {
    "cause": "own_eps",
    "title": "PT2E has an eps of its own",
    "sentence": "PT2E computes another batch norm than the model.",
    "impact": "wrong_numbers",
    "advice": "Set every eps to 1e-5.",
    "issue": Issue(link="https://github.com/pytorch/ao/issues/4107", state="open", checked="2026-08-19"),
    "link": "https://github.com/pytorch/ao/issues/4107",
}


def test_a_declared_cause_says_what_it_means_what_to_do_and_what_upstream_says() -> None:
    text = findings_page(findings([side(explained("a/p/x=1", **DECLARED))])).text

    assert (
        "\n| 1 | [PT2E has an eps of its own](#cause-own_eps) | 1 diverged | wrong numbers | fx 1 of 1 | 0.02 | 1 of 1 |\n"
        in text
    )
    assert "\nImpact: wrong numbers.\n\nPT2E computes another batch norm than the model.\n\n" in text
    assert "\nWhat to do: Set every eps to 1e-5.\n" in text
    assert f"\nWhy: {EPS}.\n" in text
    assert "\nUpstream: <https://github.com/pytorch/ao/issues/4107>, open on 2026-08-19.\n" in text
    assert text.count("issues/4107") == 1


def test_a_run_that_kept_the_reason_alone_shows_the_cause_that_another_one_names() -> None:
    found = findings([side(explained("a/p/x=1", **DECLARED)), side(explained("a/p/x=1"), torch="2.5.1")])

    (finding,) = found.found
    assert (finding.cause.key, finding.counts) == ("own_eps", (1, 1))


def row(*records: Record) -> str:
    """The row of the table that has the cause of these cases."""
    text = findings_page(findings([side(*records), side(*records), side(torch="2.5.1")])).text
    return next(line for line in text.splitlines() if line.startswith("| 1 |"))


def sqnr(case_id: str, pt2e: float | None, fx: float | None) -> Record:
    sides = {"pt2e": make_outcome("pt2e", sqnr_db=pt2e), "fx": make_outcome("fx", sqnr_db=fx)}
    return dataclasses.replace(explained(case_id, title="One eps"), pipelines=sides)


IDLE = dataclasses.replace(sqnr("idle", 144, 38), verdict="unquantized")


def test_the_overview_has_a_row_of_figures_for_each_cause() -> None:
    records = [sqnr("a/p/x=1", 20, 32), sqnr("a/p/x=2", 20, 20), sqnr("a/p/x=3", None, 20)]

    assert (
        row(*records)
        == "| 1 | [One eps](#cause-pt2e-computes-batch-norms-with-an-eps-of-its-own) | 3 diverged | not stated | fx 1 of 2 | 0.02 | 1 of 1 |"
    )


@pytest.mark.parametrize(
    ("records", "told"),
    [
        pytest.param([sqnr("a", 9, 1), sqnr("b", 9, 1), sqnr("c", 1, 9)], "pt2e 2, fx 1 of 3", id="now one, now other"),
        pytest.param([sqnr("a", 9, 9)], "neither of 1", id="neither"),
        pytest.param([sqnr("a", None, 9)], "–", id="not measured"),
        pytest.param([sqnr("a", 9, 1), IDLE], "pt2e 1 of 1", id="one that quantized nothing is not near by merit"),
    ],
)
def test_the_overview_tells_who_is_nearer_to_the_float_model(records: list[Record], told: str) -> None:
    assert f" | {told} | 0.02 | " in row(*records)


def test_what_was_not_measured_is_a_dash_in_the_overview() -> None:
    record = dataclasses.replace(explained("a/p/x=1", title="One eps"), comparisons=(), pipelines={})

    assert (
        row(record)
        == "| 1 | [One eps](#cause-pt2e-computes-batch-norms-with-an-eps-of-its-own) | 1 diverged | not stated | – | – | 1 of 1 |"
    )


def test_a_title_leaves_neither_its_cell_nor_its_heading() -> None:
    text = findings_page(findings([side(explained("a/p/x=1", title="One |\neps"))])).text

    assert r"| 1 | [One \| eps](#cause-pt2e-computes-batch-norms-with-an-eps-of-its-own) | 1 diverged |" in text
    assert "\n## One \\| eps\n" in text


@pytest.mark.parametrize(
    ("patterns", "end"),
    [
        pytest.param(12, "`conv_bn/p10` (1), `conv_bn/p11` (1).", id="as many as are named"),
        pytest.param(14, "`conv_bn/p10` (1), `conv_bn/p11` (1) and 2 more.", id="two more"),
    ],
)
def test_the_first_twelve_suites_and_patterns_are_named(patterns: int, end: str) -> None:
    records = [
        dataclasses.replace(explained(f"conv_bn/p{number}"), axes={"pattern": f"p{number}"})
        for number in range(patterns)
    ]
    text = findings_page(findings([side(*records)])).text
    (line,) = (line for line in text.splitlines() if line.startswith("- Cases: "))

    assert line.startswith(f"- Cases: {patterns} diverged, in `conv_bn/p0` (1), `conv_bn/p1` (1), ")
    assert line.endswith(end)


def test_most_cases_come_first_and_links_are_told_once() -> None:
    link = "https://github.com/pytorch/ao/issues/4107"
    records = [explained("a/p/x=1", "rare"), explained("a/p/x=2", link=link), explained("a/p/x=3", link=link)]
    text = findings_page(findings([side(*records)])).text

    assert text.index("## PT2E computes") < text.index("## rare")
    assert text.count(f"<{link}>") == 1
    assert f"\n| 1 | [{EPS}](#cause-pt2e-computes-batch-norms-with-an-eps-of-its-own) | 2 diverged | " in text


def test_a_case_that_is_not_as_expected_is_no_finding() -> None:
    unexpected = make_record("a/p/x=1", expected=explained("a/p/x=1").expected, unexpected=True)

    with pytest.raises(UsageError, match="no case of these runs is explained by an expectation"):
        findings([side(unexpected)])


def test_a_finding_of_a_runtime_tells_what_it_loses_against_its_reference() -> None:
    clamp = Expectation(cases="*", verdict="diverged", because="qnnpack's clamp is wrong", source=EXPECTED)
    found = findings([side(*(make_clamped(name, expected=clamp, unexpected=False) for name in ("d/a", "d/b")))])

    (finding,) = found.found
    assert finding.cause.spread is None
    assert [(loss.deployed, loss.cases) for loss in finding.cause.losses] == [("fx on native (engine qnnpack)", 2)]
    assert (
        "fx on native (engine qnnpack) leaves its reference in 2 cases: in the median it is 40.4 dB further from the "
        "float model than that, in the worst case 40.4 dB further from it."
    ) in findings_page(found).text
    assert "Closer to the float model, of" not in findings_page(found).text


@pytest.mark.parametrize(("sqnr_db", "told"), [(-1.3, "40.4 dB further from"), (41.0, "1.9 dB closer to")])
def test_one_case_of_a_runtime_is_told_alone(sqnr_db: float, told: str) -> None:
    clamp = Expectation(cases="*", verdict="diverged", because="it is not clamped", source=EXPECTED)
    native = make_lowered("fx", lowering=make_lowering("native", sqnr_db=sqnr_db), sqnr_db=39.1)
    record = make_clamped(expected=clamp, unexpected=False, pipelines={"fx": native})

    assert (
        f"fx on native (engine qnnpack) leaves its reference in 1 case, and is {told} the float model than that."
    ) in findings_page(findings([side(record)])).text
