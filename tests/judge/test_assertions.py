"""Assertions of expected graphs: facts of nodes, loops over them, numbers of float32, and what a message names."""

from __future__ import annotations

import operator
from types import SimpleNamespace

import pytest
import torch
from torch import fx, nn
from torch.ao.quantization import default_observer

from qatrix.facts import QUESTIONS
from qatrix.judge.graphs import run_check
from qatrix.judge.graphs.assertions import LOOPED, OF_VALUES
from qatrix.judge.graphs.metadata import FACTS
from support.graphs import aten, graph_check, graph_module

torch.ao.quantization  # noqa: B018 - registers the quantized_decomposed ops
import torch.ao.quantization.fx._decomposed  # noqa: E402 - after torch itself

decomposed = torch.ops.quantized_decomposed


def two_convs(graph: fx.Graph) -> fx.Node:
    """conv -> relu -> conv, each convolution with its own weight."""
    y = graph.call_function(aten.conv2d.default, (graph.placeholder("x"), graph.get_attr("first")))
    y = graph.call_function(aten.relu.default, (y,))
    return graph.call_function(aten.conv2d.default, (y, graph.get_attr("second")))


def module() -> fx.GraphModule:
    made = graph_module(two_convs, first=torch.ones(1, 1, 1, 1), second=torch.tensor(0.1))
    one, other = (node for node in made.graph.nodes if node.target is aten.conv2d.default)
    one.meta["quantization_annotation"] = SimpleNamespace(_annotated=True, _is_output_of_quantized_pattern=True)
    other.meta["quantization_annotation"] = SimpleNamespace(_annotated=False)
    one.meta["quantization_tag"] = "backend_conv_0"
    one.meta["nn_module_stack"] = {"": ("", nn.Module), "conv": ("layer1.conv", nn.Conv2d)}
    one.meta["torch_fn"] = ("conv2d_1", "builtin_function_or_method.conv2d")
    first = SimpleNamespace(name="conv", from_node=[])
    one.meta["from_node"] = [SimpleNamespace(name="conv2d", from_node=[first])]
    other.meta["from_node"] = [("convolution", aten.conv2d.default), ("conv2d", aten.conv2d.default)]
    return made


def message(*lines: str, of: fx.GraphModule | None = None) -> str | None:
    return run_check(graph_check(*lines), of or module(), "pt2e").message


def test_every_question_has_an_answer() -> None:
    assert {*FACTS, *OF_VALUES, *LOOPED} == {*QUESTIONS}


@pytest.mark.parametrize(
    "condition",
    [
        "annotated(one) and not annotated(two) and not annotated(relu1)",
        "is_output(one) and not is_output(two)",
        "tag(one) == 'backend_conv_0' and tag(two) == None",
        "from_node(one) == 'conv' and from_node(two) == 'convolution' and from_node(relu1) == None",
        "module(one) == 'layer1.conv' and module(relu1) == None",
        "op(one) == op(two) and op(relu1) == 'relu' and op(x) == 'input'",
        "len(users(one)) == 1 and op(x) == 'input' and len(operands(two)) == 2",
        "len([1, 2]) == 2",
        "weight == 0.1",
        "weight <= 0.1 and weight >= 0.1 and not weight < 0.1 and not weight != 0.1",
        "weight * 2 == 0.2 and [weight, 1] == [0.1, 1]",
        "is_constant(weight) and not is_constant(one)",
        "any(op(y) == 'relu' for y in users(one))",
        "all(op(y) == 'relu' for y in users(one) if op(y) != 'conv')",
        "sum(annotated(y) for y in conv) == 1",
        "sum(1 for y in _ for z in users(y)) == 6",
        "sorted(op(y) for y in operands(two)) == ['constant', 'relu']",
        "sorted(tag(y) for y in _ if tag(y)) == ['backend_conv_0']",
        "distinct(from_node(y) for y in conv)",
        "all(op(x1) != 'conv' for y in conv(x1))",
        "not any(annotated(y) for y in batch_norm)",
        "all(is_constant(w) for y in conv(_, w))",
        "sum(1 for y in conv(_, weight)) == 1",
        "any(y == one for y in conv2d)",
        "True if annotated(one) else annotated(two)",
        # The second is not asked where the first decides.
        "annotated(one) or source_fn(one) == ''",
    ],
)
def test_what_an_assertion_may_ask(condition: str) -> None:
    assert message("one = conv(x)", "relu1 = relu(one)", "two = conv(relu1, weight)", f"assert {condition}") is None


