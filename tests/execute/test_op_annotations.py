"""Quantizers that annotate single ops of aten: outputs in float, parameters of an input, specs of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import fx

from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.judge.graphs.ops import argument, op_name
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.models import build_model
from support.cases import written_cases

pytestmark = pytest.mark.torch

CASES = """
patterns:
  conv_silu:
    layers: {conv: "Conv2d(3, 4, 3)", act: SiLU()}
    forward: ["return act(conv(x))"]
    inputs: {x: {shape: [2, 3, 6, 6]}}
  pooled_sum:
    layers: {pool: "MaxPool2d(2)"}
    forward: ["return pool(x + y)"]
    inputs: {x: {shape: [2, 3, 6, 6]}, y: {shape: [2, 3, 6, 6], values: {normal: [0, 4]}}}
  product:
    forward: ["return torch.sigmoid(torch.matmul(x, y))"]
    layers: {}
    inputs: {x: {shape: [2, 4, 5]}, y: {shape: [2, 5, 3]}}
  embedded:
    layers: {embedding: "Embedding(9, 4)", lin: "Linear(4, 3)"}
    forward: ["return lin(embedding(x))"]
    inputs: {x: {shape: [8, 3], dtype: int64, values: {integers: [0, 9]}}}
quantizers:
  conv_and_silu:
    mode: ptq
    activation: &activation {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: &weight {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
    ops:
      - {op: aten.conv2d.default, output: float}
      - {op: aten.silu.default, inputs: {self: activation}}
  shared_with_the_second:
    mode: ptq
    activation: *activation
    ops:
      - {op: aten.add.Tensor, output: {shared_with: other}}
      - {op: aten.max_pool2d.default, inputs: {self: activation}, output: {shared_with: self}}
  not_shared_unasked:
    mode: ptq
    activation: *activation
    ops:
      - {op: aten.add.Tensor, output: {shared_with: other}}
      - {op: aten.max_pool2d.default, inputs: {self: activation}, output: {shared_with: self}, implicit_sharing: false}
  all_shared:
    mode: ptq
    activation: *activation
    ops:
      - {op: aten.add.Tensor, inputs: {self: activation, other: {shared_with: self}}, output: {shared_with: self}}
      - {op: aten.max_pool2d.default, output: {shared_with: self}}
  shared_with_a_later_one:
    mode: ptq
    activation: *activation
    ops: [{op: aten.add.Tensor, inputs: {self: {shared_with: other}, other: activation}}]
  matmul_and_fixed_sigmoid:
    mode: qat
    activation: *activation
    ops:
      - {op: aten.matmul.default, output: float}
      - op: aten.sigmoid.default
        output: {dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, scale: 0.00390625}
  embedding_and_chain:
    mode: ptq
    annotate: [linear]
    activation: *activation
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 0}
    ops: [{op: aten.embedding.default, inputs: {weight: weight}, output: float}, {op: aten.linear.default, output: float}]
  unknown_op: {mode: ptq, activation: *activation, ops: [{op: aten.silo.default}]}
  unknown_input: {mode: ptq, activation: *activation, ops: [{op: aten.add.Tensor, inputs: {others: activation}}]}
  dynamic_linear:
    mode: dynamic
    activation: *activation
    weight: *weight
    ops: [{op: aten.linear.default}]
suites:
  s:
    axes:
      pattern: [conv_silu, pooled_sum, product, embedded]
      quantizer:
        - conv_and_silu
        - shared_with_the_second
        - not_shared_unasked
        - all_shared
        - shared_with_a_later_one
        - matmul_and_fixed_sigmoid
        - embedding_and_chain
        - unknown_op
        - unknown_input
        - dynamic_linear
"""


def run(tmp_path: Path, pattern: str, quantizer: str) -> Record:
    """The record of a case."""
    (case,) = written_cases(tmp_path, CASES, f"s/{pattern}/quantizer={quantizer},*")
    return run_case(case)


def ops(record: Record) -> tuple[int | None, int | None, int | None]:
    """How many observers, quantize and dequantize ops PT2E has made."""
    made = record.pipelines["pt2e"]
    return made.fake_quantizes, made.quantize_ops, made.dequantize_ops


@pytest.mark.parametrize(
    ("pattern", "quantizer", "counts"),
    [
        pytest.param("conv_silu", "conv_and_silu", (4, 3, 4), id="an output in float, and any op"),
        pytest.param("pooled_sum", "shared_with_the_second", (2, 4, 4), id="parameters of the second input"),
        # The sum is quantized once for itself, and once for the pool.
        pytest.param("pooled_sum", "not_shared_unasked", (3, 5, 5), id="no parameters of another's reader"),
        pytest.param("pooled_sum", "all_shared", (1, 4, 4), id="parameters of the first input"),
        pytest.param("product", "matmul_and_fixed_sigmoid", (4, 4, 4), id="a fixed output of one op"),
        pytest.param("embedded", "embedding_and_chain", (4, 2, 4), id="an embedding beside a chain"),
        pytest.param("embedded", "dynamic_linear", (2, 1, 2), id="activations as they come"),
    ],
)
def test_every_call_of_an_op_is_quantized_as_declared(
    pattern: str, quantizer: str, counts: tuple[int, int, int], tmp_path: Path
) -> None:
    record = run(tmp_path, pattern, quantizer)

    assert record.verdict == "checked", record.summary
    assert record.pipelines["fx"].status == "inexpressible"
    assert ops(record) == counts
    assert {check.status for check in record.checks} == {"passed"}
    assert "as_specified" in {check.name for check in record.checks}


def test_an_output_has_the_parameters_of_the_input_that_it_shares_them_with(tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, CASES, "s/pooled_sum/quantizer=shared_with_the_second,*")
    scales = scales_of(case)

    # x, y, their sum, and what the pool gives.
    assert scales[0] != scales[1]
    assert scales[1] == scales[2] == scales[3]


def test_an_input_shares_with_a_later_one(tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, CASES, "s/pooled_sum/quantizer=shared_with_a_later_one,*")
    scales = scales_of(case)

    assert scales[0] == scales[1] != scales[2]
    assert run(tmp_path, "pooled_sum", "shared_with_a_later_one").verdict == "checked"


def scales_of(case: Case) -> list[object]:
    """The scales of the quantize ops of PT2E's converted program, in the order of the graph."""
    pipeline, inputs = PIPELINES["pt2e"], build_inputs(case)
    captured = pipeline.capture(build_model(case).eval(), inputs, dynamic_batch=False)()
    prepared = pipeline.prepare(captured, inputs, case.quantizer, skip_modules=())
    prepared(*inputs.values)
    converted = pipeline.convert(prepared, case.quantizer)
    assert isinstance(converted, fx.GraphModule)
    nodes = (node for node in converted.graph.nodes if op_name(node) == "quantize_per_tensor")
    return [argument(node, "scale") for node in nodes]


@pytest.mark.parametrize(
    ("quantizer", "message"),
    [
        ("unknown_op", "has no op aten.silo.default; expected an op of torch.ops.aten with its overload"),
        ("unknown_input", "aten.add.Tensor has no input 'others'; expected one of self, other, alpha"),
    ],
)
def test_what_this_torch_does_not_have_is_told(quantizer: str, message: str, tmp_path: Path) -> None:
    record = run(tmp_path, "pooled_sum", quantizer)

    assert record.verdict == "invalid"
    assert record.summary.startswith("the quantizer names an op that this torch does not have")
    assert record.error is not None
    assert message in record.error.message
    assert "did you mean" in record.error.message
