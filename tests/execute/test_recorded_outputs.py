"""A case whose runtime is elsewhere: what it gave comes in as a file of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.batches import build_batches
from qatrix.pipelines.models import build_model
from support.cases import written_cases

pytestmark = pytest.mark.torch

YAML = """
runtimes: {phone: {pt2e: {runtime: recorded, outputs: phone.safetensors}}}
suites: {s: {axes: {pattern: two_linear, quantizer: xnnpack_int8_per_channel_ptq, runtime: phone}}}
"""


@pytest.fixture(name="case")
def _case(tmp_path: Path) -> Case:
    save_file({"none": torch.zeros(1)}, tmp_path / "phone.safetensors")
    (case,) = written_cases(tmp_path, YAML)
    return case


def recorded(case: Case, folder: Path, **changed: Tensor) -> Record:
    """The case with what its converted program gives on record, or something else in the place of that."""
    kind, inputs = PIPELINES["pt2e"], build_batches(case).first
    made = kind.prepare(
        kind.capture(build_model(case).eval(), inputs, dynamic_batch=False)(), inputs, case.quantizer, skip_modules=()
    )
    with torch.no_grad():
        inputs.call(made)
        output: Any = inputs.call(kind.convert(made, case.quantizer))
    tensors = {"output": output, "input": inputs.tensors[0], **changed}
    save_file({f"{case.case_id}/{name}/0": tensor for name, tensor in tensors.items()}, folder / "phone.safetensors")
    return run_case(case)


def test_outputs_of_a_device_are_compared_like_those_of_any_runtime(case: Case, tmp_path: Path) -> None:
    record = recorded(case, tmp_path)
    lowering = record.pipelines["pt2e"].lowering

    assert record.verdict == "exact", record.summary
    assert [(item.left, item.right) for item in record.comparisons] == [("pt2e", "pt2e on recorded")]
    assert lowering is not None
    assert dict(lowering.options) == {"outputs": "phone.safetensors"}


def test_a_device_that_is_off_is_told_and_no_part_is_looked_for_there(case: Case, tmp_path: Path) -> None:
    record = recorded(case, tmp_path, output=torch.zeros(3, 4))
    lowering = record.pipelines["pt2e"].lowering

    assert record.verdict == "diverged", record.summary
    assert lowering is not None
    assert lowering.first is None
    assert lowering.notes


def test_outputs_for_other_inputs_are_refused(case: Case, tmp_path: Path) -> None:
    record = recorded(case, tmp_path, input=torch.zeros(1))

    assert record.verdict == "failed"
    assert record.summary.startswith("pt2e failed at lower: DataFault: phone.safetensors, declared at ")
