"""Faults planted on purpose in real pipelines: each must get its own verdict, or the matrix proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.claims import Expectation
from qatrix.declare.load import load
from qatrix.declare.spec import Case, QuantizerSpec
from qatrix.errors import Source
from qatrix.execute.case import run_case
from qatrix.execute.state import State
from qatrix.judge.graphs.ops import is_observing
from qatrix.judge.verdict import with_expectation
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES, Capture, Pipeline
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.inputs import Batches, Inputs
from qatrix.pipelines.torchenv import device_missing
from qatrix.resources import folder
from support.altered import Altered, with_altered
from support.cases import shipped_cases, written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]


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
    assert "pt2e silently quantized nothing" in record.summary


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
            "1 weight had a fake quantize or an observer after prepare, and 0 weights are quantized after convert",
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


TWO_CONVS = """
patterns:
  two_plain_convs:
    layers: {first: "Conv2d(3, 3, 3)", second: "Conv2d(3, 3, 3)"}
    forward: [return second(first(x))]
    inputs: {x: {shape: [2, 3, 8, 8]}}
suites: {written: {axes: {pattern: two_plain_convs, quantizer: xnnpack_int8_per_channel_ptq}}}
"""


def second_of_two(converted: nn.Module) -> tuple[fx.GraphModule, fx.Node]:
    """The second convolution as PT2E has it or as FX graph mode has it."""
    assert isinstance(converted, fx.GraphModule)
    return converted, next(node for node in converted.graph.nodes if node.name in {"conv2d_1", "second"})


def with_the_second_weight_in_float(program: nn.Module) -> nn.Module:
    """The same numbers with the weight of the second convolution dequantized once and for all."""
    converted, second = second_of_two(program)
    if second.op == "call_module":
        module: Any = converted.get_submodule("second")
        plain = nn.Conv2d(3, 3, 3)
        plain.weight, plain.bias = nn.Parameter(module.get_weight()), module.bias
        converted.set_submodule("second", plain)
        return converted
    weight = cast("fx.Node", second.args[1])
    tensors = [getattr(converted, str(item.target)) for item in weight.all_input_nodes]
    converted.register_buffer("plain", cast("Any", weight.target)(*tensors, *weight.args[3:]))
    with converted.graph.inserting_before(second):
        second.replace_input_with(weight, converted.graph.get_attr("plain"))
    converted.recompile()
    return converted


def with_the_second_input_in_float(program: nn.Module) -> nn.Module:
    """The second convolution computes on what the first one gives before it is rounded."""
    converted, second = second_of_two(program)
    dequantized = cast("fx.Node", second.args[0])
    quantized = cast("fx.Node", dequantized.args[0])
    second.replace_input_with(dequantized, cast("fx.Node", quantized.args[0]))
    converted.recompile()
    return converted


@pytest.mark.parametrize(
    ("fault", "message", "verdict"),
    [
        pytest.param(with_the_second_weight_in_float, "has its weight in float", "check_failed", id="weight"),
        pytest.param(with_the_second_input_in_float, "has its input in float", "diverged", id="input"),
    ],
)
@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_one_of_two_convolutions_in_float_fails_a_check_though_the_other_is_quantized(
    tmp_path: Path, name: str, fault: Callable[..., Any], message: str, verdict: str
) -> None:
    (case,) = written_cases(tmp_path, TWO_CONVS)
    record = run_case(case, with_altered(name, convert=fault), diagnose="never")

    assert record.verdict == verdict
    assert of_check(record, "ops_quantized") == {
        name: ("failed", f"second {message}"),
        ("fx" if name == "pt2e" else "pt2e"): ("passed", None),
    }
    assert record.pipelines[name].quantize_ops


def test_what_has_seen_nothing_goes_by_what_it_observes_in_both_pipelines() -> None:
    record = run_case(ptq_case(), both_with(prepare=blind), diagnose="never")
    told = {name: (message or "").split("; ") for name, (_, message) in of_check(record, "observed").items()}
    activations = [f"the observer of {seen} has observed nothing" for seen in ("the input x", "the output of conv")]

    assert told == {"pt2e": ["the observer of conv.weight has observed nothing", *activations], "fx": activations}


def of_check(record: Record, name: str) -> dict[str, tuple[str, str | None]]:
    """What became of a check by pipeline."""
    return {str(check.pipeline): (check.status, check.message) for check in record.checks if check.name == name}


@pytest.mark.parametrize("mode", ["qat", "ptq"])
def test_the_second_call_of_a_shared_convolution_is_in_float_in_pt2e(mode: str) -> None:
    (case,) = shipped_cases(f"batch_norms*/shared_conv/dim=2,*per_channel_{mode},*")
    record = run_case(case, diagnose="never")

    assert of_check(record, "ops_quantized") == {
        "pt2e": ("failed", "the second call of conv has its weight in float"),
        "fx": ("passed", None),
    }
    # There is one weight, and it is quantized.
    assert {status for status, _ in of_check(record, "weights_quantized").values()} == {"passed"}


def test_ops_that_a_declared_quantizer_does_not_claim_may_be_in_float(tmp_path: Path) -> None:
    (case,) = written_cases(
        tmp_path,
        """
