from __future__ import annotations

import itertools
import tracemalloc

import pytest

from qatrix.declare.expand import expand
from qatrix.declare.spec import Case
from support import specs
from support.expansion import cases, dropped, ids, problems
from support.specs import Axes, two_patterns

PRODUCT: Axes = {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"]}


def test_expansion_is_lazy() -> None:
    pattern = specs.pattern(params={"stride": 1, "padding": 0, "groups": 1, "bias": True})
    axes = {**PRODUCT, "stride": range(100), "padding": range(100), "groups": range(100), "bias": range(100)}
    found = expand(specs.matrix(specs.suite("s", axes), patterns=[pattern]))
    assert [isinstance(item, Case) for item in itertools.islice(found, 3)] == [True] * 3


@pytest.mark.slow
def test_a_large_suite_takes_little_memory() -> None:
    pattern = specs.pattern(params={"stride": 1, "padding": 0})
    axes: Axes = {
        "pattern": ["conv_bn"],
        "dim": [1],
        "stride": range(100),
        "padding": range(200),
        "quantizer": ["int8"],
    }
    matrix = specs.matrix(specs.suite("s", axes), patterns=[pattern])
    tracemalloc.start()
    count = sum(1 for _ in expand(matrix))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 1_000_000


def test_points_that_become_equal_are_one_case() -> None:
    assert [case for case in ids(two_patterns()) if "resnet18" in case] == ["s/resnet18/quantizer=int8,device=cpu"]
    assert dropped(two_patterns()) == [("merged", 3, "pattern resnet18 does not take conv or dim")]


def test_what_a_pattern_does_not_take_is_not_in_the_case() -> None:
    (case,) = (case for case in cases(two_patterns()) if case.pattern.name == "resnet18")
    assert (case.conv_kind, case.dim, case.params) == (None, None, {})
    assert case.axes == {"pattern": "resnet18", "quantizer": "int8", "device": "cpu"}


def test_an_axis_with_one_value_is_left_out_without_merging() -> None:
    axes: Axes = {"pattern": ["resnet18"], "dim": [1], "quantizer": ["int8"]}
    matrix = specs.matrix(specs.suite("s", axes), patterns=[specs.factory()])
    assert ids(matrix) == ["s/resnet18/quantizer=int8,device=cpu"]
    assert dropped(matrix) == []


def test_a_value_given_twice_is_one_case_and_counted() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1, 1, 2], "quantizer": ["int8"]}
    matrix = specs.matrix(specs.suite("s", axes))
    assert len(ids(matrix)) == 2
    assert dropped(matrix) == [("merged", 1, "an axis lists a value twice")]


def test_a_missing_dim_is_one_error_per_pattern_that_takes_it() -> None:
    axes: Axes = {"pattern": ["conv_bn", "resnet18"], "bias": [True, False], "quantizer": ["int8"]}
    matrix = specs.matrix(specs.suite("s", axes), patterns=[specs.pattern(), specs.factory()])
    assert problems(matrix) == (
        "matrix/test.yaml:1:1: the axis 'dim' is missing, which pattern 'conv_bn' takes\n"
        "    at suite 's', axes\n"
        "    expected dim: 1, 2 or 3, or a list of them\n"
    )


@pytest.mark.parametrize("axis", ["pattern", "quantizer"])
def test_a_missing_axis_that_has_no_default_is_an_error(axis: str) -> None:
    axes = {name: values for name, values in PRODUCT.items() if name != axis}
    assert f"the axis '{axis}' is missing" in problems(specs.matrix(specs.suite("s", axes)))


INCLUDE: Axes = {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"], "bias": [False]}


def test_an_include_adds_the_cases_it_spells_out_after_the_product() -> None:
    matrix = specs.matrix(specs.suite(include=(specs.rule(INCLUDE, line=5),)))
    assert ids(matrix) == [
        "fusion/conv_bn/dim=2,quantizer=int8,device=cpu",
        "fusion/conv_bn/dim=1,quantizer=int8,bias=false,device=cpu",
        "fusion/conv_bn/dim=2,quantizer=int8,bias=false,device=cpu",
    ]
    assert [case.source.line for case in cases(matrix)] == [1, 5, 5]


def test_in_an_includes_ids_the_axes_of_the_suite_come_first() -> None:
    shuffled = {axis: INCLUDE[axis] for axis in ("bias", "quantizer", "dim", "pattern")}
    suite = specs.suite(include=(specs.rule(shuffled),))
    assert ids(specs.matrix(suite))[1] == "fusion/conv_bn/dim=1,quantizer=int8,bias=false,device=cpu"


def test_a_suite_may_consist_of_includes() -> None:
    assert len(ids(specs.matrix(specs.suite("s", {}, include=(specs.rule(INCLUDE),))))) == 2


def test_an_exclude_does_not_touch_an_include() -> None:
    suite = specs.suite(
        "s",
        {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"]},
        exclude=(specs.rule({"dim": [1]}, because="x"),),
        include=(specs.rule({"pattern": ["conv_bn"], "dim": [1], "quantizer": ["int8"]}),),
    )
    assert ids(specs.matrix(suite)) == [
        "s/conv_bn/dim=2,quantizer=int8,device=cpu",
        "s/conv_bn/dim=1,quantizer=int8,device=cpu",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"dim": [1], "quantizer": ["int8"]}, "the axis 'pattern' is missing", id="pattern"),
        pytest.param({"pattern": ["conv_bn"], "dim": [1]}, "the axis 'quantizer' is missing", id="quantizer"),
        pytest.param(
            {"pattern": ["conv_bn"], "quantizer": ["int8"]},
            "the axis 'dim' is missing, which pattern 'conv_bn' takes",
            id="dim",
        ),
        pytest.param(
            {"pattern": ["conv_bn"], "dim": [1], "quantizer": ["int8"], "stride": [2]},
            "pattern 'conv_bn' does not take 'stride'",
            id="parameter",
        ),
        pytest.param(
            {"pattern": ["conv_bn"], "dim": [1], "quantizer": ["int8"], "bias": ["a b"]},
            "the value 'a b' of axis 'bias' cannot stand in a case id",
            id="value",
        ),
    ],
)
def test_a_wrong_include_is_an_error_at_its_place(values: Axes, message: str) -> None:
    found = problems(specs.matrix(specs.suite(include=(specs.rule(values, line=12),))))
    assert found.startswith(f"matrix/test.yaml:12:1: {message}\n    at suite 'fusion', include\n")


def test_an_include_that_is_in_the_product_already_is_an_error_naming_both_places() -> None:
    rule = specs.rule({"pattern": ["conv_bn"], "dim": [2], "quantizer": ["int8"]}, line=12)
    assert problems(specs.matrix(specs.suite(include=(rule,), source=specs.source(3)))) == (
        "matrix/test.yaml:12:1: case fusion/conv_bn/dim=2,quantizer=int8,device=cpu is declared at"
        " matrix/test.yaml:3:1 already\n"
        "    at suite 'fusion', include\n"
        "    expected cases that the suite does not have yet\n"
    )


def test_cases_of_two_includes_that_are_equal_are_one_error() -> None:
    rules = (specs.rule(INCLUDE, line=5), specs.rule(INCLUDE, line=6))
    found = problems(specs.matrix(specs.suite(include=rules)))
    assert "6:1: case fusion/conv_bn/dim=1,quantizer=int8,bias=false,device=cpu (and 1 more) is declared at" in found
    assert "matrix/test.yaml:5:1 already" in found
