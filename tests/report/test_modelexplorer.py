"""Graphs for Model Explorer: its own format, with each node's quantization in its attributes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qatrix.diagnoses import GraphLine, GraphText, ParameterRow
from qatrix.report.modelexplorer import model_explorer_json
from support.casepages import FX, PT2E, hostile_diagnosis
from support.diagnoses import make_parameters, make_point
from support.hostile import HOSTILE_TEXTS, hidden_in


def graphs_of(text: str) -> list[dict[str, Any]]:
    collection = json.loads(text)
    assert set(collection) == {"label", "graphs"}
    return list(collection["graphs"])


def exported() -> list[dict[str, Any]]:
    given = make_parameters(node="fake_quantize (post_2)", scale_min=0.0123456789, scale_max=0.0123456789)
    row = ParameterRow(tensor="conv", status="differs", left=given, right=make_parameters(), differing=("scale",))
    return graphs_of(model_explorer_json("s/a", (make_point(graphs=(PT2E, FX), parameters=(row,)),)))


def attributes(node: dict[str, Any]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in node["attrs"]}


def demand_structure(graphs: list[dict[str, Any]]) -> None:
    """What the viewer asks for: ids that are unique, edges that come from somewhere, text in every attribute."""
    assert len({graph["id"] for graph in graphs}) == len(graphs)
    for graph in graphs:
        ids = [node["id"] for node in graph["nodes"]]
        assert len(ids) == len(set(ids))
        for node in graph["nodes"]:
            assert set(node) == {"id", "label", "namespace", "attrs", "incomingEdges"}
            assert {edge["sourceNodeId"] for edge in node["incomingEdges"]} <= set(ids)
            inputs = [edge["targetNodeInputId"] for edge in node["incomingEdges"]]
            assert inputs == [str(place) for place in range(len(inputs))]
            assert all(isinstance(item["key"], str) and isinstance(item["value"], str) for item in node["attrs"])


def test_each_pipeline_has_a_graph_whose_edges_resolve() -> None:
    graphs = exported()

    assert [graph["id"] for graph in graphs] == ["pt2e after prepare", "fx after prepare"]
    demand_structure(graphs)


def test_a_node_has_its_layer_its_parameters_and_its_difference() -> None:
    nodes = {node["id"]: node for node in exported()[0]["nodes"]}
    facts = attributes(nodes["post_2"])

    assert facts["tensor"] == "conv"
    assert (facts["dtype"], facts["scale"], facts["zero point"]) == ("int8", "0.0123456789", "3")
    assert attributes(nodes["conv2d"])["first difference"] == "yes"
    assert nodes["conv2d"]["namespace"] == "conv"


def test_a_nested_layer_is_a_path_of_namespaces() -> None:
    graph = GraphText(pipeline="pt2e", lines=(GraphLine(text="y = aten.relu.default(1)", layer="layer1.0.relu"),))
    (found,) = graphs_of(model_explorer_json("s/a", (make_point(graphs=(graph,)),)))

    assert found["nodes"][0]["namespace"] == "layer1/0/relu"


@pytest.mark.parametrize("text", list(HOSTILE_TEXTS.values()), ids=list(HOSTILE_TEXTS))
def test_hostile_names_keep_the_structure_and_hide_nothing(text: str) -> None:
    exported_text = model_explorer_json(text, hostile_diagnosis(text).points)

    collection = json.loads(exported_text)
    assert hidden_in(collection["label"]) == []
    assert all(
        hidden_in(item["value"]) == []
        for graph in collection["graphs"]
        for node in graph["nodes"]
        for item in node["attrs"]
    )
