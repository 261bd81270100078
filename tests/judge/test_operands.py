"""What an op is given is found by place and by name, however the model passes it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from qatrix.judge.graphs.operands import operand, operands
from support.graphs import aten, graph_module


def called(function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
    """A call in a graph by itself."""
    return fx.Graph().call_function(function, args, kwargs)


@pytest.mark.parametrize("function", [functional.conv2d, functional.linear, aten.conv2d.default])
def test_an_operand_is_found_by_position_and_by_name(function: Callable[..., Any]) -> None:
    for node in (
        called(function, "x", "w", "b"),
        called(function, "x", weight="w", bias="b"),
        called(function, bias="b", weight="w", input="x"),
    ):
        assert [operand(node, place) for place in range(3)] == ["x", "w", "b"]


def test_an_operand_that_is_not_given_is_none() -> None:
    assert operand(called(functional.conv2d, input="x"), 1) is None
    assert operand(called(operator.add), 0) is None
    assert operand(fx.Graph().call_method("flatten", ("x",)), 3) is None


def test_the_overload_is_the_one_that_has_the_names_that_are_given() -> None:
    assert operand(called(torch.mean, input="x", dim=1), 1) == 1


def test_defaults_stand_for_what_is_not_given() -> None:
    node = called(functional.batch_norm, input="x", running_mean="mean", running_var="var", eps=0.5)

    assert operands(node) == {
        "input": "x",
        "running_mean": "mean",
        "running_var": "var",
        "weight": None,
        "bias": None,
        "training": False,
        "momentum": 0.1,
        "eps": 0.5,
    }


class Renamed(nn.Module):
    """Calls its only parameter otherwise than the layers of torch do."""

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        """The same."""
        return data


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU()), Renamed()])
def test_a_layer_that_is_called_by_name_has_its_input(layer: nn.Module) -> None:
    def build(graph: fx.Graph) -> fx.Node:
        return graph.call_module("layer", (), {"input": graph.placeholder("x")})

    graph = graph_module(build, layer=layer).graph
    x, node, _ = graph.nodes

    assert operand(node, 0) is x
