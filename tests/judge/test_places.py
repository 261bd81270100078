"""Nodes in words: the layers that people know, whichever pipeline's program a node is of."""

from __future__ import annotations

from functools import cache
from operator import getitem

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from qatrix.judge.graphs.layers import nodes_of
from qatrix.judge.graphs.origins import canonical, plain_path
from qatrix.judge.graphs.places import layer_of, node_words, place_of
from support.graphs import aten, graph_module

pytestmark = pytest.mark.torch


class Block(nn.Module):
    """A residual block, whose convolution is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.norms = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.norms(self.conv(x)))
        y += x
        return functional.relu(y)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.drop = nn.Dropout2d()

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.block(x)).flatten(2).transpose(1, 2)
        y = functional.pad(y, (1, 1))
        z: Tensor = functional.relu(self.attention(y, y, y)[0])
        return z + 1


X = torch.ones(1, 2, 2, 2)


def exported(model: nn.Module, x: Tensor = X, *, strict: bool = True) -> fx.GraphModule:
    return torch.export.export(model.eval(), (x,), strict=strict).module()


@cache
def exported_once(*, strict: bool = True) -> fx.GraphModule:
    """The program of the model above, for tests that only read it: exporting it takes most of a second."""
    return exported(Model(), strict=strict)


def traced(model: nn.Module) -> fx.GraphModule:
    from qatrix.pipelines.tracing import float_trace

    return float_trace(model.eval())


def places(program: nn.Module, name: str) -> list[str]:
    """The places of the nodes whose names begin so."""
    return [place_of(node) for node in nodes_of(program) if node.name.startswith(name)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param(
            "conv2d", ["the first call of block.conv", "the second call of block.conv"], id="one layer called twice"
        ),
        pytest.param("batch_norm", ["block.norms.0"], id="layer in a sequence"),
        pytest.param("add", ["block.add", "add"], id="functions in modules of their own"),
        pytest.param("relu", ["block.norms.1", "block.relu", "relu"], id="module and functions of one kind"),
        pytest.param("feature_dropout", ["drop"], id="layer whose op has another name"),
        pytest.param("pad", ["pad"], id="function"),
        pytest.param(
            "linear",
            ["the first call of attention.linear", "the second call of attention.linear"],
            id="ops of one layer",
        ),
        pytest.param("x", ["the input x"], id="input"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_the_nodes_of_an_exported_program_go_by_their_layers(name: str, told: list[str], strict: bool) -> None:
    assert places(exported_once(strict=strict), name) == told


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("conv2d", ["block.conv", "block.conv@2"]),
        ("add", ["block.add", "add"]),
        ("relu", ["block.norms.1", "block.relu", "relu"]),
        ("linear", ["attention.linear", "attention.linear@2"]),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_layer_is_named_as_in_a_diagnosis(name: str, layers: list[str], strict: bool) -> None:
    nodes = nodes_of(exported_once(strict=strict))

    assert [layer_of(node) for node in nodes if node.name.startswith(name)] == layers


def test_a_layer_that_fx_traced_is_named_as_in_a_diagnosis() -> None:
    program = traced(Block())
    called = {node.name: layer_of(node) for node in program.graph.nodes if node.op.startswith("call")}

    assert list(called.values()) == ["conv", "norms.0", "norms.1", "conv@2", "add", "relu"]


class Nesting(nn.Module):
    """Computes one layer without gradients, which the exporter nests in a graph of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = functional.relu(self.inner(x))
        z: Tensor = y + self.inner(y)
        return z


@pytest.mark.parametrize("strict", [True, False])
def test_the_nodes_of_a_nested_graph_go_by_their_layers(strict: bool) -> None:
    program = exported(Nesting(), strict=strict)
    graphs = [part for part in program.modules() if isinstance(part, fx.GraphModule) and part is not program]
    told = [place_of(node) for part in graphs for node in part.graph.nodes if node.op == "call_function"]

    assert told == ["inner.0", "relu"]
    assert places(program, "linear_1") == ["the second call of inner.0"]


@pytest.mark.parametrize("strict", [True, False])
def test_a_model_that_is_one_layer_itself_has_no_function_of_its_own(strict: bool) -> None:
    assert places(exported(nn.ReLU(), strict=strict), "relu") == ["the node relu"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param(
            "block_conv", ["the first call of block.conv", "the second call of block.conv"], id="one layer called twice"
        ),
        pytest.param("block_norms_0", ["block.norms.0"], id="layer in a sequence"),
        pytest.param("add", ["block.add", "add"], id="functions of one name"),
        pytest.param("relu", ["block.relu", "relu"], id="functions in modules of their own"),
        pytest.param("attention", ["attention"], id="layer of many ops"),
    ],
)
def test_the_nodes_of_a_traced_program_go_by_their_layers(name: str, told: list[str]) -> None:
    assert places(traced(Model()), name) == told


