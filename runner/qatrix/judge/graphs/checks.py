"""A declared check on a program's graph: expected graph, counts, order, absence, live annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import fx, nn

from qatrix.arithmetic import EvaluationError
from qatrix.claims import GraphCheck
from qatrix.judge.graphs.expected import match_graph
from qatrix.judge.graphs.ops import names_of, op_name
from qatrix.judge.graphs.places import node_words, place_of
from qatrix.outcomes import CheckOutcome


def run_check(check: GraphCheck, module: nn.Module, pipeline: str) -> CheckOutcome:
    """Whether a program is as the check says; every part that fails is in the message."""
    if not isinstance(module, fx.GraphModule):
        return _outcome(check, pipeline, [f"the program is a {type(module).__name__} and has no graph to check"])
    try:
        return _outcome(check, pipeline, list(_faults(check, module.graph)))
    except EvaluationError as error:
        return _outcome(check, pipeline, [f"the check itself cannot be evaluated: {error}"])


def _outcome(check: GraphCheck, pipeline: str, faults: list[str]) -> CheckOutcome:
    return CheckOutcome(
        name=check.name,
        pipeline=pipeline,
        status="failed" if faults else "passed",
        message="; ".join(faults) if faults else None,
    )


def _faults(check: GraphCheck, graph: fx.Graph) -> Iterator[str]:
    if check.graph:
        mismatch = match_graph(check.graph, graph, check.scope)
        if mismatch is not None:
            yield str(mismatch)
    nodes = [node for node in graph.nodes if node.op != "output"]
    counts = Counter(name for node in nodes for name in names_of(node))
    for op, count in check.counts.items():
        if counts[op] != count:
            yield f"expected {count} {op}, found {counts[op]}"
    for op in check.absent:
        if counts[op]:
            first = next(node for node in nodes if op in names_of(node))
            yield f"expected no {op}, found {counts[op]} ({node_words(first)})"
    yield from _order(check.order, nodes)
    if check.live_annotations:
        yield from _dead_annotations(graph)


def _order(order: tuple[str, ...], nodes: list[fx.Node]) -> Iterator[str]:
    """The first op of an order that does not come; other ops may stand between."""
    rest = iter(nodes)
    last = "the graph's start"
    for op in order:
        node = next((node for node in rest if op in names_of(node)), None)
        if node is None:
            yield f"expected the order {', '.join(order)}; no {op} comes after {last}"
            return
        last = f"{op_name(node)} ({node_words(node)})"


def _dead_annotations(graph: fx.Graph) -> Iterator[str]:
    alive = set(graph.nodes)
    for node in graph.nodes:
        annotation = node.meta.get("quantization_annotation")
        if annotation is None:
            continue
        for role, other in _referred(annotation):
            if other not in alive:
                yield f"the annotation of {place_of(node)} names {other.name} as its {role}, which is not in the graph"


def _referred(annotation: Any) -> Iterator[tuple[str, fx.Node]]:
    """Every node that an annotation refers to, and in which role."""
    for node, spec in annotation.input_qspec_map.items():
        yield "input", node
        yield from _nodes_of(spec)
    yield from _nodes_of(annotation.output_qspec)


def _nodes_of(spec: Any) -> Iterator[tuple[str, fx.Node]]:
    shared = getattr(spec, "edge_or_node", None)
    edges = [] if shared is None else [("shared quantization spec", shared)]
    edges += [("derived quantization spec", item) for item in getattr(spec, "derived_from", ())]
    for role, edge_or_node in edges:
        for node in edge_or_node if isinstance(edge_or_node, tuple) else (edge_or_node,):
            yield role, node
