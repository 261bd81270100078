"""What a graph computes, as a digest that does not depend on the names of its nodes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from torch import Tensor, fx, nn

from qatrix.judge.graphs.ops import called_module, op_name


def graph_digest(program: nn.Module) -> str | None:
    """The SHA-256, in hex, of ops, arguments and the way values take; None where there is no graph.

    Weights and scales are no part of it: they are values, not the graph. Neither are nodes that
    nothing uses.
    """
    if not isinstance(program, fx.GraphModule):
        return None
    used = [node for node in program.graph.nodes if node.users or node.op in {"placeholder", "output"}]
    places = {node: place for place, node in enumerate(used)}
    lines = [[_kind(node), _plain(node.args, places), _plain(node.kwargs, places)] for node in used]
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()


def _kind(node: fx.Node) -> str:
    if node.op == "call_module":
        return f"module {type(called_module(node)).__name__}"
    return op_name(node)


def _plain(value: Any, places: dict[fx.Node, int]) -> Any:
    """A value as JSON, in which a node is its place."""
    if isinstance(value, fx.Node):
        return {"node": places[value]}
    if isinstance(value, (tuple, list)):
        return [_plain(item, places) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, places) for key, item in value.items()}
    if isinstance(value, slice):
        return {"slice": [_plain(part, places) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, Tensor):
        return {"tensor": list(value.shape)}
    return repr(value)