def test_a_node_that_lost_where_it_is_from_goes_by_the_buffers_that_it_reads() -> None:
    program = exported(Model())
    for node in program.graph.nodes:
        node.meta.clear()

    assert places(program, "batch_norm") == ["block.norms.0"]
    assert places(program, "add") == [
        "the node add_ behind the second call of block.conv",
        "the node add behind attention.out_proj",
    ]


def test_an_op_of_a_rewriting_is_no_function_of_the_model() -> None:
    program = exported(Model())
    for node in program.graph.nodes:
        node.meta["nn_module_stack"] = {"": ("", "torchao.quantization.pt2e.export_utils.WrapperModule")}

    assert places(program, "relu_1") == ["the node relu_1 behind the second call of block.conv"]


class ObserverBase(nn.Identity):
    """What is known as an observer by the name of its class."""


@pytest.mark.parametrize(
    ("of", "told"),
    [
        pytest.param("x", "the observer of the input x", id="input"),
        pytest.param("weight", "the observer of layer.weight", id="parameter"),
        pytest.param("scaled", "the observer of layer.weight", id="parameter, scaled"),
        pytest.param("layer", "the observer of the output of layer", id="layer"),
        pytest.param("picked", "the observer of output 1 of layer", id="one of several outputs"),
        pytest.param("observed", "the observer of the output of layer", id="what another observes too"),
    ],
)
def test_an_observer_goes_by_what_it_observes(of: str, told: str) -> None:
    def build(graph: fx.Graph) -> fx.Node:
        nodes = {"x": graph.placeholder("x"), "weight": graph.get_attr("layer.weight")}
        nodes["scaled"] = graph.call_function(aten.mul.Tensor, (nodes["weight"], graph.get_attr("layer.bias")))
        nodes["layer"] = graph.call_module("layer", (nodes["x"],))
        nodes["picked"] = graph.call_function(getitem, (nodes["layer"], 1))
        nodes["observed"] = graph.call_module("first", (nodes["layer"],))
        return graph.call_module("second", (nodes[of],))

    program = graph_module(build, layer=nn.Linear(2, 2), first=ObserverBase(), second=ObserverBase())
    (second,) = [node for node in program.graph.nodes if node.name == "second"]

    assert place_of(second) == told
    assert node_words(second) == f"node second, {told}"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("conv2d_1", "node conv2d_1 of the second call of block.conv", id="layer"),
        pytest.param("add", "node add", id="function that the name tells"),
        pytest.param("x", "node x", id="input"),
    ],
)
def test_who_reads_a_graph_is_told_the_node_and_its_layer(name: str, told: str) -> None:
    (node,) = [node for node in exported_once().graph.nodes if node.name == name]

    assert node_words(node) == told


def test_the_eleventh_call_has_a_number() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        node = graph.placeholder("x")
        for _ in range(12):
            node = graph.call_module("layer", (node,))
        return node

    told = places(graph_module(build, layer=nn.ReLU()), "layer")

    assert told[9:] == ["the tenth call of layer", "the 11th call of layer", "the 12th call of layer"]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("iadd", "add"), ("add_", "add"), ("truediv", "div"), ("_unsafe_view", "view"), ("relu", "relu")],
)
def test_an_operator_has_one_name_whatever_its_spelling(spelling: str, name: str) -> None:
    assert canonical(spelling) == name


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("block.conv", "block.conv"),
        ("block.conv@1", "block.conv"),
        ("", ""),
        ("L['self']", ""),
        ("L['self'].block.conv", "block.conv"),
        ("L['model'].conv", "conv"),
        ("getattr(L['self'].layers, '0').conv", "layers.0.conv"),
        ("getattr(getattr(L['self'].layers, '0').down, '1')", "layers.0.down.1"),
        ("L['self'].rows[1].norm", "rows.1.norm"),
        ("L['self'].named['first one']", "named.first one"),
        ("L['self']._modules['conv']", "conv"),
    ],
)
def test_a_module_has_one_path_however_a_release_writes_it(written: str, path: str) -> None:
    assert plain_path(written) == path
