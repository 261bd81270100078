"""Integer arithmetic that stands in the place of quantize and dequantize ops.

convert_pt2e writes it when it is told to use the reference representation:
torchao/quantization/pt2e/reference_representation_rewrite.py. A tensor is quantized by a clamp
and a cast to integers; it is dequantized by a clamp of integers, a zero point that is subtracted,
and a scale that it is multiplied with.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, fx, nn

from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import base_name, constant_value, op_name

_CASTS: Final = frozenset({"to", "_to_copy"})
# What stands between integers and the numbers that they stand for.
_DEQUANTIZING: Final = frozenset({"mul", "sub", "transpose", *_CASTS})
# What is computed of integers in a wider dtype; the first argument is the op.
_OF_INTEGERS: Final = "out_dtype"
_WITH_WEIGHT: Final = frozenset({"linear", "convolution"})


def integer_ops(program: nn.Module) -> int:
    """How many values of a program are rounded to integers by arithmetic, or computed of integers."""
    graphs = (part.graph for part in program.modules() if isinstance(part, fx.GraphModule))
    return sum(_makes_integers(node) or op_name(node) == _OF_INTEGERS for graph in graphs for node in graph.nodes)


def is_integer_layer(node: fx.Node) -> bool:
    """Whether a node is a linear layer or a convolution of integers, weight and input."""
    if op_name(node) != _OF_INTEGERS or not node.args:
        return False
    packet = getattr(node.args[0], "overloadpacket", None)
    return getattr(packet, "__name__", None) in _WITH_WEIGHT


def scale_of(node: object) -> object | None:
    """What a value is multiplied with that is dequantized by arithmetic, None where it is not."""
    scale = None
    while isinstance(node, fx.Node) and op_name(node) in _DEQUANTIZING:
        if op_name(node) == "mul" and scale is None:
            scale = operand(node, 1)
        node = operand(node, 0)
    if not isinstance(node, fx.Node) or op_name(node) != "clamp":
        return None
    return scale if _holds_integers(operand(node, 0)) else None


def _makes_integers(node: fx.Node) -> bool:
    if not _is_cast_to_integers(node):
        return False
    source = operand(node, 0)
    return isinstance(source, fx.Node) and op_name(source) == "clamp"


def _holds_integers(node: object) -> bool:
    if not isinstance(node, fx.Node):
        return False
    value = constant_value(node) if node.op == "get_attr" else None
    return _is_cast_to_integers(node) or (isinstance(value, Tensor) and _is_integer(value.dtype))


def _is_cast_to_integers(node: fx.Node) -> bool:
    if base_name(node) not in _CASTS:
        return False
    given = (*node.args[1:], *node.kwargs.values())
    return any(isinstance(item, torch.dtype) and _is_integer(item) for item in given)


def _is_integer(dtype: torch.dtype) -> bool:
    return not dtype.is_floating_point and not dtype.is_complex and dtype is not torch.bool
