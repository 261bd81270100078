"""A graph as the check that it makes: what is written, what is left open, and that it holds of this graph alone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.ao.quantization import default_fake_quant, default_observer

from qatrix.claims import Transcript
from qatrix.judge.graphs import run_check, transcribe
from support.graphs import aten, graph_check, graph_module

torch.ao.quantization  # noqa: B018 - registers the quantized_decomposed ops
import torch.ao.quantization.fx._decomposed  # noqa: E402 - after torch itself

decomposed = torch.ops.quantized_decomposed
SETTINGS = "quant_min=-128, quant_max=127, dtype='int8'"
SETTINGS_OF_WEIGHT = "quant_min=-127, quant_max=127, dtype='int8'"
RANGE = (0, -128, 127, torch.int8)
Build = Callable[[fx.Graph], fx.Node | tuple[Any, ...]]


def transcript(module: fx.GraphModule, *, taken: Collection[str] = (), values: bool = False) -> Transcript:
    """The transcript of a module, which holds of it."""
    found = transcribe(module, taken=taken, values=values)
    check = graph_check(*found.graph, scope=dict.fromkeys(taken, 0))
    assert run_check(check, module, "pt2e").message is None
    return found


def lines(build: Build, *, taken: Collection[str] = (), values: bool = False, **attributes: Any) -> tuple[str, ...]:
    return transcript(graph_module(build, **attributes), taken=taken, values=values).graph


def quantized(graph: fx.Graph) -> fx.Node:
    """An input and a weight, quantized, into a linear layer with a bias."""
    x, scales, points = graph.placeholder("x"), graph.get_attr("scales"), graph.get_attr("points")
    q = graph.call_function(decomposed.quantize_per_tensor.default, (x, 0.1, *RANGE))
    x = graph.call_function(decomposed.dequantize_per_tensor.default, (q, 0.1, *RANGE))
    codes = graph.get_attr("codes")
    w = graph.call_function(
        decomposed.dequantize_per_channel.default, (codes, scales, points, 0, -127, 127, torch.int8)
    )
    return graph.call_function(aten.linear.default, (x, w, graph.get_attr("bias")))


TENSORS: dict[str, Any] = {
    "codes": torch.ones(2, 2, dtype=torch.int8),
    "scales": torch.tensor([0.1, 0.2]),
    "points": torch.tensor([0, 0]),
    "bias": torch.ones(2),
}


def test_ops_are_counted_and_ordered() -> None:
    found = transcript(graph_module(quantized, **TENSORS))

    assert found.counts == {
        "input": 1,
        "constant": 4,
        "quantize_per_tensor": 1,
        "dequantize_per_tensor": 1,
        "dequantize_per_channel": 1,
        "linear": 1,
    }
    assert found.order == ("quantize_per_tensor", "dequantize_per_tensor", "dequantize_per_channel", "linear")


def test_settings_of_quantization_are_named_and_what_comes_from_data_is_left_out() -> None:
    assert lines(quantized, **TENSORS) == (
        "x = input()",
        f"quantize_per_tensor_default = quantize_per_tensor(x, {SETTINGS})",
        f"dequantize_per_tensor_default = dequantize_per_tensor(quantize_per_tensor_default, {SETTINGS})",
        f"dequantize_per_channel_default = dequantize_per_channel(constant(), axis=0, {SETTINGS_OF_WEIGHT})",
        "linear_default = linear(dequantize_per_tensor_default, dequantize_per_channel_default, constant())",
        "return linear_default",
    )


def test_numbers_from_data_are_written_where_they_are_wanted() -> None:
    _, quantize, _, weight, *_ = lines(quantized, values=True, **TENSORS)

    assert "scale=0.1, zero_point=0, quant_min=-128" in quantize
    assert "scales=[0.10000000149011612, 0.20000000298023224], zero_points=[0, 0], axis=0" in weight


@pytest.mark.parametrize("values", [False, True])
def test_scales_count_only_where_they_are_written(values: bool) -> None:
    found = transcript(graph_module(quantized, **TENSORS), values=values)
    other = graph_module(quantized, **{**TENSORS, "scales": torch.tensor([0.1, 0.3])})

    assert (run_check(graph_check(*found.graph), other, "pt2e").message is None) is not values


def test_a_scale_that_is_computed_is_a_node() -> None:
    def dynamic(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        chosen = graph.call_function(decomposed.choose_qparams.tensor, (x, -128, 127, 1e-5, torch.int8))
        scale, point = (graph.call_function(torch._C._VariableFunctions.select, (chosen, 0, n)) for n in (0, 1))
        return graph.call_function(decomposed.quantize_per_tensor.tensor, (x, scale, point, -128, 127, torch.int8))

    assert lines(dynamic)[-2] == (
        "quantize_per_tensor_tensor = quantize_per_tensor(x, scale=select, zero_point=select_1, "
        "quant_min=-128, quant_max=127, dtype='int8')"
    )


def test_literals_are_written_and_what_has_no_words_is_left_open() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        y = graph.call_function(aten.clamp.default, (x, -1.5, float("inf")))
        y = graph.call_function(aten.cat.default, ([y, x], 1))
        y = graph.call_function(aten.to.dtype, (y, torch.float16, True))
        return graph.call_function(aten.zeros_like.default, (y,), {"device": torch.device("cpu"), "dtype": torch.int8})

    assert lines(build) == (
        "x = input()",
        "clamp_default = clamp(x, -1.5)",
        "cat_default = cat([clamp_default, x], 1)",
        "to_dtype = to(cat_default, 'float16', True)",
        "zeros_like_default = zeros_like(to_dtype, dtype='int8')",
        "return zeros_like_default",
    )


def test_a_constant_that_is_read_twice_is_one() -> None:
    def tied(graph: fx.Graph) -> fx.Node:
        weight = graph.get_attr("weight")
        y = graph.call_function(aten.linear.default, (graph.placeholder("x"), weight))
        return graph.call_function(aten.linear.default, (y, weight))

    assert lines(tied, weight=torch.ones(2, 2))[:2] == ("weight = constant()", "x = input()")


def test_no_node_has_the_name_of_a_value() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        bias = graph.placeholder("bias")
        other = graph.placeholder("_private")
        return graph.call_function(aten.add.Tensor, (bias, other))

    assert lines(build, taken={"bias", "dim"}) == (
        "bias_2 = input()",
        "node__private = input()",
        "add_tensor = add(bias_2, node__private)",
        "return add_tensor",
    )


def test_all_outputs_are_returned() -> None:
    def build(graph: fx.Graph) -> tuple[Any, ...]:
        x = graph.placeholder("x")
        return graph.call_function(aten.relu.default, (x,)), {"x": x, "n": 3}

    assert lines(build)[-1] == "return relu_default, x, 3"


def test_what_no_output_depends_on_is_counted_alone() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        graph.call_function(aten.add_.Tensor, (graph.get_attr("counter"), 1))
        return graph.call_function(aten.relu.default, (x,))

    found = transcript(graph_module(build, counter=torch.zeros(1)))

    assert found.counts == {"input": 1, "constant": 1, "add": 1, "relu": 1}
    assert found.graph == ("x = input()", "relu_default = relu(x)", "return relu_default")


def test_observers_have_their_settings_and_those_that_are_one_are_shared() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        one, other = (graph.call_module(name, (graph.placeholder(f"x_{name}"),)) for name in ("o1", "o2"))
        return graph.call_module("fq", (graph.call_function(aten.add.Tensor, (one, other)),))

    observer = default_observer()
    found = lines(build, o1=observer, o2=observer, fq=default_fake_quant())

    assert found[1] == (
        "o1 = observer(x_o1, dtype='uint8', quant_min=0, quant_max=127, "
        "qscheme='per_tensor_affine', is_dynamic=False, observer='MinMaxObserver')"
    )
    assert found[-3].startswith("fq = fake_quantize(add_tensor, dtype='uint8', quant_min=0, quant_max=127,")
    assert found[-2:] == ("return fq", "assert shared(o1, o2)")


def test_layers_of_fx_have_their_settings_and_those_of_their_weights() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        return graph.call_module("fused", (), {"input": graph.placeholder("x")})

    quantization = {"qscheme": torch.per_channel_affine, "dtype": torch.qint8, "axis": 0}
    quantization |= {"scale": torch.tensor([0.1, 0.2]), "zero_point": torch.tensor([0, 0])}
    layer = torch.ao.nn.quantized.reference.Linear(2, 2, weight_qparams=quantization)
    intrinsic: Any = torch.ao.nn.intrinsic
    (_, line, _) = lines(build, fused=intrinsic.LinearReLU(nn.Linear(2, 2), nn.ReLU()))
    assert line == "fused = linearrelu(x, in_features=2, out_features=2)"

    made = intrinsic.LinearReLU(nn.Linear(2, 2), nn.ReLU())
    made[0] = layer
    (_, line, _) = lines(build, values=True, fused=made)
    assert line == (
        "fused = linearrelu(x, in_features=2, out_features=2, weight_dtype='int8', "
        "weight_qscheme='per_channel_affine', weight_axis=0, "
        "weight_scale=[0.10000000149011612, 0.20000000298023224], weight_zero_point=[0, 0])"
    )


def test_a_line_that_would_be_too_long_leaves_its_end_open() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        return graph.call_function(aten.reshape.default, (x, [10**9] * 200))

    assert lines(build) == ("x = input()", "reshape_default = reshape(x)", "return reshape_default")


def test_of_a_long_line_the_longest_setting_is_left_open_first() -> None:
    tensors = {**TENSORS, "scales": torch.rand(100), "points": torch.zeros(100, dtype=torch.int64)}
    written = lines(quantized, values=True, **tensors)
    (weight,) = (line for line in written if line.startswith("dequantize_per_channel"))

    assert "scales=" not in weight
    assert "zero_points=[0, 0," in weight
    assert weight.endswith(f"axis=0, {SETTINGS_OF_WEIGHT})")


def test_of_very_many_outputs_the_first_is_returned() -> None:
    def build(graph: fx.Graph) -> tuple[Any, ...]:
        return tuple(graph.placeholder(f"an_input_with_a_long_name_{number}") for number in range(50))

    assert lines(build)[-1] == "return an_input_with_a_long_name_0"


def test_a_constant_that_one_op_reads_twice_is_one() -> None:
    def squared(graph: fx.Graph) -> fx.Node:
        weight = graph.get_attr("weight")
        return graph.call_function(aten.mul.Tensor, (weight, weight))

    assert lines(squared, weight=torch.ones(2)) == (
        "weight = constant()",
        "mul_tensor = mul(weight, weight)",
        "return mul_tensor",
    )


def test_an_op_without_a_name_is_whatever_stands_there() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        y = graph.call_function(lambda x: x, (graph.placeholder("x"),))
        y.name = "made"
        return graph.call_function(aten.relu.default, (y,))

    found = transcript(graph_module(build))

    assert found.order == ("relu",)
    assert found.graph == ("x = input()", "relu_default = relu(made)", "return relu_default")


def swapped(graph: fx.Graph) -> fx.Node:
    x, y = graph.placeholder("x"), graph.placeholder("y")
    return graph.call_function(aten.sub.Tensor, (graph.call_function(aten.relu.default, (y,)), x))


def test_another_way_that_values_take_is_another_graph() -> None:
    def straight(graph: fx.Graph) -> fx.Node:
        x, y = graph.placeholder("x"), graph.placeholder("y")
        return graph.call_function(aten.sub.Tensor, (x, graph.call_function(aten.relu.default, (y,))))

    found = transcript(graph_module(straight))

    assert transcript(graph_module(swapped)).counts == found.counts
    assert run_check(graph_check(*found.graph), graph_module(swapped), "pt2e").message == (
        "output ← sub: expected input(…), found relu (node relu_default)"
    )
