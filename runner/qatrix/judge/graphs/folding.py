"""Batch norms that a converted program still has behind the layer that they belong into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from qatrix.judge.graphs.layers import ends_in_a_weight, fused_parts, nodes_of, weighted_op
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, op_name
from qatrix.judge.graphs.places import place_of

# A linear layer's channels are its last axis, a batch norm's the second: one and the same in two dimensions alone.
_RANK_OF_ONE_AXIS: Final = 2


def unfolded_batch_norms(program: nn.Module, rank_of: Callable[[fx.Node], int | None]) -> list[str]:
    """The batch norms that still stand behind a convolution or linear layer after convert.

    Quantize and dequantize ops may stand between, and what training puts there: the division by
    the batch norm's own scale, and the bias added after it. Where the layer's result is used
    elsewhere too, the batch norm has to stay; so it has where it works on another axis than a
    linear layer, which `rank_of` tells: how many dimensions a node's value has, None where that
    is not known.
    """
    found = []
    for node in nodes_of(program):
        if _is_batch_norm(node):
            source = _folded_into(node)
            if source is not None and not _is_on_another_axis(source, rank_of):
                found.append(f"{place_of(node)} still follows {place_of(source)}")
    return found


def _folded_into(norm: fx.Node) -> fx.Node | None:
    """The layer that a batch norm belongs into, None where there is none or others read its result."""
    between = [norm]
    value = _past_rounding(operand(norm, 0), between)
    value = _past_training(value, norm, between)
    if not isinstance(value, fx.Node) or not ends_in_a_weight(value):
        return None
    readers = {user for node in (value, *between[1:]) for user in node.users}
    return value if readers <= set(between) else None


def _past_rounding(value: object, passed: list[fx.Node]) -> object:
    """What is behind quantize and dequantize ops, which go to `passed`."""
    while isinstance(value, fx.Node) and op_name(value).startswith(("quantize_per", "dequantize_per")):
        passed.append(value)
        value = operand(value, 0)
    return value


def _past_training(value: object, norm: fx.Node, passed: list[fx.Node]) -> object:
    """What is behind the division by a batch norm's scale and the bias after it, as training puts them there.

    There the weight was multiplied by the scale (_get_qat_conv_bn_pattern in torchao/quantization/pt2e/qat_utils.py).
    """
    chain: list[fx.Node] = []
    behind = value
    if isinstance(behind, fx.Node) and op_name(behind) == "add" and _constants_of(_other(behind)) is not None:
        chain.append(behind)
        behind = _past_rounding(operand(behind, 0), chain)
    if not isinstance(behind, fx.Node) or op_name(behind) != "div":
        return value
    if _variance_of(norm) not in (_constants_of(_other(behind)) or ()):
        return value
    passed += [*chain, behind]
    return _past_rounding(operand(behind, 0), passed)


def _other(node: fx.Node) -> object:
    """The second operand of an op."""
    return next(iter([*node.args, *node.kwargs.values()][1:]), None)


def _variance_of(norm: fx.Node) -> object:
    """The name of the buffer with a batch norm's running variance, None where it is no op on one."""
    if norm.op != "call_function":
        return None
    variance = argument(norm, "running_var")
    return variance.target if isinstance(variance, fx.Node) else None


def _constants_of(value: object) -> frozenset[object] | None:
    """The names of all parameters and buffers that a value is computed from, None where there are inputs among them."""
    if not isinstance(value, fx.Node):
        return None
    left, seen = [value], {value}
    while left:
        for node in left.pop().all_input_nodes:
            if node not in seen:
                seen.add(node)
                left.append(node)
    if any(node.op == "placeholder" for node in seen):
        return None
    return frozenset(node.target for node in seen if node.op == "get_attr")


def _is_on_another_axis(layer: fx.Node, rank_of: Callable[[fx.Node], int | None]) -> bool:
    return weighted_op(layer) == "linear" and rank_of(layer) not in {None, _RANK_OF_ONE_AXIS}


def _is_batch_norm(node: fx.Node) -> bool:
    if node.op == "call_module":
        return any(isinstance(part, _BatchNorm) for part in fused_parts(node))
    return op_name(node) == "batch_norm"
