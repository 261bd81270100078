"""Pattern graphs as plain data and back: nodes, arguments and all of their metadata, and no code.

Reading cannot run what a file says: targets are operators of two namespaces or take an item, names are
identifiers, and everything else is a value of a type that is listed here.
"""

from __future__ import annotations

import keyword
import operator
from collections.abc import Callable
from typing import Any, Final

from torch import fx, nn
from torch.fx.graph import _PyTreeCodeGen, _PyTreeInfo
from torch.utils import _pytree as pytree

from qatrix.pipelines.pattern_cache.values import Unencodable, Values, encoded

Data = dict[str, Any]
_OPS: Final = ("placeholder", "call_function", "output")


class Undecodable(Exception):
    """Data that is not the data of a graph."""


def encoded_graph(module: fx.GraphModule) -> Data:
    """The graph as JSON-like data; raises Unencodable where it holds something that cannot be told.

    What the module has besides its graph is left out, since PT2E reads the graph alone.
    """
    try:
        return _encoded(module)
    except (AttributeError, TypeError) as error:
        # A type that is known here by name, and made otherwise in this release.
        raise Unencodable(type(error), *error.args) from error


def _encoded(module: fx.GraphModule) -> Data:
    codegen = module.graph._codegen
    if not isinstance(codegen, _PyTreeCodeGen) or any(True for _ in module.parameters()):
        raise Unencodable(type(codegen))
    info = codegen.pytree_info
    return {
        "arguments": list(info.orig_args),
        "in": _encoded_spec(info.in_spec),
        "out": _encoded_spec(info.out_spec),
        "nodes": [_encoded_node(node) for node in module.graph.nodes],
    }


def decoded_graph(data: Any) -> fx.GraphModule:
    """A module of its own with that graph; raises Undecodable for any data that is not one's."""
    try:
        return _decoded(data)
    except Exception as error:
        msg = f"not a pattern's graph: {type(error).__name__}: {error}"
        raise Undecodable(msg) from error


def snapshot(module: fx.GraphModule) -> tuple[Any, ...]:
    """Equal to an earlier one for as long as nobody has changed the graph's nodes, arguments, metadata or results."""
    nodes = [
        (node, node.name, node.target, node.args, node.kwargs, *node.meta, *map(id, node.meta.values()))
        for node in module.graph.nodes
    ]
    return nodes, getattr(module.graph._codegen, "pytree_info", None)


def _encoded_spec(spec: Any) -> Any:
    """A structure of arguments or results as the structure itself, with a zero for each leaf."""
    return None if spec is None else encoded(pytree.tree_unflatten([0] * spec.num_leaves, spec))


def _spec(structure: Any) -> Any:
    return None if structure is None else pytree.tree_structure(structure)


def _encoded_node(node: fx.Node) -> Data:
    if node.op not in _OPS or node.type is not None:
        raise Unencodable(node.op, node.type)
    return {
        "op": node.op,
        "name": node.name,
        "target": encoded(node.target),
        "args": encoded(tuple(node.args)),
        "kwargs": {name: encoded(value) for name, value in node.kwargs.items()},
        "meta": {name: encoded(value) for name, value in node.meta.items()},
    }


def _decoded(data: Data) -> fx.GraphModule:
    graph, nodes = fx.Graph(), dict[str, fx.Node]()
    values = Values(nodes)
    for item in data["nodes"]:
        node = _decoded_node(graph, item, values)
        nodes[node.name] = node
    arguments = [_identifier(name) for name in data["arguments"]]
    inputs, outputs = (_spec(values.decoded(data[name])) for name in ("in", "out"))
    graph.set_codegen(_PyTreeCodeGen(_PyTreeInfo(arguments, inputs, outputs)))
    graph.lint()
    return fx.GraphModule(nn.Module(), graph)


def _decoded_node(graph: fx.Graph, item: Data, values: Values) -> fx.Node:
    name = _identifier(item["name"])
    args = values.decoded(item["args"])
    kwargs = {_identifier(key): values.decoded(value) for key, value in item["kwargs"].items()}
    node = graph.create_node(item["op"], _TARGETS[item["op"]](item["target"], values), args, kwargs, name)
    if node.name != name:
        raise ValueError(name)
    node.meta = {key: values.decoded(value) for key, value in item["meta"].items()}
    return node


def _identifier(name: Any) -> str:
    """The name, which torch puts into the code that it generates for a graph."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(name)
    return name


def _operator(data: Any, values: Values) -> Any:
    if data == _GETITEM:
        return operator.getitem
    if set(data) != {"operator"}:
        raise ValueError(data)
    return values.decoded(data)


# Batch norms return a tuple up to torch 2.6.
_GETITEM: Final = encoded(operator.getitem)

_TARGETS: Final[dict[str, Callable[[Any, Values], Any]]] = {
    "placeholder": lambda data, _: _identifier(data),
    "call_function": _operator,
    "output": lambda data, _: _identifier(data),
}
