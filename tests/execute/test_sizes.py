"""Free axes of any position: captured, run at twice their lengths, and noticed where they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qatrix.claims import OTHER_SIZE
from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from support.altered import Altered
from support.cases import written_cases

pytestmark = pytest.mark.torch

ATTENTION = """
  written:
    layers: {embedding: "Embedding(16, 8)", queries: "Linear(8, 8)", head: "Linear(8, 4)"}
    forward:
      - y = embedding(ids)
      - weights = torch.softmax(torch.matmul(queries(y), y.transpose(1, 2)) + mask, -1)
      - return head(torch.matmul(weights, y))
    inputs:
      ids: {shape: [2, 6], dtype: int64, values: {integers: [0, 16]}}
      mask: {shape: [2, 1, 6], values: {constant: 0}, by: keyword}
    dynamic: {ids: {0: batch, 1: sequence}, mask: {0: batch, 2: sequence}}
"""
LINEAR = """
  written:
    layers: {linear: "Linear(8, 4)"}
    forward: ["return linear(x)"]
    inputs: {x: {shape: [2, 6, 8]}}
    dynamic: {x: {1: sequence}}
"""


def run_written(folder: Path, pattern: str, *, axes: str = "", **after: Any) -> Record:
    """The record of one case of a pattern whose axes are free; `after` alters both pipelines alike."""
    text = f"""
patterns:{pattern}
suites: {{written: {{axes: {{pattern: written, quantizer: xnnpack_int8_per_tensor_ptq{axes}}}}}}}
"""
    (case,) = written_cases(folder, text)
    altered = {name: Altered(name, **after) for name in ("pt2e", "fx")}
    return run_case(case, altered, diagnose="never")


def other_size(record: Record) -> dict[str | None, tuple[str, str | None]]:
    """The check of the other size, by pipeline."""
    return {check.pipeline: (check.status, check.message) for check in record.checks if check.name == OTHER_SIZE}


@pytest.mark.parametrize("axes", ["", ", dynamic_batch: true", ", capture: non_strict"])
def test_axes_of_any_position_are_free_in_both_pipelines(tmp_path: Path, axes: str) -> None:
    record = run_written(tmp_path, ATTENTION, axes=axes)

    assert {name: item.status for name, item in record.pipelines.items()} == {"pt2e": "ok", "fx": "ok"}
    assert other_size(record) == {"pt2e": ("passed", None), "fx": ("passed", None)}


class OfOneLength(nn.Module):
    """A converted model that takes the length alone that it was captured with."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of the model."""
        out: Tensor = self.inner(x.reshape(2, 6, 8))
        return out


class Cut(OfOneLength):
    """A converted model whose outputs have the length that it was captured with."""

    def forward(self, x: Tensor) -> Tensor:
        """The first outputs of the model."""
        out: Tensor = self.inner(x)[:, :6]
        return out


class OtherSecondHalf(OfOneLength):
    """A converted model that gives zeros beyond the length that it was captured with."""

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, the later ones wrong."""
        out: Tensor = self.inner(x)
        return torch.cat([out[:, :6], torch.zeros_like(out[:, 6:])], 1)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (OfOneLength, "it fails at sequence 12: RuntimeError: shape '[2, 6, 8]' is invalid for input of size 192"),
        (Cut, "at sequence 12 its outputs are not like the float model's: "),
        (OtherSecondHalf, "at sequence 12 its SQNR is 3.0 dB, but "),
    ],
    ids=["fails", "other shape", "other values"],
)
def test_a_free_axis_that_is_none_fails_a_check_though_both_agree(
    tmp_path: Path, fault: type[nn.Module], told: str
) -> None:
    record = run_written(tmp_path, LINEAR, convert=fault)
    found = other_size(record)

    assert record.verdict == "check_failed"
    assert {name: status for name, (status, _) in found.items()} == {"pt2e": "failed", "fx": "failed"}
    assert all(str(message).startswith(told) for _, message in found.values()), found


def test_a_float_model_that_has_one_length_alone_is_invalid(tmp_path: Path) -> None:
    record = run_written(tmp_path, LINEAR.replace("linear(x)", "linear(x.reshape(2, 6, 8))"))

    assert record.verdict == "invalid"
    assert record.error is not None
    assert record.error.message == (
        "dynamic: the float model fails at sequence 12, twice the declared lengths: RuntimeError: shape '[2, 6, 8]' "
        "is invalid for input of size 192; name axes along which it runs at other lengths, or declare shorter inputs"
    )


def test_no_other_size_is_tried_where_no_axis_is_named(tmp_path: Path) -> None:
    assert other_size(run_written(tmp_path, LINEAR.partition("    dynamic")[0])) == {}
