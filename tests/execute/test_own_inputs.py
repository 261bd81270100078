"""Cases on the inputs that people have: by keyword, nested, several batches or none, files, outputs with fields."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from support.cases import written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]
PTQ, QAT = "xnnpack_int8_per_channel_ptq", "xnnpack_int8_per_tensor_qat"
BOTH = pytest.mark.parametrize("quantizer", [PTQ, QAT])


@dataclasses.dataclass
class Result:
    """An output with fields."""

    logits: Tensor
    hidden: Tensor


class Nested(nn.Module):
    """Takes a dict, a tuple, and a tensor by keyword alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, batch: dict[str, Tensor], pair: tuple[Tensor, Tensor], *, scale: Tensor) -> Tensor:
        """A linear layer on what the dict holds, and arithmetic on the rest."""
        out: Tensor = self.lin(batch["x"]) * scale + pair[0] - pair[1]
        return out


class Fields(nn.Module):
    """Returns a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Result:
        """Two values with names."""
        y = self.lin(x)
        return Result(logits=y, hidden=y.relu())


def run_written(folder: Path, pattern: str, *, quantizer: str = PTQ, axes: str = "") -> Record:
    """The record of one case of a pattern that is written in the test."""
    text = f"""
patterns: {{written: {pattern}}}
suites: {{written: {{axes: {{pattern: written, quantizer: {quantizer}{axes}}}}}}}
"""
    (case,) = written_cases(folder, text)
    return run_case(case, diagnose="never")


def statuses(record: Record) -> dict[str, set[str]]:
    """The statuses of each check."""
    found: dict[str, set[str]] = {}
    for check in record.checks:
        found.setdefault(check.name, set()).add(check.status)
    return found


@BOTH
def test_a_model_takes_nested_inputs_and_inputs_by_keyword(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantizer: str
) -> None:
    monkeypatch.setattr(nn, "Written", Nested, raising=False)
    pattern = """{model: torch.nn.Written, inputs: {
      batch: {dict: {x: {shape: [3, 4]}}}, pair: {tuple: [{shape: [3, 4]}, {shape: [4]}]},
      scale: {shape: [3, 4], values: {uniform: [0.5, 2]}, by: keyword}}}"""
    record = run_written(tmp_path, pattern, quantizer=quantizer)

    assert {outcome.status for outcome in record.pipelines.values()} == {"ok"}, record.summary
    assert {item.total for item in record.comparisons} == {12}
    assert {status for found in statuses(record).values() for status in found} == {"passed"}


LAYERS = '{layers: {c: "Conv2d(3, 4, 3)", b: BatchNorm2d(4)}, forward: ["return F.relu(b(c(x))) + y"], inputs: {'
INPUTS = "x: {shape: [2, 3, 6, 6]}, y: {shape: [2, 4, 4, 4], by: keyword}}}"


@BOTH
def test_a_forward_in_the_language_takes_inputs_by_keyword(tmp_path: Path, quantizer: str) -> None:
    named = run_written(tmp_path, LAYERS + INPUTS, quantizer=quantizer)
    placed = run_written(tmp_path, LAYERS + INPUTS.replace(", by: keyword", ""), quantizer=quantizer)

    assert named.verdict == "exact", named.summary
    assert [item.sqnr_db for item in named.pipelines.values()] == [item.sqnr_db for item in placed.pipelines.values()]


@BOTH
def test_as_specified_holds_after_several_batches(tmp_path: Path, quantizer: str) -> None:
    record = run_written(tmp_path, LAYERS + INPUTS, quantizer=quantizer, axes=", calibration_batches: 3")

    assert record.verdict == "exact", record.summary
    assert statuses(record)["as_specified"] == {"passed"}


def test_several_batches_then_steps_are_trained_alike(tmp_path: Path) -> None:
    axes = ", calibration_batches: 3, train_steps: 2, observer_state: [disabled]"
    record = run_written(tmp_path, LAYERS + INPUTS, quantizer=QAT, axes=axes)

    assert record.verdict in {"exact", "close"}, record.summary
    assert statuses(record)["as_specified"] == {"passed"}


@BOTH
def test_more_batches_change_convert_and_not_prepare(tmp_path: Path, quantizer: str) -> None:
    one, three = (
        run_written(tmp_path, LAYERS + INPUTS, quantizer=quantizer, axes=f", calibration_batches: {count}")
        for count in (1, 3)
    )
    usual = run_written(tmp_path, LAYERS + INPUTS, quantizer=quantizer)

    assert [item.sqnr_db for item in one.pipelines.values()] == [item.sqnr_db for item in usual.pipelines.values()]
    assert [item.sqnr_db for item in one.pipelines.values()] != [item.sqnr_db for item in three.pipelines.values()]
    assert one.comparisons[0] == three.comparisons[0]


@BOTH
def test_without_calibration_nothing_is_compared_after_prepare(tmp_path: Path, quantizer: str) -> None:
    record = run_written(tmp_path, LAYERS + INPUTS, quantizer=quantizer, axes=", calibration_batches: 0")
    usual = run_written(tmp_path, LAYERS + INPUTS, quantizer=quantizer)

    assert [item.at for item in record.comparisons] == ["convert"]
    assert not {"observed", "batch_norm_state", "as_specified"} & statuses(record).keys()
    assert all((item.sqnr_db or 0) < (usual.pipelines[name].sqnr_db or 0) for name, item in record.pipelines.items())
    assert [time.name for time in record.pipelines["fx"].stages].count("forward") == 0


def test_the_batches_of_a_file_calibrate(tmp_path: Path) -> None:
    rows = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    save_file({"rows": rows}, tmp_path / "rows.safetensors")
    pattern = '{layers: {lin: "Linear(4, 4)"}, forward: ["return lin(x)"], inputs: {x: {from: rows.safetensors, %s}}}'
    all_of_them = run_written(tmp_path, pattern % "batch: 3")
    first = run_written(tmp_path, pattern % "batch: 3", axes=", calibration_batches: 1")

    assert all_of_them.verdict == first.verdict == "exact"
    assert all_of_them.pipelines["fx"].sqnr_db != first.pipelines["fx"].sqnr_db


def test_what_is_wrong_with_a_file_makes_the_case_invalid_in_a_sentence(tmp_path: Path) -> None:
    save_file({"rows": torch.full((3, 4), torch.nan)}, tmp_path / "rows.safetensors")
    pattern = '{layers: {lin: "Linear(4, 4)"}, forward: ["return lin(x)"], inputs: {x: {from: rows.safetensors}}}'
    record = run_written(tmp_path, pattern)

    assert record.verdict == "invalid"
    assert record.summary.startswith("the case's data cannot be used: DataFault: rows.safetensors, declared at ")
    assert record.summary.endswith(" for the input 'x', holds 12 of 12 values that are NaN; expected numbers")


def test_a_dataclass_is_compared_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "Written", Fields, raising=False)
    torch.export.register_dataclass(Result)
    record = run_written(tmp_path, "{model: torch.nn.Written, inputs: {x: {shape: [3, 4]}}}")

    assert record.verdict == "exact", record.summary
    assert {item.total for item in record.comparisons} == {24}


def test_a_module_that_is_made_already_is_no_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "Written", nn.Linear(4, 4), raising=False)
    record = run_written(tmp_path, "{model: torch.nn.Written, inputs: {x: {shape: [3, 4]}}}")

    assert record.verdict == "invalid"
    assert "torch.nn.Written is a Linear itself, which all cases would change; name what makes one" in record.summary
