"""Graph checks: expected graphs are matched from the output backwards, and a miss says where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import fx, nn

from qatrix.claims import GraphCheck
from qatrix.judge.graphs import (
    Claim,
    count_fake_quantizes,
    count_ops,
    float_ops,
    output_steps,
    run_check,
    unfolded_batch_norms,
)
from support.graphs import aten, graph_check, graph_module

torch.ao.quantization  # noqa: B018 - registers the quantized_decomposed ops
import torch.ao.quantization.fx._decomposed  # noqa: E402 - after torch itself

decomposed = torch.ops.quantized_decomposed


def conv_bn_relu(graph: fx.Graph) -> fx.Node:
    """conv2d -> batch_norm -> relu, all parameters as constants."""
    x, weight = graph.placeholder("x"), graph.get_attr("weight")
    bn = [graph.get_attr(name) for name in ("gamma", "beta", "mean", "var")]
    y = graph.call_function(aten.conv2d.default, (x, weight, None, [2, 2], [1, 1]))
    y = graph.call_function(aten.batch_norm.default, (y, *bn, True, 0.1, 1e-5, True))
    return graph.call_function(aten.relu_.default, (y,))


def conv_module() -> fx.GraphModule:
    vectors = {name: torch.ones(3) for name in ("gamma", "beta", "mean", "var")}
    return graph_module(conv_bn_relu, weight=torch.ones(3, 3, 3, 3), **vectors)


def quantized(graph: fx.Graph) -> fx.Node:
    """Quantize, dequantize; the weight's scale is a constant."""
    q = graph.call_function(
        decomposed.quantize_per_tensor.default, (graph.placeholder("x"), 0.5, 0, -128, 127, torch.int8)
    )
    x = graph.call_function(decomposed.dequantize_per_tensor.default, (q, 0.5, 0, -128, 127, torch.int8))
    w = graph.call_function(
        decomposed.dequantize_per_tensor.default, (graph.get_attr("codes"), 0.25, 0, -127, 127, torch.int8)
    )
    b = graph.call_function(
        decomposed.dequantize_per_tensor.default, (graph.get_attr("bias"), 0.125, 0, -(2**31), 2**31 - 1, torch.int32)
    )
    return graph.call_function(aten.linear.default, (x, w, b))


def quantized_module() -> fx.GraphModule:
    return graph_module(quantized, codes=torch.ones(2, 2), bias=torch.ones(2))


def message(check: GraphCheck, module: nn.Module) -> str | None:
    outcome = run_check(check, module, "pt2e")
    assert (outcome.status == "passed") == (outcome.message is None)
    return outcome.message


def test_a_chain_from_the_output_matches() -> None:
    check = graph_check("y = conv(_, weight, None)", "y = batch_norm(y, gamma)", "return relu(y)")

    assert message(check, conv_module()) is None


def test_without_a_return_the_last_assignment_is_looked_for_anywhere() -> None:
    assert message(graph_check("y = conv2d(_, constant())"), conv_module()) is None
    assert message(graph_check("y = add(_, _)"), conv_module()) == "expected add(…), found input (node x)"


def test_a_miss_says_where_as_a_path_from_the_output() -> None:
    check = graph_check("return relu(batch_norm(conv_transpose(_)))")

    assert (
        message(check, conv_module())
        == "output ← relu ← batch_norm: expected conv_transpose(…), found conv (node conv2d_default)"
    )


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        pytest.param("stride=2", None, id="a number stands for a list of it"),
        pytest.param("padding=[1, 1]", None, id="a list"),
        pytest.param("dilation=1", None, id="the schema's default"),
        pytest.param("groups=1", None, id="a default number"),
        pytest.param("transposed=False", None, id="what the op implies"),
        pytest.param("output_padding=0", None, id="what a plain convolution has not"),
        pytest.param(
            "stride=1", "conv ← stride: expected 1, found [2, 2], at conv (node conv2d_default)", id="another value"
        ),
        pytest.param(
            "stretch=1", "conv ← stretch: conv (node conv2d_default) has no such argument or attribute", id="unknown"
        ),
    ],
)
def test_arguments_are_matched_by_their_names_in_the_schema(argument: str, expected: str | None) -> None:
    assert message(graph_check(f"y = conv(_, _, _, {argument})"), conv_module()) == expected


