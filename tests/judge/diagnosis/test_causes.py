"""Recognisers: each looks at facts alone, shows evidence, and explains only what it changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from qatrix.diagnoses import Cause, Divergence, ParameterRow, Parameters, PointDiagnosis
from qatrix.judge.diagnosis.causes import Facts, find_causes
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.sight import Norm, Sight
from support.sights import layout, measured, sight, site

pytestmark = pytest.mark.torch
ONE = torch.ones(1)
CONV_BN = layout(site("x"), site("conv", "x", op="Conv2d"), site("bn", "conv", op="BatchNorm2d", eps=0.1, momentum=0.1))


def divergence(layer: str, value: str = "computed") -> Divergence:
    return Divergence(
        at="prepare",
        layer=layer,
        op="op",
        value="quantized" if value == "quantized" else "computed",
        within_tolerance=False,
        sentence="they part",
    )


def causes_of(
    of: Layout,
    left: Sight,
    right: Sight,
    first: Divergence,
    *,
    at: str = "prepare",
    rows: tuple[ParameterRow, ...] = (),
) -> tuple[Cause, ...]:
    points = {at: PointDiagnosis(at=at, first=replace(first, at=at), parameters=rows)}
    return find_causes(
        Facts(
            names=("left", "right"), layout=of, points=points, sights={at: (left, right)}, first=replace(first, at=at)
        )
    )


def norm(*, eps: float = 0.1, momentum: float = 0.1, factor_eps: float | None = None, training: bool = True) -> Norm:
    return Norm(eps=eps, momentum=momentum, training=training, factor_eps=factor_eps)


@pytest.mark.parametrize("setting", ["eps", "momentum"])
def test_a_setting_of_batch_norm_that_one_program_replaces_is_a_defect_of_that_program(setting: str) -> None:
    wrong = norm(eps=1e-5, factor_eps=1e-5) if setting == "eps" else norm(momentum=0.3)
    left, right = sight("left", {}, norms={"bn": wrong}), sight("right", {}, norms={"bn": norm()})
    (cause,) = causes_of(CONV_BN, left, right, divergence("bn"))

    assert (cause.name, cause.kind, cause.pipeline) == (f"batch_norm_{setting}_replaced", "defect", "left")
    assert cause.evidence[0] == f"the float model: bn has {setting}=0.1"
    assert cause.evidence[-1] == f"right at prepare: {setting}=0.1"


def test_a_setting_that_both_programs_replace_makes_no_difference_between_them() -> None:
    both = {"bn": norm(eps=1e-5)}
    (cause,) = causes_of(CONV_BN, sight("left", {}, norms=both), sight("right", {}, norms=both), divergence("bn"))

    assert (cause.name, cause.kind) == ("unexplained", "unexplained")


def test_a_cause_at_another_layer_does_not_explain_the_first_divergence() -> None:
    left, right = sight("left", {}, norms={"bn": norm(eps=1e-5)}), sight("right", {}, norms={"bn": norm()})
    causes = causes_of(CONV_BN, left, right, divergence("conv"))

    assert [(cause.name, cause.explains_first) for cause in causes] == [
        ("unexplained", True),
        ("batch_norm_eps_replaced", False),
    ]


def test_a_chain_that_one_program_does_not_fuse() -> None:
    chain = layout(site("x"), site("conv", "x", op="Conv2d"), site("relu", "conv", op="ReLU"))
    left = sight("left", {"conv": ONE}, {"relu": ONE})
    right = sight("right", {"conv": ONE}, {"conv": ONE, "relu": ONE})
    (cause,) = causes_of(chain, left, right, divergence("conv", "quantized"))

    assert (cause.name, cause.kind, cause.pipeline) == ("not_fused", "one_pipeline", "right")
    assert cause.sentence == "left quantizes conv, relu as one, but right also quantizes between them"


def test_a_layer_that_one_program_leaves_in_float() -> None:
    chain = layout(site("x"), site("pool", "x", op="AvgPool2d"))
    left, right = sight("left", {"pool": ONE}), sight("right", {"pool": ONE}, {"x": ONE, "pool": ONE})
    (cause,) = causes_of(chain, left, right, divergence("pool"))

    assert (cause.name, cause.pipeline) == ("left_unquantized", "left")
    assert cause.sentence == "left leaves pool (AvgPool2d) in float, but right quantizes it"
    assert cause.evidence == ("right at prepare quantizes its input x, its output; left does not",)


def test_a_layer_of_which_one_program_quantizes_all_but_the_output_is_not_left_in_float() -> None:
    chain = layout(site("x"), site("conv", "x", op="Conv2d"))
    both = {"x": measured(), "conv.weight": measured()}
    left = sight("left", {"conv": ONE}, {"x": ONE}, tensors=both)
    right = sight("right", {"conv": ONE}, {"x": ONE, "conv": ONE}, tensors=both)
    (cause,) = causes_of(chain, left, right, divergence("conv", "quantized"))

    assert (cause.name, cause.pipeline) == ("left_unquantized", "left")
    assert cause.sentence == "left does not quantize the output of conv (Conv2d), but right does"


def test_a_layer_that_a_program_has_no_trace_of_is_not_left_in_float() -> None:
    chain = layout(site("x"), site("norm", "x"), site("conv", "norm", op="Conv2d"))
    right = sight("right", {"norm": ONE, "conv": ONE}, {"norm": ONE})
    (cause,) = causes_of(chain, sight("left", {"conv": ONE}), right, divergence("norm"))

    assert cause.name == "unexplained"


def test_layers_in_a_graph_inside_the_graph_are_named_with_the_op_that_runs_it() -> None:
    chain = layout(site("x"), site("conv", "x", op="Conv2d"), site("relu", "conv", op="ReLU"))
    left = sight("left", {"relu": ONE}, nested=dict.fromkeys(("conv", "relu"), "wrap_with_set_grad_enabled"))
    right = sight("right", {"relu": ONE}, {"x": ONE, "relu": ONE}, tensors={"conv.weight": measured()})
    (cause,) = causes_of(chain, left, right, divergence("relu"))

    assert (cause.name, cause.kind, cause.pipeline) == ("nested_graph", "one_pipeline", "left")
    assert cause.sentence == (
        "left puts conv and relu into a subgraph (wrap_with_set_grad_enabled), where it quantizes nothing"
    )


def test_a_layer_that_draws_random_numbers_after_conversion() -> None:
    chain = layout(site("x"), site("drop", "x", op="Dropout2d"))
    left = sight("left", {"drop": ONE}, random={"drop": "aten.feature_dropout (feature_dropout)"})
    (cause,) = causes_of(chain, left, sight("right", {"drop": ONE}), divergence("drop"), at="convert")

    assert (cause.name, cause.kind, cause.pipeline) == ("left_random", "defect", "left")
    assert cause.sentence == "left leaves drop (Dropout2d) random after conversion"


@pytest.mark.parametrize("follower", ["ReLU", "BatchNorm2d"])
def test_a_module_that_is_fused_with_what_follows_one_of_its_calls(follower: str) -> None:
    twice = layout(
        site("x"),
        site("conv", "x", op="Conv2d"),
        site("next", "conv", op=follower),
        site("conv@2", "next", op="Conv2d"),
    )
    calls = {"conv": ("conv", "conv@2")}
    right = sight("right", {"next": ONE, "conv@2": ONE}, fused={"next": ("conv",)}, modules=calls)
    (cause,) = causes_of(twice, sight("left", {}), right, divergence("conv@2"))

    assert (cause.name, cause.kind, cause.pipeline) == ("fused_for_all_calls", "defect", "right")
    assert cause.sentence == "right fuses conv@2 with next, but the float model computes next only after conv"


def test_a_batch_norm_that_is_folded_into_a_layer_that_is_read_elsewhere() -> None:
    both = layout(*CONV_BN.sites.values(), site("add", "bn", "conv", op="add"))
    left = sight("left", {"conv": 2 * ONE, "add": ONE})
    right = sight("right", {"conv": ONE, "bn": ONE, "add": ONE}, norms={"bn": norm(training=False)})
    (cause,) = causes_of(both, left, right, divergence("conv"))

    assert (cause.name, cause.kind, cause.pipeline) == ("folded_though_read", "defect", "left")
    assert cause.sentence == "left folds bn into conv, whose output without bn is also read by add"


def test_a_batch_norm_that_has_no_layer_before_it_is_not_called_unfolded() -> None:
    alone = layout(site("x"), site("bn", "x", op="BatchNorm2d", momentum=0.1), site("relu", "bn", op="ReLU"))
    left = sight("left", {"bn": ONE, "relu": ONE}, norms={"bn": norm(training=False)})
    right = sight("right", {"relu": ONE}, fused={"relu": ("bn",)})
    (cause,) = causes_of(alone, left, right, divergence("relu"), at="convert")

    assert cause.name == "unexplained"


def test_a_batch_norm_that_no_annotated_chain_has_is_no_fault_of_the_pipeline_that_keeps_it() -> None:
    kept = sight("left", {"bn": ONE}, norms={"bn": norm(training=False)})
    folded = sight("right", {"bn": ONE}, fused={"bn": ("conv",)})
    first = replace(divergence("bn"), at="prepare")
    (cause,) = find_causes(
        Facts(
            names=("left", "right"),
            layout=CONV_BN,
            points={at: PointDiagnosis(at=at, first=replace(first, at=at)) for at in ("prepare", "convert")},
            sights={"prepare": (kept, folded), "convert": (kept, folded)},
            first=first,
            annotated=frozenset({"conv_relu"}),
        )
    )

    assert (cause.name, cause.kind, cause.pipeline) == ("fusion_not_declared", "by_design", None)
    assert cause.evidence[0] == "annotate: conv_relu"


def test_an_input_that_is_quantized_inside_the_layer_is_not_left_in_float() -> None:
    chain = layout(site("x"), site("conv", "x", op="Conv2d"))
    left = sight("left", {"conv": ONE}, tensors={"conv.input": measured()})
    (cause,) = causes_of(chain, left, sight("right", {"conv": ONE}, {"x": ONE}), divergence("conv"))

    assert cause.name == "unexplained"


def test_parameters_that_one_program_shares_with_the_input() -> None:
    chain = layout(site("x"), site("add", "x", op="add"))
    shared = {"x": measured(0.1, shared=1), "add": measured(0.1, shared=1)}
    own = {"x": measured(0.1, shared=2), "add": measured(0.1, -100, shared=3)}
    left = sight("left", {}, {"x": ONE, "add": ONE}, tensors=own)
    right = sight("right", {}, {"x": ONE, "add": ONE}, tensors=shared)
    (cause,) = causes_of(chain, left, right, divergence("add", "quantized"))

    assert (cause.name, cause.kind, cause.pipeline) == ("shared_parameters", "by_design", "right")
    assert "zero point -100" in cause.evidence[1]


def test_parameters_that_a_layer_has_in_common_with_several_inputs_explain_each_of_them() -> None:
    chain = layout(site("x"), site("a", "x"), site("b", "x"), site("stack", "a", "b", op="stack"))
    values = dict.fromkeys(("a", "b", "stack"), ONE)
    one = dict.fromkeys(("a", "b", "stack"), measured(0.1, shared=1))
    right = sight("right", values, values, tensors=one)
    left = sight("left", values, {"a": ONE, "b": ONE}, tensors={"a": measured(0.1), "b": measured(0.2)})
    cause = next(cause for cause in causes_of(chain, left, right, divergence("b", "quantized")) if cause.explains_first)

    assert (cause.name, cause.pipeline) == ("shared_parameters", "right")
    assert cause.sentence == "right quantizes the output of stack with the parameters of its inputs a and b"


def test_parameters_in_common_that_move_no_scale_are_no_cause() -> None:
    chain = layout(site("x"), site("relu", "x", op="ReLU"))
    values = {"x": ONE, "relu": ONE}
    right = sight("right", values, values, tensors=dict.fromkeys(values, measured(0.1, shared=1)))
    left = sight("left", values, {"x": ONE}, tensors={"x": measured(0.1)})
    causes = causes_of(chain, left, right, divergence("relu", "quantized"))

    assert [cause.name for cause in causes if cause.explains_first] == ["left_unquantized"]
    assert "shared_parameters" not in {cause.name for cause in causes}


def test_a_value_that_one_program_quantizes_for_others_alone() -> None:
    chain = layout(site("x"), site("bn", "x", op="BatchNorm2d"), site("cat", "x", "bn", op="cat"))
    values = {"x": ONE, "bn": ONE, "cat": ONE}
    left = sight("left", values, {"x": ONE}, raw_reads={("x", "bn")})
    (cause,) = causes_of(chain, left, sight("right", values, {"x": ONE}), divergence("bn"))

    assert (cause.name, cause.kind, cause.pipeline) == ("read_unquantized", "one_pipeline", "left")
    assert (
        cause.sentence
        == "left computes bn (BatchNorm2d) from the float values of x, but right from the quantized values"
    )


def test_a_padding_mode_that_a_module_never_reads() -> None:
    chain = layout(site("x"), site("conv", "x", op="Conv2d", padding_mode="reflect"))
    right = sight("right", {}, unpadded={"conv": "reference.Conv2d"})
    (cause,) = causes_of(chain, sight("left", {}), right, divergence("conv"))

    assert (cause.name, cause.kind, cause.pipeline) == ("padding_mode_ignored", "defect", "right")


def test_one_batch_norm_for_two() -> None:
    twice = layout(
        site("x"),
        site("conv", "x", op="Conv2d"),
        site("b1", "conv", op="BatchNorm2d", momentum=0.1),
        site("conv@2", "b1", op="Conv2d"),
        site("b2", "conv@2", op="BatchNorm2d", momentum=0.1),
    )
    right = sight("right", {}, fused={"b1": ("conv",), "b2": ("conv@2",)}, modules={"conv": ("conv", "conv@2")})
    (cause,) = causes_of(twice, sight("left", {}), right, divergence("conv@2"))

    assert (cause.name, cause.kind, cause.pipeline) == ("one_batch_norm_for_two", "defect", "right")


def test_a_batch_norm_that_one_converted_program_keeps() -> None:
    left = sight("left", {"bn": ONE}, norms={"bn": norm(training=False)})
    right = sight("right", {}, fused={"bn": ("conv",)})
    (cause,) = causes_of(CONV_BN, left, right, divergence("bn"), at="convert")

    assert (cause.name, cause.kind, cause.pipeline) == ("batch_norm_not_folded", "one_pipeline", "left")


def in_a_row(*ops: str) -> Layout:
    """Layers named by their places, of which batch norms have what tells them."""
    facts = [{"momentum": 0.1} if op.startswith("BatchNorm") else {} for op in ops]
    names = [str(place) for place in range(len(ops))]
    sites = (site(name, before, op=op, **known) for name, before, op, known in zip(names, ["x", *names], ops, facts))
    return layout(site("x"), *sites)


@pytest.mark.parametrize(
    ("ops", "rank", "told"),
    [
        pytest.param(
            ("Conv2d", "BatchNorm2d"), 4, ["neither left nor right folds 1 into 0"], id="behind a convolution"
        ),
        pytest.param(
            ("Conv2d", "BatchNorm2d", "BatchNorm2d"), 4, ["neither left nor right folds 2 into 0"], id="second"
        ),
        pytest.param(
            ("Linear", "BatchNorm1d"), 2, ["neither left nor right folds 1 into 0"], id="behind a linear layer"
        ),
        pytest.param(("Linear", "BatchNorm1d"), 3, [], id="on another axis than the linear layer"),
        pytest.param(("ReLU", "BatchNorm2d"), 4, [], id="behind a ReLU"),
        pytest.param(("BatchNorm2d",), 4, [], id="behind nothing"),
    ],
)
def test_a_batch_norm_that_both_keep_is_told_though_they_agree(
    ops: tuple[str, ...], rank: int, told: list[str]
) -> None:
    last = str(len(ops) - 1)
    sides = [
        sight(name, {last: torch.ones((2,) * rank)}, norms={last: norm(training=False)}) for name in ("left", "right")
    ]
    facts = Facts(
        names=("left", "right"), layout=in_a_row(*ops), points={}, sights={"convert": (sides[0], sides[1])}, first=None
    )

    assert [cause.sentence for cause in find_causes(facts)] == told


def test_a_batch_norm_whose_layer_is_read_elsewhere_too_has_to_stay() -> None:
    read = layout(
        site("x"), site("conv", "x", op="Conv2d"), site("bn", "conv", op="BatchNorm2d", momentum=0.1), site("y", "conv")
    )
    sides = [sight(name, {"bn": ONE}, norms={"bn": norm(training=False)}) for name in ("left", "right")]
    facts = Facts(names=("left", "right"), layout=read, points={}, sights={"convert": (sides[0], sides[1])}, first=None)

    assert find_causes(facts) == ()


def test_a_batch_norm_that_stays_in_training_after_conversion() -> None:
    left = sight("left", {"bn": ONE}, norms={"bn": norm(training=True)})
    right = sight("right", {"bn": ONE}, norms={"bn": norm(training=False)})
    (cause,) = causes_of(CONV_BN, left, right, divergence("bn"), at="convert")

    assert (cause.name, cause.kind, cause.pipeline) == ("batch_norm_left_in_training", "defect", "left")


def test_tensors_that_are_configured_differently_in_one_way_are_one_cause() -> None:
    rows = tuple(
        ParameterRow(
            tensor=tensor,
            status="differs",
            left=Parameters(node="a", observer="MinMaxObserver"),
            right=Parameters(node="b", observer="HistogramObserver"),
            differing=("observer", "scale"),
        )
        for tensor in ("conv", "bn")
    )
    (cause,) = causes_of(CONV_BN, sight("left", {}), sight("right", {}), divergence("bn", "quantized"), rows=rows)

    assert (cause.name, cause.kind, cause.pipeline) == ("different_specification", "by_design", None)
    assert cause.evidence == ("observer at prepare: left MinMaxObserver, right HistogramObserver",)


@pytest.mark.parametrize(
    ("setting", "values", "moved"),
    [
        pytest.param("eps", (2.0**-12, 2.0**-23), (), id="eps_and_equal_scales"),
        pytest.param("eps", (2.0**-12, 2.0**-23), ("scale",), id="eps_below_both_scales"),
        pytest.param("observer", ("MinMaxObserver", "HistogramObserver"), (), id="observers_that_agree"),
    ],
)
def test_settings_that_made_no_difference_are_no_cause(
    setting: str, values: tuple[object, object], moved: tuple[str, ...]
) -> None:
    left, right = (Parameters(node="a", scale_min=0.1, **{setting: value}) for value in values)  # type: ignore[arg-type]  # any setting
    row = ParameterRow(tensor="conv.weight", status="differs", left=left, right=right, differing=(setting, *moved))
    (cause,) = causes_of(CONV_BN, sight("left", {}), sight("right", {}), divergence("conv"), rows=(row,))

    assert cause.name == "unexplained"


def test_an_eps_that_bounds_a_scale_is_a_cause() -> None:
    left, right = (
        Parameters(node="a", eps=eps, scale_min=scale) for eps, scale in ((2.0**-12, 2.0**-12), (2.0**-23, 1e-5))
    )
    row = ParameterRow(tensor="conv.weight", status="differs", left=left, right=right, differing=("eps", "scale"))
    (cause,) = causes_of(CONV_BN, sight("left", {}), sight("right", {}), divergence("conv"), rows=(row,))

    assert cause.name == "different_specification"


def test_a_weight_that_one_program_trains_in_float() -> None:
    faked = replace(measured(), faked=True)
    deferred = replace(measured(), deferred=True)
    left = sight("left", {}, tensors={"conv.weight": faked})
    right = sight("right", {}, tensors={"conv.weight": deferred})
    (cause,) = causes_of(CONV_BN, left, right, divergence("conv"))

    assert (cause.name, cause.pipeline) == ("weight_not_trained", "right")


def test_programs_that_do_not_differ_have_no_cause() -> None:
    facts = Facts(names=("left", "right"), layout=CONV_BN, points={}, sights={}, first=None)

    assert find_causes(facts) == ()
