"""The nodes of a graph that quantize: fake quantizes, observers, quantize and dequantize ops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from torch import fx

from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import called_module, is_observing, op_name

Kind = Literal["fake_quantize", "observer", "quantize", "dequantize"]
# What rounds to integers: per tensor, per channel, and by blocks.
_ROUNDING: Final = ("quantize_per", "quantize_affine")
_ARGUMENTS: Final = ("input", "weight", "bias")


def quantizes(node: fx.Node) -> bool:
    """Whether a node quantizes, dequantizes, fakes both or observes for it."""
    if node.op == "call_module":
        module = called_module(node)
        return module is not None and is_observing(module)
    return op_name(node).startswith((*_ROUNDING, "dequantize"))


def passed_on(node: fx.Node) -> str | None:
    """The last of the quantizing nodes in a row, whose value other layers read."""
    while node.users:
        following = next((user for user in node.users if quantizes(user)), None)
        if following is None or not all(quantizes(user) for user in node.users):
            return node.name
        node = following
    return None


def quantizing_kind(node: fx.Node) -> Kind | None:
    """What a node does for quantization; a dequantize counts only where a constant is already in integers."""
    if not quantizes(node):
        return None
    name = op_name(node)
    if name == "fake_quantize":
        return "fake_quantize"
    if name == "observer":
        return "observer"
    if name.startswith(_ROUNDING):
        return "quantize"
    source = operand(node, 0)
    return "dequantize" if isinstance(source, fx.Node) and source.op == "get_attr" else None


def past_quantizing(node: fx.Node) -> fx.Node:
    """The node whose value a node is, or quantizes."""
    while quantizes(node) and isinstance(source := operand(node, 0), fx.Node):
        node = source
    return node


def rounds(node: fx.Node) -> int:
    """How often a value has been quantized in a row once this node has done so too."""
    count = 0
    while quantizes(node):
        count += not op_name(node).startswith("dequantize") and op_name(node) != "observer"
        source = operand(node, 0)
        if not isinstance(source, fx.Node):
            break
        node = source
    return count


def depth(node: fx.Node) -> int:
    """How many fake quantizes, observers or quantize ops a value passes in a row up to this node, it included."""
    count = 0
    while quantizes(node):
        count += not op_name(node).startswith("dequantize")
        source = operand(node, 0)
        if not isinstance(source, fx.Node):
            break
        node = source
    return count


def readers(node: fx.Node) -> Iterator[fx.Node]:
    """The nodes that read a quantized value, past those that quantize or dequantize it once more."""
    for user in node.users:
        if quantizes(user):
            yield from readers(user)
        else:
            yield user


def operand_name(reader: fx.Node, node: fx.Node) -> str:
    """What a quantized value is to the op that reads it: "weight", "bias", "input", "other"."""
    places = (place for place, arg in enumerate(reader.args) if isinstance(arg, fx.Node) and _leads_to(arg, node))
    place = next(places, None)
    if place is None:
        named = (name for name, arg in reader.kwargs.items() if isinstance(arg, fx.Node) and _leads_to(arg, node))
        return next(named, "argument")
    schema = getattr(reader.target, "_schema", None)
    if schema is not None and place < len(schema.arguments):
        return str(schema.arguments[place].name)
    if op_name(reader).startswith(("conv", "linear")) and place < len(_ARGUMENTS):
        return _ARGUMENTS[place]
    return f"argument{place}"


def _leads_to(node: fx.Node, target: fx.Node) -> bool:
    while node is not target:
        source = operand(node, 0)
        if not quantizes(node) or not isinstance(source, fx.Node):
            return False
        node = source
    return True


def finds_range(node: fx.Node) -> bool:
    """Whether a node finds quantization parameters while the program runs, or picks one of them."""
    source = operand(node, 0)
    picked = op_name(node) == "getitem" and isinstance(source, fx.Node) and finds_range(source)
    return picked or op_name(node).startswith("choose_qparams")