quantizers:
  convs_with_relu:
    mode: ptq
    annotate: [conv_relu]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
patterns:
  one_of_two:
    layers: {first: "Conv2d(3, 3, 3)", second: "Conv2d(3, 3, 3)", relu: ReLU()}
    forward: [return second(relu(first(x)))]
    inputs: {x: {shape: [2, 3, 8, 8]}}
suites: {written: {axes: {pattern: one_of_two, quantizer: convs_with_relu}, pipelines: {only: [pt2e], because: one}}}
""",
    )
    record = run_case(case, diagnose="never")

    assert record.pipelines["pt2e"].quantize_ops == 2, "around the first alone"
    assert of_check(record, "ops_quantized") == {"pt2e": ("passed", None)}


def test_a_batch_norm_that_is_not_folded_fails_a_check_in_both_pipelines() -> None:
    record = run_case(conv_case(), both_with(convert=with_batch_norm), diagnose="never")

    assert [item.status for item in record.comparisons] == ["exact", "exact"]
    assert record.verdict == "check_failed"
    assert of_check(record, "batch_norm_folded") == {
        "pt2e": ("failed", "the node batch_norm_default behind conv still follows conv"),
        "fx": ("failed", "the node batch_norm_default behind conv still follows conv"),
    }


def test_a_batch_norm_behind_a_relu_cannot_be_folded(tmp_path: Path) -> None:
    (case,) = written_cases(
        tmp_path,
        """
patterns:
  norm_behind_relu:
    layers: {conv: "Conv2d(3, 4, 3)", relu: ReLU(), bn: BatchNorm2d(4)}
    forward: [return bn(relu(conv(x)))]
    inputs: {x: {shape: [2, 3, 8, 8]}}
suites: {written: {axes: {pattern: norm_behind_relu, quantizer: xnnpack_int8_per_channel_ptq}}}
""",
    )
    record = run_case(case, diagnose="never")

    # FX quantizes the batch norm's output, too, which is nearly that of the ReLU.
    assert record.verdict == "close", record.summary
    assert {name: outcome.batch_norms_left for name, outcome in record.pipelines.items()} == {"pt2e": 1, "fx": 1}
    assert of_check(record, "batch_norm_folded") == {"pt2e": ("passed", None), "fx": ("passed", None)}


def test_a_batch_norm_behind_a_linear_layer_is_left_by_pt2e() -> None:
    (case,) = shipped_cases("training_linear_bn/*")
    record = run_case(case, diagnose="never")

    assert of_check(record, "batch_norm_folded") == {
        "pt2e": ("failed", "bn still follows linear"),
        "fx": ("passed", None),
    }


def test_a_folded_batch_norm_and_its_relu_pass_every_check() -> None:
    case, *_ = shipped_cases("conv_bn_relu_fusion/*dim=2*per_channel*")
    record = run_case(case, diagnose="never")

    assert set(of_check(record, "batch_norm_folded").values()) == {("passed", None)}
    assert set(of_check(record, "ops_quantized").values()) == {("passed", None)}


def free_batch_case() -> Case:
    (case,) = shipped_cases("dynamic_batches_ptq/two_linear/*")
    return case


class OfOneBatch(nn.Module):
    """A converted model that takes the batch alone that it was captured with."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != len(build_inputs(free_batch_case()).args[0]):
            msg = f"a batch of {len(x)} is not what was captured"
            raise ValueError(msg)
        out: Tensor = self.inner(x)
        return out


class OtherSecondHalf(OfOneBatch):
    """A converted model that gives zeros for all that comes after the batch that it was captured with."""

    def forward(self, x: Tensor) -> Tensor:
        captured = len(build_inputs(free_batch_case()).args[0])
        out: Tensor = self.inner(x)
        return torch.cat([out[:captured], torch.zeros_like(out[captured:])])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param(
            OfOneBatch, "a batch twice as long fails: ValueError: a batch of 4 is not what was captured", id="fails"
        ),
        pytest.param(OtherSecondHalf, "a batch twice as long gives other outputs: they are ", id="other values"),
    ],
)
def test_a_free_batch_axis_that_is_none_fails_a_check_though_both_agree(fault: type[nn.Module], message: str) -> None:
    record = run_case(free_batch_case(), both_with(convert=fault), diagnose="never")
    found = of_check(record, "other_batch")

    assert [item.status for item in record.comparisons] == ["exact", "exact"]
    assert record.verdict == "check_failed"
    assert {name: status for name, (status, _) in found.items()} == {"pt2e": "failed", "fx": "failed"}
    assert all(str(told).startswith(message) for _, told in found.values())


