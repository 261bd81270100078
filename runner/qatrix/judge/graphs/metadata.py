"""The facts of a node that an assertion asks for: what a quantizer and an exporter note, and who observes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import fx, nn

from qatrix.arithmetic import EvaluationError
from qatrix.judge.graphs.matching import describe
from qatrix.judge.graphs.ops import called_module, is_guard, is_observing, op_name
from qatrix.judge.graphs.origins import is_made_anew, module_paths, parameter_owner, plain_path, scope_of

_ANNOTATION: Final = "quantization_annotation"


def _annotated(node: fx.Node) -> bool:
    return bool(getattr(node.meta.get(_ANNOTATION), "_annotated", False))


def _is_output(node: fx.Node) -> bool:
    return bool(getattr(node.meta.get(_ANNOTATION), "_is_output_of_quantized_pattern", False))


def _tag(node: fx.Node) -> str | None:
    tag = node.meta.get("quantization_tag")
    return None if tag is None else str(tag)


def _from_node(node: fx.Node) -> str | None:
    """The name of the node in the first graph that a node comes from, None where nobody says."""
    sources: Any = node.meta.get("from_node")
    if not sources:
        return None
    # Up to torch 2.5 pairs of a name and a target, the oldest first.
    if isinstance(sources[0], tuple):
        return str(sources[0][0])
    source = sources[-1]
    while source.from_node:
        source = source.from_node[-1]
    return str(source.name)


def _source_fn(node: fx.Node) -> object:
    stack = node.meta.get("source_fn_stack")
    if not stack:
        msg = f"{describe(node)} has no source_fn_stack"
        raise EvaluationError(msg)
    return stack[0][0]


def _module(node: fx.Node) -> str | None:
    """The path of the module in whose forward a node is, or that it calls; None where nobody says."""
    if node.op == "call_module" and (called := called_module(node)) is not None and not is_observing(called):
        return plain_path(str(node.target))
    if module_paths(node) and not is_made_anew(node):
        return scope_of(node)
    return parameter_owner(node) or None


def _users(node: fx.Node) -> list[fx.Node]:
    return [user for user in node.users if not is_guard(user)]


def _operands(node: fx.Node) -> list[fx.Node]:
    return list(node.all_input_nodes)


def _shared(one: fx.Node, other: fx.Node) -> bool:
    return _observer_of(one) is _observer_of(other)


def _observer_of(node: fx.Node) -> nn.Module:
    """The observer or fake quantize that a node is, or the one that sees its value."""
    own = _observing(node)
    found = [own] if own is not None else [seen for user in node.users if (seen := _observing(user)) is not None]
    observers = {id(observer): observer for observer in found}
    if len(observers) != 1:
        many = f"{len(observers)} observers, which an expected graph tells apart" if observers else "no observer"
        msg = f"{describe(node)} has {many}"
        raise EvaluationError(msg)
    return found[0]


def _observing(node: fx.Node) -> nn.Module | None:
    module = called_module(node) if node.op == "call_module" else None
    return module if module is not None and is_observing(module) else None


def _is_constant(node: fx.Node) -> bool:
    return node.op == "get_attr"


# What is asked of one node, or of two.
FACTS: Final[Mapping[str, Callable[..., object]]] = {
    "annotated": _annotated,
    "is_output": _is_output,
    "tag": _tag,
    "from_node": _from_node,
    "source_fn": _source_fn,
    "module": _module,
    "users": _users,
    "operands": _operands,
    "shared": _shared,
    "op": op_name,
    "is_constant": _is_constant,
}
