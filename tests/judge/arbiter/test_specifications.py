"""Scales that ranges may have, against torch's own observers, and what is not as observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.ao.quantization import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    PerChannelMinMaxObserver,
)

from qatrix.judge.arbiter.specifications import Range, Specified, observed_faults, scales_of, weight_faults
from qatrix.judge.diagnosis.parameters import Measured, of_observer
from support.sights import measured

pytestmark = pytest.mark.torch

INT8: dict[str, Any] = {"dtype": torch.qint8, "quant_min": -128, "quant_max": 127}
NARROW: dict[str, Any] = {"dtype": torch.qint8, "quant_min": -127, "quant_max": 127}
UINT8: dict[str, Any] = {"dtype": torch.quint8, "quant_min": 0, "quant_max": 255}
FOUR_BITS: dict[str, Any] = {"dtype": torch.qint8, "quant_min": -8, "quant_max": 7}
PER_TENSOR = ["per_tensor_affine", "per_tensor_symmetric"]
PER_CHANNEL = ["per_channel_affine", "per_channel_symmetric"]
VALUES = {
    "both signs": [[-1.0, 2.0], [-3.0, 0.5]],
    "more below zero": [[-5.0, 1.0], [-2.0, 1.0]],
    "positive": [[1.0, 2.0], [3.0, 0.5]],
    "negative": [[-1.0, -2.0], [-3.0, -0.5]],
    "zeros": [[0.0, 0.0], [0.0, 0.0]],
    "tiny": [[-1e-30, 1e-30], [1e-30, 1e-30]],
    "small": [[-1e-4, 1e-3], [2e-4, 1e-5]],
    "huge": [[-1e30, 1e30], [1e29, 1e30]],
}


def values(name: str) -> Tensor:
    return torch.tensor(VALUES[name])


def seen_by(module: Any, value: Tensor) -> tuple[Measured, Range]:
    """What an observer or a fake quantize says once it has seen a tensor, and that tensor's range."""
    module(value)
    said = of_observer(module)
    seen = Range.of(value, said.parameters.ch_axis)
    assert seen is not None
    return said, seen


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("integers", [INT8, NARROW, UINT8, FOUR_BITS], ids=["int8", "narrow", "uint8", "4 bits"])
@pytest.mark.parametrize("qscheme", PER_TENSOR)
@pytest.mark.parametrize("kind", [MinMaxObserver, MovingAverageMinMaxObserver])
def test_the_scale_of_an_observer_is_the_only_one_of_its_range(
    kind: Callable[..., Any], qscheme: str, integers: dict[str, Any], name: str
) -> None:
    said, seen = seen_by(kind(qscheme=getattr(torch, qscheme), **integers), values(name))
    (scale,) = scales_of(said.parameters, seen)

    torch.testing.assert_close(scale, said.scale, rtol=1e-5, atol=0)
    assert list(observed_faults(said, seen)) == []


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("qscheme", PER_CHANNEL)
@pytest.mark.parametrize("kind", [PerChannelMinMaxObserver, MovingAveragePerChannelMinMaxObserver])
def test_an_observer_per_channel_has_one_scale_for_each(
    kind: Callable[..., Any], qscheme: str, axis: int, name: str
) -> None:
    said, seen = seen_by(kind(qscheme=getattr(torch, qscheme), ch_axis=axis, **INT8), values(name))
    (scale,) = scales_of(said.parameters, seen)

    assert scale.shape == (2,)
    torch.testing.assert_close(scale, said.scale, rtol=1e-5, atol=0)
    assert list(observed_faults(said, seen)) == []


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("integers", [INT8, NARROW, UINT8, FOUR_BITS], ids=["int8", "narrow", "uint8", "4 bits"])
@pytest.mark.parametrize("qscheme", [*PER_TENSOR, *PER_CHANNEL])
def test_the_scale_of_the_fused_kernel_is_the_second_of_its_range(
    qscheme: str, integers: dict[str, Any], name: str
) -> None:
    is_per_channel = qscheme.startswith("per_channel")
    observer = MovingAveragePerChannelMinMaxObserver if is_per_channel else MovingAverageMinMaxObserver
    module = FusedMovingAvgObsFakeQuantize(observer=observer, qscheme=getattr(torch, qscheme), **integers)
    said, seen = seen_by(module, values(name))
    _, fused = scales_of(said.parameters, seen)

    torch.testing.assert_close(fused, said.scale, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("integers", [INT8, NARROW, UINT8, FOUR_BITS], ids=["int8", "narrow", "uint8", "4 bits"])
@pytest.mark.parametrize("qscheme", PER_TENSOR)
def test_a_fused_fake_quantize_is_held_against_either_formula(
    qscheme: str, integers: dict[str, Any], name: str
) -> None:
    module = FusedMovingAvgObsFakeQuantize(
        observer=MovingAverageMinMaxObserver, qscheme=getattr(torch, qscheme), **integers
    )
    said, seen = seen_by(module, values(name))

    assert list(observed_faults(said, seen)) == []


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_torch_s_two_formulas_differ_by_a_factor_of_two_for_one_sign(sign: float) -> None:
    module = FusedMovingAvgObsFakeQuantize(
        observer=MovingAverageMinMaxObserver, qscheme=torch.per_tensor_symmetric, **INT8
    )
    said, seen = seen_by(module, sign * torch.tensor([1.0, 2.0]))
    observed, fused = scales_of(said.parameters, seen)

    # 2 * 2 / 255 of an observer, and 2 / 255 of the kernel.
    torch.testing.assert_close(observed / fused, torch.tensor([2.0], dtype=torch.float64))


def test_a_fake_quantize_that_is_not_fused_computes_as_observers_do() -> None:
    kind: Any = FakeQuantize
    module = kind(MovingAverageMinMaxObserver, qscheme=torch.per_tensor_symmetric, **INT8)
    said, seen = seen_by(module, torch.tensor([1.0, 2.0]))

    assert len(scales_of(said.parameters, seen)) == 1
    assert list(observed_faults(said, seen)) == []


def test_a_range_that_is_not_known_has_no_scales() -> None:
    seen = Range.of(torch.ones(2), None)
    assert seen is not None

    assert scales_of(measured(quant_min=None).parameters, seen) == ()


@pytest.mark.parametrize("value", [torch.zeros(0), torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")])])
def test_what_is_empty_or_not_finite_has_no_range(value: Tensor) -> None:
    assert Range.of(value, None) is None


def test_a_range_per_channel_is_that_of_each() -> None:
    seen = Range.of(torch.tensor([[1.0, -2.0, 0.0], [4.0, 5.0, 6.0]]), 0)

    assert seen is not None
    assert (seen.low.tolist(), seen.high.tolist()) == ([-2.0, 4.0], [1.0, 6.0])


def affine(scale: float, zero_point: int, **settings: Any) -> Measured:
    known: dict[str, Any] = {
        "type": "MinMaxObserver",
        "observer": "MinMaxObserver",
        "qscheme": "per_tensor_affine",
        "eps": 1e-9,
    }
    return measured(scale, zero_point, **(known | settings))


def symmetric(scale: float, zero_point: int = 0, **settings: Any) -> Measured:
    return affine(scale, zero_point, **({"qscheme": "per_tensor_symmetric"} | settings))


def span(low: float, high: float) -> Range:
    seen = Range.of(torch.tensor([low, high], dtype=torch.float64), None)
    assert seen is not None
    return seen


# From -1 to 4.1 in 255 steps: 0.02 each, and 50 of them are below zero, so that the least integer, -128, is 50 below.
SEEN = span(-1.0, 4.1)


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        pytest.param(affine(0.02, -78), [], id="as seen"),
        pytest.param(
            affine(0.02, -77),
            [("zero point", "its observer gives a zero point of -77, which does not fit the observed range")],
            id="another zero point",
        ),
        pytest.param(
            affine(0.04, -78),
            [("scale", "its observer gives a scale of 0.04, but the observed range gives 0.02")],
            id="another scale",
        ),
        pytest.param(affine(0.04, -78, observer="HistogramObserver"), [], id="an observer that searches"),
        pytest.param(affine(float("nan"), -78), [], id="NaN"),
    ],
)
def test_an_observer_is_held_against_what_it_has_seen_first(said: Measured, faults: list[tuple[str, str]]) -> None:
    assert list(observed_faults(said, SEEN)) == faults


def test_the_scale_of_a_converted_weight_is_that_of_its_range() -> None:
    # 2 * 5.1 / 255.
    assert list(weight_faults(None, symmetric(0.04), span(-1.0, 5.1))) == []


def test_a_converted_weight_with_another_scale_is_a_fault() -> None:
    assert list(weight_faults(None, symmetric(0.05), span(-1.0, 5.1))) == [
        ("scale", "its scale is 0.05, but its range gives 0.04")
    ]


@pytest.mark.parametrize(("scale", "faulty"), [(0.04, False), (0.05, True), (0.06, False), (0.07, True)])
def test_convert_takes_what_was_observed_or_what_its_weight_gives(scale: float, faulty: bool) -> None:
    found = list(weight_faults(symmetric(0.06), symmetric(scale), span(-1.0, 5.1)))

    assert bool(found) is faulty


def test_a_symmetric_weight_of_signed_integers_has_the_zero_point_zero() -> None:
    assert list(weight_faults(None, symmetric(0.04, 1), span(-1.0, 5.1))) == [
        ("zero point", "its zero point is 1, although its range is symmetric")
    ]


@pytest.mark.parametrize("zero_point", [127, 128])
def test_that_of_unsigned_integers_lies_in_the_middle(zero_point: int) -> None:
    made = symmetric(0.04, zero_point, dtype="uint8", quant_min=0, quant_max=255)

    assert list(weight_faults(None, made, span(-1.0, 5.1))) == []


def test_training_may_simulate_half_the_scale_that_convert_gives_a_weight_of_one_sign() -> None:
    module = FusedMovingAvgObsFakeQuantize(
        observer=MovingAverageMinMaxObserver, qscheme=torch.per_tensor_symmetric, **NARROW
    )
    said, seen = seen_by(module, torch.tensor([1.0, 2.54]))
    converted = symmetric(0.02, quant_min=-127)
    assert said.scale is not None

    assert float(said.scale) == pytest.approx(0.01)
    assert list(weight_faults(said, converted, seen)) == []


def test_what_is_converted_as_observed_is_no_fault() -> None:
    said = {"x": measured(0.1, 3), "conv.weight": measured(0.2)}

    assert list(Specified(tensors=said).faults(Specified(tensors=said))) == []


@pytest.mark.parametrize(
    ("made", "quantity", "sentence"),
    [
        pytest.param(measured(0.2, 3), "scale", "its scale is 0.2, but 0.1 was observed", id="scale"),
        pytest.param(measured(0.1, 4), "zero point", "its zero point is 4, but 3 was observed", id="zero point"),
        pytest.param(
            measured(0.1, 3, dtype="uint8"), "dtype", "its dtype is uint8, but int8 was specified", id="dtype"
        ),
        pytest.param(
            measured(0.1, 3, quant_min=-127),
            "range",
            "its range's least integer is -127, but -128 was specified",
            id="least",
        ),
        pytest.param(
            measured(0.1, 3, quant_max=7),
            "range",
            "its range's greatest integer is 7, but 127 was specified",
            id="greatest",
        ),
        pytest.param(
            replace(measured(0.1, 3), scale=torch.tensor([0.1, 0.1]), zero_point=torch.tensor([3, 3])),
            "axis",
            "it has 2 scales, but 1 scale was observed",
            id="count",
        ),
    ],
)
def test_what_is_converted_otherwise_is_named_with_both_values(made: Measured, quantity: str, sentence: str) -> None:
    said = Specified(tensors={"x": measured(0.1, 3)})

    assert list(said.faults(Specified(tensors={"x": made}))) == [("x", quantity, sentence)]


def test_the_axis_of_channels_is_a_setting_like_others() -> None:
    said = Specified(tensors={"conv.weight": measured(ch_axis=0)})

    assert list(said.faults(Specified(tensors={"conv.weight": measured(ch_axis=1)}))) == [
        ("conv.weight", "axis", "its axis of channels is 1, but 0 was specified")
    ]


def test_the_scales_of_weights_are_left_to_their_own_comparison() -> None:
    said = Specified(tensors={"conv.weight": measured(0.1)})

    assert list(said.faults(Specified(tensors={"conv.weight": measured(0.2)}))) == []


def test_what_nothing_has_observed_is_not_to_be_quantized() -> None:
    assert list(Specified(tensors={}).faults(Specified(tensors={"x": measured()}))) == [
        ("x", "quantization", "it is quantized, although nothing has observed it")
    ]


def test_what_was_observed_is_to_be_quantized() -> None:
    assert list(Specified(tensors={"x": measured()}).faults(Specified(tensors={}))) == [
        ("x", "quantization", "it was observed, but it is left in float")
    ]


def test_a_tensor_is_not_to_be_quantized_more_often_in_a_row_than_it_was_observed() -> None:
    said, made = Specified(tensors={"x": measured()}), Specified(tensors={"x": measured()}, depths={"x": 2})

    assert list(said.faults(made)) == [("x", "quantization", "it is quantized 2 times in a row")]
    assert list(made.faults(made)) == []


def test_where_nothing_finite_was_observed_nothing_is_demanded() -> None:
    said = Specified(tensors={"x": measured(float("nan"), 3)})

    assert list(said.faults(Specified(tensors={"x": measured(0.1, 4)}))) == []
