"""The nodes of a graph that draw random numbers, as the graph stands."""

from __future__ import annotations

from typing import Final

from torch import fx

from qatrix.judge.graphs.ops import argument, called_module, op_name

# Where the functions of torch.nn have whether they drop anything, and that they do so unless told otherwise.
_TRAINING: Final = (2, True)


def drawing_nodes(program: fx.GraphModule) -> dict[str, fx.Node]:
    """Dropouts of every kind that are in training, and Bernoulli trials, by name."""
    return {node.name: node for node in program.graph.nodes if _draws(node)}


def _draws(node: fx.Node) -> bool:
    name = op_name(node).replace("_", "")
    if name in {"bernoulli", "stochasticdepth"}:
        return node.op != "call_module" or bool(getattr(called_module(node), "training", False))
    if "dropout" not in name or node.op not in {"call_module", "call_function"}:
        return False
    if node.op == "call_module":
        return bool(getattr(called_module(node), "training", False))
    try:
        return bool(argument(node, "train"))
    except KeyError:
        place, default = _TRAINING
        return bool(node.kwargs.get("training", node.args[place] if len(node.args) > place else default))
