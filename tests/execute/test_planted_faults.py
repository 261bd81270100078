"""Faults planted on purpose in real pipelines: each must get its own verdict, or the matrix proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.claims import Expectation
from qatrix.declare.spec import Case, QuantizerSpec
from qatrix.errors import Source
from qatrix.execute.case import run_case
from qatrix.judge.graphs.ops import is_observing
from qatrix.judge.verdict import with_expectation
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES, Capture, Pipeline
from support.cases import shipped_cases, written_cases

pytestmark = pytest.mark.torch


class Altered:
    """A real pipeline, one of whose stages does something else afterwards."""

    def __init__(self, name: str, **after: Callable[..., Any]) -> None:
        self._pipeline = PIPELINES[name]
        self._after = after

    def __getattr__(self, stage: str) -> Any:
        original = getattr(self._pipeline, stage)
        if stage not in self._after:
            return original

        def altered(*args: Any, **kwargs: Any) -> Any:
            return self._after[stage](original(*args, **kwargs))

        return altered


def with_altered(name: str, **after: Callable[..., Any]) -> Mapping[str, Pipeline]:
    return {**PIPELINES, name: Altered(name, **after)}


def conv_case() -> Case:
    case, *_ = shipped_cases("conv_no_bias/conv/*dim=2*")
    return case


def nudged(capture: Capture) -> Capture:
    def program() -> nn.Module:
        captured = capture()
        with torch.no_grad():
            next(captured.parameters()).mul_(1.05)
        return captured

    return program


def with_batch_norm(converted: nn.Module) -> nn.Module:
    """The same numbers with a batch norm left in: mean 0, variance 1, eps 0."""
    assert isinstance(converted, fx.GraphModule)
    graph = converted.graph
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    (last,) = output.all_input_nodes
    for name, value in (("late_mean", torch.zeros(3)), ("late_var", torch.ones(3))):
        converted.register_buffer(name, value)
    with graph.inserting_before(output):
        mean, var = graph.get_attr("late_mean"), graph.get_attr("late_var")
        args = (last, None, None, mean, var, False, 0.0, 0.0, False)
        late = graph.call_function(torch.ops.aten.batch_norm.default, args)
    output.replace_input_with(last, late)
    converted.recompile()
    return converted


def raising(_: object) -> nn.Module:
    msg = "planted"
    raise RuntimeError(msg)


def test_an_unaltered_case_is_exact() -> None:
    assert run_case(conv_case()).verdict == "exact"


@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_nudged_weights_diverge(name: str) -> None:
    record = run_case(conv_case(), with_altered(name, capture=nudged))

    assert record.verdict == "diverged"
    assert {item.status for item in record.comparisons} == {"diverged"}
    assert all(item.max_steps is not None and item.max_steps > 0.1 for item in record.comparisons)


def test_a_batch_norm_left_in_fails_its_check_though_the_numbers_agree(tmp_path: Path) -> None:
    text = """
suites:
  written:
    axes: {pattern: conv, dim: 2, quantizer: xnnpack_int8_per_tensor_qat}
    checks: [no_batch_norm]
"""
    (case,) = written_cases(tmp_path, text)
    record = run_case(case, with_altered("pt2e", convert=with_batch_norm))

    assert [item.status for item in record.comparisons] == ["exact", "exact"]
    assert record.verdict == "check_failed"
    assert record.summary.startswith("check no_batch_norm fails on pt2e: expected no batch_norm, found 1")
    assert record.pipelines["pt2e"].batch_norms_left == 1


def test_a_quantizer_that_annotates_nothing_is_unquantized(tmp_path: Path) -> None:
    text = """
quantizers:
  linear_alone:
    mode: qat
    annotate: [linear]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
