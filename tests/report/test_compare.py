"""Runs beside one another: every case once for each step, whatever is in the records."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from qatrix.claims import Verdict
from qatrix.errors import UsageError
from qatrix.outcomes import Record
from qatrix.report.compare import COMPARE_FILES, KINDS, Kind, RunComparison, Side, compare, read_sides, step
from qatrix.report.store import Store
from support.lowerings import in_float, make_deployed, make_hostile_runtime, make_lowered, make_lowering, make_ran
from support.records import (
    ENVIRONMENT,
    HOSTILE,
    make_diverged,
    make_failed,
    make_hostile,
    make_outcome,
    make_record,
    make_run,
    make_skipped,
)
from support.transitions import TRANSITIONS, every_transition, make_known, make_side


@pytest.fixture
def transitions() -> RunComparison:
    """A comparison in which every kind of transition happens once."""
    return compare(every_transition())


@pytest.mark.parametrize("kind", TRANSITIONS)
def test_each_transition_is_told_from_the_others(transitions: RunComparison, kind: Kind) -> None:
    assert {row.case_id: row.kind for row in transitions.rows}[f"s/{kind}"] == kind


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        pytest.param(make_known(), make_diverged(), "unexpected", id="an expectation is removed"),
        pytest.param(
            make_failed(), make_record(unexpected=True), "unexpected", id="what was expected to fail is exact"
        ),
        pytest.param(make_skipped(), make_diverged(), "unexpected", id="a case runs at last, and diverges"),
        pytest.param(None, make_diverged(), "unexpected", id="a new case diverges"),
        pytest.param(make_diverged(), make_known(), "expected", id="an expectation is added"),
        pytest.param(make_diverged(), make_record(), "expected", id="a case is mended"),
        pytest.param(make_record(unexpected=True), make_failed(), "expected", id="what had gone away is back"),
        pytest.param(make_diverged(), make_skipped(), "stopped", id="a skipped case is not mended"),
        pytest.param(make_record(), make_known(), "worse", id="a difference is new and declared"),
        pytest.param(make_diverged(), make_failed(unexpected=True), "worse", id="both are unexpected"),
        pytest.param(make_failed(unexpected=True), make_diverged(), "better", id="still unexpected, and better"),
    ],
)
def test_a_transition_is_judged_with_its_expectation(before: Record | None, after: Record, kind: Kind) -> None:
    assert step(before, after).kind == kind


@pytest.mark.parametrize(
    ("lacks", "kind"),
    [
        pytest.param({"unselected": frozenset({"s/a"})}, ("unselected", "selected"), id="not selected"),
        pytest.param({"unfinished": frozenset({"s/a"})}, ("stopped", "started"), id="not reached"),
        pytest.param({"unselected": frozenset({"s/b"})}, ("vanished", "appeared"), id="not declared"),
        pytest.param({}, ("vanished", "appeared"), id="nobody knows"),
    ],
)
def test_why_a_run_lacks_a_case_is_told(lacks: dict[str, Any], kind: tuple[Kind, Kind]) -> None:
    has, without = make_side("has", make_record("s/a")), replace(make_side("without"), **lacks)
    ways = [compare(sides).rows[0].kind for sides in ((has, without), (without, has))]

    assert tuple(ways) == kind


def test_a_case_that_only_one_run_of_a_matrix_has_was_not_selected_in_the_other() -> None:
    sides = [make_side("a", make_record("s/a"), matrix_digest="one"), make_side("b", matrix_digest="one")]

    assert compare(sides).rows[0].kind == "unselected"


def test_every_kind_of_transition_is_in_the_sample() -> None:
    assert set(TRANSITIONS) == set(KINDS) == set(get_args(Kind))


def test_each_case_is_counted_once_and_counts_add_up(transitions: RunComparison) -> None:
    (pair,) = transitions.pairs

    assert pair.counts == dict.fromkeys(KINDS, 1)
    assert pair.total == len(transitions.rows) == len(KINDS)
    assert transitions.overall is None


RECORDS = st.dictionaries(
    st.sampled_from([f"s/{number}" for number in range(6)]),
    st.sampled_from(get_args(Verdict)),
)


@given(st.lists(RECORDS, min_size=2, max_size=4))
def test_the_counts_of_two_runs_sum_to_the_cases_that_either_has(runs: list[dict[str, Verdict]]) -> None:
    sides = [
        make_side(str(place), *(make_record(case_id, verdict=verdict) for case_id, verdict in run.items()))
        for place, run in enumerate(runs)
    ]
    comparison = compare(sides)

    assert [pair.total for pair in comparison.pairs] == [
        len(set(one) | set(other)) for one, other in itertools.pairwise(runs)
    ]
    assert comparison.overall is None or comparison.overall.total == len(set(runs[0]) | set(runs[-1]))
    assert {row.case_id for row in comparison.rows} == {case_id for run in runs for case_id in run}


def test_what_is_different_is_said_with_every_digit_that_it_takes() -> None:
    assert step(*TRANSITIONS["figures"]).says == ("pt2e, SQNR in dB: 36.4 → 36.40000000000001",)


def test_a_figure_that_is_no_number_in_both_runs_is_the_same() -> None:
    records = [make_record(pipelines={"pt2e": make_outcome(sqnr_db=math.nan)}) for _ in range(2)]

    assert step(*records).kind == "same"


def test_a_case_that_is_expected_now_says_why() -> None:
    before, after = TRANSITIONS["better"]

    assert any("no longer expected: FX graph mode" in line for line in step(before, after).says)
    assert any("expected now: FX graph mode" in line for line in step(after, before).says)


def test_a_case_that_runs_in_neither_is_the_same_whatever_the_reason() -> None:
    assert step(make_skipped(), make_skipped(reason="another")).kind == "same"


def test_three_runs_are_compared_each_with_the_one_before_and_the_last_with_the_first() -> None:
    good, bad = TRANSITIONS["worse"]
    comparison = compare([make_side("a", good), make_side("b", bad), make_side("c", good)])

    assert [dict(pair.counts) for pair in comparison.pairs] == [{"worse": 1}, {"better": 1}]
    assert comparison.overall is not None
    assert comparison.overall.counts == {"same": 1}
    assert [row.kind for row in comparison.remarkable] == ["worse"]
    assert comparison.has("worse")
    assert not comparison.has("vanished")


def test_facts_of_the_environments_that_differ_are_listed() -> None:
    newer = ENVIRONMENT.__class__(**{**vars(ENVIRONMENT), "packages": {**ENVIRONMENT.packages, "torch": "2.16.0"}})
    comparison = compare([make_side("a"), make_side("b", environment=newer)])

    assert [(item.name, item.values) for item in comparison.differences] == [("torch", ("2.15.0", "2.16.0"))]


def test_features_of_the_processor_that_differ_are_listed_in_words_a_line_each() -> None:
    one, other = (
        replace(ENVIRONMENT, cpu=cpu) for cpu in ({"vnni": True, "amx": False}, {"vnni": False, "amx": False})
    )
    comparison = compare([make_side("a", environment=one), make_side("b", environment=other)])

    assert [(item.name, item.values) for item in comparison.differences] == [("processor has vnni", ("yes", "no"))]
    assert "| processor has vnni | yes | no |\n" in COMPARE_FILES["compare.md"](comparison, ())


UNUSUAL: dict[str, tuple[Record, ...]] = {
    "no cases": (),
    "only skipped": (make_skipped(),),
    "hostile": (make_hostile(),),
}


@pytest.mark.parametrize("records", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("name", COMPARE_FILES)
def test_unusual_runs_are_rendered(name: str, records: tuple[Record, ...]) -> None:
    sides: list[Side] = [make_side("before", *records), make_side(HOSTILE, *records), make_side("after")]

    assert COMPARE_FILES[name](compare(sides), ())


def test_hostile_names_neither_run_nor_leave_their_place() -> None:
    page = COMPARE_FILES["compare.html"](compare([make_side("a", make_hostile()), make_side(HOSTILE)]), ())
    document = html.fromstring(page)

    assert document.xpath("//script") == []
    assert all(not link.startswith("javascript") for link in document.xpath("//@href"))
    assert "\u202e" not in page


def test_notes_are_in_every_file_and_stay_text(transitions: RunComparison) -> None:
    noted = replace(transitions, notes=("changed: <script>x</script>\n# y \x1b[31m",))
    page, markdown, found = (render(noted, (None,) * len(noted.sides)) for render in COMPARE_FILES.values())

    assert "changed: &lt;script&gt;x&lt;/script&gt;" in page
    assert "- changed: &lt;script&gt;" in markdown
    assert not [line for line in markdown.splitlines() if line.startswith("# y")]
    assert json.loads(found)["notes"][0].startswith("changed: <script>")
    assert not [text for text in (page, markdown, found) if "\x1b" in text]


def test_the_page_has_each_case_that_is_not_the_same_once(transitions: RunComparison) -> None:
    document = html.fromstring(COMPARE_FILES["compare.html"](transitions, ()))
    cards = document.xpath("//*[@id='cases']//li[contains(@class, 'card')]/@id")

    assert sorted(cards) == sorted(f"s/{kind}" for kind in KINDS if kind != "same")


def test_the_json_has_every_case_of_every_run(transitions: RunComparison) -> None:
    document = json.loads(COMPARE_FILES["compare.json"](transitions, ()))

    assert {case["case_id"]: case["steps"][0]["kind"] for case in document["cases"]} == {
        f"s/{kind}": kind for kind in KINDS
    }
    assert document["pairs"][0]["counts"] == dict.fromkeys(KINDS, 1)


def test_the_markdown_lists_what_is_worse_first(transitions: RunComparison) -> None:
    headings = [line for line in COMPARE_FILES["compare.md"](transitions, ()).splitlines() if line.startswith("### ")]

    assert headings[:2] == ["### ! Newly unexpected: 1", "### ▼ Worse: 1"]


def test_each_card_leads_to_the_case_in_both_reports(transitions: RunComparison) -> None:
    document = html.fromstring(COMPARE_FILES["compare.html"](transitions, ("../one/index.html", "../two/index.html")))
    (card,) = document.xpath("//li[@id='s/worse']")

    assert card.xpath(".//@href") == ["../one/index.html#case=s/worse", "../two/index.html#case=s/worse"]


def test_a_run_without_a_report_is_no_link(transitions: RunComparison) -> None:
    document = html.fromstring(COMPARE_FILES["compare.html"](transitions, (None, "../two/index.html")))

    assert document.xpath("//li[@id='s/worse']//@href") == ["../two/index.html#case=s/worse"]


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """Two runs on disk, of the same torch."""
    paths = []
    for name in ("one", "two"):
        path = tmp_path / name / "run.sqlite"
        path.parent.mkdir()
        with Store.create(path, make_run(id="same", declared=1)) as store:
            store.plan_at({"s/a": 0})
            store.finish_all([make_record("s/a")])
        paths.append(path)
    return paths


def test_runs_are_named_by_what_tells_them_apart(stores: list[Path]) -> None:
    assert [side.label for side in read_sides(stores)] == ["one", "two"]
    assert [side.label for side in read_sides(stores, ["main", "branch"])] == ["main", "branch"]


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        pytest.param(1, [], "a comparison needs two runs or more", id="one run"),
        pytest.param(2, ["a"], "--label is to be given once for each run", id="too few labels"),
        pytest.param(2, ["a", "a"], "each time another", id="equal labels"),
    ],
)
def test_what_cannot_be_compared_is_refused(stores: list[Path], count: int, labels: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_sides(stores[:count], labels)


def test_a_run_named_twice_is_refused(stores: list[Path]) -> None:
    with pytest.raises(UsageError, match="named twice"):
        read_sides([stores[0], stores[0]])


def test_what_a_runtime_made_of_a_model_is_compared() -> None:
    before, after = (
        make_deployed(pipelines={"pt2e": make_lowered(lowering=make_lowering(sqnr_db=sqnr_db, ran=ran))})
        for sqnr_db, ran in ((36.2, make_ran()), (36.1, in_float("fc")))
    )

    deployed = "pt2e on executorch (partitioner xnnpack)"
    assert step(before, after).says == (
        f"{deployed}, SQNR in dB: 36.2 → 36.1",
        f"{deployed}, computed in: integers → partly",
        f"{deployed}, ops in float: 0 → 1",
        f"{deployed}, delegated: 9 → 4",
        f"{deployed}, left over: 1 → 3",
        f"{deployed}, partitions: 1 → 2",
    )


def test_every_file_stands_what_a_hostile_runtime_says() -> None:
    before, after = (make_side(label, make_hostile_runtime()) for label in ("old", "new"))
    records = {"a": make_deployed("a", axes=dict(make_hostile_runtime().axes), pipelines={}, verdict="crashed")}
    comparison = compare([before, replace(after, records=records)])

    assert len(comparison.pairs[0].support) == 1
    for name in ("compare.html", "compare.md"):
        assert "<script>alert" not in COMPARE_FILES[name](comparison, ())
    assert json.loads(COMPARE_FILES["compare.json"](comparison, ()), parse_constant=pytest.fail)
