"""Models captured into another IR than the patterns of QAT: quantized and not fused, or not at all, and never exact."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import fx, nn

from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES, Pipeline, torchenv
from qatrix.pipelines.inputs import Inputs
from support.cases import shipped_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

CASES = {"checked by the suite": "conv_bn_relu_fusion/*dim=2*per_channel*", "unchecked": "update_shared_qspec/*dim=2*"}
Capture = Callable[[nn.Module, Inputs], nn.Module]


def run(glob: str, capture: Capture | None = None) -> Record:
    """The first such case, captured for PT2E as it should be or in another way."""
    pipelines: Mapping[str, Pipeline] = {"pt2e": PIPELINES["pt2e"], "fx": PIPELINES["fx"]}
    if capture is not None:
        pipelines = {**pipelines, "pt2e": Capturing(capture)}
    return run_case(shipped_cases(glob)[0], pipelines, diagnose="never")


class Capturing:
    """PT2E with another capture."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def capture(self, model: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool = True) -> Any:
        return lambda: self._capture(model, inputs)

    def __getattr__(self, stage: str) -> Any:
        return getattr(PIPELINES["pt2e"], stage)


def for_inference(model: nn.Module, inputs: Inputs) -> nn.Module:
    """Core aten operators: what `torch.export.export` itself gave up to torch 2.5."""
    program: nn.Module = torch.export.export(model, inputs.args, strict=True).run_decompositions().module()
    return program


def with_other_batch_norm(model: nn.Module, inputs: Inputs) -> nn.Module:
    """The right capture, but for another spelling of batch norm, as two captures of torch 2.5 differ."""
    program = torchenv.capture(model, inputs, dynamic_batch=False)()
    assert isinstance(program, fx.GraphModule)
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten.batch_norm.default):
        with program.graph.inserting_after(node):
            other = program.graph.call_function(torch.ops.aten._native_batch_norm_legit.default, node.args[:8])
        with program.graph.inserting_after(other):
            first = program.graph.call_function(operator.getitem, (other, 0))
        other.meta, first.meta = dict(node.meta), dict(node.meta)
        node.replace_all_uses_with(first)
        program.graph.erase_node(node)
    program.recompile()
    return program


def for_training(model: nn.Module, inputs: Inputs) -> nn.Module:
    """What torch 2.5 recommends when one uses the right capture."""
    program: nn.Module = torchenv.imported("torch.export").export_for_training(model, inputs.args).module()
    return program


@pytest.mark.parametrize("glob", CASES.values(), ids=CASES)
def test_a_model_that_is_captured_for_inference_is_reported_as_unquantized(glob: str) -> None:
    record = run(glob, for_inference)

    assert record.verdict == "unquantized"
    assert "pt2e silently quantized nothing" in record.summary


UNFUSED = [
    pytest.param(
        with_other_batch_norm,
        id="another batch norm",
        marks=pytest.mark.skipif(torchenv.RELEASE < (2, 6), reason="this is the right one on torch 2.5"),
    ),
    pytest.param(
        for_training,
        id="export_for_training",
        marks=pytest.mark.skipif(torchenv.RELEASE != (2, 5), reason="the wrong one on torch 2.5 alone"),
    ),
]


@pytest.mark.parametrize("glob", CASES.values(), ids=CASES)
@pytest.mark.parametrize("capture", UNFUSED)
def test_a_model_whose_batch_norm_is_not_fused_is_reported(glob: str, capture: Capture) -> None:
    record = run(glob, capture)
    failed = {check.name for check in record.checks if check.status == "failed"}
    fake_quantizes = record.pipelines["pt2e"].fake_quantizes

    assert fake_quantizes is not None
    assert fake_quantizes > 0
    assert record.verdict in {"check_failed", "diverged"}
    assert "conv_bn_fused" in failed
    assert "follows a quantized convolution without being fused with it" in record.summary


@pytest.mark.parametrize("glob", CASES.values(), ids=CASES)
def test_captured_as_it_should_be_it_is_exact(glob: str) -> None:
    record = run(glob)

    assert record.verdict == "exact", record.summary
    assert "conv_bn_fused" not in {check.name for check in record.checks}