suites: {written: {axes: {pattern: conv, dim: 2, quantizer: linear_alone}}}
"""
    (case,) = written_cases(tmp_path, text)
    record = run_case(case)

    assert [item.status for item in record.comparisons] == ["exact", "exact"], "two float models agree"
    assert record.verdict == "unquantized"
    assert "pt2e quantized nothing, silently" in record.summary


@pytest.mark.parametrize("stage", ["capture", "prepare", "convert"])
@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_a_pipeline_that_raises_is_failed_with_its_stage(name: str, stage: str) -> None:
    record = run_case(conv_case(), with_altered(name, **{stage: raising}))
    outcome = record.pipelines[name]
    other = record.pipelines["fx" if name == "pt2e" else "pt2e"]

    assert (record.verdict, record.summary) == ("failed", f"{name} failed at {stage}: RuntimeError: planted")
    assert (outcome.status, outcome.failed_stage, other.status) == ("failed", stage, "ok")
    assert outcome.error is not None
    assert "raising" in outcome.error.traceback


def test_a_converted_model_that_is_random_fails_a_check_though_both_agree() -> None:
    class Noisy(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = nn.functional.dropout(self.inner(x), 0.5, training=True)
            return out

    both = {name: Altered(name, convert=Noisy) for name in PIPELINES}
    record = run_case(conv_case(), both)

    assert [item.status for item in record.comparisons] == ["exact", "exact"]
    assert record.verdict == "check_failed"
    assert "two different outputs for one input and two seeds" in record.summary


def failed_checks(record: Record) -> dict[str, str]:
    """Messages by check, of the checks that fail on both pipelines alike or on either."""
    return {check.name: str(check.message) for check in record.checks if check.status == "failed"}


def both_with(**after: Callable[..., Any]) -> Mapping[str, Pipeline]:
    """Both pipelines, with the same fault in the same place."""
    return {name: Altered(name, **after) for name in ("pt2e", "fx")}


def ptq_case(quantizer: str = "per_channel") -> Case:
    case, *_ = shipped_cases(f"ptq/conv/*dim=2*{quantizer}*")
    return case


def qat_conv_bn_case() -> Case:
    case, *_ = shipped_cases("conv_bn_fusion/*dim=2*per_channel*device=cpu")
    return case


def with_scales_along_the_input_channels(converted: nn.Module) -> nn.Module:
    assert isinstance(converted, fx.GraphModule)
    for node in converted.graph.nodes:
        if node.target is torch.ops.quantized_decomposed.dequantize_per_channel.default:
            node.args = (*node.args[:3], 1, *node.args[4:])
    for module in converted.modules():
        if hasattr(module, "weight_axis"):
            module.weight_axis = torch.tensor(1)
            module.weight_axis_int = 1  # type: ignore[assignment]  # torch declares no attributes
    converted.recompile()
    return converted


def without_quantized_weights(converted: nn.Module) -> nn.Module:
    """The weights dequantized once and for all."""
    assert isinstance(converted, fx.GraphModule)
    graph = converted.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.quantized_decomposed.dequantize_per_channel.default:
            tensors = [getattr(converted, str(item.target)) for item in node.args[:3]]
            converted.register_buffer("plain", node.target(*tensors, *node.args[3:]))
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.get_attr("plain"))
            graph.erase_node(node)
    for name, module in list(converted.named_modules()):
        if hasattr(module, "weight_scale"):
            plain = nn.Conv2d(module.in_channels, module.out_channels, module.kernel_size)
            plain.weight, plain.bias = nn.Parameter(cast("Any", module).get_weight()), cast("Any", module).bias
            converted.set_submodule(name, plain)
    converted.recompile()
    return converted


def counting(converted: nn.Module) -> nn.Module:
    """The same numbers from a model that counts its calls."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = converted
            self.calls = nn.Buffer(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            out: Tensor = self.inner(x)
            return out

    return Counting()


def blind(prepared: nn.Module) -> nn.Module:
    """Observers that pass values on and see nothing."""
    for module in prepared.modules():
        if is_observing(module):
            module.forward = lambda x: x
    return prepared


def unmoving(prepared: nn.Module) -> nn.Module:
    """Batch norms whose statistics stay as they are in training."""
    assert isinstance(prepared, fx.GraphModule)
    for module in prepared.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
    for node in prepared.graph.nodes:
        if node.target is torch.ops.aten.batch_norm.default:
            node.args = (*node.args[:6], 0.0, *node.args[7:])
    prepared.recompile()
    return prepared


@pytest.mark.parametrize(
    ("stage", "fault", "check", "message"),
    [
        pytest.param(
            "convert",
            with_scales_along_the_input_channels,
            "weight_scales",
            "has its weight's scales along axis 1, its output channels are axis 0",
            id="scales on the wrong axis",
        ),
        pytest.param(
            "convert",
            without_quantized_weights,
            "weights_quantized",
            "1 weights were fake quantized or observed after prepare, and 0 are quantized after convert",
            id="weights left in float",
        ),
        pytest.param("convert", counting, "steady_eval", "calls has changed", id="state that moves in evaluation"),
        pytest.param("prepare", blind, "observed", "has observed nothing", id="observers that see nothing"),
        pytest.param(
            "prepare", unmoving, "batch_norm_state", "has not moved in training", id="batch norms that stay in training"
        ),
    ],
)
def test_both_pipelines_agree_and_are_wrong(stage: str, fault: Callable[..., Any], check: str, message: str) -> None:
    case = qat_conv_bn_case() if fault is unmoving else ptq_case()
    record = run_case(case, both_with(**{stage: fault}), diagnose="never")

    assert record.verdict in {"check_failed", "diverged", "unquantized"}
    assert message in failed_checks(record)[check]
    failing = {item.pipeline for item in record.checks if item.name == check and item.status == "failed"}
    assert failing == ({"pt2e"} if check == "weights_quantized" else {"pt2e", "fx"})


def test_both_pipelines_agree_and_are_far_from_the_float_model() -> None:
    record = run_case(ptq_case(), both_with(capture=nudged_far), diagnose="never")

    assert "dB, which the bits of weights and activations explain" in failed_checks(record)["sqnr_of_bits"]
    assert record.verdict != "exact"


def nudged_far(capture: Capture) -> Capture:
    def program() -> nn.Module:
        captured = capture()
        with torch.no_grad():
            next(captured.parameters()).mul_(0.5)
        return captured

    return program


def test_a_missing_pipeline_is_unavailable_and_an_inexpressible_quantizer_leaves_one_side() -> None:
    class Absent:
        def missing(self) -> str:
            return "torchao is not installed"

    class Unable(Altered):
        def inexpressible(self, quantizer: QuantizerSpec) -> str:
            return f"cannot express {quantizer.name}"

    assert run_case(conv_case(), {**PIPELINES, "pt2e": Absent()}).verdict == "unavailable"  # type: ignore[dict-item]  # asked no further
    assert run_case(conv_case(), {**PIPELINES, "fx": Unable("fx")}).verdict == "checked"


def test_a_model_that_does_not_run_in_float_is_invalid(tmp_path: Path) -> None:
    text = """
patterns:
  mismatched:
    layers: {a: "Linear(3, 4)", b: "Linear(5, 6)"}
    forward: ["return b(a(x))"]
    inputs: {x: {shape: [2, 3]}}
suites: {written: {axes: {pattern: mismatched, quantizer: xnnpack_int8_per_tensor_qat}}}
"""
    (case,) = written_cases(tmp_path, text)
    record = run_case(case)

    assert record.verdict == "invalid"
    assert "cannot be multiplied (2x4 and 5x6)" in record.summary


def test_an_error_of_the_tool_itself_becomes_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qatrix.execute.case.build_inputs", lambda _: ())
    monkeypatch.setattr("qatrix.execute.case.float_reference", lambda *_: None)
    monkeypatch.setattr("qatrix.execute.case._facts", raising)
    record = run_case(conv_case())

    assert record.verdict == "crashed"
    assert record.error is not None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_case_on_a_device_that_is_not_here_is_skipped_with_the_reason() -> None:
    case, *_ = shipped_cases("conv_bn_fusion_cuda/*")
    record = run_case(case)

    assert (record.verdict, record.reason) == ("skipped", "no CUDA device here: torch.cuda.is_available() is False")


def test_a_wrong_expectation_is_unexpected() -> None:
    wrong = Expectation(
        cases="*", verdict="diverged", because="wrong", source=Source(file="expected.yaml", line=1, column=1)
    )
    record: Record = with_expectation(run_case(conv_case()), wrong)

    assert record.unexpected
    assert str(record.unexpected_because).startswith("expected diverged (expected.yaml:1:1), but it is exact")
