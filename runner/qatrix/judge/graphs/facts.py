"""What a quantized program holds: fake quantizes, quantize and dequantize ops, batch norms, output steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from qatrix.judge.graphs.arithmetic import scale_of
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, called_module, is_observing, op_name
from qatrix.judge.graphs.places import place_of

# Ops that pass values on unchanged, so that their output has their input's quantization step.
_TRANSPARENT: Final = frozenset(
    {"reshape", "permute", "transpose", "flatten", "squeeze", "unsqueeze", "clone", "contiguous", "getitem", "slice"}
)
_BATCH_NORMS: Final = tuple(
    getattr(nn, name) for name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")
)


@dataclass(frozen=True, kw_only=True)
class OpCounts:
    """How often a converted program quantizes, dequantizes and normalizes."""

    quantize: int
    dequantize: int
    batch_norms: int


def count_fake_quantizes(module: nn.Module) -> int:
    """The fake quantizes and observers anywhere in a module; one inside another counts once."""
    inside = {
        id(inner)
        for outer in module.modules()
        if is_observing(outer)
        for inner in outer.modules()
        if inner is not outer
    }
    return sum(is_observing(part) and id(part) not in inside for part in module.modules())


def count_ops(module: nn.Module) -> OpCounts:
    """The quantize, dequantize and batch norm ops of all graphs in a module; batch norm modules too.

    A reference module of FX quantizes and dequantizes its own weight inside; that is not a
    node of a graph and is not counted.
    """
    names = [op_name(node) for graph in graphs_of(module) for node in graph.nodes]
    fused = [part for part in module.modules() if isinstance(part, _BATCH_NORMS)]
    called = sum("batchnorm" in name for name in names)
    return OpCounts(
        quantize=sum(name.startswith("quantize_") for name in names),
        dequantize=sum(name.startswith("dequantize") for name in names),
        batch_norms=names.count("batch_norm") + max(called, _live(module, fused)),
    )


def _live(module: nn.Module, parts: list[nn.Module]) -> int:
    """How many of the parts sit inside a module that a graph calls whole; an exported program keeps dead ones."""
    called = [
        inner for graph in graphs_of(module) for node in graph.nodes if (inner := called_module(node)) is not None
    ]
    reached = {id(part) for owner in called for part in owner.modules()}
    return sum(id(part) in reached for part in parts)


def graphs_of(module: nn.Module) -> Iterator[fx.Graph]:
    """The graphs of a module and of those inside it."""
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            yield part.graph


def unfused_batch_norms(module: nn.Module) -> list[str]:
    """The batch norm ops that take the result of a convolution whose weight is quantized, with nothing in between.

    Where a batch norm is fused for training, the result is divided by its scale first. A convolution
    whose result is used elsewhere too is left out: folding would change it there, so nobody fuses it.
    """
    nodes = [node for graph in graphs_of(module) for node in graph.nodes if op_name(node) == "batch_norm"]
    return [
        place_of(node)
        for node in nodes
        if _is_quantized_conv(source := source_of(operand(node, 0))) and _readers(source) == {node}
    ]


def _readers(node: object) -> set[fx.Node]:
    """The nodes that use a node's value, seen through fake quantizes and observers."""
    if not isinstance(node, fx.Node):
        return set()
    found: set[fx.Node] = set()
    for user in node.users:
        called = called_module(user)
        found |= _readers(user) if called is not None and is_observing(called) else {user}
    return found


def _is_quantized_conv(node: object) -> bool:
    if not isinstance(node, fx.Node) or op_name(node) not in {"conv", "conv_transpose"}:
        return False
    return node.op == "call_function" and source_of(weight := operand(node, 1)) is not weight


def source_of(node: object) -> object:
    """The node behind fake quantizes and observers."""
    while isinstance(node, fx.Node) and (called := called_module(node)) is not None and is_observing(called):
        node = operand(node, 0)
    return node


def output_steps(module: nn.Module) -> list[float | None]:
    """The quantization step (scale) of each output tensor, None where it is not quantized per tensor."""
    if not isinstance(module, fx.GraphModule):
        return []
    output = next(node for node in reversed(module.graph.nodes) if node.op == "output")
    return [_step(leaf) for leaf in pytree.tree_leaves(output.args[0])]


def _step(node: object) -> float | None:
    while isinstance(node, fx.Node):
        name = op_name(node)
        if name == "dequantize_per_tensor":
            return _number(argument(node, "scale"))
        if name == "fake_quantize":
            return _number(getattr(called_module(node), "scale", None))
        if name not in _TRANSPARENT:
            return _number(scale_of(node))
        node = operand(node, 0)
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, (int, float)) else None
