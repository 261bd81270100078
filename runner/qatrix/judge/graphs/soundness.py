"""What must hold of a quantized program whatever another pipeline does: two can agree and both be wrong.

Each function returns its findings as sentences; none is good news.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from qatrix.judge.graphs.facts import graphs_of, source_of
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, called_module, constant_value, is_observing, op_name

# The axis of the output channels in the weight of each op, as torch.nn.functional documents their shapes.
_OUTPUT_AXIS: Final[Mapping[str, int]] = {"conv": 0, "conv_transpose": 1, "linear": 0}
# Ops that a weight may pass on its way to the op that uses it, without another axis.
_PASSING: Final = frozenset({"clone", "contiguous", "detach", "to"})
# Ops that move values and compute none: what is quantized before them is after them, too.
_MOVING: Final = _PASSING | {"reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "slice", "getitem"}
_REFERENCE: Final = "torch.ao.nn.quantized.reference"
_WEIGHTED: Final[Mapping[str, tuple[type[nn.Module], ...]]] = {
    "conv_transpose": (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    "linear": (nn.Linear,),
}


def misplaced_scales(program: nn.Module) -> list[str]:
    """The weights whose scales per channel are not one for each output channel, along the axis of these."""
    return [
        *(told for node in _nodes(program) if (told := _misplaced_in_graph(node)) is not None),
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
    return [f"{prepared} weights were fake quantized or observed after prepare, and {kept} are quantized after convert"]


def quantized_weights(program: nn.Module) -> int:
    """How many calls of convolutions and linear layers have a weight that is fake quantized, observed or quantized.

    FX graph mode observes weights inside of modules in training alone; after it they are
    counted from convert on.
    """
    return sum(_has_quantized_weight(node) for node in _nodes(program))


def float_ops(program: nn.Module, claimed: Collection[str]) -> list[str]:
    """The calls of claimed ops ("conv", "conv_transpose", "linear") whose weight or input is in float after convert."""
    return [
        f"{node.name} has its {' and its '.join(parts)} in float"
        for node in _nodes(program)
        if _weighted_op(node) in claimed and (parts := _float_parts(node))
    ]


def unfolded_batch_norms(program: nn.Module) -> list[str]:
    """The batch norms that still stand behind a convolution or linear layer after convert.

    Where the layer's result is used elsewhere too, the batch norm has to stay.
    """
    return [
        f"{node.name} still follows {source.name}"
        for node in _nodes(program)
        if _is_batch_norm(node)
        and isinstance(source := _computed(operand(node, 0)), fx.Node)
        and _ends_in_a_weight(source)
        and _computing_readers(source) == {node}
    ]


def unobserved(program: nn.Module) -> list[str]:
    """The fake quantizes and observers that a prepared program calls and that have seen no value in its forward."""
    called = (called_module(node) for node in _nodes(program) if node.op == "call_module")
    modules = {id(module): module for module in called if module is not None and is_observing(module)}
    names = {id(module): name for name, module in program.named_modules()}
    return [f"{names[key]} has observed nothing" for key, module in modules.items() if _has_seen_nothing(module)]


def batch_norm_faults(program: nn.Module, *, training: bool) -> list[str]:
    """The batch norms that a forward pass in training has left as they were made, or one in evaluation has moved.

    For models whose batch norms are fresh: means of 0 and variances of 1.
    """
    faults = []
    for name, mean, var in _statistics(program):
        moved = bool((mean != 0).any() or (var != 1).any())
        if moved != training:
            faults.append(f"{name} {'has not moved in training' if training else 'has moved in evaluation'}")
    return faults


def state_of(program: nn.Module) -> dict[str, Tensor]:
    """Copies of all buffers, to be compared by `changed_state`; parameters change in no forward pass."""
    return {name: value.detach().clone() for name, value in program.named_buffers()}


def changed_state(before: Mapping[str, Tensor], program: nn.Module) -> list[str]:
    """The names of the buffers that are others than before, to the bit."""
    after = dict(program.named_buffers())
    return [name for name, value in before.items() if not _is_same(value, after.get(name))]


def is_counter(name: str) -> bool:
    """Whether a buffer only counts the batches of a batch norm, which no output depends on once it is converted.

    Torch 2.5 and before write `bn_num_batches_tracked` in a captured program.
    """
    return "num_batches_tracked" in name


def _nodes(program: nn.Module) -> Iterator[fx.Node]:
    return (node for graph in graphs_of(program) for node in graph.nodes)


def _misplaced_in_graph(node: fx.Node) -> str | None:
    if op_name(node) != "dequantize_per_channel":
        return None
    user = next((user for user in node.users if op_name(user) in _OUTPUT_AXIS), None)
    if user is None or operand(user, 1) is not node:
        return None
    source = source_of(operand(node, 0))
    weight = constant_value(source) if isinstance(source, fx.Node) and source.op == "get_attr" else None
    scales = operand(node, 1)
    scales = constant_value(scales) if isinstance(scales, fx.Node) and scales.op == "get_attr" else scales
    if not isinstance(weight, Tensor) or not isinstance(scales, Tensor):
        return None
    return _misplaced(user.name, _OUTPUT_AXIS[op_name(user)], int(argument(node, "axis")), scales, weight)


def _misplaced_in_module(name: str, module: Any) -> str | None:
    if not str(module.weight_qscheme).startswith("torch.per_channel"):
        return None
    axis = 1 if "ConvTranspose" in type(module).__name__ else 0
    return _misplaced(name, axis, int(module.weight_axis), module.weight_scale, module.weight)


def _misplaced(name: str, expected: int, axis: int, scales: Tensor, weight: Tensor) -> str | None:
    if axis != expected:
        return f"{name} has its weight's scales along axis {axis}, its output channels are axis {expected}"
    if scales.numel() != weight.shape[axis]:
        return f"{name} has {scales.numel()} scales of its weight for {weight.shape[axis]} output channels"
    return None


def _weighted_op(node: fx.Node) -> str | None:
    """The op with a weight that a node is, or that the module is which it calls; a fused module goes by its layer."""
    if node.op == "call_function":
        name = op_name(node)
        return name if name in _OUTPUT_AXIS else None
    if node.op != "call_module":
        return None
    return next(
        (name for part in _fused_parts(node) for name, kinds in _WEIGHTED.items() if isinstance(part, kinds)), None
    )


def _fused_parts(node: fx.Node) -> tuple[nn.Module, ...]:
    """The module that a node calls, and where that is a sequence its parts."""
    module = called_module(node)
    if module is None:
        return ()
    return (module, *module.children()) if isinstance(module, nn.Sequential) else (module,)


def _ends_in_a_weight(node: fx.Node) -> bool:
    """Whether it is a convolution or linear layer with nothing fused behind it, such as a ReLU."""
    return _weighted_op(node) is not None and (
        node.op == "call_function" or any(isinstance(_fused_parts(node)[-1], kinds) for kinds in _WEIGHTED.values())
    )


def _float_parts(node: fx.Node) -> list[str]:
    parts = {"weight": _has_quantized_weight(node), "input": _is_quantized(operand(node, 0))}
    return [name for name, quantized in parts.items() if not quantized]


def _is_quantized(value: object) -> bool:
    source = _behind(value, _MOVING)
    return isinstance(source, fx.Node) and op_name(source).startswith("dequantize")


def _behind(value: object, ops: Collection[str]) -> object:
    """The node behind ops of some names."""
    while isinstance(value, fx.Node) and op_name(value) in ops:
        value = operand(value, 0)
    return value


def _is_batch_norm(node: fx.Node) -> bool:
    if node.op == "call_module":
        return any(isinstance(part, _BatchNorm) for part in _fused_parts(node))
    return op_name(node) == "batch_norm"


def _computed(value: object) -> object:
    """The node whose value it is, seen through quantize and dequantize ops."""
    while isinstance(value, fx.Node) and _is_rounding(value):
        value = operand(value, 0)
    return value


def _computing_readers(node: fx.Node) -> set[fx.Node]:
    """The nodes that use a node's value, seen through quantize and dequantize ops."""
    found: set[fx.Node] = set()
    for user in node.users:
        found |= _computing_readers(user) if _is_rounding(user) else {user}
    return found


