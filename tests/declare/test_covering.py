"""A few cases of many: every combination of values that occurs still occurs, by an independent count."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix.declare.covering import cover
from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.expressions import Value
from qatrix.resources import folder
from support import specs

VALUES: dict[str, list[Value]] = {
    "dim": [1, 2, 3],
    "groups": [1, 2, 4],
    "bias": [True, False],
    "mode": ["zeros", "reflect"],
}


def case(number: int, axes: dict[str, Value], suite: str = "s") -> Case:
    return replace(specs.case(), case_id=f"{suite}/{number}", suite=suite, axes=axes)


def occurring(cases: list[Case], strength: int) -> set[frozenset[tuple[str, str]]]:
    """Every set of so many values that any case has, counted without the code under test."""
    found = set()
    for item in cases:
        values = {("suite", item.suite)} | {(axis, repr(value)) for axis, value in item.axes.items()}
        found |= {frozenset(part) for part in itertools.combinations(sorted(values), min(strength, len(values)))}
    return found


POINTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.fixed_dictionaries({}, optional={axis: st.sampled_from(values) for axis, values in VALUES.items()}),
    ),
    max_size=40,
)


@given(POINTS, st.integers(1, 4))
def test_everything_that_occurs_is_covered(points: list[tuple[str, dict[str, Value]]], strength: int) -> None:
    cases = [case(number, axes, suite) for number, (suite, axes) in enumerate(points)]
    found = cover(cases, strength)
    chosen = [cases[place] for place in found.places]

    assert occurring(chosen, strength) == occurring(cases, strength)
    assert found.covered == found.occurring == len(occurring(cases, strength))


def chosen_plainly(cases: list[Case], strength: int) -> tuple[int, ...]:
    """The places of the cases of which each, of all that are left, adds most; of equals the first."""
    left = [occurring([item], strength) for item in cases]
    places = []
    while any(left):
        best = max(range(len(left)), key=lambda place: len(left[place]))
        places.append(best)
        left = [part - left[best] for part in left]
    return tuple(sorted(places))


@given(POINTS, st.integers(1, 4))
def test_the_cases_are_those_of_a_plain_search(points: list[tuple[str, dict[str, Value]]], strength: int) -> None:
    cases = [case(number, axes, suite) for number, (suite, axes) in enumerate(points)]

    assert cover(cases, strength).places == chosen_plainly(cases, strength)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [2, 3])
def test_the_subset_of_the_matrix_that_comes_with_qatrix_has_every_combination(strength: int) -> None:
    matrix = load([folder("matrix")]).matrix
    assert matrix is not None
    everything = select(matrix, Selection(tags=("full",)))
    subset = select(matrix, Selection(tags=("full",), strength=strength))
    wanted = occurring(list(everything.cases), strength)

    assert occurring(list(subset.cases), strength) == wanted
    assert len(subset.cases) < len(everything.cases)
    assert subset.covering is not None
    assert subset.covering.covered == subset.covering.occurring == len(wanted)


def product() -> list[Case]:
    points = itertools.product(*VALUES.values())
    return [case(number, dict(zip(VALUES, point))) for number, point in enumerate(points)]


def test_pairs_take_few_of_a_product() -> None:
    found = cover(product(), 2)

    # No fewer than the two greatest axes have values together.
    assert 9 <= len(found.places) <= 12
    assert found.sentence == f"{len(found.places)} of 36 cases have all 47 pairs of values that occur"


def test_more_strength_takes_more_cases() -> None:
    sizes = [len(cover(product(), strength).places) for strength in (1, 2, 3, 4)]

    assert sizes == sorted(sizes)
    assert sizes[-1] == 36
    assert cover(product(), 3).sentence.endswith("combinations of 3 of values that occur")


def test_the_choice_does_not_depend_on_chance() -> None:
    assert cover(product(), 2) == cover(product(), 2)


def test_every_suite_stays() -> None:
    cases = [case(number, {"dim": 2}, suite) for number, suite in enumerate("abc")]

    assert len(cover(cases, 2).places) == 3


@pytest.mark.parametrize("cases", [[], [case(0, {})]], ids=["none", "one"])
def test_little_is_covered_by_itself(cases: list[Case]) -> None:
    assert cover(cases, 2).places == tuple(range(len(cases)))


@pytest.mark.slow
def test_ten_times_the_cases_take_not_much_more_than_ten_times_as_long() -> None:
    source = random.Random(0)
    axes: dict[str, list[Value]] = {f"axis{number}": list(range(8)) for number in range(6)}
    cases = [case(number, {axis: source.choice(values) for axis, values in axes.items()}) for number in range(5000)]
    times = []
    for count in (500, 5000):
        began = time.process_time()
        cover(cases[:count], 2)
        times.append(time.process_time() - began)

    assert times[1] < 40 * times[0]
