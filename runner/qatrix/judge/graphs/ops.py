"""What a node of an FX graph is called in a check, and the values of its arguments by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import fx, nn

from qatrix.judge.graphs.operands import operands

# The aten spellings of one op over dims, releases and devices.
_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "conv": ("conv1d", "conv2d", "conv3d"),
    "conv_transpose": ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    "batch_norm": (
        "native_batch_norm",
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training",
        "_batch_norm_with_update",
        "cudnn_batch_norm",
        "miopen_batch_norm",
    ),
    "reshape": ("view", "_unsafe_view", "_reshape_alias"),
}
_FAMILY_OF: Final = {name: family for family, names in _FAMILIES.items() for name in names}
_OPERANDS: Final = {"conv", "conv_transpose"}


def op_name(node: fx.Node) -> str:
    """The op that a node is, by its family: "conv", "batch_norm", "fake_quantize", "constant", …

    In-place variants and overloads count as the op; a module that is called goes by what it
    is (fake_quantize, observer) or by its class in lower case; a parameter or buffer is
    "constant", an argument of the graph "input".
    """
    if node.op == "call_module":
        return module_name(called_module(node))
    return _PLAIN_OPS.get(node.op) or _FAMILY_OF.get(base_name(node), base_name(node))


def names_of(node: fx.Node) -> frozenset[str]:
    """All names by which a check may ask for a node: "conv", "conv2d", "conv2d.default"; not what a model calls it."""
    name = op_name(node)
    own = base_name(node) if node.op in {"call_function", "call_method"} else name
    return frozenset({name, own, _FAMILY_OF.get(name, name), *_overload_name(node)})


def _overload_name(node: fx.Node) -> tuple[str, ...]:
    """The name of an op that says its overload, and whether it works in place, as in "add_.Tensor"."""
    packet = getattr(node.target, "overloadpacket", None)
    overload = getattr(node.target, "_overloadname", None)
    return () if packet is None or overload is None else (f"{packet.__name__}.{overload}",)


def is_guard(node: fx.Node) -> bool:
    """Whether a node computes nothing: newer exporters check the inputs there."""
    return type(called_module(node)).__name__ == "GuardsFn" if node.op == "call_module" else False


_PLAIN_OPS: Final = {"placeholder": "input", "get_attr": "constant", "output": "output"}


def base_name(node: fx.Node) -> str:
    """The op's own name without overload and without the underscore of an in-place variant."""
    packet = getattr(node.target, "overloadpacket", node.target)
    name = node.target if isinstance(node.target, str) else getattr(packet, "__name__", str(packet))
    return name.rstrip("_") if not name.startswith("_") else name


def called_module(node: fx.Node) -> nn.Module | None:
    """The module that a call_module node calls."""
    owner = node.graph.owning_module
    if owner is None or not isinstance(node.target, str):
        return None
    try:
        return owner.get_submodule(node.target)
    except AttributeError:
        return None


def module_name(module: nn.Module | None) -> str:
    """What a module is called: "fake_quantize", "observer", or its class's name in lower case."""
    classes = {kind.__name__ for kind in type(module).__mro__}
    # By name, because torch.ao and torchao each have their own classes, and not every release has both.
    if "FakeQuantizeBase" in classes:
        return "fake_quantize"
    if classes & {"ObserverBase", "AffineQuantizedObserverBase"}:
        return "observer"
    return type(module).__name__.lower()


def is_observing(module: nn.Module) -> bool:
    """Whether a module is a fake quantize or an observer."""
    return module_name(module) in {"fake_quantize", "observer"}


def argument(node: fx.Node, name: str) -> Any:
    """A node's argument by its name in the op's schema or signature, with the default filled in.

    A convolution also has `transposed` and `output_padding`, whatever its schema; a called
    fake quantize or observer has dtype, quant_min, quant_max, qscheme, ch_axis, observer,
    is_per_channel and type; a fused module has the attributes of its layers, and one that fake
    quantizes its weight inside has those as weight_dtype, weight_observer, … Raises KeyError for
    a name that the node does not have.
    """
    if node.op == "call_module":
        return _module_attribute(called_module(node), name)
    arguments = operands(node)
    if name in arguments:
        return arguments[name]
    if op_name(node) in _OPERANDS:
        if name == "transposed":
            return op_name(node) == "conv_transpose"
        if name == "output_padding":
            return 0
    raise KeyError(name)


def _module_attribute(module: nn.Module | None, name: str) -> Any:
    inner = getattr(module, "activation_post_process", module)
    special = {
        "type": type(module).__name__,
        "observer": type(inner).__name__,
    }
    if name in special:
        return special[name]
    parts = tuple(module.children()) if isinstance(module, nn.Sequential) else ()
    for owner in (module, inner, *parts):
        if hasattr(owner, name):
            value = getattr(owner, name)
            return bool(value.item()) if name == "is_per_channel" and isinstance(value, torch.Tensor) else value
    prefix, _, rest = name.partition("_")
    inside = (getattr(part, "weight_fake_quant", None) for part in (module, *parts))
    quantizing = next((part for part in inside if isinstance(part, nn.Module)), None)
    if prefix == "weight" and quantizing is not None:
        return _module_attribute(quantizing, rest)
    raise KeyError(name)


def constant_value(node: fx.Node) -> Any:
    """The tensor or value behind a get_attr node, None where there is none."""
    value: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        value = getattr(value, part, None)
    return value
