"""Pattern graphs as data: everything of the graph comes back, and data that is not a graph's is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import fx
from torch.nn.functional import relu

from qatrix.pipelines.pattern_cache.graphs import Undecodable, decoded_graph, encoded_graph, snapshot
from qatrix.pipelines.pattern_cache.values import Unencodable

pytestmark = pytest.mark.torch


class Pattern(torch.nn.Module):
    def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        scaled = torch.zeros_like(x, dtype=torch.float64) + relu(x.reshape([-1])) / scale + x.max(0)[0]
        return scaled, {"scaled": scaled, "input": x}


@pytest.fixture(scope="module")
def exported() -> fx.GraphModule:
    program = torch.export.export(Pattern(), (torch.ones(3),), {"scale": torch.ones(1)}, strict=True)
    module: Any = program.module()
    for node in module.graph.find_nodes(op="call_module"):
        module.graph.erase_node(node)
    module.recompile()
    assert isinstance(module, fx.GraphModule)
    return module


@pytest.fixture
def data(exported: fx.GraphModule) -> Any:
    return json.loads(json.dumps(encoded_graph(exported)))


def test_a_graph_comes_back_from_its_data_with_its_metadata(exported: fx.GraphModule, data: Any) -> None:
    back = decoded_graph(data)

    assert encoded_graph(back) == data
    assert back.code == exported.code
    assert {name for node in back.graph.nodes for name in node.meta} >= {"val", "source_fn_stack", "from_node"}


def test_a_graph_from_data_computes_the_same(exported: fx.GraphModule, data: Any) -> None:
    inputs, scale = torch.tensor([-1.0, 0.1, 3.0]), torch.tensor([0.3])
    (one, named), (other, others) = (module(inputs, scale=scale) for module in (exported, decoded_graph(data)))

    assert torch.equal(one, other)
    assert {name: item.tolist() for name, item in named.items()} == {
        name: item.tolist() for name, item in others.items()
    }


@pytest.mark.parametrize(
    ("place", "item"),
    [
        pytest.param("target", {"operator": ["c10d", "barrier", "default"]}, id="an operator of another namespace"),
        pytest.param("target", {"operator": ["aten", "__class__", ""]}, id="an attribute that is no operator"),
        pytest.param("target", {"function": ["torch", "load"]}, id="a function to call"),
        pytest.param("target", "system", id="a bare name to call"),
        pytest.param("op", "call_method", id="another kind of node"),
        pytest.param("name", "x = __import__('os')", id="a name with code in it"),
        pytest.param("name", "args_0", id="a name that is taken"),
        pytest.param("kwargs", {"dtype=print()": 1}, id="a keyword with code in it"),
        pytest.param("args", {"tuple": [{"node": "nowhere"}]}, id="a node that is not there"),
        pytest.param("args", {"pickle": "cos"}, id="an unknown type"),
        pytest.param("args", {"constant": "load"}, id="a constant that is none"),
        pytest.param("meta", {"source_fn_stack": {"function": ["os", "system"]}}, id="a function of another module"),
        pytest.param("meta", {"source_fn_stack": {"function": ["torch", "nn"]}}, id="a function that is none"),
    ],
)
def test_data_that_could_do_more_than_a_pattern_is_refused(data: Any, place: str, item: Any) -> None:
    node = next(node for node in data["nodes"] if node["op"] == "call_function")
    node[place] = item

    with pytest.raises(Undecodable):
        decoded_graph(data)


@pytest.mark.parametrize("other", [None, [], {}, {"nodes": 3}, "text"], ids=repr)
def test_data_that_is_no_graph_is_refused(other: Any) -> None:
    with pytest.raises(Undecodable):
        decoded_graph(other)


def test_argument_names_are_names(data: Any) -> None:
    data["arguments"][0] = "x=print()"

    with pytest.raises(Undecodable):
        decoded_graph(data)


@pytest.mark.parametrize("held", [object(), 1j, torch.ones(1), print], ids=["object", "complex", "tensor", "function"])
def test_metadata_that_cannot_be_told_is_not_left_out(exported: fx.GraphModule, held: object) -> None:
    changed = copy.deepcopy(exported)
    next(iter(changed.graph.nodes)).meta["held"] = held

    with pytest.raises(Unencodable):
        encoded_graph(changed)


def test_a_graph_with_constants_is_not_told() -> None:
    with pytest.raises(Unencodable):
        encoded_graph(fx.symbolic_trace(torch.nn.Linear(1, 1)))


def test_a_snapshot_tells_whether_a_graph_was_written_to(exported: fx.GraphModule) -> None:
    changed = copy.deepcopy(exported)
    before = snapshot(changed)
    assert snapshot(changed) == before

    next(iter(changed.graph.nodes)).meta["quantization_annotation"] = "new"
    assert snapshot(changed) != before