def test_assertions_need_nothing_captured() -> None:
    assert message("assert sum(1 for y in conv) == 2", "assert not any(op(y) == 'add' for y in _)") is None


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        pytest.param(
            "all(annotated(y) for y in conv)",
            "all(annotated(y) for y in conv) does not hold: not for conv (node conv2d_default_1)",
            id="the nodes that are not so",
        ),
        pytest.param(
            "all(tag(y) == 'a' for y in conv)",
            "all(tag(y) == 'a' for y in conv) does not hold: "
            "not for conv (node conv2d_default of layer1.conv) (tag(y) is 'backend_conv_0'), "
            "conv (node conv2d_default_1) (tag(y) is None)",
            id="what was asked of them",
        ),
        pytest.param(
            "not any(annotated(y) for y in conv)",
            "not any(annotated(y) for y in conv) does not hold: for conv (node conv2d_default of layer1.conv)",
            id="the nodes that are so",
        ),
        pytest.param(
            "sum(annotated(y) for y in conv if op(y) == 'conv') == 2",
            "sum(annotated(y) for y in conv if op(y) == 'conv') == 2 does not hold: "
            "sum(annotated(y) for y in conv if op(y) == 'conv') is 1; for conv (node conv2d_default of layer1.conv)",
            id="how many, and which",
        ),
        pytest.param(
            "sorted(op(y) for y in conv) == ['conv']",
            "sorted(op(y) for y in conv) == ['conv'] does not hold: the values are ['conv', 'conv']",
            id="the values",
        ),
        pytest.param(
            "distinct(op(y) for y in conv)",
            "distinct(op(y) for y in conv) does not hold: the values are ['conv', 'conv']",
            id="values that are not distinct",
        ),
        pytest.param(
            "all(op(y) == '' for y in _)",
            "all(op(y) == '' for y in _) does not hold: not for input (node x) (op(y) is 'input'), "
            "constant (node first) (op(y) is 'constant'), "
            "conv (node conv2d_default of layer1.conv) (op(y) is 'conv') and 3 more",
            id="the first few",
        ),
        pytest.param(
            "all(annotated(y) for y in cvon)",
            "all(annotated(y) for y in cvon) cannot be told: there is no cvon in the graph, so that it says nothing",
            id="all of nothing",
        ),
        pytest.param(
            "sum(1 for a in _ for b in _ for c in _) == 0",
            "sum(1 for a in _ for b in _ for c in _) == 0 does not hold: "
            "sum(1 for a in _ for b in _ for c in _) is 216; for input (node x), input (node x), input (node x), "
            "input (node x), input (node x), constant (node first), "
            "input (node x), input (node x), conv (node conv2d_default of layer1.conv) and 213 more",
            id="several loops",
        ),
        pytest.param(
            "sum(op(y) for y in conv) == 0",
            "sum(op(y) for y in conv) == 0 cannot be told: 'conv' is no number to sum up",
            id="a sum of texts",
        ),
        pytest.param(
            "sorted(tag(y) for y in conv) == []",
            "sorted(tag(y) for y in conv) == [] cannot be told: "
            "['backend_conv_0', None] are not all numbers, nor all texts, and have no order",
            id="an order of nothing",
        ),
        pytest.param("len(3) == 1", "len(3) == 1 cannot be told: 3 is no list", id="the length of a number"),
        pytest.param("tag(3) == 1", "tag(3) == 1 cannot be told: 3 is no node of the graph", id="the tag of a number"),
        pytest.param("gone == 1", "gone == 1 cannot be told: nothing captures 'gone'", id="an unknown name"),
    ],
)
def test_an_assertion_that_fails_names_nodes_and_layers(condition: str, told: str) -> None:
    assert message(f"assert {condition}") == f"assert: {told}"


