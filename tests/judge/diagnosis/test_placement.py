"""Layouts of float models, and where programs have their layers."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.judge.diagnosis.layout import Layout, layout_of
from qatrix.judge.diagnosis.placement import place

pytestmark = pytest.mark.torch


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.bn = nn.BatchNorm2d(2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn(self.conv(x)))
        y = self.conv(y)
        y += x
        out: Tensor = self.relu(y).flatten(1)
        return out


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out + 1


def traced(model: nn.Module) -> fx.GraphModule:
    from qatrix.pipelines.tracing import float_trace

    return float_trace(model)


def layout_for(model: nn.Module) -> Layout:
    graph = traced(model).graph
    return layout_of(graph, [node.name for node in graph.nodes])


def exported(model: nn.Module, *, strict: bool = True) -> fx.GraphModule:
    program = torch.export.export(model, (torch.randn(2, 2, 3, 3),), strict=strict).module()
    assert isinstance(program, fx.GraphModule)
    return program


def test_sites_have_the_names_a_reader_knows() -> None:
    assert [site.name for site in layout_for(Model()).sites.values()] == [
        "x",
        "block.conv",
        "block.bn",
        "block.relu",
        "block.conv@2",
        "block.add",
        "block.relu@2",
        "block.flatten",
        "add",
    ]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_an_exported_program_has_every_layer_of_the_float_model(training: bool, strict: bool) -> None:
    model = Model().train(training)
    layout = layout_for(model)
    placed = place(layout, exported(model, strict=strict))

    assert set(placed.computed) == set(layout.sites)
    assert placed.fused == {}
    assert placed.unclaimed == ()


def test_nodes_that_lost_their_metadata_are_placed_by_what_they_read() -> None:
    model = Model().eval()
    layout, program = layout_for(model), exported(model)
    for node in program.graph.nodes:
        if "batch_norm" in node.name:
            node.meta.clear()
    placed = place(layout, program)

    assert "block_bn" in placed.computed
    assert placed.unclaimed == ()


@pytest.mark.parametrize("lost", ["metadata", "place"])
def test_a_node_that_was_made_anew_is_the_layer_whose_buffers_it_reads(lost: str) -> None:
    # Of two batch norms in a row the first is folded, so that the second reads what the first did.
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)).eval()
    layout, program = layout_for(model), exported(model)
    first, second = (node for node in program.graph.nodes if node.name.startswith("batch_norm"))
    first.replace_all_uses_with(first.args[0])
    program.graph.erase_node(first)
    rewriting = {"": ("", "torchao.quantization.pt2e.export_utils.WrapperModule")}
    second.meta = {} if lost == "metadata" else {"nn_module_stack": rewriting}
    placed = place(layout, program)

    assert placed.computed["_2"].node == second.name
    assert placed.fused == {"_1": ("_0",)}


def as_torch_2_5_captures(program: fx.GraphModule) -> fx.GraphModule:
    """The program with modules by the Python that reads them, tensors by flat names, batch norms of several results."""
    for node in list(program.graph.nodes):
        stack = node.meta.get("nn_module_stack") or {}
        node.meta["nn_module_stack"] = {
            key: (read_from_self(path), kind) for key, (path, kind) in stack.items() if path
        }
        if node.op == "get_attr":
            # There a constant knows its module, too.
            owner = node.target.rpartition(".")[0]
            node.meta["nn_module_stack"] = {owner: (read_from_self(owner), nn.Module)}
            setattr(program, flat := node.target.replace(".", "_"), operator.attrgetter(node.target)(program))
            node.target = flat
        if node.target is torch.ops.aten.batch_norm.default:
            with program.graph.inserting_after(node):
                several = program.graph.call_function(torch.ops.aten._native_batch_norm_legit.default, node.args[:8])
            with program.graph.inserting_after(several):
                first = program.graph.call_function(operator.getitem, (several, 0))
            several.meta, first.meta = dict(node.meta), dict(node.meta)
            node.replace_all_uses_with(first)
            program.graph.erase_node(node)
    program.recompile()
    return program


def read_from_self(path: str) -> str:
    """The Python that reads a module from the model: "getattr(L['self'].rows, '0')" for "rows.0"."""
    told = "L['self']"
    for part in filter(None, path.split(".")):
        told = f"getattr({told}, '{part}')" if part.isdecimal() else f"{told}.{part}"
    return told


@pytest.mark.parametrize("training", [True, False])
def test_a_program_of_torch_2_5_has_every_layer_of_the_float_model(training: bool) -> None:
    model = nn.Sequential(Model(), nn.Flatten(), nn.ReLU6()).train(training)
    layout = layout_for(model)
    program = as_torch_2_5_captures(exported(model))
    placed = place(layout, program)

    assert set(placed.computed) == set(layout.sites)
    assert placed.fused == {}
    assert placed.unclaimed == ()
    (norm,) = (node for node in program.graph.nodes if node.target is operator.getitem)
    assert placed.computed["_0_block_bn"].node == norm.name


def test_what_torch_2_5_made_anew_is_the_layer_whose_buffers_it_reads() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)).eval()
    layout, program = layout_for(model), as_torch_2_5_captures(exported(model))
    first, second = (node for node in program.graph.nodes if node.target is operator.getitem)
    first.replace_all_uses_with(first.args[0].args[0])
    for node in (first, first.args[0]):
        program.graph.erase_node(node)
    second.meta, second.args[0].meta = {}, {}
    placed = place(layout, program)

    assert placed.computed["_2"].node == second.name
    assert placed.fused == {"_1": ("_0",)}
    assert placed.unclaimed == ()


class Skipping(nn.Module):
    """A function that FX does not look into, alone in a module's forward."""

    def forward(self, x: Tensor) -> Tensor:
        return scaled_noise(x, 0.5)


