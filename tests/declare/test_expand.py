from __future__ import annotations

import hashlib
import itertools
import math
import re
import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix.declare.expand import expand, file_name, model_key, value_text
from qatrix.declare.spec import Case, Matrix, SuiteSpec
from qatrix.errors import Problem
from qatrix.expressions import Value
from qatrix.outcomes import Dropped
from support import specs
from support.problems import as_text

T = TypeVar("T")
Axes: TypeAlias = Mapping[str, Sequence[Value]]

PRODUCT: Axes = {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"]}


def of_type(kind: type[T], items: Iterable[object]) -> list[T]:
    return [item for item in items if isinstance(item, kind)]


def cases(matrix: Matrix) -> list[Case]:
    items = list(expand(matrix))
    assert as_text(of_type(Problem, items)) == ""
    return of_type(Case, items)


def ids(matrix: Matrix) -> list[str]:
    return [case.case_id for case in cases(matrix)]


def problems(matrix: Matrix) -> str:
    return as_text(of_type(Problem, expand(matrix)))


def dropped(matrix: Matrix) -> list[tuple[str, int, str]]:
    return [(item.kind, item.count, item.because) for item in of_type(Dropped, expand(matrix))]


# Products


def test_the_last_axis_runs_fastest() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1, 2], "bias": [True, False], "quantizer": ["int8"]}
    assert ids(specs.matrix(specs.suite("s", axes))) == [
        "s/conv_bn/dim=1,bias=true,quantizer=int8,device=cpu",
        "s/conv_bn/dim=1,bias=false,quantizer=int8,device=cpu",
        "s/conv_bn/dim=2,bias=true,quantizer=int8,device=cpu",
        "s/conv_bn/dim=2,bias=false,quantizer=int8,device=cpu",
    ]


def test_the_order_of_the_axes_is_that_of_the_file() -> None:
    axes: Axes = {"device": ["cuda"], "quantizer": ["int8"], "dim": [1], "pattern": ["conv_bn"]}
    assert ids(specs.matrix(specs.suite("s", axes))) == ["s/conv_bn/device=cuda,quantizer=int8,dim=1"]


def test_suites_come_in_the_order_of_the_file() -> None:
    assert [case.suite for case in cases(specs.matrix(specs.suite("z"), specs.suite("a")))] == ["z", "a"]


def test_the_id_of_the_design_document() -> None:
    quantizer = specs.quantizer("xnnpack_int8_per_channel_qat")
    axes: Axes = {
        "pattern": ["conv_bn_relu"],
        "conv": ["conv_transpose"],
        "dim": [2],
        "bias": [True],
        "quantizer": [quantizer.name],
        "device": ["cpu"],
    }
    matrix = specs.matrix(
        specs.suite("conv_bn", axes), patterns=[specs.pattern("conv_bn_relu")], quantizers=[quantizer]
    )
    assert ids(matrix) == [
        "conv_bn/conv_bn_relu/conv=conv_transpose,dim=2,bias=true,quantizer=xnnpack_int8_per_channel_qat,device=cpu"
    ]


def test_an_axis_nobody_names_is_not_in_the_id_but_has_its_default() -> None:
    (case,) = cases(specs.matrix(specs.suite()))
    assert "conv=" not in case.case_id
    assert case.conv_kind == specs.conv_kind("conv")
    assert case.device == specs.device("cpu")
    assert case.axes == {"pattern": "conv_bn", "dim": 2, "quantizer": "int8", "device": "cpu"}


def test_a_case_carries_what_its_suite_says() -> None:
    suite = specs.suite(skip="too slow", convert_in="train", compare=("convert",), source=specs.source(7))
    (case,) = cases(specs.matrix(suite))
    assert (case.skip, case.convert_in, case.compare, case.source) == (
        "too slow",
        "train",
        ("convert",),
        specs.source(7),
    )


