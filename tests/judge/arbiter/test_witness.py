"""A program that is watched: what it computes, rounds and observes, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.judge.arbiter import Deviation
from support.watched import IMAGE, ConvBnRelu, deviations, drawn

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

Change = Callable[[Any], object]
QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default


def told(found: tuple[Deviation, ...]) -> set[tuple[str, str, str]]:
    """Where and in which quantity something is not as specified."""
    return {(item.at, item.layer, item.quantity) for item in found}


def nodes_of(program: fx.GraphModule, target: object) -> list[fx.Node]:
    return [node for node in program.graph.nodes if node.target == target]


def rewritten(*places: int, by: Callable[[Any], Any]) -> Change:
    """Changes arguments of the last quantize op and of the dequantize op that reads it."""

    def change(program: fx.GraphModule) -> None:
        quantize = nodes_of(program, QUANTIZE)[-1]
        for node in (quantize, *quantize.users):
            node.args = tuple(by(value) if place in places else value for place, value in enumerate(node.args))
        program.recompile()

    return change


def dequantized_otherwise(program: fx.GraphModule) -> None:
    """Has the last dequantize op take another zero point than the op that quantizes."""
    (dequantize,) = nodes_of(program, QUANTIZE)[-1].users
    dequantize.args = tuple(value + 1 if place == 2 else value for place, value in enumerate(dequantize.args))  # type: ignore[operator]  # a number
    program.recompile()


def left_in_float(program: fx.GraphModule) -> None:
    """Takes out the last quantize op and the dequantize op that reads it."""
    quantize = nodes_of(program, QUANTIZE)[-1]
    source, (dequantize,) = quantize.args[0], tuple(quantize.users)
    assert isinstance(source, fx.Node)
    dequantize.replace_all_uses_with(source)
    program.graph.erase_node(dequantize)
    program.graph.erase_node(quantize)
    program.recompile()


def half_a_step(program: Any) -> None:
    """Has a fake quantize give what lies between two integers."""
    program.activation_post_process_0.register_forward_hook(lambda module, _, value: value + module.scale / 2)


def without_relu(program: Any) -> None:
    program.conv[1] = nn.Identity()


def without_bias(program: Any) -> None:
    program.conv[0].bias.data.zero_()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(rewritten(1, by=lambda scale: scale * 1.1), ("relu", "scale"), id="scale"),
        pytest.param(rewritten(2, by=lambda zero_point: zero_point + 1), ("relu", "zero point"), id="zero point"),
        pytest.param(rewritten(3, by=lambda least: least + 1), ("relu", "range"), id="least integer"),
        pytest.param(rewritten(4, by=lambda greatest: greatest - 1), ("relu", "range"), id="greatest integer"),
        pytest.param(dequantized_otherwise, ("relu", "zero point"), id="dequantized otherwise"),
        pytest.param(left_in_float, ("relu", "quantization"), id="left in float"),
        pytest.param(without_relu, ("relu", "value"), id="relu lost"),
        pytest.param(without_bias, ("relu", "bias"), id="bias lost"),
    ],
)
@pytest.mark.parametrize("trains", [False, True])
def test_what_is_wrong_with_a_converted_program_is_told_of_the_layer_and_the_quantity(
    change: Change, found: tuple[str, str], trains: bool
) -> None:
    assert told(deviations(ConvBnRelu(), IMAGE, trains=trains, converted=change)) == {("convert", *found)}


def greater_eps(program: Any) -> None:
    program.conv.bn.eps = 0.1


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(half_a_step, ("prepare", "x", "rounding"), id="rounding"),
        pytest.param(greater_eps, ("prepare", "relu", "value"), id="eps"),
    ],
)
def test_what_is_wrong_with_a_program_that_trains_is_told_after_prepare(
    change: Change, found: tuple[str, str, str]
) -> None:
    assert found in told(deviations(ConvBnRelu(), IMAGE, trains=True, prepared=change))


class Chain(nn.Module):
    """Three linear layers, one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        for number, tensor in enumerate(self.parameters()):
            tensor.data.copy_(drawn(*tensor.shape, seed=number))

    def forward(self, x: Tensor) -> Tensor:
        """The third's value."""
        y: Tensor = self.third(self.second(self.first(x)))
        return y


VECTORS = drawn(5, 4)


@pytest.mark.parametrize("layer", ["first", "second", "third"])
@pytest.mark.parametrize("trains", [False, True])
def test_what_one_layer_does_wrong_is_not_told_of_the_next(layer: str, trains: bool) -> None:
    def shift(program: Any) -> None:
        getattr(program, layer).bias.data.add_(1)

    found = deviations(Chain(), VECTORS, trains=trains, converted=shift)

    assert told(found) == {("convert", layer, "bias")}


def test_a_program_that_gives_another_shape_says_so() -> None:
    def repeated(program: Any) -> None:
        program.third.register_forward_hook(lambda _module, _given, value: torch.cat([value, value]))

    assert told(deviations(Chain(), VECTORS, prepared=repeated)) >= {("prepare", "third", "shape")}


class Subtracting(nn.Module):
    """Nearly equal numbers that are subtracted, for which float32 is far from float64."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        for number, tensor in enumerate(self.parameters()):
            tensor.data.copy_(drawn(*tensor.shape, seed=number))

    def forward(self, x: Tensor) -> Tensor:
        """What float32 leaves of a value that a large number is added to and taken from."""
        return torch.var(self.linear(x) + 1e4, dim=0)


@pytest.mark.parametrize("trains", [False, True])
def test_float32_itself_is_no_fault_where_it_is_far_from_float64(trains: bool) -> None:
    assert deviations(Subtracting(), VECTORS, trains=trains) == ()


class Unusual(nn.Module):
    """A layer whose value is chosen by a test."""

    def __init__(self, value: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.value = value

    def forward(self, x: Tensor) -> object:
        """What the test wants of a linear layer's value."""
        return self.value(self.linear(x))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda y: y.argmax(1), id="integers"),
        pytest.param(lambda y: y > 0, id="booleans"),
        pytest.param(torch.fft.fft, id="complex numbers"),
        pytest.param(lambda y: y[:, :0], id="no numbers at all"),
        pytest.param(lambda y: y.chunk(2), id="several tensors"),
        pytest.param(lambda y: torch.log(-y.abs()), id="NaN"),
        pytest.param(lambda y: y * 1e30 * 1e30, id="infinite"),
        pytest.param(lambda y: nn.functional.dropout(y, 0.5, True), id="numbers that are drawn"),
        pytest.param(lambda y: {"a": y, "b": [y + 1, (y,)]}, id="a dictionary"),
        pytest.param(lambda y: y.relu_() + y, id="in place"),
    ],
)
def test_a_value_that_cannot_be_held_against_float64_is_no_fault(value: Callable[[Tensor], object]) -> None:
    assert {item for item in deviations(Unusual(value), VECTORS) if item.quantity in {"value", "shape"}} == set()
