from __future__ import annotations

import pytest

from qatrix.declare.expand import expand, model_key
from qatrix.declare.spec import Case
from support import specs
from support.expansion import cases, ids, of_type, problems
from support.specs import Axes, two_patterns


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


KINDS: Axes = {
    "pattern": ["conv_bn"],
    "dim": [2],
    "dtype": ["float32", "bfloat16"],
    "dynamic_batch": [False, True],
    "quantizer": ["int8"],
}


def test_a_case_is_of_float32_and_captured_as_it_is_unless_told_otherwise() -> None:
    (case,) = cases(specs.matrix(specs.suite()))
    assert (case.dtype, case.dynamic_batch, case.capture) == ("float32", False, "strict")
    assert not {"dtype", "dynamic_batch", "capture"} & case.axes.keys()


def test_captures_are_in_the_id_and_change_neither_weights_nor_inputs() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [2], "capture": ["strict", "non_strict"], "quantizer": ["int8"]}
    found = cases(specs.matrix(specs.suite("s", axes)))

    assert [(case.case_id, case.capture) for case in found] == [
        ("s/conv_bn/dim=2,capture=strict,quantizer=int8,device=cpu", "strict"),
        ("s/conv_bn/dim=2,capture=non_strict,quantizer=int8,device=cpu", "non_strict"),
    ]
    assert len({case.seed for case in (*found, *cases(specs.matrix(specs.suite())))}) == 1


def test_lifecycles_are_in_the_id_and_change_neither_weights_nor_inputs() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [2], "lifecycle": ["none", "deepcopy"], "quantizer": ["int8"]}
    found = cases(specs.matrix(specs.suite("s", axes)))

    assert [(case.case_id, case.lifecycle, case.skip) for case in found] == [
        ("s/conv_bn/dim=2,lifecycle=none,quantizer=int8,device=cpu", "none", None),
        ("s/conv_bn/dim=2,lifecycle=deepcopy,quantizer=int8,device=cpu", "deepcopy", None),
    ]
    assert len({case.seed for case in (*found, *cases(specs.matrix(specs.suite())))}) == 1


def test_a_case_that_cannot_take_its_lifecycle_is_skipped_with_the_reason() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [2], "lifecycle": ["average"], "quantizer": ["int8"]}
    found = cases(specs.matrix(specs.suite("s", {**axes, "train_steps": [0, 1]})))

    assert [case.skip for case in found] == ["lifecycle average needs training steps, and none is made", None]


def test_dtype_and_dynamic_batch_are_in_the_id_where_the_suite_has_them() -> None:
    assert ids(specs.matrix(specs.suite("s", KINDS))) == [
        "s/conv_bn/dim=2,dtype=float32,dynamic_batch=false,quantizer=int8,device=cpu",
        "s/conv_bn/dim=2,dtype=float32,dynamic_batch=true,quantizer=int8,device=cpu",
        "s/conv_bn/dim=2,dtype=bfloat16,dynamic_batch=false,quantizer=int8,device=cpu",
        "s/conv_bn/dim=2,dtype=bfloat16,dynamic_batch=true,quantizer=int8,device=cpu",
    ]


def test_a_case_carries_its_dtype_and_whether_its_batch_is_free() -> None:
    found = [(case.dtype, case.dynamic_batch) for case in cases(specs.matrix(specs.suite("s", KINDS)))]
    assert found == [("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True)]


def test_a_seed_depends_neither_on_the_dtype_nor_on_a_free_batch() -> None:
    (usual,) = cases(specs.matrix(specs.suite()))
    found = cases(specs.matrix(specs.suite("s", KINDS)))
    assert {case.seed for case in found} == {usual.seed}
    assert {model_key(case) for case in found} == {model_key(usual)}


def test_a_factory_takes_dtype_and_dynamic_batch() -> None:
    axes: Axes = {"pattern": ["resnet18"], "dtype": ["float16"], "dynamic_batch": [True], "quantizer": ["int8"]}
    (case,) = cases(specs.matrix(specs.suite("s", axes), patterns=[specs.factory()]))
    assert case.case_id == "s/resnet18/dtype=float16,dynamic_batch=true,quantizer=int8,device=cpu"
    assert (case.dtype, case.dynamic_batch) == ("float16", True)


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
        pytest.param({"dtype": ["float32", "float16"]}, True, id="default dtype"),
        pytest.param({"dtype": ["float16"]}, False, id="not the default dtype"),
        pytest.param({"dynamic_batch": [False]}, True, id="default dynamic_batch"),
        pytest.param({"dynamic_batch": [True]}, False, id="not the default dynamic_batch"),
        pytest.param({"capture": ["strict"]}, True, id="default capture"),
        pytest.param({"capture": ["non_strict"]}, False, id="not the default capture"),
        pytest.param({"lifecycle": ["none"]}, True, id="default lifecycle"),
        pytest.param({"lifecycle": ["repeat"]}, False, id="not the default lifecycle"),
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


def test_nothing_is_to_be_quantized_in_the_cases_that_an_entry_of_quantizes_fits() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1, 2, 3], "bias": [True, False], "quantizer": ["int8"]}
    nothing = (specs.rule({"dim": [1, 2], "bias": [False]}), specs.rule({"dim": [3]}))
    found = cases(specs.matrix(specs.suite("s", axes, nothing=nothing)))

    assert [(case.dim, case.params["bias"]) for case in found if case.quantizes == "nothing"] == [
        (1, False),
        (2, False),
        (3, True),
        (3, False),
    ]


def test_an_entry_of_quantizes_without_values_fits_every_case() -> None:
    (case,) = cases(specs.matrix(specs.suite(nothing=(specs.rule({}),))))
    assert case.quantizes == "nothing"


def test_an_entry_of_quantizes_that_fits_no_case_is_a_warning() -> None:
    rules = (specs.rule({"dim": [2]}, line=8), specs.rule({"dim": [3]}, line=9))
    assert problems(specs.matrix(specs.suite(nothing=rules))) == (
        "matrix/test.yaml:9:1: warning: this fits no case: none has all these values\n"
        "    at suite 'fusion', quantizes, nothing\n"
        "    expected values that a case of the suite has\n"
    )
