"""convert_pt2e with options of its own: weights quantized in the graph, and arithmetic in the place of quantize ops."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from support.cases import written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

CASES = """
patterns:
  conv_bn_relu_linear:
    layers: {conv: "Conv2d(3, 4, 3)", bn: BatchNorm2d(4), lin: "Linear(4, 5)"}
    forward: ["return lin(F.relu(bn(conv(x))).mean(3))"]
    inputs: {x: {shape: [2, 3, 6, 6]}}
  written_linear:
    layers: {lin: "Linear(4, 5)"}
    forward: ["return lin(x)"]
    inputs: {x: {shape: [2, 4]}}
  nothing:
    layers: {act: Tanh()}
    forward: ["return act(x)"]
    inputs: {x: {shape: [2, 4]}}
quantizers:
  graph_qat:
    mode: qat
    pt2e: {quantizer: XNNPACKQuantizer, config: {is_per_channel: true, is_qat: true}}
    fx: {backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qat_qconfig}
    convert: {fold_quantize: false}
  graph_bias:
    mode: ptq
    annotate: [conv, linear]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
    bias: {derived_from: [activation, weight], dtype: int32, quant_min: -2147483648, quant_max: 2147483647, qscheme: per_tensor_affine}
    convert: {fold_quantize: false}
  folded_bias:
    mode: ptq
    annotate: [conv, linear]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
    bias: {derived_from: [activation, weight], dtype: int32, quant_min: -2147483648, quant_max: 2147483647, qscheme: per_tensor_affine}
  wrong_axis:
    mode: ptq
    annotate: [conv]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 1}
    convert: {fold_quantize: false}
  arithmetic:
    mode: ptq
    pt2e: {quantizer: XNNPACKQuantizer}
    fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qconfig}
    convert: {use_reference_representation: true}
  arithmetic_per_channel_qat:
    mode: qat
    pt2e: {quantizer: XNNPACKQuantizer, config: {is_per_channel: true, is_qat: true}}
    fx: {backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qat_qconfig}
    convert: {use_reference_representation: true}
  arithmetic_dynamic:
    mode: dynamic
    pt2e: {quantizer: XNNPACKQuantizer, config: {is_dynamic: true}}
    fx: {backend_config: qnnpack, qconfig: default_dynamic_qconfig}
    convert: {use_reference_representation: true}
  arithmetic_of_convolutions:
    mode: ptq
    annotate: [conv]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
    convert: {use_reference_representation: true}
suites:
  s:
    axes:
      pattern: [conv_bn_relu_linear, written_linear, nothing]
      quantizer: [graph_qat, graph_bias, folded_bias, wrong_axis, arithmetic, arithmetic_per_channel_qat, arithmetic_dynamic]
    include: [{pattern: conv_bn_relu_linear, quantizer: arithmetic_of_convolutions}]
"""
# The checks of a structure that arithmetic does not show.
BEYOND_SIGHT = {"weight_scales", "batch_norm_folded", "biases_quantized"}


def run(tmp_path: Path, quantizer: str, pattern: str = "conv_bn_relu_linear") -> Record:
    """The record of a case, with a diagnosis where the pipelines differ."""
    (case,) = written_cases(tmp_path, CASES, f"s/{pattern}/quantizer={quantizer},*")
    return run_case(case)


def checks(record: Record, pipeline: str = "pt2e") -> dict[str, str]:
    """What became of each check on a pipeline."""
    return {check.name: check.status for check in record.checks if check.pipeline == pipeline}


def test_weights_that_are_quantized_in_the_graph_are_judged_like_folded_ones(tmp_path: Path) -> None:
    record = run(tmp_path, "graph_qat")

    assert record.verdict == "exact", record.summary
    # Those of activations and of two weights.
    assert record.pipelines["pt2e"].quantize_ops == 6
    assert record.pipelines["fx"].quantize_ops == 4
    assert {*checks(record).values()} == {"passed"}
    assert BEYOND_SIGHT - {"biases_quantized"} < checks(record).keys()


@pytest.mark.parametrize("quantizer", ["folded_bias", "graph_bias"])
def test_biases_are_integers_whether_they_are_folded_or_not(quantizer: str, tmp_path: Path) -> None:
    record = run(tmp_path, quantizer)

    assert checks(record)["biases_quantized"] == "passed"
    assert checks(record)["as_specified"] == "passed", record.summary


def test_scales_along_a_wrong_axis_are_seen_where_the_weight_is_quantized_in_the_graph(tmp_path: Path) -> None:
    record = run(tmp_path, "wrong_axis")

    assert checks(record)["weight_scales"] == "failed"


def test_a_program_that_computes_in_integers_is_quantized(tmp_path: Path) -> None:
    record = run(tmp_path, "arithmetic")
    made = record.pipelines["pt2e"]

    assert (made.quantize_ops, made.dequantize_ops) == (0, 0)
    assert made.integer_ops
    assert "the converted program is not checked for" in made.notes[-1]
    # The linear layer cuts off its bias and its output, where FX graph mode's rounds them.
    assert record.verdict == "diverged", record.summary
    assert 1 <= round(record.comparisons[-1].max_steps or 0, 5) <= 2
    assert {*checks(record).values()} == {"passed"}
    assert checks(record).keys().isdisjoint(BEYOND_SIGHT)
    assert record.diagnosis is not None
    assert "the program of pt2e at convert is not looked into: it computes in integers" in record.diagnosis.notes


def test_a_dequantized_value_of_arithmetic_is_equal_to_the_bit(tmp_path: Path) -> None:
    record = run(tmp_path, "arithmetic_per_channel_qat")

    assert record.verdict in {"exact", "close"}, record.summary
    assert {*checks(record).values()} == {"passed"}


def test_what_arithmetic_leaves_in_float_is_seen(tmp_path: Path) -> None:
    record = run(tmp_path, "arithmetic_of_convolutions")

    assert checks(record)["ops_quantized"] == "passed", record.summary
    assert record.pipelines["pt2e"].integer_ops


def test_nothing_in_integers_is_nothing_quantized(tmp_path: Path) -> None:
    record = run(tmp_path, "arithmetic", pattern="nothing")

    assert record.verdict == "unquantized"


def test_arithmetic_for_activations_that_are_quantized_as_they_come_gives_another_dtype(tmp_path: Path) -> None:
    record = run(tmp_path, "arithmetic_dynamic", pattern="written_linear")

    assert record.verdict == "diverged"
    assert "float64" in record.summary