def test_ops_that_quantize_go_by_their_neighbors_and_numbers_are_told() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        settings = (0.5, 0, -128, 127, torch.int8)
        q = graph.call_function(decomposed.quantize_per_tensor.default, (graph.placeholder("x"), *settings))
        x = graph.call_function(decomposed.dequantize_per_tensor.default, (q, *settings))
        w = graph.call_function(decomposed.dequantize_per_tensor.default, (graph.get_attr("codes"), *settings))
        return graph.call_function(aten.linear.default, (x, w))

    made = graph_module(build, codes=torch.ones(2, 2))

    assert message("assert all(s == 0.1 for y in quantize_per_tensor(_, s))", of=made) == (
        "assert: all(s == 0.1 for y in quantize_per_tensor(_, s)) does not hold: "
        "not for quantize_per_tensor (node quantize_per_tensor_default behind the input x) (s is 0.5)"
    )
    assert message("assert all(s == 0.1 for y in dequantize_per_tensor(constant(), scale=s))", of=made) == (
        "assert: all(s == 0.1 for y in dequantize_per_tensor(constant(), scale=s)) does not hold: "
        "not for dequantize_per_tensor (node dequantize_per_tensor_default_1 for the node linear_default) (s is 0.5)"
    )


def test_loops_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qatrix.judge.graphs.assertions._MOST_LOOKED_AT", 30)

    assert message("assert sum(1 for y in conv) == 2") is None
    assert message("assert all(op(a) for a in _ for b in _)") == (
        "assert: all(op(a) for a in _ for b in _) cannot be told: its loops look at more than 30 nodes or pairs of values"
    )


def test_what_distinct_compares_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qatrix.judge.graphs.assertions._MOST_LOOKED_AT", 30)

    assert message("assert distinct(a for a in _)") is None
    assert message("assert distinct([a, b] for a in conv for b in _)") == (
        "assert: distinct([a, b] for a in conv for b in _) cannot be told:"
        " its loops look at more than 30 nodes or pairs of values"
    )


def observed(*observers: str) -> fx.GraphModule:
    """add(a, b), both inputs and the output observed, by the modules of these names; two names may be one module."""

    def build(graph: fx.Graph) -> fx.Node:
        a, b = graph.placeholder("a"), graph.placeholder("b")
        left, right = (graph.call_module(name, (value,)) for name, value in zip(observers, (a, b)))
        return graph.call_module(observers[2], (graph.call_function(aten.add.Tensor, (left, right)),))

    one, other = default_observer(), default_observer()
    return graph_module(build, o1=one, o1_again=one, o2=other)


def test_observers_are_shared_where_they_are_one_module_whatever_its_names() -> None:
    lines = ("y = add(left, right)", "left = observer(a)")
    together = observed("o1", "o1_again", "o1")

    assert message("y = add(left, right)", "assert shared(left, right) and shared(left, y)", of=together) is None
    assert message("y = add(left, right)", "assert not shared(left, right)", of=observed("o1", "o2", "o1")) is None
    assert message("y = add(left, right)", "assert all(shared(l, r) for z in add(l, r))", of=together) is None
    assert message(*lines[:1], "assert shared(left, right)", of=observed("o1", "o2", "o1")) == (
        "assert: shared(left, right) does not hold: "
        "left is observer (node o1, the observer of the input a), right is observer (node o2, the observer of the input b)"
    )


