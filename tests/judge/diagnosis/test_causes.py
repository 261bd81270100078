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
    assert cause.sentence == "left quantizes conv, relu as one, right quantizes in between"


def test_a_layer_that_one_program_leaves_in_float() -> None:
    chain = layout(site("x"), site("pool", "x", op="AvgPool2d"))
    left, right = sight("left", {}), sight("right", {"pool": ONE}, {"x": ONE, "pool": ONE})
    (cause,) = causes_of(chain, left, right, divergence("pool"))

    assert (cause.name, cause.pipeline) == ("left_unquantized", "left")
    assert cause.evidence == ("right at prepare quantizes its input x, its output; left does not",)


def test_an_input_that_is_quantized_inside_the_layer_is_not_left_in_float() -> None:
    chain = layout(site("x"), site("conv", "x", op="Conv2d"))
    left = sight("left", {}, tensors={"conv.input": measured()})
    (cause,) = causes_of(chain, left, sight("right", {}, {"x": ONE}), divergence("conv"))

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