def scaled_noise(x: Tensor, p: float) -> Tensor:
    return x * torch.bernoulli(torch.full_like(x, p)) / p


fx.wrap("scaled_noise")


def test_a_function_that_fx_does_not_look_into_has_all_ops_of_its_module() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), Skipping())
    placed = place(layout_for(model), program := exported(model))

    last = next(node for node in reversed(program.graph.nodes) if node.op == "call_function")
    assert placed.computed["scaled_noise"].node == last.name
    assert placed.unclaimed == ()


def test_layers_that_a_program_has_no_node_for_are_computed_by_the_layer_before() -> None:
    model = Model()
    layout, program = layout_for(model), traced(model)
    nodes = {node.name: node for node in program.graph.nodes}
    nodes["block_relu"].replace_all_uses_with(nodes["block_conv"])
    program.graph.erase_node(nodes["block_relu"])
    program.graph.erase_node(nodes["block_bn"])
    placed = place(layout, program)

    assert placed.fused == {"block_relu": ("block_conv", "block_bn")}
    assert placed.computed["block_relu"].node == "block_conv"
    assert "block_relu_1" in placed.computed, "the second call of the module is still there"


def test_a_layer_that_gives_its_input_back_is_not_fused_when_it_is_gone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Identity())
    layout, program = layout_for(model), traced(model)
    nodes = {node.target: node for node in program.graph.nodes}
    nodes["1"].replace_all_uses_with(nodes["0"])
    program.graph.erase_node(nodes["1"])
    placed = place(layout, program)

    assert placed.fused == {}
    assert len({probe.node for key, probe in placed.computed.items() if layout.sites[key].kind == "module"}) == 1


class CallsAten(nn.Module):
    """A model that calls an aten op by itself, behind a layer and its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten.mul.Tensor(self.relu(self.conv(x)), 2.0)
        return out


def test_an_aten_op_that_the_model_calls_itself_makes_no_program_an_exported_one() -> None:
    model = CallsAten()
    layout, program = layout_for(model), traced(model)
    nodes = {node.name: node for node in program.graph.nodes}
    nodes["relu"].replace_all_uses_with(nodes["conv"])
    program.graph.erase_node(nodes["relu"])
    program.conv = nn.Sequential(model.conv, model.relu)
    for node in program.graph.nodes:
        # FX writes its nodes anew when it converts.
        node.meta.clear()
    placed = place(layout, program)

    assert placed.fused == {"relu": ("conv",)}
    assert placed.computed["relu"].node == "conv"
    assert placed.unclaimed == ()