@pytest.mark.parametrize("glob", ["dynamic_batches_ptq/two_linear/*", "dynamic_batches_ptq/conv_bn_relu_flatten/*"])
def test_a_free_batch_axis_takes_another_batch(glob: str) -> None:
    (case,) = shipped_cases(glob)
    record = run_case(case, diagnose="never")

    assert record.verdict == "exact"
    assert of_check(record, "other_batch") == {"pt2e": ("passed", None), "fx": ("passed", None)}


def test_no_other_batch_is_tried_where_the_batch_is_not_free() -> None:
    assert of_check(run_case(conv_case(), diagnose="never"), "other_batch") == {}


class Overflowing(nn.Module):
    """A converted model whose outputs are infinite."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(self.inner(x), torch.inf)


def test_infinite_outputs_fail_a_check_though_both_agree() -> None:
    record = run_case(free_batch_case(), both_with(convert=Overflowing), diagnose="never")
    count = record.comparisons[-1].total

    assert [item.status for item in record.comparisons] == ["exact", "exact"]
    assert record.verdict == "check_failed"
    told = f"{count} values are NaN or infinite where the float model's are finite"
    assert of_check(record, "finite_outputs") == {"pt2e": ("failed", told), "fx": ("failed", told)}


def test_an_output_without_a_batch_is_compared_as_it_is(tmp_path: Path) -> None:
    text = """
patterns:
  with_mean:
    layers: {a: "Linear(4, 4)"}
    forward: ["y = a(x)", "return y, y.mean()"]
    inputs: {x: {shape: [3, 4]}}
suites:
  written: {axes: {pattern: with_mean, dynamic_batch: true, quantizer: xnnpack_int8_per_tensor_ptq}}
"""
    (case,) = written_cases(tmp_path, text)
    record = run_case(case, diagnose="never")

    assert of_check(record, "other_batch") == {"pt2e": ("passed", None), "fx": ("passed", None)}


def test_batch_norms_whose_statistics_are_filled_are_not_expected_to_be_fresh(tmp_path: Path) -> None:
    text = """
patterns:
  settled:
    layers: {conv: "Conv2d(3, 3, 1)", bn: BatchNorm2d(3)}
    init: {bn.running_mean: 0.5}
    forward: [return bn(conv(x))]
    inputs: {x: {shape: [2, 3, 4, 4]}}
  outer:
    layers: {inner: settled(), relu: ReLU()}
    forward: [return relu(inner(x))]
    inputs: {x: {shape: [2, 3, 4, 4]}}
suites: {written: {axes: {pattern: [settled, outer], quantizer: xnnpack_int8_per_tensor_ptq}}}
"""
    for case in written_cases(tmp_path, text):
        record = run_case(case, diagnose="never")
        assert record.verdict == "exact"
        assert of_check(record, "batch_norm_state") == {}


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
    monkeypatch.setattr("qatrix.execute.case.build_batches", lambda _: Batches(first=Inputs()))
    monkeypatch.setattr("qatrix.execute.case.float_reference", lambda *_: (None, State()))
    monkeypatch.setattr("qatrix.execute.case._facts", raising)
    record = run_case(conv_case())

    assert record.verdict == "crashed"
    assert record.error is not None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_case_on_a_device_that_is_not_here_is_skipped_with_the_reason() -> None:
    case, *_ = shipped_cases("conv_bn_fusion_cuda/*")
    record = run_case(case)

    assert (record.verdict, record.reason) == ("skipped", "no CUDA device here: torch.cuda.is_available() is False")


@pytest.mark.parametrize("name", ["xpu", "mps", "accelerator"])
def test_the_devices_that_are_shipped_skip_their_cases_where_they_are_not(name: str) -> None:
    matrix = load([folder("matrix") / "devices.yaml"]).matrix
    assert matrix is not None
    device = matrix.devices[name]
    absent = device_missing(device.torch)
    if absent is None:
        pytest.skip("it is here")
    record = run_case(replace(conv_case(), device=device))

    assert (record.verdict, record.reason) == ("skipped", absent)


def test_a_wrong_expectation_is_unexpected() -> None:
    wrong = Expectation(
        cases="*", verdict="diverged", because="wrong", source=Source(file="expected.yaml", line=1, column=1)
    )
    record: Record = with_expectation(run_case(conv_case()), wrong)

    assert record.unexpected
    assert str(record.unexpected_because).startswith(
        "the entry at expected.yaml:1:1 expects diverged, but the verdict is exact"
    )