def test_one_pipeline_has_nothing_to_compare() -> None:
    suite = specs.suite(pipelines=("pt2e",), pipelines_because="FX has no such operator")
    (case,) = cases(specs.matrix(suite))
    assert (case.pipelines, case.pipelines_because, case.compare) == (("pt2e",), "FX has no such operator", ())


def test_an_axis_of_a_parameter_changes_the_parameter_and_no_other() -> None:
    pattern = specs.pattern(params={"bias": True, "stride": 1})
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1], "stride": [2], "quantizer": ["int8"]}
    (case,) = cases(specs.matrix(specs.suite("s", axes), patterns=[pattern]))
    assert case.params == {"bias": True, "stride": 2}
    assert case.pattern.params["stride"] == 1


def test_expansion_is_lazy() -> None:
    pattern = specs.pattern(params={"stride": 1, "padding": 0, "groups": 1, "bias": True})
    axes = {**PRODUCT, "stride": range(100), "padding": range(100), "groups": range(100), "bias": range(100)}
    found = expand(specs.matrix(specs.suite("s", axes), patterns=[pattern]))
    assert [isinstance(item, Case) for item in itertools.islice(found, 3)] == [True] * 3


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(True, "true", id="bool"),
        pytest.param(None, "null", id="null"),
        pytest.param(1, "1", id="int"),
        pytest.param(-1, "-1", id="negative"),
        pytest.param(1.0, "1.0", id="whole float"),
        pytest.param(1e-5, "1e-05", id="small float"),
        pytest.param("same", "same", id="text"),
        pytest.param((1, 2), "1x2", id="tuple"),
    ],
)
def test_values_read_in_ids_as_in_yaml(value: Value, text: str) -> None:
    assert value_text(value) == text
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1], "bias": [value], "quantizer": ["int8"]}
    assert ids(specs.matrix(specs.suite("s", axes))) == [f"s/conv_bn/dim=1,bias={text},quantizer=int8,device=cpu"]


def test_one_and_true_are_two_values() -> None:
    axes: Axes = {
        "pattern": ["conv_bn"],
        "dim": [1],
        "bias": [1, True, 1.0],
        "quantizer": ["int8"],
    }
    assert [case.params["bias"] for case in cases(specs.matrix(specs.suite("s", axes)))] == [1, True, 1.0]


@pytest.mark.parametrize("value", ["a b", "a,b", "a=b", "a/b", "$(x)", "", "é", "*"])
def test_a_value_that_is_not_safe_in_a_shell_is_an_error(value: str) -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1], "bias": [value], "quantizer": ["int8"]}
    assert problems(specs.matrix(specs.suite("s", axes))) == (
        f"matrix/test.yaml:1:1: the value {value!r} of axis 'bias' cannot stand in a case id\n"
        "    at suite 's', axes\n"
        "    expected letters, digits and the characters _ . + -\n"
    )


def test_values_that_look_the_same_in_an_id_are_an_error() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1], "bias": ["1", 1], "quantizer": ["int8"]}
    assert "the values '1' and 1 of axis 'bias' are both 1 in a case id" in problems(
        specs.matrix(specs.suite("s", axes))
    )


# What a pattern does not take


def two_patterns(**fields: Any) -> Matrix:
    axes: Axes = {
        "pattern": ["conv_bn", "resnet18"],
        "conv": ["conv", "conv_transpose"],
        "dim": [1, 2],
        "quantizer": ["int8"],
    }
    return specs.matrix(specs.suite("s", axes, **fields), patterns=[specs.pattern(), specs.factory()])


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


# Excludes


def test_an_exclude_drops_every_point_that_has_all_its_values() -> None:
    matrix = two_patterns(exclude=(specs.rule({"conv": ["conv_transpose"], "pattern": ["conv_bn"]}, because="later"),))
    assert [case for case in ids(matrix) if "transpose" in case] == []
    assert ("excluded", 2, "later") in dropped(matrix)


