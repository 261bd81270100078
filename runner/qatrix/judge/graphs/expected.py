"""Expected graphs: whether a graph is the one that a check describes, and what its assertions say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx
from torch.utils import _pytree as pytree

from qatrix.expressions import Assert, Assign, Expression, Name, Return, Sequence, Statement
from qatrix.facts import ANYTHING
from qatrix.judge.graphs.assertions import Assertions
from qatrix.judge.graphs.matching import Match, Mismatch, Named, resolved


def match_graph(statements: tuple[Statement, ...], graph: fx.Graph, scope: Mapping[str, object]) -> Mismatch | None:
    """None where the graph is the expected one, else the mismatch that came nearest.

    With a `return` the match starts at the graph's output, otherwise the last assignment is
    looked for anywhere in the graph. Assertions alone need no match.
    """
    asserts = [statement.condition for statement in statements if isinstance(statement, Assert)]
    if len(asserts) == len(statements):
        return _first_failing(asserts, graph, scope, {})
    nearest: Mismatch | None = None
    root, path, starts = _start(statements, graph, scope)
    for start in starts:
        match = Match(scope)
        found = match.fault(root, start, path) or _first_failing(asserts, graph, scope, match.captured)
        if found is None:
            return None
        if nearest is None or len(found.path) > len(nearest.path):
            nearest = found
    return nearest or Mismatch(path, "the graph is empty")


def _first_failing(
    asserts: list[Expression], graph: fx.Graph, scope: Mapping[str, object], captured: Mapping[str, object]
) -> Mismatch | None:
    assertions = Assertions(graph=graph, scope=scope, captured=captured)
    faults = (assertions.fault(condition) for condition in asserts)
    message = next((fault for fault in faults if fault is not None), None)
    return None if message is None else Mismatch(("assert",), message)


def _start(
    statements: tuple[Statement, ...], graph: fx.Graph, scope: Mapping[str, object]
) -> tuple[Any, tuple[str, ...], list[object]]:
    """The expression to match, with every assigned name replaced by what it stands for; where, and by which path."""
    assigned: dict[str, Any] = {}
    root: Any = Name(ANYTHING)
    for line, statement in enumerate(statements):
        if isinstance(statement, Assign):
            root = Named(statement.targets[0], line, resolved(statement.value, assigned, scope))
            assigned[statement.targets[0]] = root
        elif isinstance(statement, Return):
            returned = resolved(statement.value, assigned, scope)
            leaves = _outputs(graph)
            several = isinstance(returned, Sequence)
            return returned, ("output",), [leaves if several else leaves[0] if leaves else None]
    return root, (), [node for node in graph.nodes if node.op != "output"]


def _outputs(graph: fx.Graph) -> list[Any]:
    """All that the graph returns."""
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    return pytree.tree_leaves(output.args[0])
