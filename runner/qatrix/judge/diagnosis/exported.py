"""The layers in an exported program: by the metadata that the exporter leaves on its aten nodes."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import fx

from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import base_name, op_name
from qatrix.judge.graphs.origins import (
    call_number,
    canonical,
    is_made_anew,
    is_of_rewriting,
    module_paths,
    parameter_owner,
    source_call,
)


def is_exported(graph: fx.Graph) -> bool:
    """Whether a graph computes in aten ops, as torch.export captures it.

    FX may trace a model that calls one itself; the exporter alone notes what an op's value is like.
    """
    return any(
        isinstance(node.target, torch._ops.OpOverload) and node.target.namespace == "aten" and "val" in node.meta
        for node in unnested(graph.nodes)
    )


def nested_graph(node: fx.Node) -> fx.Graph | None:
    """The graph that a node runs: the exporter nests what computes without gradients, or under autocast."""
    owner = node.graph.owning_module
    if owner is None or node.op != "call_function":
        return None
    for source in node.all_input_nodes:
        inner = getattr(owner, str(source.target), None) if source.op == "get_attr" else None
        if isinstance(inner, fx.GraphModule):
            return inner.graph
    return None


def nested_nodes(nodes: Iterable[fx.Node]) -> dict[fx.Node, str]:
    """The nodes of all graphs that these run, and the name of the op that runs them."""
    return {
        inner: base_name(node)
        for node in nodes
        if (graph := nested_graph(node)) is not None
        for inner in unnested(graph.nodes)
    }


def unnested(nodes: Iterable[fx.Node]) -> list[fx.Node]:
    """The nodes in the order of execution, those of nested graphs in place of the nodes that run them."""
    found: list[fx.Node] = []
    for node in nodes:
        graph = nested_graph(node)
        found += [node] if graph is None else unnested(graph.nodes)
    return found


@dataclass(frozen=True, kw_only=True)
class FusedNorm:
    """The ops that stand for a convolution and its batch norm in quantization-aware training.

    `value` is the node that has the convolution's own value, after the scale of the batch norm is
    taken out again; `inner` are the nodes that belong to no layer by themselves; `eps` is the
    literal in the scale factor.
    """

    norm: fx.Node
    operand: fx.Node
    value: fx.Node
    inner: frozenset[fx.Node]
    eps: float | None


def fused_norms(graph: fx.Graph) -> Iterator[FusedNorm]:
    """Every fused convolution and batch norm, by the shape of its ops alone.

    The pattern is bn(conv(x, w * s, 0) / s + bias) with s = gamma / sqrt(variance + eps).
    """
    for node in graph.nodes:
        if op_name(node) == "batch_norm":
            found = _fused_norm(node)
            if found is not None:
                yield found


def _fused_norm(norm: fx.Node) -> FusedNorm | None:
    value = operand(norm, 0)
    if not isinstance(value, fx.Node):
        return None
    inner = {value}
    division = value
    if op_name(value) == "add":
        inner |= set(_nodes(value.args))
        division = next((arg for arg in _nodes(value.args) if op_name(arg) == "div"), value)
    if op_name(division) != "div":
        return None
    scaled, factor = operand(division, 0), operand(division, 1)
    if not isinstance(scaled, fx.Node) or not isinstance(factor, fx.Node):
        return None
    chain = _factor_chain(factor)
    if not op_name(scaled).startswith(("conv", "linear")) or not chain:
        return None
    eps = next((operand(node, 1) for node in chain if op_name(node) == "add"), None)
    return FusedNorm(
        norm=norm,
        operand=scaled,
        value=value,
        inner=frozenset((inner | set(chain) | set(_scaled_weight(scaled, chain))) - {scaled}),
        eps=float(eps) if isinstance(eps, (int, float)) else None,
    )


def _factor_chain(factor: fx.Node) -> list[fx.Node]:
    """The ops of gamma / sqrt(variance + eps), reshaped; empty where it is something else."""
    chain = []
    node = factor
    for expected in ("reshape", "div", "sqrt", "add"):
        if op_name(node) != expected:
            return []
        chain.append(node)
        following = operand(node, 1 if expected == "div" else 0)
        if not isinstance(following, fx.Node):
            return chain
        node = following
    return chain


def _scaled_weight(scaled: fx.Node, chain: Sequence[fx.Node]) -> Iterator[fx.Node]:
    """The ops between a parameter and the weight, and between a parameter and the bias, of a fused convolution."""
    for argument in _nodes(scaled.args[1:]):
        node = argument
        while op_name(node) not in {"constant", "input"} and node not in chain:
            yield node
            following = next(iter(_nodes(node.args)), None)
            if following is None:
                break
            yield from (other for other in _nodes(node.args[1:]) if op_name(other) == "reshape")
            node = following


def claims(layout: Layout, nodes: Sequence[fx.Node], fused: Collection[FusedNorm]) -> Mapping[fx.Node, str]:
    """Which site each node of an exported program belongs to; `nodes` are those that depend on an input.

    A node belongs to the outermost module of its `nn_module_stack` that is a layer, one that a
    rewriting made to the layer whose parameters it reads, others to the function call of their
    `source_fn_stack` (`torch_fn` where the capture was non-strict) in the innermost module.
    """
    inner = {node for norm in fused for node in norm.inner}
    by_module: dict[str, list[fx.Node]] = {}
    by_function: dict[tuple[str, object], list[fx.Node]] = {}
    paths = {site.path for site in layout.sites.values() if site.kind == "module"}
    for node in nodes:
        if node in inner or node.op != "call_function":
            continue
        stack = module_paths(node)
        owner = parameter_owner(_picked_from(node)) if is_made_anew(node) else ""
        layer = next((path for path in (*stack, owner) if path in paths), None)
        if layer is not None:
            by_module.setdefault(layer, []).append(node)
        else:
            by_function.setdefault((stack[-1] if stack else "", source_call(node)[0]), []).append(node)
    return {**_module_claims(layout, by_module), **_function_claims(layout, by_function)}


def _picked_from(node: fx.Node) -> fx.Node:
    """The node of which this one picks one of several values, else itself."""
    source = node.args[0] if node.target is operator.getitem else None
    return source if isinstance(source, fx.Node) else node


def _module_claims(layout: Layout, groups: Mapping[str, list[fx.Node]]) -> dict[fx.Node, str]:
    found = {}
    for path, nodes in groups.items():
        sites = [site for site in layout.sites.values() if site.path == path and site.kind == "module"]
        for call, part in _calls(nodes, path, len(sites)):
            found.update(dict.fromkeys(part, sites[call].key))
    return found


def _calls(nodes: list[fx.Node], path: str, count: int) -> list[tuple[int, list[fx.Node]]]:
    """The nodes of a module call by call: by the number that the exporter gives each call, else in equal parts."""
    numbered: dict[int, list[fx.Node]] = {}
    for node in nodes:
        numbered.setdefault(call_number(node, path), []).append(node)
    if max(numbered) in range(1, count):
        return list(numbered.items())
    size = len(nodes) // count
    if count == 1 or size * count != len(nodes):
        return [(0, nodes)]
    return [(place, nodes[place * size : (place + 1) * size]) for place in range(count)]


def _function_claims(layout: Layout, groups: Mapping[tuple[str, object], list[fx.Node]]) -> dict[fx.Node, str]:
    known: dict[tuple[str, str], list[Site]] = {}
    for site in layout.sites.values():
        if site.kind == "function" and site.op != "getitem":
            known.setdefault((site.scope, site.op), []).append(site)
    found: dict[fx.Node, str] = {}
    left: dict[str, list[fx.Node]] = {}
    for (scope, _), nodes in groups.items():
        names = (canonical(source_call(nodes[0])[1]), canonical(base_name(nodes[-1])))
        waiting = next((known[scope, name] for name in names if known.get((scope, name))), None)
        if waiting:
            found.update(dict.fromkeys(nodes, waiting.pop(0).key))
        else:
            left.setdefault(scope, []).extend(nodes)
    found |= _lone_function_claims(layout, left, {*found.values()})
    return found | _selections(layout, found)


def _lone_function_claims(
    layout: Layout, left: Mapping[str, list[fx.Node]], taken: Collection[str]
) -> Mapping[fx.Node, str]:
    """The nodes of a forward that calls one function alone, which is several ops to the exporter, but not to FX."""
    claimed: dict[fx.Node, str] = {}
    for scope, nodes in left.items():
        sites = [site.key for site in layout.sites.values() if site.kind == "function" and site.scope == scope]
        if len(sites) == 1 and sites[0] not in taken:
            # What a rewriting made, a dropout of evaluation for one, is only seemingly of the outermost forward.
            own = [node for node in nodes if not is_of_rewriting(node)]
            claimed.update(dict.fromkeys(own, sites[0]))
    return claimed


def _selections(layout: Layout, found: Mapping[fx.Node, str]) -> dict[fx.Node, str]:
    """The parts that a model picks from a function's several outputs; and indexing, which aten spells in many ways."""
    picked: dict[fx.Node, str] = {}
    for site in layout.sites.values():
        if site.op != "getitem" or not site.inputs:
            continue
        for node, owner in found.items():
            if node.target is operator.getitem and owner == site.inputs[0] and node.args[1] == site.index:
                picked[node] = site.key
    return picked


def _nodes(values: object) -> Iterator[fx.Node]:
    items = values if isinstance(values, (tuple, list)) else (values,)
    yield from (item for item in items if isinstance(item, fx.Node))
