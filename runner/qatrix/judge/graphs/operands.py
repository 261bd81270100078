"""What an op is given, by its place or by its name: a model may pass any argument by keyword."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from torch import fx
from torch.fx.operator_schemas import get_signature_for_torch_op


def operand(node: fx.Node, place: int) -> Any:
    """What a node is given at a place of its op's parameters, None where it is given nothing there."""
    if place < len(node.args):
        return node.args[place]
    names = list(_parameters(node))
    if place < len(names) and names[place] in node.kwargs:
        return node.kwargs[names[place]]
    # A module that was put in the place of another may call its first parameter otherwise than the caller does.
    strangers = (value for name, value in node.kwargs.items() if name not in names)
    return next(strangers, None) if place == len(node.args) else None


def operands(node: fx.Node) -> dict[str, Any]:
    """All that a node is given or takes for granted, by the names of its op's parameters.

    An argument whose name is not known is left out, a default that there is none of, too.
    """
    known = _parameters(node)
    given = {**known, **dict(zip(known, node.args)), **node.kwargs}
    return {name: value for name, value in given.items() if value is not inspect.Parameter.empty}


def _parameters(node: fx.Node) -> Mapping[str, Any]:
    """The parameters of the op in their order, with their defaults; none where nobody knows them."""
    if node.op == "call_module":
        return _of_module(node)
    if not callable(node.target):
        return {}
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        return {item.name: item.default_value for item in schema.arguments}
    overloads = _of_function(node.target)
    return next((known for known in overloads if _fits(known, node)), overloads[0] if overloads else {})


def _fits(known: Mapping[str, Any], node: fx.Node) -> bool:
    return len(node.args) <= len(known) and node.kwargs.keys() <= known.keys()


def _of_module(node: fx.Node) -> Mapping[str, Any]:
    owner = node.graph.owning_module
    if owner is None:
        return {}
    known = next(iter(_of_function(type(owner.get_submodule(str(node.target))).forward)), {})
    # The first is the module itself.
    return dict(itertools.islice(known.items(), 1, None))


@functools.lru_cache(maxsize=1024)
def _of_function(function: Callable[..., Any]) -> tuple[dict[str, Any], ...]:
    """The parameters of a function, of each overload of one of torch's own; empty where it has no signature."""
    overloads = get_signature_for_torch_op(function)
    if not overloads:
        try:
            overloads = [inspect.signature(function)]
        except (TypeError, ValueError):
            return ()
    return tuple({item.name: item.default for item in found.parameters.values()} for found in overloads)
