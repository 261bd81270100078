"""What must hold of a quantized program whatever another pipeline does: two can agree and both be wrong.

Each function returns its findings as sentences; none is good news.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from qatrix.judge.graphs.arithmetic import is_integer_layer, scale_of
from qatrix.judge.graphs.facts import source_of
from qatrix.judge.graphs.layers import OUTPUT_AXIS, nodes_of, weighted_op
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, called_module, constant_value, is_observing, op_name
from qatrix.judge.graphs.parts import Claim
from qatrix.judge.graphs.places import place_of

# Ops that a weight may pass on its way to the op that uses it, without another axis.
_PASSING: Final = frozenset({"clone", "contiguous", "detach", "to"})
# Ops that move values and compute none: what is quantized before them is after them, too.
MOVING: Final = _PASSING | {"reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "slice", "getitem"}
_REFERENCE: Final = "torch.ao.nn.quantized.reference"


def misplaced_scales(program: nn.Module) -> list[str]:
    """The weights whose scales per channel are not one for each output channel, along the axis of these.

    The weight of a transposed convolution in groups has its output channels of one group along their axis,
    so that no scale per channel fits it.
    """
    return [
        *(told for node in nodes_of(program) if (told := _misplaced_in_graph(node)) is not None),
        *(
            told
            for name, module in program.named_modules()
            if _is_reference(module) and (told := _misplaced_in_module(name, module)) is not None
        ),
    ]


def float_weights(prepared: int, converted: nn.Module) -> list[str]:
    """How many ops' weights were quantized when they were prepared and are in float after convert."""
    kept = quantized_weights(converted)
    if kept >= prepared:
        return []
    were, are = (f"{count} {'weight' if count == 1 else 'weights'}" for count in (prepared, kept))
    return [f"{were} had a fake quantize or an observer after prepare, and {are} are quantized after convert"]


def quantized_weights(program: nn.Module) -> int:
    """How many calls of convolutions and linear layers have a weight that is fake quantized, observed or quantized.

    FX graph mode observes weights inside of modules in training alone; after it they are
    counted from convert on.
    """
    return sum(has_quantized_weight(node) for node in nodes_of(program))


def float_ops(program: nn.Module, claims: Sequence[Claim]) -> list[str]:
    """The calls of claimed convolutions and linear layers whose weight or input is in float after convert."""
    return [
        f"{place_of(node)} has its {' and its '.join(parts)} in float"
        for node in nodes_of(program)
        if (claimed := {name for claim in claims if claim.covers(node) for name in claim.operands})
        and (parts := [name for name in _float_parts(node) if name in claimed])
    ]


def quantized_against_order(program: nn.Module, claims: Sequence[Claim]) -> list[str]:
    """The layers whose weight is quantized after convert, though every quantizer is told to leave them in float."""
    return [
        f"{place_of(node)} has a quantized weight, though it is declared to stay in float"
        for node in nodes_of(program)
        if weighted_op(node) is not None and all(claim.leaves(node) for claim in claims) and has_quantized_weight(node)
    ]


def unobserved(program: nn.Module) -> list[str]:
    """The fake quantizes and observers that a prepared program calls and that have seen no value in its forward."""
    found: dict[int, fx.Node] = {}
    for node in nodes_of(program):
        module = called_module(node) if node.op == "call_module" else None
        if module is not None and is_observing(module) and _has_seen_nothing(module):
            found.setdefault(id(module), node)
    return [f"{place_of(node)} has observed nothing" for node in found.values()]


def batch_norm_faults(program: nn.Module, *, training: bool) -> list[str]:
    """The batch norms that a forward pass in training has left as they were made, or one in evaluation has moved.

    For models whose batch norms are fresh: means of 0 and variances of 1.
    """
    faults = []
    for node, mean, var in _statistics(program):
        moved = bool((mean != 0).any() or (var != 1).any())
        if moved != training:
            inside = "the batch norm in " if node.op == "call_module" and not _is_batch_norm(node) else ""
            faults.append(
                f"{inside}{place_of(node)} {'has not moved in training' if training else 'has moved in evaluation'}"
            )
    return faults


def state_of(program: nn.Module) -> dict[str, Tensor]:
    """Copies of all buffers, to be compared by `changed_state`; parameters change in no forward pass."""
    return {name: value.detach().clone() for name, value in program.named_buffers()}