def test_what_nothing_observes_or_several_do_shares_nothing() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        a = graph.placeholder("a")
        seen = [graph.call_module(name, (a,)) for name in ("o1", "o2")]
        return graph.call_function(aten.add.Tensor, tuple(seen))

    made = graph_module(build, o1=default_observer(), o2=default_observer())

    assert message("y = add(observer(a), right)", "assert shared(a, right)", of=made) == (
        "assert: shared(a, right) cannot be told: input (node a) has 2 observers, which an expected graph tells apart"
    )
    assert message("y = add(left, right)", "assert not shared(left, y)", of=made) == (
        "assert: not shared(left, y) cannot be told: add (node add_tensor) has no observer"
    )


def test_nodes_that_check_inputs_are_no_nodes_of_the_model() -> None:
    class GuardsFn(nn.Module):
        pass

    def build(graph: fx.Graph) -> fx.Node:
        x = graph.placeholder("x")
        graph.call_module("_guards_fn", (x,))
        return graph.call_function(aten.relu.default, (x,))

    made = graph_module(build, _guards_fn=GuardsFn())

    assert message("assert sum(1 for y in _) == 2 and all(len(users(y)) == 1 for y in input)", of=made) is None


def test_what_a_model_calls_its_layers_and_inputs_is_no_op() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        return graph.call_module("relu", (graph.placeholder("conv"),))

    made = graph_module(build, relu=nn.Conv2d(1, 1, 1))

    assert message("assert sum(1 for y in conv) == 1 and sum(1 for y in relu) == 0", of=made) is None
    assert message("return conv2d(input())", of=made) is None


def test_the_first_of_several_outputs_may_be_written_or_not() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        both = graph.call_function(aten.max_pool2d_with_indices.default, (graph.placeholder("x"), [2, 2]))
        return graph.call_function(operator.getitem, (both, 0))

    made = graph_module(build)

    assert message("return max_pool2d_with_indices(x)", of=made) is None
    assert message("return getitem(max_pool2d_with_indices(x), 0)", of=made) is None
    assert message("return getitem(max_pool2d_with_indices(x), 1)", of=made) is not None


def test_all_outputs_can_be_expected() -> None:
    def build(graph: fx.Graph) -> tuple[fx.Node, ...]:
        x = graph.placeholder("x")
        return graph.call_function(aten.relu.default, (x,)), x

    made = graph_module(build)

    assert message("return relu(x), x", of=made) is None
    assert message("return relu(x)", of=made) is None
    assert message("return x, relu(x)", of=made) == "output ← [1]: expected relu(…), found input (node x)"
    assert message("return relu(x), x, x", of=made) == "output: expected 3 items, found [relu_default, x]"


def test_a_number_is_what_a_constant_holds_as_float32_has_it() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        return graph.call_function(aten.mul.Tensor, (graph.placeholder("x"), graph.get_attr("scale")))

    assert message("return mul(x, 0.1)", of=graph_module(build, scale=torch.tensor(0.1))) is None
    assert message("return mul(x, [0.1, 2])", of=graph_module(build, scale=torch.tensor([0.1, 2]))) is None
    assert message("return mul(x, 0.2)", of=graph_module(build, scale=torch.tensor(0.1))) == (
        "output ← mul: expected 0.2, found constant (node scale)"
    )


def test_a_graph_may_be_deeper_than_the_stack_of_python() -> None:
    def build(graph: fx.Graph) -> fx.Node:
        y = graph.placeholder("x")
        for _ in range(3000):
            y = graph.call_function(aten.relu.default, (y,))
        return y

    lines = ["y = input()", *["y = relu(y)"] * 3000]

    assert message(*lines, "return y", of=graph_module(build)) is None
    assert message("y = add(_, _)", *lines[1:], "return y", of=graph_module(build)) == (
        f"output ← … ← {' ← '.join(['relu'] * 10)}: expected add(…), found input (node x)"
    )
