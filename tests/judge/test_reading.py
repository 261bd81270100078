"""What a program still reads of what the float model reads."""

from __future__ import annotations

import pytest
import torch
import torch.ao.quantization.fx._decomposed
from torch import Tensor, fx, nn

from qatrix.judge.graphs import Held, Layer, Read, unread

pytestmark = pytest.mark.torch


def held(name: str, size: int, *also: str) -> Held:
    return Held(names=(name, *also), size=size)


def read(*tensors: Held, size: int | None = None) -> Read:
    return Read(tensors=tensors, size=tensors[0].size if size is None else size)


def norm(name: str = "bn", bias: Held | None = None) -> Read:
    """A batch norm behind a convolution."""
    tensors = tuple(held(f"{name}.{part}", 4) for part in ("bias", "running_mean", "running_var", "weight"))
    layer = Layer(weight=frozenset({held("conv.weight", 36)}), bias=bias)
    return Read(tensors=tensors, size=4, norm=True, layer=layer)


def program(**constants: Tensor) -> fx.GraphModule:
    """A program that adds all its constants to its input."""
    root = nn.Module()
    graph = fx.Graph()
    value = graph.placeholder("x")
    for name, constant in constants.items():
        root.register_buffer(name, constant)
        value = graph.call_function(torch.add, (value, graph.get_attr(name)))
    graph.output(value)
    return fx.GraphModule(root, graph)


def zeros(size: int) -> Tensor:
    return torch.zeros(size)


@pytest.mark.parametrize(
    ("constants", "reads", "gone"),
    [
        pytest.param({"head_bias": zeros(4)}, [read(held("head.bias", 4))], [], id="by its name"),
        pytest.param({"b": zeros(4)}, [read(held("a", 4, "b"))], [], id="by its other name"),
        pytest.param({"frozen": zeros(4)}, [read(held("a", 4))], [], id="by its size"),
        pytest.param({"frozen": zeros(3)}, [read(held("a", 4))], ["a"], id="of another size"),
        pytest.param({"frozen": zeros(4)}, [read(held("a", 4)), read(held("b", 4))], ["b"], id="one for two"),
        pytest.param({"a": zeros(4)}, [read(held("a", 4)), read(held("b", 4))], ["b"], id="a name is no other's"),
        pytest.param({"frozen": zeros(4)}, [read(held("a", 4)), read(held("a", 4))], [], id="read twice"),
        pytest.param({"frozen": zeros(8)}, [read(held("a", 4), held("b", 2), size=8)], [], id="put together"),
        pytest.param({"frozen": zeros(2)}, [read(held("a", 6), size=2)], [], id="a part of it"),
        pytest.param({"frozen": zeros(4)}, [norm()], [], id="a batch norm is folded to a bias"),
        pytest.param(
            {"frozen": zeros(4)},
            [read(held("conv.bias", 4)), norm(bias=held("conv.bias", 4))],
            [],
            id="with that before it",
        ),
        pytest.param({"frozen": zeros(4)}, [norm(), norm("bn2")], [], id="two batch norms are folded to one bias"),
        pytest.param(
            {"conv_bias": zeros(4)}, [norm(bias=held("conv.bias", 4))], [], id="to a bias that keeps its name"
        ),
        pytest.param(
            {}, [norm()], ["bn.bias", "bn.running_mean", "bn.running_var", "bn.weight"], id="a batch norm is lost"
        ),
    ],
)
def test_what_a_program_reads_is_found(constants: dict[str, Tensor], reads: list[Read], gone: list[str]) -> None:
    assert unread(program(**constants), reads) == gone


def test_a_constant_that_no_output_depends_on_is_not_read() -> None:
    made = program(a=zeros(4))
    with made.graph.inserting_before():
        made.graph.get_attr("a")
    (add,) = (node for node in made.graph.nodes if node.op == "call_function")
    add.replace_all_uses_with(add.args[0])
    made.graph.erase_node(add)

    assert unread(made, [read(held("a", 4))]) == ["a"]


def test_the_scale_of_a_quantized_value_is_no_parameter() -> None:
    graph = fx.Graph()
    x, scale = graph.placeholder("x"), graph.get_attr("scale")
    call = torch.ops.quantized_decomposed.quantize_per_tensor.tensor
    graph.output(graph.call_function(call, (x, scale, graph.get_attr("zero"), -128, 127, torch.int8)))
    root = nn.Module()
    root.register_buffer("scale", torch.ones(1))
    root.register_buffer("zero", torch.zeros(1, dtype=torch.int64))

    assert unread(fx.GraphModule(root, graph), [read(held("a", 1))]) == ["a"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_program_inside_of_a_program_reads_what_it_reads(*, whole: bool) -> None:
    inner: nn.Module = nn.Linear(4, 4) if whole else fx.symbolic_trace(nn.Sequential(nn.Linear(4, 4)))
    graph = fx.Graph()
    graph.output(graph.call_module("sub", (graph.placeholder("x"),)))
    outer = fx.GraphModule({"sub": inner}, graph)
    name = "sub.weight" if whole else "sub.0.weight"

    assert unread(outer, [read(held(name, 16)), read(held("sub.other", 9))]) == ["sub.other"]
