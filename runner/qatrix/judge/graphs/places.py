"""A node in words that people know: the layer that it computes, or what it observes.

Layers go by the names that a diagnosis gives them: the path of a module, or the path of a function's module
and the function's name. Here there is no float model at hand, so that a node is asked itself: an exported one
says which modules' forward it is from, one of FX calls a module by its path, and what has lost
either still reads its layer's parameters. A node of which nothing of that tells a layer goes by its own name
and by the layer behind which it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import fx, nn

from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import called_module, is_observing, op_name
from qatrix.judge.graphs.origins import (
    call_number,
    calls_function,
    canonical,
    is_layer_of_torch,
    is_made_anew,
    module_type,
    parameter_owner,
    scope_of,
    source_call,
)

_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def place_of(node: fx.Node) -> str:
    """The layer that a node computes ("the second call of conv1"), what it observes, else the node's own name."""
    if _observes(node):
        return f"the {op_name(node).replace('_', ' ')} of {_observed(node)}"
    return _computed(node)


def node_words(node: fx.Node) -> str:
    """A node by its own name, for who reads the graph, and the layer where it tells more: "node conv2d_2 of conv"."""
    if _observes(node):
        return f"node {node.name}, {place_of(node)}"
    origin = _origin(node)
    known = origin is not None and origin.name not in {node.name, _function(node)}
    return f"node {node.name} of {place_of(node)}" if known else f"node {node.name}"


def layer_of(node: fx.Node) -> str:
    """The layer that a node computes, as a diagnosis names it: "conv", "block.add", "conv@2" of the second call."""
    origin = _origin(node)
    if origin is None:
        return node.name
    calls = [other for other, found in _alike(node) if found.name == origin.name]
    call = origin.call or (calls.index(node) if node in calls else 0)
    return f"{origin.name}@{call + 1}" if call else origin.name


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """The layer of a node, and which call of it where the exporter counts calls: 0 for the first."""

    name: str
    call: int = 0


def _computed(node: fx.Node) -> str:
    origin = _origin(node)
    if origin is None:
        return f"the input {node.name}" if node.op == "placeholder" else f"the node {node.name}{_behind_layer(node)}"
    calls = [(other, found) for other, found in _alike(node) if found.name == origin.name]
    if any(found.call for _, found in calls):
        return f"the {_ordinal(origin.call)} call of {origin.name}"
    if len(calls) == 1:
        return origin.name
    return f"the {_ordinal([other for other, _ in calls].index(node))} call of {origin.name}"


def behind(node: fx.Node) -> str:
    """The layer or the input whose value a node reads: " behind relu1", empty where it reads constants alone."""
    source = _known_source(node)
    return "" if source is None else f" behind {_computed(source)}"


def _behind_layer(node: fx.Node) -> str:
    source = _known_source(node)
    return "" if source is None or source.op == "placeholder" else f" behind {_computed(source)}"


def _known_source(node: fx.Node) -> fx.Node | None:
    source = next(iter(node.all_input_nodes), None)
    while source is not None and _origin(source) is None and source.op != "placeholder":
        source = next(iter(source.all_input_nodes), None)
    return source


def _alike(node: fx.Node) -> Iterator[tuple[fx.Node, _Origin]]:
    """The nodes of a graph that do the same op, in the order of execution, with their layers."""
    for other in node.graph.nodes:
        if other.op == node.op and (node.op == "call_module" or op_name(other) == op_name(node)):
            found = _origin(other)
            if found is not None:
                yield other, found


def _ordinal(place: int) -> str:
    return _ORDINALS[place] if place < len(_ORDINALS) else f"{place + 1}th"


def _origin(node: fx.Node) -> _Origin | None:
    if node.op == "call_module":
        return _Origin(name=str(node.target))
    if node.op not in {"call_function", "call_method"}:
        return None
    path = scope_of(node)
    if _is_layer(node):
        name = path if _is_own(node) else f"{path}.{_function(node)}"
        return _Origin(name=name, call=call_number(node, path))
    if _is_function_of_the_model(node):
        return _Origin(name=f"{path}.{_function(node)}" if path else _function(node))
    owner = parameter_owner(node)
    return _Origin(name=owner) if owner else None


def _is_layer(node: fx.Node) -> bool:
    """Whether the innermost module is one of torch's layers, and not a module that calls functions."""
    return bool(scope_of(node)) and is_layer_of_torch(node)


def _is_own(node: fx.Node) -> bool:
    """Whether an op is what its layer is there for: conv2d of Conv2d, but not the linear of MultiheadAttention."""
    layer, op = _letters(module_type(node).rpartition(".")[2]), _letters(_function(node))
    return op.endswith(layer) or layer.endswith(op)


def _letters(name: str) -> str:
    """A name without what one op is written with and another without: conv of Conv2d and of conv_2d."""
    return "".join(letter for letter in name.lower() if letter.isalpha()).removesuffix("d")


def _function(node: fx.Node) -> str:
    """The function that the model calls; aten may have several ops for one."""
    return canonical(op_name(node) if _is_layer(node) else source_call(node)[1])


def _is_function_of_the_model(node: fx.Node) -> bool:
    """Whether a function is known to be called by the model: FX's graphs have no others, the exporter says so."""
    if not _is_aten(node):
        return True
    return calls_function(node) and not is_made_anew(node)


def _is_aten(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload)


def _observes(node: fx.Node) -> bool:
    module = called_module(node) if node.op == "call_module" else None
    return module is not None and is_observing(module)


def _observed(node: fx.Node) -> str:
    """What an observer sees: an input, a parameter by its name, or what a layer gives."""
    source = operand(node, 0)
    while isinstance(source, fx.Node) and _observes(source):
        source = operand(source, 0)
    if not isinstance(source, fx.Node):
        return f"nothing (node {node.name})"
    if source.op == "placeholder":
        return f"the input {source.name}"
    parameter = _parameter(source)
    return f"{_output(source)} of {_computed(_whole(source))}" if parameter is None else parameter


def _output(node: fx.Node) -> str:
    return "the output" if _whole(node) is node else f"output {operand(node, 1)}"


def _whole(node: fx.Node) -> fx.Node:
    """The node with several outputs that a node picks one of, else the node itself."""
    source = operand(node, 0)
    return source if op_name(node) == "getitem" and isinstance(source, fx.Node) else node


def _parameter(node: fx.Node) -> str | None:
    """The name of the parameter that a value is computed from, None where an input is among its sources.

    In training the weight is multiplied by the scale of its batch norm; the weight comes first.
    """
    found, left, seen = [], [node], {node}
    while left:
        here = left.pop()
        if here.op == "placeholder":
            return None
        found += [str(here.target)] if here.op == "get_attr" else []
        # The last to go in is the first to come out.
        fresh = [source for source in reversed(here.all_input_nodes) if source not in seen]
        seen.update(fresh)
        left += fresh
    return found[0] if found else None


def reader_of(program: nn.Module, name: str) -> str:
    """Where a graph reads a buffer that is no layer's own: " (at conv2)"; empty where that does not show."""
    for part in program.modules():
        for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
            if node.op == "get_attr" and str(node.target) == name:
                return next((f" (at {place_of(user)}{place})" for user in node.users if (place := behind(user))), "")
    return ""
