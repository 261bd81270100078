from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix.declare.expand import DeclaredCase, declared, expand, file_name, model_key, value_text
from qatrix.declare.selection import axis_text
from qatrix.declare.spec import Case, SuiteSpec
from qatrix.expressions import Value
from qatrix.outcomes import Dropped
from support import specs
from support.expansion import of_type
from support.specs import Axes

pytestmark = pytest.mark.slow

VALUES: Axes = {
    "pattern": ("conv_bn", "linear", "resnet18"),
    "conv": ("conv", "conv_transpose"),
    "dim": (1, 2, 3),
    "bias": (True, False),
    "stride": (1, 2, (1, 2)),
    "quantizer": ("int8", "int4"),
    "device": ("cpu", "cuda"),
}
PATTERNS = (
    specs.pattern(params={"bias": True, "stride": 1}),
    specs.pattern("linear", params={"bias": True}, takes_conv=False, takes_dim=False),
    specs.factory(),
)


def some_of(axis: str) -> st.SearchStrategy[list[Value]]:
    return st.lists(st.sampled_from(VALUES[axis]), min_size=1, max_size=4)


@st.composite
def suites(draw: st.DrawFn) -> SuiteSpec:
    """A suite with its axes in any order, values given twice, and excludes that may overlap."""
    optional = draw(st.sets(st.sampled_from(["conv", "bias", "stride", "device"])))
    names = draw(st.permutations(["pattern", "dim", "quantizer", *sorted(optional)]))
    axes = {name: draw(some_of(name)) for name in names}
    rules = []
    for number in range(draw(st.integers(0, 3))):
        ruled = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        rules.append(specs.rule({name: draw(some_of(name)) for name in ruled}, because=f"reason {number}"))
    return specs.suite("s", axes, exclude=tuple(rules))


def expanded(suite: SuiteSpec) -> tuple[list[Case], list[Dropped]]:
    quantizers = [specs.quantizer(name) for name in ("int8", "int4")]
    items = list(expand(specs.matrix(suite, patterns=PATTERNS, quantizers=quantizers)))
    return of_type(Case, items), of_type(Dropped, items)


@given(suites())
def test_every_point_of_a_product_is_a_case_or_counted_as_dropped(suite: SuiteSpec) -> None:
    found, gone = expanded(suite)
    assert len(found) + sum(item.count for item in gone) == math.prod(map(len, suite.axes.values()))


@given(suites())
def test_every_id_is_unique_and_safe_in_a_shell(suite: SuiteSpec) -> None:
    found, _ = expanded(suite)
    names = [case.case_id for case in found]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_.,=/+-]+", name) for name in names)
    assert len(set(map(file_name, names))) == len(names)


@given(suites())
def test_excludes_take_just_the_points_that_have_all_their_values(suite: SuiteSpec) -> None:
    found, _ = expanded(suite)
    kept = set()
    for values in itertools.product(*suite.axes.values()):
        point = {"conv": "conv", "device": "cpu"} | dict(zip(suite.axes, values))
        if not any(all(_has(point[axis], rule.values[axis]) for axis in rule.values) for rule in suite.exclude):
            pattern = next(pattern for pattern in PATTERNS if pattern.name == point["pattern"])
            ignored = {"conv", "dim"} if not pattern.takes_dim else set()
            ignored |= {"bias", "stride"} - set(pattern.params)
            kept.add(frozenset((axis, value_text(point[axis])) for axis in suite.axes if axis not in ignored))
    assert {
        frozenset((axis, value_text(case.axes[axis])) for axis in case.axes if axis in suite.axes) for case in found
    } == kept


def _has(value: Value, allowed: Sequence[Value]) -> bool:
    return value_text(value) in map(value_text, allowed)


@given(suites(), st.randoms(use_true_random=False))
def test_cases_and_seeds_do_not_depend_on_order(suite: SuiteSpec, random: Any) -> None:
    def seeds(of: SuiteSpec) -> dict[tuple[frozenset[tuple[str, Value]], str], int]:
        return {(frozenset(case.axes.items()), case.pattern.name): case.seed for case in expanded(of)[0]}

    names = list(suite.axes)
    random.shuffle(names)
    shuffled = {name: tuple(random.sample(suite.axes[name], len(suite.axes[name]))) for name in names}
    assert seeds(suite) == seeds(specs.suite("t", shuffled, exclude=suite.exclude))


@given(suites())
def test_a_declared_case_has_the_id_and_axes_of_the_case_made_of_it(suite: SuiteSpec) -> None:
    quantizers = [specs.quantizer(name) for name in ("int8", "int4")]
    found = of_type(DeclaredCase, declared(specs.matrix(suite, patterns=PATTERNS, quantizers=quantizers)))
    for one in found:
        case = one.made()
        assert (one.case_id, one.suite, one.axes) == (case.case_id, case.suite, case.axes)
        assert list(one.axes) == list(case.axes)
        assert all(one.text_of(axis) == axis_text(case, axis) for axis in (*VALUES, "runtime", "unknown"))


@given(suites())
def test_equal_float_models_and_only_they_share_a_seed(suite: SuiteSpec) -> None:
    found, _ = expanded(suite)
    assert len({case.seed for case in found}) == len({model_key(case) for case in found})
