"""Weights that have a scale for each group of values along their last axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import fx

from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from qatrix.pipelines import Pipeline
from support.altered import with_altered
from support.cases import written_cases

pytestmark = pytest.mark.torch

CASES = """
patterns:
  two_lin:
    layers: {one: "Linear(16, 8)", two: "Linear(8, 4)"}
    forward: ["return two(F.relu(one(x)))"]
    inputs: {x: {shape: [8, 16]}}
quantizers:
  grouped:
    mode: ptq
    annotate: [linear, linear_relu]
    activation: &activation {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -8, quant_max: 7, qscheme: per_channel_symmetric, ch_axis: 0, group_size: 4}
  weights_alone:
    mode: ptq
    annotate: [linear]
    weight: {dtype: int8, quant_min: -8, quant_max: 7, qscheme: per_channel_affine, ch_axis: 0, group_size: 8}
    convert: {fold_quantize: false}
  as_it_comes:
    mode: dynamic
    annotate: [linear]
    activation: *activation
    weight: {dtype: uint8, quant_min: 0, quant_max: 15, qscheme: per_channel_affine, ch_axis: 0, group_size: 8}
  not_divided:
    mode: ptq
    annotate: [linear]
    weight: {dtype: int8, quant_min: -8, quant_max: 7, qscheme: per_channel_symmetric, ch_axis: 0, group_size: 5}
suites: {s: {axes: {pattern: two_lin, quantizer: [grouped, weights_alone, as_it_comes, not_divided]}}}
"""


def run(tmp_path: Path, quantizer: str, pipelines: Mapping[str, Pipeline] | None = None) -> Record:
    """The record of a case."""
    (case,) = written_cases(tmp_path, CASES, f"s/*/quantizer={quantizer},*")
    return run_case(case, pipelines, diagnose="never")


@pytest.mark.parametrize("quantizer", ["grouped", "weights_alone", "as_it_comes"])
def test_each_group_has_a_scale_of_its_own(quantizer: str, tmp_path: Path) -> None:
    record = run(tmp_path, quantizer)
    checks = {check.name: check.status for check in record.checks}

    assert record.verdict == "checked", record.summary
    assert record.pipelines["fx"].reason == "FX graph mode has no scales by group"
    assert (checks["as_specified"], checks["weights_quantized"]) == ("passed", "passed")


def with_another_integer(program: fx.GraphModule) -> fx.GraphModule:
    """The program, one integer of whose first weight is another."""
    codes = next(value for value in program.buffers() if value.dtype == torch.int8)
    codes[0, 0] += 2 if codes[0, 0] < 0 else -2
    return program


def with_another_scale(program: fx.GraphModule) -> fx.GraphModule:
    """The program, one scale of whose first weight is another."""
    scales = next(value for name, value in program.named_buffers() if name.startswith("_scale"))
    scales[0, 0] *= 1.5
    return program


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (with_another_integer, "one after convert: 1 of the 128 values of its weight is not the integers nearest"),
        (with_another_scale, "one.weight after convert: its scale is"),
    ],
)
def test_a_group_that_is_not_rounded_by_its_range_is_found(alter: object, told: str, tmp_path: Path) -> None:
    record = run(tmp_path, "grouped", with_altered("pt2e", convert=alter))  # type: ignore[arg-type]  # it takes a program
    (check,) = (check for check in record.checks if check.name == "as_specified")

    assert check.status == "failed"
    assert told in str(check.message)


def test_an_axis_that_groups_do_not_divide_is_no_weight_for_them(tmp_path: Path) -> None:
    record = run(tmp_path, "not_divided")

    assert record.verdict == "failed"
    assert "is not divisible by group size 5" in record.summary
