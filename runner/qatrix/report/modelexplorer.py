"""Whole graphs in the JSON of Model Explorer, a viewer of model graphs: one graph for each pipeline at each point.

The format: https://github.com/google-ai-edge/model-explorer/blob/main/src/server/package/src/model_explorer/graph_builder.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from qatrix.diagnoses import GraphText, ParameterRow, Parameters, PointDiagnosis
from qatrix.outcomes import COMPARED
from qatrix.report.casepage.kept import rounding_of
from qatrix.report.casepage.nodes import Node, nodes_of
from qatrix.report.figures import number
from qatrix.text import visible

Json = dict[str, object]
# Digits that tell any two scales apart which a person would.
_DIGITS: Final = 9


def model_explorer_json(case_id: str, points: Sequence[PointDiagnosis]) -> str:
    """The graphs of a case as one collection, in the order of the points."""
    graphs = [_graph(point, place) for point in points for place in range(len(point.graphs))]
    return json.dumps({"label": visible(case_id), "graphs": graphs}, indent=1) + "\n"


def _graph(point: PointDiagnosis, place: int) -> Json:
    graph = point.graphs[place]
    parameters = {node: (row, given) for row, given, node in _quantizing(point, left=place == 0)}
    where = COMPARED.get(point.at, f"after {point.at}")
    return {
        "id": visible(f"{graph.pipeline} {where}"),
        "nodes": [_node(node, graph, parameters) for node in nodes_of(graph)],
    }


def _quantizing(point: PointDiagnosis, *, left: bool) -> Iterator[tuple[ParameterRow, Parameters, str]]:
    """Parameters with the node that they are of: "fake_quantize (post_1)" names post_1."""
    for row in point.parameters:
        given = row.left if left else row.right
        if given is not None:
            yield row, given, given.node.rpartition("(")[2].removesuffix(")")


def _node(node: Node, graph: GraphText, parameters: Mapping[str, tuple[ParameterRow, Parameters]]) -> Json:
    facts = {"op": node.op, "text": graph.lines[node.place].text}
    if node.layer is not None:
        facts["layer"] = node.layer
    facts |= rounding_of(graph.lines[node.place].text)
    if node.name in parameters:
        row, given = parameters[node.name]
        facts |= {"tensor": row.tensor, **_settings(given), "parameters": row.status}
    if node.place == graph.first_differing:
        facts["first difference"] = "yes"
    return {
        "id": node.name,
        "label": visible(node.label if node.kind not in {"input", "constant", "output"} else node.name),
        "namespace": visible(_namespace(node)),
        "attrs": [{"key": key, "value": visible(value)} for key, value in facts.items()],
        "incomingEdges": [
            {"sourceNodeId": name, "sourceNodeOutputId": "0", "targetNodeInputId": str(place)}
            for place, name in enumerate(node.inputs)
        ],
    }


def _namespace(node: Node) -> str:
    """The modules around a layer as a path: "layer1/0/conv1"; empty for nodes of no layer."""
    return "" if node.layer is None else "/".join(part for part in node.layer.split(".") if part)


def _settings(given: Parameters) -> dict[str, str]:
    span = "" if given.quant_min is None else f"{given.quant_min}…{given.quant_max}"
    facts = {
        "dtype": given.dtype or "",
        "scale": _span(given.scale_min, given.scale_max),
        "zero point": _span(given.zero_point_min, given.zero_point_max),
        "range": span,
        "scheme": given.qscheme or "",
        "observer": given.observer or given.type or "",
    }
    return {key: value for key, value in facts.items() if value}


def _span(low: float | None, high: float | None) -> str:
    return "…".join(dict.fromkeys(number(value, _DIGITS) for value in (low, high) if value is not None))
