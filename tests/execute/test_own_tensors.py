"""Models with parameters and buffers of their own: functional layers, tied weights, buffers that are written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import fx, nn

from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.models import build_model
from support.cases import written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]
PTQ, QAT = "xnnpack_int8_per_channel_ptq", "xnnpack_int8_per_channel_qat"

FUNCTIONS = """
  written:
    params: {width: 8}
    parameters:
      kernel: {shape: [4, 3, 3, 3], values: {normal: [0, 0.2]}}
      weight: {shape: [6, width], dtype: float32}
      bias: {shape: [6], values: {constant: 0.5}}
    layers: {relu: ReLU()}
    forward:
      - y = relu(F.conv2d(weight=kernel, input=x, stride=2)).flatten(1)[:, :width]
      - return F.linear(y, weight, bias=bias)
    inputs: {x: {shape: [2, 3, 7, 7]}}
"""
TIED = """
  written:
    parameters: {weight: {shape: [16, 8]}}
    layers: {inner: "Linear(8, 8)", relu: ReLU()}
    forward: ["return F.linear(relu(inner(F.embedding(ids, weight))), weight)"]
    inputs: {ids: {shape: [2, 6], dtype: int64, values: {integers: [0, 16]}}}
"""
COUNTING = """
  written:
    buffers: {calls: {shape: [], values: {constant: 2}}}
    layers: {linear: "Linear(8, 8)"}
    forward: ["calls += 1", "return linear(x) * calls"]
    inputs: {x: {shape: [2, 8]}}
"""


def written_case(folder: Path, pattern: str, quantizer: str = PTQ, axes: str = "") -> Case:
    text = f"""
patterns:{pattern}
suites: {{written: {{axes: {{pattern: written, quantizer: {quantizer}{axes}}}}}}}
"""
    (case,) = written_cases(folder, text)
    return case


def run(case: Case) -> Record:
    return run_case(case, diagnose="never")


def test_tensors_of_the_model_itself_are_declared_in_its_state(tmp_path: Path) -> None:
    model = build_model(written_case(tmp_path, FUNCTIONS))

    assert {name: list(tensor.shape) for name, tensor in model.named_parameters()} == {
        "kernel": [4, 3, 3, 3],
        "weight": [6, 8],
        "bias": [6],
    }
    assert torch.equal(model.get_parameter("bias"), torch.full((6,), 0.5))
    assert {name for name, _ in build_model(written_case(tmp_path, COUNTING)).named_buffers()} == {"calls"}


def test_their_values_depend_on_the_seed_alone(tmp_path: Path) -> None:
    case = written_case(tmp_path, FUNCTIONS)
    first = build_model(case).get_parameter("weight")
    torch.rand(3)

    assert torch.equal(first, build_model(case).get_parameter("weight"))


def test_they_take_the_dtype_of_the_case(tmp_path: Path) -> None:
    model = build_model(written_case(tmp_path, FUNCTIONS, axes=", dtype: float64"))

    assert {tensor.dtype for tensor in model.parameters()} == {torch.float64}


@pytest.mark.parametrize("quantizer", [PTQ, QAT])
@pytest.mark.parametrize("pattern", [FUNCTIONS, TIED], ids=["functions", "tied"])
def test_functions_of_torch_take_them_by_position_and_by_name(tmp_path: Path, pattern: str, quantizer: str) -> None:
    record = run(written_case(tmp_path, pattern, quantizer))

    assert {name: item.status for name, item in record.pipelines.items()} == {"pt2e": "ok", "fx": "ok"}
    assert record.verdict == "exact", record.summary


@pytest.mark.parametrize("line", ["calls += 1", "z = calls.add_(1)"])
def test_a_line_writes_a_buffer_which_fx_graph_mode_forgets_and_is_told_so(tmp_path: Path, line: str) -> None:
    case = written_case(tmp_path, COUNTING.replace("calls += 1", line))
    model, (x,) = build_model(case), build_inputs(case).args
    model(x)
    model(x)
    record = run(case)
    # To its tracer a buffer is a tensor like any other: what reads no input is run at once, and not written down.
    nodes = fx.symbolic_trace(build_model(case)).graph.nodes

    assert not [node for node in nodes if "add_" in str(node.target) or "iadd" in str(node.target)]
    assert model.get_buffer("calls").item() == 4
    assert {name: item.status for name, item in record.pipelines.items()} == {"pt2e": "ok", "fx": "ok"}
    assert {item.pipeline for item in record.checks if item.name == "steady_eval" and item.status == "failed"} == {"fx"}


def test_a_pattern_with_tensors_of_its_own_is_a_layer_of_another(tmp_path: Path) -> None:
    pattern = """
  inner:
    parameters: {weight: {shape: [4, 4]}}
    forward: ["return F.linear(x, weight)"]
    inputs: {x: {shape: [2, 4]}}
  written:
    layers: {one: inner(), other: inner()}
    forward: ["return other(one(x))"]
    inputs: {x: {shape: [2, 4]}}
"""
    model = build_model(written_case(tmp_path, pattern))

    assert [name for name, _ in model.named_parameters()] == ["one.weight", "other.weight"]
    assert isinstance(fx.symbolic_trace(model), nn.Module)
