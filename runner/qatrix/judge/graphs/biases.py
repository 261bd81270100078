"""Biases that are declared as integers."""

from __future__ import annotations

from torch import fx, nn

from qatrix.judge.graphs.layers import nodes_of, weighted_op
from qatrix.judge.graphs.ops import argument, op_name
from qatrix.judge.graphs.places import place_of
from qatrix.judge.graphs.soundness import has_quantized_weight


def float_biases(program: nn.Module, dtype: str) -> list[str]:
    """The biases beside quantized weights that are not integers of a dtype after convert; no bias is none in float."""
    found = ((node, _kind(node)) for node in nodes_of(program) if _has_integer_weight(node))
    return [
        f"{place_of(node)} has its bias in {kind}, not in {dtype}" for node, kind in found if kind not in {None, dtype}
    ]


def _has_integer_weight(node: fx.Node) -> bool:
    return node.op == "call_function" and weighted_op(node) is not None and has_quantized_weight(node)


def _kind(node: fx.Node) -> str | None:
    """What a bias is before it is dequantized: an integer dtype, "float" where it is not, None where there is none."""
    bias = argument(node, "bias")
    if bias is None:
        return None
    if not isinstance(bias, fx.Node) or not op_name(bias).startswith("dequantize"):
        return "float"
    return str(argument(bias, "dtype")).removeprefix("torch.")
