"""Tests of declare.sharding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix.declare.sharding import Costs, Shard
from qatrix.declare.spec import Case
from qatrix.errors import UsageError
from support import specs

IDS = [f"suite/pattern/dim={number}" for number in range(400)]


def test_a_shard_reads_as_it_is_written() -> None:
    assert Shard.parse("3/8") == Shard(3, 8)
    assert str(Shard.parse("3/8")) == "3/8"


@pytest.mark.parametrize(
    "text", ["", "3", "0/8", "9/8", "1/0", "-1/8", "a/b", "1/8/2", " 1/8", "1.5/8", "²/8", "1/10001"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Shard.parse(text)

    assert str(caught.value).startswith(f"--shard {text}: expected I/N with 1 <= I <= N, for instance")


def test_every_case_is_in_exactly_one_shard() -> None:
    shards = [Shard(index, 7) for index in range(1, 8)]

    assert {sum(shard.holds(case_id) for shard in shards) for case_id in IDS} == {1}


def test_shards_are_of_about_one_size() -> None:
    sizes = [sum(Shard(index, 4).holds(case_id) for case_id in IDS) for index in range(1, 5)]

    assert min(sizes) > 70


def test_the_slices_are_the_same_on_every_machine_and_release() -> None:
    assert [case_id for case_id in IDS[:12] if Shard(1, 3).holds(case_id)] == [
        "suite/pattern/dim=2",
        "suite/pattern/dim=3",
        "suite/pattern/dim=8",
        "suite/pattern/dim=9",
    ]


def case_of(model: str, number: int, **fields: Any) -> Case:
    return specs.case(f"s/{model}/n={number}", pattern=specs.pattern(model, **fields))


def slices(cases: Sequence[Case], seconds: Mapping[str, float], count: int) -> list[list[int]]:
    return [Shard(index, count, Costs(seconds)).places(cases) for index in range(1, count + 1)]


@given(
    seconds=st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=60),
    count=st.integers(min_value=1, max_value=9),
)
def test_slices_by_cost_hold_every_case_once_and_none_more_than_an_equal_share_and_one_case(
    seconds: list[float], count: int
) -> None:
    cases = [case_of(f"model{number}", number) for number in range(len(seconds))]
    held = slices(cases, {case.case_id: value for case, value in zip(cases, seconds)}, count)
    longest = max(sum(seconds[place] for place in places) for places in held)

    assert sorted(place for places in held for place in places) == list(range(len(cases)))
    assert longest <= sum(seconds) / count + max(seconds) + 1e-6


def test_the_cases_of_one_model_stay_together() -> None:
    cases = [case_of("one", 1), case_of("other", 2), case_of("one", 3), case_of("other", 4)]

    assert slices(cases, {case.case_id: 1.0 for case in cases}, 2) == [[0, 2], [1, 3]]


def test_an_unknown_case_costs_what_is_usual_and_an_unknown_whole_model_the_most() -> None:
    known = {"a": 1.0, "b": 2.0, "c": 9.0}

    assert Costs(known).of([case_of("small", 1), case_of("whole", 2, factory="models.resnet18")]) == [2.0, 9.0]
    assert Costs({}).of([case_of("small", 1)]) == [1.0]


def test_costs_are_named_by_what_they_say() -> None:
    assert Shard(1, 2).cut_by == "hash"
    assert Shard(1, 2, Costs({"a": 1.0})).cut_by == Shard(2, 2, Costs({"a": 1.0})).cut_by
    assert Shard(1, 2, Costs({"a": 1.0})).cut_by != Shard(1, 2, Costs({"a": 1.5})).cut_by