def restore_state(program: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a program's buffers the values that `state_of` copied; buffers that it no longer has are left out."""
    buffers = dict(program.named_buffers())
    with torch.no_grad():
        for name in state.keys() & buffers.keys():
            buffers[name].copy_(state[name])


def changed_state(before: Mapping[str, Tensor], program: nn.Module) -> list[str]:
    """The names of the buffers that are others than before, to the bit."""
    after = dict(program.named_buffers())
    return [name for name, value in before.items() if not _is_same(value, after.get(name))]


def is_counter(name: str) -> bool:
    """Whether a buffer only counts the batches of a batch norm, which no output depends on once it is converted.

    Torch 2.5 and before write `bn_num_batches_tracked` in a captured program.
    """
    return "num_batches_tracked" in name


def _misplaced_in_graph(node: fx.Node) -> str | None:
    if op_name(node) != "dequantize_per_channel":
        return None
    user = next((user for user in node.users if op_name(user) in OUTPUT_AXIS), None)
    if user is None or operand(user, 1) is not node:
        return None
    source = _unrounded(operand(node, 0))
    weight = constant_value(source) if isinstance(source, fx.Node) and source.op == "get_attr" else None
    scales = operand(node, 1)
    scales = constant_value(scales) if isinstance(scales, fx.Node) and scales.op == "get_attr" else scales
    if not isinstance(weight, Tensor) or not isinstance(scales, Tensor):
        return None
    axis, groups = OUTPUT_AXIS[op_name(user)], _groups(op_name(user), user)
    return _misplaced(place_of(user), axis, int(argument(node, "axis")), scales, weight.shape[axis] * groups)


def _unrounded(value: object) -> object:
    """The node behind fake quantizes, observers and the quantize op of a weight that is not folded."""
    source = source_of(value)
    rounded = isinstance(source, fx.Node) and op_name(source).startswith("quantize_per")
    return source_of(operand(source, 0)) if isinstance(source, fx.Node) and rounded else source


def _groups(op: str, node: fx.Node) -> int:
    """By how much the output channels outnumber the places along their axis of the weight."""
    return int(argument(node, "groups")) if op == "conv_transpose" else 1


def _misplaced_in_module(name: str, module: Any) -> str | None:
    if not str(module.weight_qscheme).startswith("torch.per_channel"):
        return None
    transposed = "ConvTranspose" in type(module).__name__
    axis, groups = (1, module.groups) if transposed else (0, 1)
    return _misplaced(name, axis, int(module.weight_axis), module.weight_scale, module.weight.shape[axis] * groups)


def _misplaced(name: str, expected: int, axis: int, scales: Tensor, channels: int) -> str | None:
    if axis != expected:
        return f"{name} has its weight's scales along axis {axis}, its output channels are axis {expected}"
    if scales.numel() != channels:
        return f"{name} has {scales.numel()} scales of its weight for {channels} output channels"
    return None


def _float_parts(node: fx.Node) -> list[str]:
    parts = {"weight": has_quantized_weight(node), "input": _is_quantized(operand(node, 0))}
    return [name for name, quantized in parts.items() if not quantized]


def _is_quantized(value: object) -> bool:
    source = _behind(value, MOVING)
    dequantized = isinstance(source, fx.Node) and op_name(source).startswith("dequantize")
    return dequantized or scale_of(source) is not None


def _behind(value: object, ops: Collection[str]) -> object:
    """The node behind ops of some names."""
    while isinstance(value, fx.Node) and op_name(value) in ops:
        value = operand(value, 0)
    return value


def _is_reference(module: nn.Module) -> bool:
    return type(module).__module__.startswith(_REFERENCE) and hasattr(module, "weight_scale")


def has_quantized_weight(node: fx.Node) -> bool:
    """Whether the weight of a layer, as an op or inside of a module, is fake quantized, observed or quantized."""
    if node.op == "call_module":
        # A convolution and its ReLU are one module, which holds the other.
        parts = (called_module(node) or nn.Identity()).modules()
        return any(hasattr(part, "weight_fake_quant") or _is_reference(part) for part in parts)
    if node.op != "call_function" or op_name(node) not in OUTPUT_AXIS:
        return is_integer_layer(node)
    weight = _behind(operand(node, 1), _PASSING)
    if scale_of(weight) is not None:
        return True
    return isinstance(weight, fx.Node) and (
        op_name(weight).startswith("dequantize") or op_name(weight) in {"fake_quantize", "observer"}
    )


def _has_seen_nothing(module: nn.Module) -> bool:
    """Whether a module that keeps a range keeps none yet; those of a fixed range, or of none, have nothing to see."""
    inner = getattr(module, "activation_post_process", module)
    low = getattr(inner, "min_val", None)
    return isinstance(low, Tensor) and (low.numel() == 0 or bool(torch.isinf(low).all()))


def _statistics(program: nn.Module) -> Iterator[tuple[fx.Node, Tensor, Tensor]]:
    """The running means and variances of the batch norms that a program calls, as ops or in modules."""
    for node in nodes_of(program):
        if op_name(node) == "batch_norm":
            mean, var = (_statistic(node, name) for name in ("running_mean", "running_var"))
            if mean is not None and var is not None:
                yield node, mean, var
        elif node.op == "call_module":
            for part in (called_module(node) or nn.Identity()).modules():
                if isinstance(part, _BatchNorm) and part.running_mean is not None and part.running_var is not None:
                    yield node, part.running_mean, part.running_var


def _is_batch_norm(node: fx.Node) -> bool:
    return isinstance(called_module(node), _BatchNorm)


def _statistic(node: fx.Node, name: str) -> Tensor | None:
    try:
        kept = argument(node, name)
    except KeyError:
        return None
    value = constant_value(kept) if isinstance(kept, fx.Node) else None
    return value if isinstance(value, Tensor) else None


def _is_same(before: Tensor, after: object) -> bool:
    if not isinstance(after, Tensor) or before.shape != after.shape:
        return False
    return torch.allclose(before, after, rtol=0, atol=0, equal_nan=before.is_floating_point())
