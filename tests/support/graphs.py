"""Small FX graphs, built by hand from aten ops, for tests of graph checks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx, nn

from qatrix.claims import GraphCheck
from qatrix.declare.language import Text, parse_graph
from qatrix.errors import Source
from qatrix.expressions import Value

SOURCE = Source(file="checks.yaml", line=1, column=1)
aten = torch.ops.aten


def graph_module(build: Callable[[fx.Graph], fx.Node | tuple[fx.Node, ...]], **attributes: object) -> fx.GraphModule:
    """A graph module of the graph that `build` makes and returns the output of; tensors and modules are attributes."""
    root = nn.Module()
    for name, value in attributes.items():
        if isinstance(value, torch.Tensor):
            root.register_buffer(name, value)
        else:
            setattr(root, name, value)
    graph = fx.Graph()
    graph.output(build(graph))
    return fx.GraphModule(root, graph)


def graph_check(*lines: str, scope: dict[str, Value] | None = None) -> GraphCheck:
    """A check whose expected graph is written in these lines."""
    statements, problems = parse_graph([Text(text=line, source=SOURCE) for line in lines])
    assert not problems, problems
    assert statements is not None
    return GraphCheck(
        name="written", about="", at="convert", pipelines=("pt2e",), graph=statements, scope=scope or {}, source=SOURCE
    )