def test_one_name_is_one_node() -> None:
    def twice(graph: fx.Graph) -> fx.Node:
        x, y = graph.placeholder("x"), graph.placeholder("y")
        return graph.call_function(aten.add.Tensor, (x, y))

    assert message(graph_check("return add(a, b)"), graph_module(twice)) is None
    assert message(graph_check("return add(a, a)"), graph_module(twice)) == (
        "output ← add: expected 'a', which is input (node x), found input (node y)"
    )


def test_an_assigned_name_used_twice_is_one_node() -> None:
    def shared(graph: fx.Graph) -> fx.Node:
        y = graph.call_function(aten.relu.default, (graph.placeholder("x"),))
        return graph.call_function(aten.add.Tensor, (y, y))

    def apart(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        left, right = (graph.call_function(aten.relu.default, (x,)) for _ in range(2))
        return graph.call_function(aten.add.Tensor, (left, right))

    check = graph_check("y = relu(x)", "return add(y, y)")

    assert message(check, graph_module(shared)) is None
    assert "expected 'y'" in str(message(check, graph_module(apart)))


def test_conditions_are_decided_by_the_scope() -> None:
    check = graph_check("y = batch_norm(conv(_))", "return relu(y) if has_relu else y")

    assert message(replace(check, scope={"has_relu": True}), conv_module()) is None
    assert "expected batch_norm" in str(message(replace(check, scope={"has_relu": False}), conv_module()))


def test_literals_are_captured_and_compared() -> None:
    lines = (
        "x = dequantize_per_tensor(_, scale=input_scale)",
        "w = dequantize_per_tensor(constant(), scale=weight_scale)",
        "b = dequantize_per_tensor(constant(), scale=bias_scale, dtype='int32')",
        "return linear(x, w, b)",
    )

    assert (
        message(graph_check(*lines, "assert isclose(bias_scale, input_scale * weight_scale)"), quantized_module())
        is None
    )
    assert message(graph_check(*lines, "assert bias_scale == input_scale"), quantized_module()) == (
        "assert: bias_scale == input_scale does not hold: bias_scale is 0.125, input_scale is 0.5"
    )


def test_source_functions_are_compared() -> None:
    module = quantized_module()
    for node in module.graph.nodes:
        node.meta["source_fn_stack"] = [("linear" if node.op != "placeholder" else "x", nn.Linear)]
    check = graph_check(
        "y = linear(dequantize_per_tensor(quantize_per_tensor(x)), w)", "assert source_fn(y) == source_fn(w)"
    )

    assert message(check, module) is None
    assert message(
        graph_check("y = linear(dequantize_per_tensor(quantize_per_tensor(x)))", "assert source_fn(y) == source_fn(x)"),
        module,
    ) == (
        "assert: source_fn(y) == source_fn(x) does not hold: x is input (node x), y is linear (node linear_default), "
        "source_fn(y) is 'linear', source_fn(x) is 'x'"
    )


def test_an_assert_that_cannot_be_told_fails_in_words() -> None:
    told = message(graph_check("y = linear(_)", "assert source_fn(y) == 1"), quantized_module())

    assert told == "assert: source_fn(y) == 1 cannot be told: linear (node linear_default) has no source_fn_stack"


def test_counts_order_and_absence_each_say_what_they_miss() -> None:
    check = replace(
        graph_check(),
        counts={"quantize_per_tensor": 2, "dequantize_per_tensor": 3},
        order=("quantize_per_tensor", "linear", "dequantize_per_tensor"),
        absent=("linear", "batch_norm"),
    )

    assert message(check, quantized_module()) == (
        "expected 2 quantize_per_tensor, found 1; "
        "expected no linear, found 1 (node linear_default); "
        "expected the order quantize_per_tensor, linear, dequantize_per_tensor; "
        "no dequantize_per_tensor comes after linear (node linear_default)"
    )


def test_an_op_may_be_one_overload_alone() -> None:
    check = replace(
        graph_check(),
        counts={"quantize_per_tensor.default": 1, "quantize_per_tensor.tensor": 0},
        order=("quantize_per_tensor.default", "linear.default"),
        absent=("dequantize_per_tensor.tensor",),
    )

    assert message(check, quantized_module()) is None
    assert message(replace(graph_check(), absent=("relu_.default",)), conv_module()) == (
        "expected no relu_.default, found 1 (node relu__default)"
    )
    assert message(replace(graph_check(), absent=("relu.default",)), conv_module()) is None


def test_other_ops_may_stand_between_the_ops_of_an_order() -> None:
    check = replace(graph_check(), order=("conv", "relu"))

    assert message(check, conv_module()) is None


def test_an_annotation_may_not_name_a_removed_node() -> None:
    class Annotation:
        def __init__(self, node: fx.Node, shared: object) -> None:
            self.input_qspec_map = {node: None}
            self.output_qspec = shared

    class Shared:
        def __init__(self, edge: tuple[fx.Node, fx.Node]) -> None:
            self.edge_or_node = edge

    module, other = quantized_module(), quantized_module()
    first, gone = next(iter(module.graph.nodes)), next(iter(other.graph.nodes))
    check = replace(graph_check(), live_annotations=True)
    first.meta["quantization_annotation"] = Annotation(first, Shared((first, first)))
    assert message(check, module) is None

    first.meta["quantization_annotation"] = Annotation(first, Shared((gone, first)))
    assert message(check, module) == (
        "the annotation of the input x names x as its shared quantization spec, which is not in the graph"
    )


def test_a_module_without_a_graph_fails_in_words() -> None:
    assert (
        message(graph_check("return relu(_)"), nn.Linear(1, 1)) == "the program is a Linear and has no graph to check"
    )


def test_ops_are_counted_and_an_output_step_is_its_dequantize_scale() -> None:
    def requantized(graph: fx.Graph) -> fx.Node:
        y = quantized(graph)
        q = graph.call_function(decomposed.quantize_per_tensor.default, (y, 0.75, 0, -128, 127, torch.int8))
        dq = graph.call_function(decomposed.dequantize_per_tensor.default, (q, 0.75, 0, -128, 127, torch.int8))
        return graph.call_function(aten.view.default, (dq, [4]))

    module = graph_module(requantized, codes=torch.ones(2, 2), bias=torch.ones(2))
    counts = count_ops(module)

    assert (counts.quantize, counts.dequantize, counts.batch_norms) == (2, 4, 0)
    assert output_steps(module) == [0.75]
    assert output_steps(conv_module()) == [None]
    assert count_ops(conv_module()).batch_norms == 1


def test_batch_norm_modules_that_a_graph_calls_are_counted_and_dead_ones_are_not() -> None:
    def called(graph: fx.Graph) -> fx.Node:
        return graph.call_module("bn", (graph.placeholder("x"),))

    module = graph_module(called, bn=nn.BatchNorm1d(3), dead=nn.BatchNorm1d(3))

    assert count_ops(module).batch_norms == 1


def test_an_observer_inside_a_fake_quantize_does_not_count_twice() -> None:
    from torch.ao.quantization import default_fake_quant

    module = nn.Sequential(nn.Linear(1, 1), default_fake_quant())

    assert count_fake_quantizes(module) == 1


def test_fake_quantizes_are_matched_by_their_attributes() -> None:
    from torch.ao.quantization import default_fake_quant

    def build(graph: fx.Graph) -> fx.Node:
        return graph.call_module("fq", (graph.placeholder("x"),))

    module = graph_module(build, fq=default_fake_quant())

    assert (
        message(
            graph_check('return fake_quantize(_, dtype="uint8", quant_min=0, observer="MovingAverageMinMaxObserver")'),
            module,
        )
        is None
    )
    assert message(graph_check("return fake_quantize(_, quant_min=-127)"), module) == (
        "output ← fake_quantize ← quant_min: expected -127, found 0, "
        "at fake_quantize (node fq, the fake quantize of the input x)"
    )
    assert output_steps(module) == [1.0]


ALL = [Claim(ops={"conv", "conv_transpose", "linear"})]
RANGE = (0.5, 0, -128, 127, torch.int8)


def rounded(graph: fx.Graph, value: fx.Node) -> fx.Node:
    """Quantize, dequantize."""
    q = graph.call_function(decomposed.quantize_per_tensor.default, (value, *RANGE))
    return graph.call_function(decomposed.dequantize_per_tensor.default, (q, *RANGE))


def linear_of(
    *, weight: bool = True, inputs: bool = True, then: Callable[[fx.Graph, fx.Node], fx.Node] = lambda _, x: x
) -> fx.GraphModule:
    """A linear layer with its weight and its input quantized or not; `then` comes between quantization and layer."""

    def build(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        x = then(graph, rounded(graph, x) if inputs else x)
        w = graph.get_attr("weight")
        if weight:
            w = graph.call_function(decomposed.dequantize_per_tensor.default, (w, *RANGE))
        return graph.call_function(aten.linear.default, (x, w))

    return graph_module(build, weight=torch.ones(2, 2))


def calling(op: torch._ops.OpOverload, *args: Any) -> Callable[[fx.Graph, fx.Node], fx.Node]:
    return lambda graph, value: graph.call_function(op, (value, *args))


@pytest.mark.parametrize(
    ("module", "found"),
    [
        pytest.param(linear_of(), [], id="both quantized"),
        pytest.param(linear_of(weight=False), ["the node linear_default has its weight in float"], id="weight"),
        pytest.param(linear_of(inputs=False), ["the node linear_default has its input in float"], id="input"),
        pytest.param(
            linear_of(weight=False, inputs=False),
            ["the node linear_default has its weight and its input in float"],
            id="both",
        ),
        pytest.param(linear_of(then=calling(aten.view.default, [2, 2])), [], id="quantized, then moved"),
        pytest.param(
            linear_of(then=calling(aten.relu.default)),
            ["the node linear_default has its input in float"],
            id="quantized, then computed on",
        ),
    ],
)
def test_what_an_op_takes_in_float_is_told(module: fx.GraphModule, found: list[str]) -> None:
    assert float_ops(module, ALL) == found


def test_only_claimed_ops_have_to_be_quantized() -> None:
    assert float_ops(conv_module(), [Claim(ops={"conv"})]) == [
        "the node conv2d_default has its weight and its input in float"
    ]
    assert float_ops(conv_module(), [Claim(ops={"conv_transpose", "linear"})]) == []
    assert float_ops(conv_module(), ()) == []


def fused(first: nn.Module) -> nn.Module:
    """A module and its ReLU in one, as FX graph mode has them."""
    return nn.Sequential(first, nn.ReLU())


def reference(conv: nn.Conv2d) -> nn.Module:
    """The module that FX graph mode leaves of a convolution: it dequantizes its weight inside."""
    kind: Any = torch.ao.nn.quantized.reference.Conv2d
    per_tensor = {"qscheme": torch.per_tensor_affine, "dtype": torch.qint8, "scale": 1.0, "zero_point": 0}
    made: nn.Module = kind.from_float(conv, per_tensor)
    return made


@pytest.mark.parametrize(
    ("conv", "found"),
    [
        pytest.param(reference(nn.Conv2d(3, 3, 1)), [], id="reference"),
        pytest.param(fused(reference(nn.Conv2d(3, 3, 1))), [], id="reference with its ReLU"),
        pytest.param(nn.Conv2d(3, 3, 1), ["conv has its weight in float"], id="float"),
        pytest.param(fused(nn.Conv2d(3, 3, 1)), ["conv has its weight in float"], id="float with its ReLU"),
    ],
)
@pytest.mark.parametrize("by_name", [False, True], ids=["by position", "by name"])
def test_modules_that_a_graph_calls_have_to_be_quantized_too(conv: nn.Module, found: list[str], by_name: bool) -> None:
    def build(graph: fx.Graph) -> fx.Node:
        x = rounded(graph, graph.placeholder("x"))
        return graph.call_module("conv", *(((), {"input": x}) if by_name else ((x,), {})))

    assert float_ops(graph_module(build, conv=conv, dead=nn.Conv2d(3, 3, 1)), ALL) == found


def of_rank(rank: int | None) -> Callable[[fx.Node], int | None]:
    """Says of every value that it has this many dimensions."""
    return lambda _: rank


def behind_a_conv(
    between: Callable[[fx.Graph, fx.Node], fx.Node] = lambda _, y: y, *, elsewhere: bool = False
) -> fx.GraphModule:
    """A convolution and a batch norm as ops; `between` stands between the two."""

    def build(graph: fx.Graph) -> fx.Node | tuple[fx.Node, ...]:
        conv = graph.call_function(aten.conv2d.default, (graph.placeholder("x"), graph.get_attr("weight")))
        args = (None, None, graph.get_attr("mean"), graph.get_attr("var"), False, 0.1, 1e-5, False)
        bn = graph.call_function(aten.batch_norm.default, (between(graph, conv), *args))
        return (bn, conv) if elsewhere else bn

    return graph_module(build, weight=torch.ones(3, 3, 3, 3), mean=torch.zeros(3), var=torch.ones(3))


@pytest.mark.parametrize(
    ("module", "left"),
    [
        pytest.param(behind_a_conv(), True, id="right behind"),
        pytest.param(behind_a_conv(rounded), True, id="behind a quantize and a dequantize"),
        pytest.param(behind_a_conv(calling(aten.relu.default)), False, id="a ReLU between"),
        pytest.param(behind_a_conv(elsewhere=True), False, id="used elsewhere too"),
    ],
)
def test_a_batch_norm_that_could_be_folded_is_told(module: fx.GraphModule, left: bool) -> None:
    found = unfolded_batch_norms(module, of_rank(None))
    assert found == (["the node batch_norm_default still follows the node conv2d_default"] if left else [])


@pytest.mark.parametrize(
    ("layer", "norm", "left"),
    [
        pytest.param(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), True, id="convolution"),
        pytest.param(nn.ConvTranspose2d(3, 3, 1), nn.BatchNorm2d(3), True, id="transposed convolution"),
        pytest.param(nn.Linear(3, 3), nn.BatchNorm1d(3), True, id="linear layer"),
        pytest.param(
            reference(nn.Conv2d(3, 3, 1)),
            fused(nn.BatchNorm2d(3)),
            True,
            id="fused with the ReLU behind it",
        ),
        pytest.param(fused(nn.Conv2d(3, 3, 1)), nn.BatchNorm2d(3), False, id="a ReLU between, fused"),
        pytest.param(nn.ReLU(), nn.BatchNorm2d(3), False, id="no layer with a weight"),
        pytest.param(nn.Conv2d(3, 3, 1), nn.LayerNorm(3), False, id="another norm"),
    ],
)
def test_modules_of_batch_norms_are_told_too(layer: nn.Module, norm: nn.Module, left: bool) -> None:
    def build(graph: fx.Graph) -> fx.Node:
        layer = rounded(graph, graph.call_module("layer", (graph.placeholder("x"),)))
        return graph.call_module("norm", (layer,))

    found = unfolded_batch_norms(graph_module(build, layer=layer, norm=norm), of_rank(2))
    assert found == (["norm still follows layer"] if left else [])


@pytest.mark.parametrize(("rank", "left"), [(2, True), (None, True), (3, False), (4, False)])
def test_a_batch_norm_on_another_axis_than_the_linear_layer_has_to_stay(rank: int | None, left: bool) -> None:
    def build(graph: fx.Graph) -> fx.Node:
        return graph.call_module("norm", (graph.call_module("layer", (graph.placeholder("x"),)),))

    module = graph_module(build, layer=nn.Linear(3, 3), norm=nn.BatchNorm1d(3))
    assert unfolded_batch_norms(module, of_rank(rank)) == (["norm still follows layer"] if left else [])


def as_trained(
    between: Callable[[fx.Graph, fx.Node], fx.Node] = lambda _, y: y,
    *,
    variance: str = "var",
    bias: str = "constant",
    elsewhere: bool = False,
) -> fx.GraphModule:
    """What training in PT2E makes of a convolution and a batch norm, with what it divides by and adds."""

    def build(graph: fx.Graph) -> fx.Node | tuple[fx.Node, ...]:
        x, var = graph.placeholder("x"), graph.get_attr(variance)
        shifted = graph.call_function(aten.add.Tensor, (var, 1e-5))
        scale = graph.call_function(aten.reshape.default, (shifted, [1, -1, 1, 1]))
        conv = between(graph, graph.call_function(aten.conv2d.default, (x, graph.get_attr("weight"))))
        divided = graph.call_function(aten.div.Tensor, (conv, scale))
        added = graph.call_function(aten.add.Tensor, (divided, graph.get_attr("mean") if bias == "constant" else x))
        args = (None, None, graph.get_attr("mean"), graph.get_attr("var"), False, 0.1, 1e-5, False)
        bn = graph.call_function(aten.batch_norm.default, (added, *args))
        return (bn, divided) if elsewhere else bn

    vectors = {"mean": torch.zeros(3), "var": torch.ones(3), "other": torch.ones(3)}
    return graph_module(build, weight=torch.ones(3, 3, 3, 3), **vectors)


@pytest.mark.parametrize(
    ("module", "left"),
    [
        pytest.param(as_trained(), True, id="divided by its scale, and its bias added"),
        pytest.param(as_trained(rounded), True, id="quantized in between"),
        pytest.param(as_trained(variance="other"), False, id="divided by something else"),
        pytest.param(as_trained(bias="input"), False, id="an input added"),
        pytest.param(as_trained(calling(aten.relu.default)), False, id="a ReLU between"),
        pytest.param(as_trained(elsewhere=True), False, id="used elsewhere too"),
    ],
)
def test_a_batch_norm_behind_the_chain_of_training_is_told(module: fx.GraphModule, left: bool) -> None:
    found = unfolded_batch_norms(module, of_rank(None))
    assert found == (["the node batch_norm_default still follows the node conv2d_default"] if left else [])


def test_a_number_is_what_float32_makes_of_it() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        scale = 0.029999999329447746
        return graph.call_function(
            decomposed.quantize_per_tensor.default, (graph.placeholder("x"), scale, 0, -128, 127, torch.int8)
        )

    def found(scale: str) -> str | None:
        return message(graph_check(f"return quantize_per_tensor(_, scale={scale})"), graph_module(build))

    assert found("0.03") is None
    assert found("0.029999999329447746") is None
    assert found("0.03000001") == (
        "output ← quantize_per_tensor ← scale: expected 0.03000001, found 0.029999999329447746, "
        "at quantize_per_tensor (node quantize_per_tensor_default behind the input x)"
    )
