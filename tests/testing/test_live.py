"""Models that a test has in hand."""

from __future__ import annotations

import inspect
import random
import re
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qatrix.errors import UsageError
from qatrix.outcomes import Record
from qatrix.testing import assert_case, live, run_model
from qatrix.testing.declaring import Declaration
from support.records import make_record

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/pytest.md").read_text(encoding="utf-8")
INT8 = """
quantizers:
  int8: {mode: ptq, fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qconfig}}
"""
X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Masked(nn.Module):
    """Takes its inputs by keyword, one of them a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
        """One tensor of all three."""
        out: Tensor = self.linear(x) * pair[0] + pair[1]
        return out


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    """A matrix with one quantizer, for one pipeline."""
    path = tmp_path / "mine.yaml"
    path.write_text(INT8, encoding="utf-8")
    return path


def run_fx(model: live.Model, inputs: live.Inputs, matrix: Path, **others: object) -> Record:
    """The record of a model of which FX graph mode alone is asked."""
    return run_model(model, inputs, matrix=matrix, quantizer="int8", pipelines=["fx"], **others)  # type: ignore[arg-type]


@pytest.mark.torch
def test_a_module_is_quantized_with_its_own_weights_and_stays_as_it_is(matrix: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    record = run_fx(module, X, matrix)

    assert record.verdict == "checked", record.summary
    assert record.case_id == "live/live_Sequential/quantizer=int8,device=cpu"
    assert record.pipelines["fx"].quantize_ops
    assert not module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_case_has_a_copy_of_the_module_with_its_weights() -> None:
    module = nn.Linear(4, 3)
    copied = live.made(module)

    assert copied is not module
    assert torch.equal(copied.get_parameter("weight"), module.weight)
    assert copied.get_parameter("weight") is not module.weight


@pytest.mark.torch
def test_a_class_is_called_and_inputs_by_keyword_may_nest(matrix: Path) -> None:
    inputs = {"x": X, "pair": (torch.ones(2, 4), torch.zeros(2, 4))}
    record = run_fx(Masked, inputs, matrix, calibration=[inputs], tolerance=(1e-3, 1e-5))

    assert record.verdict == "checked", record.summary


@pytest.mark.torch
def test_the_process_is_left_as_it_was(matrix: Path) -> None:
    module = nn.Linear(4, 3)
    threads, drawn = torch.get_num_threads(), torch.get_rng_state()
    state, numbers = random.getstate(), np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002 - the one that cases seed
    run_fx(module, X, matrix)

    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), drawn)
    assert random.getstate() == state
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numbers)  # noqa: NPY002 - the same


@pytest.mark.torch
def test_the_test_that_the_page_shows_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/pytest.md", "exec"), names)
    # The matrix that comes with qatrix is read in a folder that has none.
    monkeypatch.chdir(ROOT / "docs")

    names["test_both_pipelines_agree"]()


def test_the_page_documents_every_argument_with_its_default() -> None:
    section = PAGE.partition("\n## A model in hand")[2]
    parameters = inspect.signature(assert_case).parameters

    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == list(parameters)
    assert [name for name in parameters if name != "expect"] == list(inspect.signature(run_model).parameters)
    assert f"`{parameters['quantizer'].default}` by default" in section


@pytest.mark.torch
def test_a_model_that_does_not_run_fails_the_test_with_the_answer(matrix: Path) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_case(nn.Linear(5, 3), X, matrix=matrix, quantizer="int8", pipelines=["fx"])
    lines = str(raised.value).splitlines()

    assert lines[0].endswith("invalid: live_Linear with int8")
    assert lines[1].startswith("  the float model itself does not run: RuntimeError: ")
    assert lines[-1].startswith("  What to do: Fix the model")


def test_a_verdict_that_is_expected_must_come(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {"record": make_record(verdict="diverged", summary="apart")}
    monkeypatch.setattr(live, "run_model", lambda *_, **__: records["record"])

    assert assert_case(nn.Identity(), X, expect="diverged").verdict == "diverged"
    with pytest.raises(AssertionError, match="apart"):
        assert_case(nn.Identity(), X)
    records["record"] = make_record()
    with pytest.raises(AssertionError, match=r"The test expects diverged\."):
        assert_case(nn.Identity(), X, expect="diverged")


def test_a_model_that_cannot_run_here_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = make_record(verdict="unavailable", summary="not available here", reason="pt2e: no torchao")
    monkeypatch.setattr(live, "run_model", lambda *_, **__: absent)

    with pytest.raises(unittest.SkipTest, match="pt2e: no torchao"):
        assert_case(nn.Identity(), X)


@pytest.mark.parametrize(
    ("inputs", "calibration", "message"),
    [
        (3, (), "an input is a int; expected a tensor, a tuple or list of inputs by position"),
        ([X, None], (), "an input is a NoneType; "),
        (X, ([X, X],), "calibration batch 1 is not built as the inputs are"),
    ],
    ids=["number", "none", "structure"],
)
def test_inputs_that_are_no_tensors_are_refused(inputs: object, calibration: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_model(nn.Identity(), inputs, calibration=calibration)  # type: ignore[arg-type]


def test_a_quantizer_that_nobody_declares_is_refused_with_the_nearest(matrix: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'int8'") as raised:
        run_model(nn.Identity(), X, matrix=matrix, quantizer="int9")

    assert "unknown quantizer 'int9'" in str(raised.value)


def test_inputs_are_declared_with_their_dtypes_and_layouts(tmp_path: Path) -> None:
    image = torch.ones(1, 3, 4, 4).to(memory_format=torch.channels_last)
    batch = {"ids": torch.ones(2, 6, dtype=torch.int64), "images": {"left": image}}
    declaration = Declaration(
        pattern="live_Net", batches=(batch,), quantizer="int8", pipelines=None, device=None, tolerance=(1e-3, 1e-5)
    )
    text = declaration.write(tmp_path).read_text(encoding="utf-8")

    assert "      ids: {from: batches, key: x.ids, dtype: int64, by: keyword}\n" in text
    assert "left: {from: batches, key: x.images.left, dtype: float32, memory_format: channels_last}" in text
    assert "tolerances: {live: {rtol: " in text
