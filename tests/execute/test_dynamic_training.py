"""Quantization-aware training whose activations are quantized as they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from support.cases import written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

CASES = """
patterns:
  two_lin:
    layers: {one: "Linear(4, 5)", two: "Linear(5, 3)"}
    forward: ["return two(F.relu(one(x)))"]
    inputs: {x: {shape: [8, 4]}}
  conv_lin:
    layers: {conv: "Conv2d(3, 4, 3)", lin: "Linear(4, 3)"}
    forward: ["return lin(F.relu(conv(x)).mean(3))"]
    inputs: {x: {shape: [2, 3, 6, 6]}}
quantizers:
  by_name:
    mode: qat
    fx: {backend_config: qnnpack, qconfig: default_dynamic_qat_qconfig}
  arm: {mode: qat, pt2e: {quantizer: ArmInductorQuantizer, config: {is_qat: true, is_dynamic: true}}}
  written_uint8:
    mode: qat
    annotate: [linear, linear_relu]
    activation: {dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, dynamic: true}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
  linear_layers_alone:
    mode: qat
    pt2e: {quantizer: XNNPACKQuantizer, config: {is_qat: true, is_dynamic: true}}
    fx:
      backend_config: qnnpack
      qconfig:
        activation: {dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, dynamic: true, eps: 0.000244140625}
        weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric, eps: 0.000244140625}
      modules: {conv: float}
suites:
  s:
    axes:
      pattern: [two_lin, conv_lin]
      quantizer: [linear_layers_alone, by_name, arm, written_uint8, xnnpack_int8_per_channel_dynamic_qat, x86_int8_dynamic_qat]
"""


def run(tmp_path: Path, pattern: str, quantizer: str) -> Record:
    """The record of a case."""
    (case,) = written_cases(tmp_path, CASES, f"s/{pattern}/quantizer={quantizer},*")
    return run_case(case, diagnose="never")


@pytest.mark.parametrize("quantizer", ["written_uint8", "xnnpack_int8_per_channel_dynamic_qat", "x86_int8_dynamic_qat"])
def test_both_pipelines_train_linear_layers_alike(quantizer: str, tmp_path: Path) -> None:
    record = run(tmp_path, "two_lin", quantizer)

    assert record.verdict == "exact", record.summary
    # A quantize op for each input, none for an output.
    assert {made.quantize_ops for made in record.pipelines.values()} == {2}
    assert "as_specified" in {check.name for check in record.checks}


def test_xnnpack_leaves_convolutions_in_float_as_without_training(tmp_path: Path) -> None:
    record = run(tmp_path, "conv_lin", "linear_layers_alone")

    assert record.verdict == "exact", record.summary
    assert record.pipelines["pt2e"].quantize_ops == 1


def test_a_quantizer_that_takes_convolutions_without_training_takes_them_in_it(tmp_path: Path) -> None:
    record = run(tmp_path, "conv_lin", "arm")

    assert record.verdict == "checked", record.summary
    assert record.pipelines["pt2e"].quantize_ops == 2


def test_fx_trains_the_weights_of_convolutions_for_nothing(tmp_path: Path) -> None:
    record = run(tmp_path, "conv_lin", "by_name")
    failed = {check.name for check in record.checks if check.status == "failed"}

    assert record.verdict == "check_failed"
    assert failed == {"weights_quantized", "as_specified"}