def test_a_list_in_an_exclude_means_any_of_it() -> None:
    matrix = two_patterns(exclude=(specs.rule({"pattern": ["conv_bn"], "dim": [1, 2]}, because="later"),))
    assert ids(matrix) == ["s/resnet18/quantizer=int8,device=cpu"]


def test_an_exclude_sees_the_axes_that_the_pattern_does_not_take() -> None:
    matrix = two_patterns(exclude=(specs.rule({"pattern": ["resnet18"], "dim": [1]}, because="x"),))
    assert dropped(matrix) == [
        ("merged", 1, "pattern resnet18 does not take conv or dim"),
        ("excluded", 2, "x"),
    ]


def test_an_exclude_sees_the_defaults_of_axes_that_the_suite_leaves_out() -> None:
    rules = (
        specs.rule({"device": ["cpu"], "dim": [1]}, because="slow"),
        specs.rule({"device": ["cuda"], "dim": [2]}, because="stale"),
    )
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"]}
    found = list(expand(specs.matrix(specs.suite("s", axes, exclude=rules))))
    assert [item.because for item in of_type(Dropped, found)] == ["slow"]
    assert "stale exclude" in as_text(of_type(Problem, found))


def test_a_point_that_several_excludes_fit_goes_to_the_first() -> None:
    rules = (specs.rule({"dim": [1]}, because="first"), specs.rule({"dim": [1, 2]}, because="second"))
    assert [item for item in dropped(two_patterns(exclude=rules)) if item[0] == "excluded"] == [
        ("excluded", 4, "first"),
        ("excluded", 4, "second"),
    ]


def test_an_exclude_that_fits_no_point_is_a_warning() -> None:
    matrix = two_patterns(exclude=(specs.rule({"dim": [3]}, because="x", line=9),))
    assert problems(matrix) == (
        "matrix/test.yaml:9:1: warning: stale exclude: no point has all these values\n"
        "    at suite 's', exclude\n"
        "    expected an exclude that drops a point of the product\n"
    )


def test_an_exclude_that_an_earlier_one_hides_is_a_warning() -> None:
    rules = (specs.rule({"dim": [1]}, because="x"), specs.rule({"dim": [1], "conv": ["conv"]}, because="y", line=9))
    assert "9:1: warning: stale exclude: an earlier exclude drops every point that this one fits" in problems(
        two_patterns(exclude=rules)
    )


def test_a_suite_that_excludes_everything_is_an_error() -> None:
    suite = specs.suite(exclude=(specs.rule({"dim": [2]}, because="x"),), source=specs.source(4))
    assert problems(specs.matrix(suite)) == (
        "matrix/test.yaml:4:1: suite 'fusion' declares no case\n"
        "    expected a point of the product that no exclude drops, or an include\n"
    )


def test_a_suite_that_excludes_everything_and_includes_something_is_right() -> None:
    suite = specs.suite(
        exclude=(specs.rule({"dim": [2]}, because="x"),),
        include=(specs.rule({"pattern": ["conv_bn"], "dim": [2], "bias": [False], "quantizer": ["int8"]}),),
    )
    assert ids(specs.matrix(suite)) == ["fusion/conv_bn/dim=2,quantizer=int8,bias=false,device=cpu"]


# Includes


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


# Checks


def check_names(case: Case) -> list[str]:
    return [check.name for check in case.checks]


