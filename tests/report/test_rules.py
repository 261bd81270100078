"""What red cells have in common: each is explained once, by the shortest conditions, and a planted rule is found."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix.claims import Verdict
from qatrix.outcomes import UNREMARKABLE, CheckOutcome, Record
from qatrix.report import rules as found
from qatrix.report.figures import axis_value
from qatrix.report.rules import Rule, failure
from support.lowerings import apart, make_clamped, make_deployed, off
from support.records import (
    make_comparison,
    make_diverged,
    make_error,
    make_failed,
    make_hostile,
    make_outcome,
    make_record,
)

AXES: dict[str, list[Any]] = {
    "pattern": ["conv", "conv_bn", "conv_bn_relu"],
    "conv": ["conv", "conv_transpose"],
    "dim": [1, 2, 3],
    "groups": [1, 2, 4],
    "bias": [True, False],
}


def kind(record: Record) -> str | None:
    return None if record.verdict in UNREMARKABLE else failure(record)


def rules(records: Sequence[Record]) -> tuple[Rule, ...]:
    """The rules of each kind of failure."""
    return found.rules(records, kind)


def case(number: int, axes: dict[str, Any], *, verdict: Verdict = "exact", **changes: Any) -> Record:
    return make_record(f"s/{number}", suite="s", axes=axes, verdict=verdict, **changes)


def failing(number: int, axes: dict[str, Any]) -> Record:
    return make_failed(f"s/{number}", suite="s", axes=axes)


def random_axes(source: random.Random) -> dict[str, Any]:
    return {name: source.choice(values) for name, values in AXES.items()}


@pytest.mark.parametrize("seed", range(50))
def test_a_planted_rule_is_found(seed: int) -> None:
    source = random.Random(seed)
    names = source.sample(sorted(AXES), source.choice([1, 2]))
    planted = {name: source.choice(AXES[name]) for name in names}
    points = [random_axes(source) for _ in range(400)]
    records = [
        failing(number, axes) if planted.items() <= axes.items() else case(number, axes)
        for number, axes in enumerate(points)
    ]
    (rule,) = rules(records)

    assert rule.conditions == {name: str(value).lower() for name, value in planted.items()}
    assert rule.covered == len(rule.case_ids)


def holds(rule: Rule, record: Record) -> bool:
    """Whether a record fits all conditions, read as the page reads them."""
    for axis, wanted in rule.conditions.items():
        value = record.suite if axis == "suite" else record.axes.get(axis)
        if axis in rule.thresholds:
            sign, bound = (">", wanted[1:]) if wanted.startswith(">") else ("<=", wanted[2:])
            fits = isinstance(value, int) and (value > float(bound) if sign == ">" else value <= float(bound))
        else:
            fits = axis_value(value) == wanted
        if not fits:
            return False
    return True


def test_what_fails_above_a_number_is_one_rule() -> None:
    records = [
        (failing if groups > 1 else case)(number, {"groups": groups, "conv": conv})
        for number, (groups, conv) in enumerate((groups, conv) for groups in (1, 2, 4, 8) for conv in "ab")
    ]
    (rule,) = rules(records)

    assert (rule.what, rule.sentence) == ("fx failed at prepare (NotImplementedError)", "groups>1: 6 cases")
    assert rule.conditions == {"groups": ">1"}


def test_what_fails_up_to_a_number_is_one_rule() -> None:
    records = [(failing if size <= 2 else case)(size, {"size": size}) for size in (1, 2, 4, 8)]

    assert [rule.conditions for rule in rules(records)] == [{"size": "<=2"}]


def test_a_single_value_says_more_than_a_threshold() -> None:
    records = [(failing if size == 8 else case)(size, {"size": size}) for size in (1, 2, 4, 8)]

    assert [rule.conditions for rule in rules(records)] == [{"size": "8"}]


def test_an_axis_with_other_values_has_no_threshold() -> None:
    records = [
        (failing if size in {4, 8} else case)(number, {"size": size}) for number, size in enumerate((1, "same", 4, 8))
    ]

    assert not any(rule.thresholds for rule in rules(records))


DRAWN: list[Verdict] = ["exact", "diverged", "failed", "unquantized", "skipped"]
VERDICTS = st.sampled_from(DRAWN)
POINTS = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in AXES.items()})


@pytest.mark.slow
@given(st.lists(st.tuples(POINTS, VERDICTS), max_size=30))
def test_no_red_case_is_explained_twice_and_no_other_at_all(drawn: list[tuple[dict[str, Any], Verdict]]) -> None:
    records = [case(number, axes, verdict=verdict) for number, (axes, verdict) in enumerate(drawn)]
    explained = [case_id for rule in rules(records) for case_id in rule.case_ids]
    red = {record.case_id for record in records if record.verdict not in UNREMARKABLE}

    assert len(explained) == len(set(explained))
    assert set(explained) <= red


@pytest.mark.slow
@given(st.lists(st.tuples(POINTS, VERDICTS), max_size=30))
def test_the_conditions_of_a_rule_fit_the_cases_that_it_counts(drawn: list[tuple[dict[str, Any], Verdict]]) -> None:
    records = [case(number, axes, verdict=verdict) for number, (axes, verdict) in enumerate(drawn)]
    for rule in rules(records):
        fitting = {record.case_id for record in records if holds(rule, record)}

        assert len(fitting) == rule.covered
        assert set(rule.case_ids) <= fitting


def test_the_order_of_the_records_does_not_matter() -> None:
    source = random.Random(1)
    records = [(failing if number % 3 else case)(number, random_axes(source)) for number in range(60)]
    forward, backward = rules(records), rules(records[::-1])

    assert {(rule.what, rule.sentence) for rule in backward} == {(rule.what, rule.sentence) for rule in forward}


def test_an_axis_that_all_cases_share_is_no_condition() -> None:
    records = [failing(0, {"pattern": "a", "device": "cpu"}), case(1, {"pattern": "b", "device": "cpu"})]
    (rule,) = rules(records)

    assert rule.conditions == {"pattern": "a"}
    assert rule.what == "fx failed at prepare (NotImplementedError)"
    assert rule.sentence == "pattern=a: 1 case"


def test_a_rule_that_fits_others_says_of_how_many() -> None:
    axes = {"pattern": "a"}
    records = [*(failing(number, axes) for number in range(3)), case(3, axes), case(4, {"pattern": "b"})]
    (rule,) = rules(records)

    assert rule.sentence.endswith("3 cases (3 of the 4 that fit)")
    assert rule.covered == 4


def test_what_fits_more_other_cases_than_its_own_is_no_rule() -> None:
    records = [failing(0, {"pattern": "a"}), *(case(number, {"pattern": "a"}) for number in range(1, 5))]

    assert rules([*records, case(9, {"pattern": "b"})]) == ()


def test_different_failures_have_rules_of_their_own() -> None:
    records = [
        failing(0, {"pattern": "a"}),
        make_diverged("s/1", suite="s", axes={"pattern": "b"}),
        case(2, {"pattern": "c"}),
    ]

    assert {rule.what for rule in rules(records)} == {
        "fx failed at prepare (NotImplementedError)",
        "pt2e and fx diverged",
    }


def test_a_run_without_red_cells_has_no_rules() -> None:
    assert rules([]) == rules([make_record()]) == ()


def test_hostile_records_have_rules_too() -> None:
    assert len(rules([make_hostile(), make_record()])) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param(
            {"verdict": "unquantized", "pipelines": {"pt2e": make_outcome(fake_quantizes=0), "fx": make_outcome("fx")}},
            "pt2e quantized nothing",
            id="unquantized",
        ),
        pytest.param(
            {
                "verdict": "unquantized",
                "pipelines": {"pt2e": make_outcome(), "own": make_outcome("own", keeps_float=True)},
            },
            "own quantized nothing",
            id="unquantized by unknown code",
        ),
        pytest.param(
            {
                "verdict": "check_failed",
                "checks": (CheckOutcome(name="fused", pipeline="pt2e", status="failed"),),
            },
            "check fused failed",
            id="check failed",
        ),
        pytest.param(
            {
                "verdict": "failed",
                "pipelines": {
                    name: make_outcome(name, status="failed", failed_stage="convert", error=make_error())
                    for name in ("pt2e", "fx")
                },
            },
            "pt2e failed at convert (NotImplementedError) and fx failed at convert (NotImplementedError)",
            id="both failed",
        ),
        pytest.param({"verdict": "timed_out"}, "timed out", id="timed out"),
    ],
)
def test_the_kind_of_a_failure_is_said_in_words(changes: dict[str, Any], said: str) -> None:
    assert failure(make_record(**changes)) == said


def test_runtimes_that_diverge_are_told_from_pipelines_that_do() -> None:
    pipelines = make_comparison("convert", status="diverged", max_abs=1.0)
    clamped = make_clamped()

    assert failure(clamped) == "fx on native (engine qnnpack) left its reference (clamp of qnnpack)"
    assert failure(make_clamped(comparisons=(pipelines, *clamped.comparisons))) == "pt2e and fx diverged"
    two = (off("pt2e", "executorch", 3.0), off("fx", "native", 3.0), apart(0.0))
    assert failure(make_deployed(verdict="diverged", comparisons=two)) == (
        "pt2e on executorch (partitioner xnnpack) left its reference and fx on native (engine qnnpack) left its reference"
    )
    between = make_deployed(verdict="diverged", comparisons=(apart(3.0),))
    assert failure(between) == "pt2e on executorch and fx on native diverged"
