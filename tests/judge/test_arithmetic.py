"""Integer arithmetic in the place of quantize and dequantize ops, recognised by its ops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.judge.graphs import count_ops, integer_ops, output_steps, quantized_weights
from qatrix.judge.graphs.arithmetic import scale_of

pytestmark = pytest.mark.torch
SCALE = 0.125


def quantized(x: Tensor) -> Tensor:
    """The integers of a tensor, as convert_pt2e writes it."""
    rounded = torch.round(x / SCALE).to(torch.int32) + 3
    return torch.clamp(rounded, -128, 127).to(torch.int8)


def dequantized(codes: Tensor) -> Tensor:
    """What integers stand for, as convert_pt2e writes it."""
    return ((torch.clamp(codes, -128, 127).to(torch.float32) - 3) * SCALE).to(torch.float32)


class Rounded(nn.Module):
    """A tensor there and back."""

    def forward(self, x: Tensor) -> Tensor:
        """What is left of the input."""
        return dequantized(quantized(x))


class Clamped(nn.Module):
    """The ops of rounding without integers."""

    def forward(self, x: Tensor) -> Tensor:
        """A clamp, a difference and a product, all in float."""
        return (torch.clamp(x, -1, 1).to(torch.float32) - 3) * SCALE


class Layer(nn.Module):
    """A linear layer whose weight and input are dequantized by arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Buffer(torch.ones(3, 4, dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, in float."""
        return nn.functional.linear(dequantized(quantized(x)), dequantized(self.codes))


def program(model: nn.Module) -> fx.GraphModule:
    made = torch.export.export(model, (torch.randn(2, 4),), strict=True).module()
    assert isinstance(made, fx.GraphModule)
    return made


def test_what_arithmetic_rounds_is_counted_and_is_no_quantize_op() -> None:
    rounded = program(Rounded())

    assert integer_ops(rounded) == 1
    assert (count_ops(rounded).quantize, count_ops(rounded).dequantize) == (0, 0)
    assert output_steps(rounded) == [SCALE]


def test_arithmetic_in_float_is_none_of_integers() -> None:
    clamped = program(Clamped())

    assert integer_ops(clamped) == 0
    assert output_steps(clamped) == [None]


def test_a_layer_whose_weight_is_dequantized_by_arithmetic_has_a_quantized_weight() -> None:
    layer = program(Layer())
    linear = next(node for node in layer.graph.nodes if "linear" in str(node.target))

    assert quantized_weights(layer) == 1
    assert [scale_of(source) for source in linear.args[:2]] == [SCALE, SCALE]