def test_a_check_is_made_on_the_cases_that_its_where_fits() -> None:
    uses = (specs.use(specs.check("all")), specs.use(specs.check("one_d"), where={"dim": [1]}))
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"]}
    found = cases(specs.matrix(specs.suite("s", axes, checks=uses)))
    assert [check_names(case) for case in found] == [["all", "one_d"], ["all"]]


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        pytest.param({"conv": ["conv"]}, True, id="default conv"),
        pytest.param({"device": ["cpu", "cuda"]}, True, id="default device"),
        pytest.param({"bias": [True]}, True, id="default of a parameter"),
        pytest.param({"bias": [False]}, False, id="not the default of a parameter"),
        pytest.param({"dim": [2], "quantizer": ["other"]}, False, id="one of two values"),
        pytest.param({"pattern": ["conv_bn"], "dim": [2]}, True, id="both values"),
    ],
)
def test_a_where_sees_the_values_that_nobody_names(where: Axes, fits: bool) -> None:
    suite = specs.suite(checks=(specs.use(where=where),))
    (case,) = of_type(Case, expand(specs.matrix(suite)))
    assert bool(case.checks) is fits


def test_a_where_does_not_fit_an_axis_that_the_pattern_does_not_take() -> None:
    found = cases(two_patterns(checks=(specs.use(where={"dim": [1, 2]}),)))
    assert {case.pattern.name for case in found if case.checks} == {"conv_bn"}


def test_a_where_that_fits_no_case_is_a_warning() -> None:
    use = specs.use(where={"dim": [3]}, line=8)
    assert problems(specs.matrix(specs.suite(checks=(use,)))) == (
        "matrix/test.yaml:8:1: warning: check 'fused' is made on no case: none has all values of its where\n"
        "    at suite 'fusion', checks\n"
        "    expected values that a case of the suite has\n"
    )


def test_a_check_knows_its_defaults_then_the_case_then_what_the_suite_says() -> None:
    check = specs.check(scope={"eps": 1e-5, "bias": None, "axis": 0})
    pattern = specs.pattern(params={"bias": False, "stride": 2})
    quantizer = specs.quantizer(per_channel=False)
    suite = specs.suite(checks=(specs.use(check, with_={"axis": 1, "stride": 3}),))
    (case,) = cases(specs.matrix(suite, patterns=[pattern], quantizers=[quantizer]))
    assert case.checks[0].scope == {
        "eps": 1e-5,
        "bias": False,
        "stride": 3,
        "axis": 1,
        "dim": 2,
        "per_channel": False,
        "device": "cpu",
    }


# Names and seeds


def test_a_model_key_names_all_that_makes_the_float_model() -> None:
    pattern = specs.pattern(params={"stride": 2, "bias": True, "eps": 1e-5})
    (case,) = cases(specs.matrix(specs.suite(), patterns=[pattern]))
    assert model_key(case) == "conv_bn,conv=conv,dim=2,bias=true,eps=1e-05,stride=2"


def test_a_model_key_has_no_conv_and_no_dim_where_the_pattern_takes_none() -> None:
    (case,) = (case for case in cases(two_patterns()) if case.pattern.name == "resnet18")
    assert model_key(case) == "resnet18"


def test_a_seed_is_31_bits_of_the_model_keys_hash() -> None:
    for case in cases(two_patterns()):
        digest = hashlib.sha256(model_key(case).encode()).digest()
        assert case.seed == int.from_bytes(digest[:4], "big") % 2**31


def test_a_seed_stays_the_same_for_ever() -> None:
    """A change would change every number of every report."""
    (case,) = cases(specs.matrix(specs.suite()))
    assert case.seed == 1217299460


def test_a_file_name_has_no_slash() -> None:
    assert file_name("s/conv_bn/dim=1,device=cpu") == "s__conv_bn__dim=1,device=cpu"


def test_a_file_name_of_a_long_id_is_cut_and_stays_unique() -> None:
    ids = [f"s/conv_bn/{','.join(f'parameter_{n}={n}' for n in range(30))},device={d}" for d in ("cpu", "cuda")]
    names = [file_name(case_id) for case_id in ids]
    assert [len(name) for name in names] == [200, 200]
    assert names[0] != names[1]


# Properties


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
def test_equal_float_models_and_only_they_share_a_seed(suite: SuiteSpec) -> None:
    found, _ = expanded(suite)
    assert len({case.seed for case in found}) == len({model_key(case) for case in found})
