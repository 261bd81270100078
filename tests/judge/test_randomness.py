"""Random ops that are live in evaluation: found in the graph, whatever two samples say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from qatrix.judge.graphs import live_random_ops
from support.graphs import aten, graph_module


def of_op(op: Any, *args: Any, **kwargs: Any) -> fx.GraphModule:
    """An op on the input."""
    return graph_module(lambda graph: graph.call_function(op, (graph.placeholder("x"), *args), kwargs))


@pytest.mark.parametrize(
    ("module", "found"),
    [
        pytest.param(of_op(aten.dropout.default, 0.5, True), ["the node dropout_default"], id="dropout in training"),
        pytest.param(of_op(aten.dropout.default, 0.5, False), [], id="dropout in evaluation"),
        pytest.param(of_op(aten.dropout.default, 0.0, True), [], id="dropout of nothing"),
        pytest.param(
            of_op(aten.native_dropout.default, 0.5, True), ["the node native_dropout_default"], id="native dropout"
        ),
        pytest.param(
            of_op(aten.feature_dropout.default, 0.5, True), ["the node feature_dropout_default"], id="feature dropout"
        ),
        pytest.param(of_op(aten.bernoulli.p, 0.5), ["the node bernoulli_p"], id="bernoulli"),
        pytest.param(of_op(aten.rand_like.default), ["the node rand_like_default"], id="rand_like"),
        pytest.param(of_op(aten.rrelu.default, 0.1, 0.3, True), ["the node rrelu_default"], id="rrelu in training"),
        pytest.param(of_op(aten.rrelu.default), [], id="rrelu in evaluation, by default"),
        pytest.param(of_op(aten.relu.default), [], id="relu"),
        pytest.param(of_op(functional.dropout, 0.5, training=True), ["dropout"], id="function in training"),
        pytest.param(of_op(functional.dropout), ["dropout"], id="function in training by default"),
        pytest.param(of_op(functional.dropout, 0.5, training=False), [], id="function in evaluation"),
        pytest.param(
            of_op(functional.batch_norm, torch.zeros(3), torch.ones(3), training=True), [], id="function with a switch"
        ),
        pytest.param(of_op(torch.bernoulli), ["bernoulli"], id="torch's own function"),
        pytest.param(of_op(torch.relu), [], id="torch's own function without chance"),
    ],
)
def test_an_op_that_draws_is_told(module: fx.GraphModule, found: list[str]) -> None:
    assert live_random_ops(module) == [f"{name} behind the input x draws at random" for name in found]


def in_evaluation(module: nn.Module) -> nn.Module:
    return module.eval()


@pytest.mark.parametrize(
    ("part", "draws"),
    [
        pytest.param(nn.Dropout2d(0.5), True, id="dropout"),
        pytest.param(in_evaluation(nn.Dropout2d(0.5)), False, id="dropout in evaluation"),
        pytest.param(nn.AlphaDropout(0.0), False, id="dropout of nothing"),
        pytest.param(nn.Sequential(nn.ReLU(), nn.Dropout(0.5)), True, id="inside of a module"),
        pytest.param(nn.RReLU(), True, id="rrelu"),
        pytest.param(nn.MultiheadAttention(4, 2, dropout=0.1), True, id="attention with dropout"),
        pytest.param(nn.MultiheadAttention(4, 2), False, id="attention"),
        pytest.param(in_evaluation(nn.FractionalMaxPool2d(2, output_size=2)), True, id="random pooling"),
        pytest.param(nn.BatchNorm2d(3), False, id="batch norm"),
    ],
)
def test_a_module_that_draws_is_told(part: nn.Module, draws: bool) -> None:
    module = graph_module(lambda graph: graph.call_module("part", (graph.placeholder("x"),)), part=part)

    assert live_random_ops(module) == (["part draws at random"] if draws else [])


def unused(build: Callable[[fx.Graph, fx.Node], fx.Node]) -> fx.GraphModule:
    def whole(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        build(graph, x)
        return x

    return graph_module(whole)


def test_what_nothing_depends_on_does_not_count_but_what_writes_in_place_does() -> None:
    dead = unused(lambda graph, x: graph.call_function(aten.rand_like.default, (x,)))
    writing = unused(lambda graph, x: graph.call_function(aten.bernoulli_.float, (x, 0.5)))
    by_method = unused(lambda graph, x: graph.call_method("bernoulli_", (x, 0.5)))

    assert live_random_ops(dead) == []
    assert live_random_ops(writing) == ["the node bernoulli__float behind the input x draws at random"]
    assert live_random_ops(by_method) == ["bernoulli behind the input x draws at random"]


def test_a_function_of_python_with_a_switch_and_a_probability_draws() -> None:
    def stochastic_depth(x: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
        return x if training or p or mode else -x

    def built(**kwargs: Any) -> fx.GraphModule:
        return of_op(stochastic_depth, 0.2, "row", **kwargs)

    assert live_random_ops(built(training=True)) == ["stochastic_depth behind the input x draws at random"]
    assert live_random_ops(built(training=False)) == []
