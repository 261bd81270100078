"""What a program computes as one, and what that reads."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.judge.arbiter.groups import Group, groups_of
from qatrix.judge.diagnosis import place
from support.watched import IMAGE, ConvBnRelu, drawn, float_model, prepared_program

pytestmark = pytest.mark.torch


def groups(model: nn.Module, x: Tensor, program: fx.GraphModule, *, trains: bool = False) -> tuple[Group, ...]:
    layout = float_model(model, x, trains=trains).layout
    return groups_of(layout, place(layout, program), program)


def read(group: Group) -> Mapping[str, str]:
    """The node whose value each site is read as."""
    return {site: source for reads in group.reads.values() for source, site in reads.items()}


class Chain(nn.Module):
    """Two linear layers, and what the first gives added to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """The second layer's value of the sum."""
        y = self.first(x)
        z: Tensor = self.second(y + y)
        return z


VECTORS = drawn(3, 4)


@pytest.mark.parametrize("trains", [False, True])
def test_layers_that_are_fused_are_one_group_that_reads_the_quantized_input(trains: bool) -> None:
    program = prepared_program(ConvBnRelu(), IMAGE, trains=trains)
    (group,) = groups(ConvBnRelu(), IMAGE, program, trains=trains)

    assert (group.keys, group.last, group.bearer) == (("conv", "bn", "relu"), "relu", "conv")
    assert read(group) == {"x": "activation_post_process_0"}


def test_each_layer_reads_what_the_program_gives_it_and_not_what_was_computed_before() -> None:
    program = prepared_program(Chain(), VECTORS)

    assert [(group.last, read(group)) for group in groups(Chain(), VECTORS, program)] == [
        ("first", {"x": "activation_post_process_0"}),
        ("add", {"first": "activation_post_process_1"}),
        ("second", {"add": "activation_post_process_2"}),
    ]


def test_a_layer_that_reads_one_value_in_two_ways_is_no_group() -> None:
    program = prepared_program(Chain(), VECTORS)
    add = next(node for node in program.graph.nodes if node.name == "add")
    add.args = (add.args[0], add.args[0].args[0])

    assert [group.last for group in groups(Chain(), VECTORS, program)] == ["first", "second"]


def test_a_layer_that_reads_another_value_than_in_the_float_model_is_no_group() -> None:
    program = prepared_program(Chain(), VECTORS)
    second = next(node for node in program.graph.nodes if node.name == "second")
    second.args = (next(iter(program.graph.nodes)),)

    assert "second" not in {group.last for group in groups(Chain(), VECTORS, program)}


def test_an_unquantized_program_has_a_group_for_each_layer() -> None:
    model = ConvBnRelu().eval()
    program = fx.symbolic_trace(model)

    assert [group.keys for group in groups(model, IMAGE, program)] == [("conv",), ("bn",), ("relu",)]


def test_groups_come_in_the_order_of_the_graph() -> None:
    class Crossed(Chain):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.second(x), self.first(x)])

    program = prepared_program(Crossed(), VECTORS)

    assert [group.last for group in groups(Crossed(), VECTORS, program)] == ["second", "first", "cat"]