def _is_rounding(node: fx.Node) -> bool:
    return op_name(node).startswith(("quantize_per", "dequantize_per"))


def _is_reference(module: nn.Module) -> bool:
    return type(module).__module__.startswith(_REFERENCE) and hasattr(module, "weight_scale")


def _has_quantized_weight(node: fx.Node) -> bool:
    if node.op == "call_module":
        # A convolution and its ReLU are one module, which holds the other.
        parts = (called_module(node) or nn.Identity()).modules()
        return any(hasattr(part, "weight_fake_quant") or _is_reference(part) for part in parts)
    if node.op != "call_function" or op_name(node) not in _OUTPUT_AXIS:
        return False
    weight = _behind(operand(node, 1), _PASSING)
    return isinstance(weight, fx.Node) and (
        op_name(weight).startswith("dequantize") or op_name(weight) in {"fake_quantize", "observer"}
    )


def _has_seen_nothing(module: nn.Module) -> bool:
    """Whether a module that keeps a range keeps none yet; those of a fixed range, or of none, have nothing to see."""
    inner = getattr(module, "activation_post_process", module)
    low = getattr(inner, "min_val", None)
    return isinstance(low, Tensor) and (low.numel() == 0 or bool(torch.isinf(low).all()))


def _statistics(program: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The running means and variances of the batch norms that a program calls, as ops or in modules."""
    for node in _nodes(program):
        if op_name(node) == "batch_norm":
            mean, var = (_statistic(node, name) for name in ("running_mean", "running_var"))
            if mean is not None and var is not None:
                yield node.name, mean, var
        elif node.op == "call_module":
            for part in (called_module(node) or nn.Identity()).modules():
                if isinstance(part, _BatchNorm) and part.running_mean is not None and part.running_var is not None:
                    yield str(node.target), part.running_mean, part.running_var


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
