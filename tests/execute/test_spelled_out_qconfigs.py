"""QConfigs of FX graph mode's that are spelled out, beside the same specs for PT2E."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from support.cases import shipped_cases, written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

CASES = """
patterns:
  conv_bn_relu_lin:
    layers: {conv: "Conv2d(3, 4, 3)", bn: BatchNorm2d(4), relu: ReLU(), lin: "Linear(4, 3)"}
    forward: ["return lin(relu(bn(conv(x))).mean(3))"]
    inputs: {x: {shape: [2, 3, 6, 6]}}
quantizers:
  coarse_linear:
    mode: ptq
    fx:
      backend_config: fbgemm
      qconfig: default_qconfig
      modules:
        "{conv,bn,relu}": float
        lin:
          activation: {dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, reduce_range: true}
          weight: {dtype: int8, quant_min: -8, quant_max: 7, qscheme: per_tensor_symmetric}
  not_allowed_by_the_backend:
    mode: ptq
    annotate: [conv_relu, linear]
    activation: &activation {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: &weight {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
    fx: {backend_config: qnnpack, qconfig: {activation: *activation, weight: *weight}}
  reduced:
    mode: qat
    annotate: [conv_bn_relu]
    activation: {dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, reduce_range: true}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
suites: {s: {axes: {pattern: conv_bn_relu_lin, quantizer: [coarse_linear, not_allowed_by_the_backend, reduced]}}}
"""


def run(tmp_path: Path, quantizer: str) -> Record:
    """The record of a case."""
    (case,) = written_cases(tmp_path, CASES, f"s/*/quantizer={quantizer},*")
    return run_case(case, diagnose="never")


@pytest.mark.parametrize("quantizer", ["same_specs_qat", "same_specs_ptq"])
def test_the_same_specs_give_the_same_bits_in_both_pipelines(quantizer: str) -> None:
    (case,) = shipped_cases(f"same_specs/conv_bn_relu/dim=2,quantizer={quantizer},*")
    record = run_case(case, diagnose="never")

    assert record.verdict == "exact", record.summary
    assert {made.status for made in record.pipelines.values()} == {"ok"}


def test_a_module_has_the_integers_of_its_own_qconfig(tmp_path: Path) -> None:
    record = run(tmp_path, "coarse_linear")
    checks = {check.name: check.status for check in record.checks}

    assert record.verdict == "checked", record.summary
    assert (checks["as_specified"], checks["float_kept"], checks["sqnr_of_bits"]) == ("passed", "passed", "passed")


def test_a_backend_that_does_not_allow_a_qconfig_leaves_all_in_float(tmp_path: Path) -> None:
    record = run(tmp_path, "not_allowed_by_the_backend")

    assert record.verdict == "unquantized"
    assert record.summary.startswith("fx silently quantized nothing")


def test_a_reduced_range_is_what_its_quantizer_says_on_both(tmp_path: Path) -> None:
    record = run(tmp_path, "reduced")

    assert record.verdict == "exact", record.summary
    assert {check.status for check in record.checks if check.name == "as_specified"} == {"passed"}
