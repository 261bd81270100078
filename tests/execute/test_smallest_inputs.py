"""The smallest inputs of what was once called right and was wrong, or wrong and was right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.execute.case import run_case
from qatrix.execute.options import Diagnose
from qatrix.outcomes import Record
from qatrix.pipelines import Capture, Pipeline
from support.altered import Altered, with_altered
from support.cases import written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

IMAGE = "{x: {shape: [2, 3, 8, 8]}}"
PER_CHANNEL_ALONG_1 = """
quantizers:
  written:
    mode: ptq
    annotate: [conv]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 1}
"""
CONV_ALONE = """
quantizers:
  written:
    mode: qat
    annotate: [conv]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
"""


def run(
    tmp_path: Path,
    layers: str,
    *forward: str,
    inputs: str = IMAGE,
    quantizer: str = "xnnpack_int8_per_tensor_ptq",
    beside: str = "",
    suite: str = "",
    pt2e_alone: bool = False,
    pipelines: Mapping[str, Pipeline] | None = None,
    diagnose: Diagnose = "never",
) -> Record:
    """The record of a case of one pattern, with no diagnosis unless told otherwise."""
    only = ", pipelines: {only: [pt2e], because: one}" if pt2e_alone else ""
    text = f"""
patterns:
  written:
    layers: {layers}
    forward: {list(forward)}
    inputs: {inputs}
suites: {{written: {{axes: {{pattern: written, quantizer: {quantizer}}}{only}{suite}}}}}
"""
    (case,) = written_cases(tmp_path, beside + text)
    return run_case(case, pipelines, diagnose=diagnose)


def of_check(record: Record, name: str) -> dict[str, str | None]:
    """What a check says of each pipeline: None where it holds."""
    return {check.pipeline: check.message for check in record.checks if check.name == name}


def lost_at(record: Record) -> list[tuple[str | None, bool]]:
    """The layers at which both pipelines leave the float model, and whether that is seen in what varies."""
    causes = record.diagnosis.causes if record.diagnosis else ()
    return [
        (cause.layer, "variation between samples" in cause.sentence) for cause in causes if cause.name == "shared_loss"
    ]


def test_a_batch_norm_left_behind_the_chain_of_training_fails_its_check(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        '{conv: "Conv2d(3, 4, 3)", bn: BatchNorm2d(4)}',
        "return F.relu(bn(conv(x)))",
        quantizer="written",
        beside=CONV_ALONE,
        pt2e_alone=True,
    )

    assert record.verdict == "check_failed"
    assert of_check(record, "batch_norm_folded") == {"pt2e": "bn still follows conv"}


@pytest.mark.parametrize(("bias", "message"), [("False", "conv has its bias in float, not in int32"), ("True", None)])
def test_a_bias_that_is_declared_as_an_integer_has_to_be_one(tmp_path: Path, bias: str, message: str | None) -> None:
    record = run(
        tmp_path,
        f'{{conv: "Conv2d(3, 4, 3, bias={bias})", bn: BatchNorm2d(4)}}',
        "return bn(conv(x))",
        quantizer="conv_bn_derived_bias_per_tensor_qat",
        pt2e_alone=True,
    )

    # Its other failure is that default_fake_quant reduces the declared range.
    assert record.verdict == "check_failed"
    assert str(of_check(record, "as_specified")["pt2e"]).startswith("x after prepare: its range of integers is uint8")
    assert of_check(record, "biases_quantized") == {"pt2e": message}


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        pytest.param("return c(x) * 0 / 0", "all 288 values are NaN or infinite", id="not finite"),
        pytest.param("return c(x)[:, :, :0]", "there are no values", id="empty"),
        pytest.param("return c(x) * 0 + 3", "all 288 values are 3", id="constant"),
    ],
)
def test_outputs_that_prove_nothing_are_never_exact(tmp_path: Path, forward: str, why: str) -> None:
    record = run(tmp_path, '{c: "Conv2d(3, 4, 3)"}', forward)
    told = (
        f"equal outputs prove nothing here, because in the float model's outputs {why}; "
        "expected two finite values that differ: change the inputs or the weights of the model"
    )

    assert record.verdict in {"check_failed", "diverged"}
    assert of_check(record, "informative_outputs") == {"pt2e": told, "fx": told}
    assert told in record.summary


def test_one_output_that_varies_is_enough(tmp_path: Path) -> None:
    record = run(tmp_path, '{c: "Conv2d(3, 4, 3)"}', "y = c(x)", "return y, y * 0")

    assert of_check(record, "informative_outputs") == {"pt2e": None, "fx": None}


def test_an_op_that_draws_in_evaluation_fails_a_check_whatever_two_samples_say(tmp_path: Path) -> None:
    # Zero times something random is the same for every seed.
    record = run(
        tmp_path,
        '{c: "Conv2d(3, 4, 3)"}',
        "y = c(x)",
        "return y + F.dropout2d(y, 0.5, True) * 0",
    )
    told = of_check(record, "deterministic_eval")

    assert record.verdict == "check_failed"
    assert told == dict.fromkeys(("pt2e", "fx"), "dropout2d behind c draws at random")


def test_scales_are_counted_with_the_groups_of_a_transposed_convolution(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        '{c: "ConvTranspose2d(4, 6, 3, groups=2)"}',
        "return c(x)",
        inputs="{x: {shape: [2, 4, 8, 8]}}",
        quantizer="written",
        beside=PER_CHANNEL_ALONG_1,
        pt2e_alone=True,
    )

    assert record.verdict == "check_failed"
    told = "c has 3 scales of its weight for 6 output channels"
    assert of_check(record, "weight_scales") == {"pt2e": told}


def test_shared_scales_of_an_addition_are_not_expressed_in_fx(tmp_path: Path) -> None:
    shared_add = CONV_ALONE.replace("mode: qat", "mode: ptq").replace("[conv]", "[conv, add]\n    shared: [add]")
    record = run(
        tmp_path,
        '{a: "Conv2d(3, 4, 3)", b: "Conv2d(3, 4, 3)"}',
        "return a(x) + b(x)",
        quantizer="written",
        beside=shared_add,
    )

    assert record.verdict == "checked"
    assert record.pipelines["fx"].status == "inexpressible"
    assert record.pipelines["fx"].reason == "FX graph mode gives add scales of its own: it shares those of cat alone"


def without_quantized_convolutions(converted: nn.Module) -> nn.Module:
    """The weights of convolutions dequantized once and for all."""
    assert isinstance(converted, fx.GraphModule)
    for node in list(converted.graph.nodes):
        if node.target is torch.ops.aten.conv2d.default:
            weight = node.args[1]
            tensors = [getattr(converted, item.target) for item in weight.all_input_nodes]
            converted.register_buffer("plain", weight.target(*tensors, *weight.args[3:]))
            with converted.graph.inserting_before(node):
                node.replace_input_with(weight, converted.graph.get_attr("plain"))
    converted.recompile()
    return converted


@pytest.mark.parametrize("fault", [False, True], ids=["as it is", "weight in float"])
def test_pt2e_of_x86_quantizes_convolutions_as_they_come(tmp_path: Path, fault: bool) -> None:
    pipelines = with_altered("pt2e", convert=without_quantized_convolutions) if fault else None
    record = run(
        tmp_path,
        '{c: "Conv2d(3, 4, 3)", lin: "Linear(144, 4)"}',
        "return lin(c(x).flatten(1))",
        quantizer="x86_int8_dynamic",
        pipelines=pipelines,
    )

    # FX graph mode's backend config for x86 has linear layers alone.
    told = "c has its weight in float" if fault else None
    assert of_check(record, "ops_quantized") == {"pt2e": told, "fx": None}


@pytest.mark.parametrize(
    ("layer", "verdict", "told"),
    [
        pytest.param("BatchNorm2d(3)", "exact", None, id="nothing"),
        pytest.param(
            "Conv2d(3, 3, 3)",
            "check_failed",
            "quantize ops: 2; dequantize ops: 3; quantized weights: 1",
            id="something",
        ),
    ],
)
def test_where_nothing_is_to_be_quantized_what_is_quantized_is_the_fault(
    tmp_path: Path, layer: str, verdict: str, told: str | None
) -> None:
    record = run(
        tmp_path,
        f'{{a: "{layer}"}}',
        "return a(x).abs()",
        quantizer="written",
        beside=CONV_ALONE.replace("mode: qat", "mode: ptq"),
        suite=", quantizes: nothing",
    )

    assert record.verdict == verdict
    assert of_check(record, "nothing_quantized")["pt2e"] == told


def test_a_lazy_module_without_sizes_is_invalid(tmp_path: Path) -> None:
    text = f"""
patterns: {{written: {{model: torch.nn.LazyConv2d, args: {{out_channels: 4, kernel_size: 3}}, inputs: {IMAGE}}}}}
suites: {{written: {{axes: {{pattern: written, quantizer: xnnpack_int8_per_tensor_ptq}}}}}}
"""
    (case,) = written_cases(tmp_path, text)
    record = run_case(case, diagnose="never")

    assert record.verdict == "invalid"
    assert "does not know its sizes: weight is uninitialized" in record.summary


@pytest.mark.parametrize("mode", ["ptq", "qat"])
@pytest.mark.parametrize("mask", [-1e4, -3.4e38])
def test_an_attention_whose_mask_takes_all_of_the_range_fails_a_check(tmp_path: Path, mode: str, mask: float) -> None:
    record = run(
        tmp_path,
        '{q: "Linear(8, 8)", k: "Linear(8, 8)", v: "Linear(8, 8)"}',
        f"s = q(x) @ k(x).transpose(1, 2) + torch.triu(torch.full([6, 6], {mask:.1f}), 1)",
        "return torch.softmax(s, -1) @ v(x)",
        inputs="{x: {shape: [2, 6, 8]}}",
        quantizer=f"xnnpack_int8_per_tensor_{mode}",
    )
    told = of_check(record, "sqnr_of_bits")

    assert record.verdict in {"check_failed", "diverged"}
    assert all("dB is below" in str(message) for message in told.values())


@pytest.mark.parametrize("mask", [-1e4, -3.4e38])
def test_an_attention_leaves_the_float_model_where_the_mask_is_added(tmp_path: Path, mask: float) -> None:
    record = run(
        tmp_path,
        '{q: "Linear(8, 8)", k: "Linear(8, 8)", v: "Linear(8, 8)"}',
        f"s = q(x) @ k(x).transpose(1, 2) + torch.triu(torch.full([6, 6], {mask:.1f}), 1)",
        "return torch.softmax(s, -1) @ v(x)",
        inputs="{x: {shape: [2, 6, 8]}}",
        diagnose="all",
    )

    assert lost_at(record) == [("add", True)]


def test_a_constant_is_lost_where_it_is_added(tmp_path: Path) -> None:
    record = run(
        tmp_path, '{lin: "Linear(4, 4)"}', "return lin(x * 0.01 + 100)", inputs="{x: {shape: [4, 4]}}", diagnose="all"
    )

    assert lost_at(record) == [("add", True)]


def test_a_constant_is_not_enough_however_near_it_is(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        '{lin: "Linear(4, 4)"}',
        "return lin(x * 0.01 + 100)",
        inputs="{x: {shape: [4, 4]}}",
    )
    pt2e = record.pipelines["pt2e"]

    assert float(pt2e.sqnr_db or 0) > 30
    assert str(of_check(record, "sqnr_of_bits")["pt2e"]).endswith(
        "dB louder than the variation in the float model's outputs"
    )


def test_a_fixed_scale_that_clips_on_purpose_is_right(tmp_path: Path) -> None:
    fixed = CONV_ALONE.replace("mode: qat", "mode: ptq").replace(
        "{dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}",
        "{dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, scale: 0.00390625, zero_point: 0}",
    )
    record = run(tmp_path, '{c: "Conv2d(3, 4, 3)"}', "return c(x)", quantizer="written", beside=fixed)

    assert record.verdict == "exact"
    assert float(record.pipelines["fx"].sqnr_db or 99) < 3


def test_weights_that_are_wrong_behind_a_fixed_scale_fail_a_check_all_the_same(tmp_path: Path) -> None:
    fixed = CONV_ALONE.replace("mode: qat", "mode: ptq").replace(
        "{dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}",
        "{dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, scale: 0.03, zero_point: 128}",
    )
    altered = {name: Altered(name, capture=halved) for name in ("pt2e", "fx")}
    record = run(
        tmp_path, '{c: "Conv2d(3, 4, 3)"}', "return c(x)", quantizer="written", beside=fixed, pipelines=altered
    )

    assert record.verdict == "check_failed"
    assert all("which their bits and ranges explain" in str(told) for told in of_check(record, "sqnr_of_bits").values())


def test_weights_that_are_wrong_after_training_fail_a_check_though_noise_is_not_louder_than_the_signal(
    tmp_path: Path,
) -> None:
    altered = {name: Altered(name, capture=halved) for name in ("pt2e", "fx")}
    record = run(
        tmp_path,
        '{c: "Conv2d(3, 4, 3)"}',
        "return c(x)",
        quantizer="xnnpack_int8_per_tensor_qat",
        pipelines=altered,
    )

    assert record.verdict == "check_failed"
    assert record.pipelines["fx"].sqnr_db == pytest.approx(6, abs=1)
    assert set(of_check(record, "sqnr_of_bits")) == {"pt2e", "fx"}
    assert all("which their bits and ranges explain" in str(told) for told in of_check(record, "sqnr_of_bits").values())


def halved(capture: Capture) -> Capture:
    """Weights and biases of half their size."""

    def program() -> nn.Module:
        captured = capture()
        with torch.no_grad():
            for parameter in captured.parameters():
                parameter.mul_(0.5)
        return captured

    return program


class Counting(nn.Module):
    """A convolution whose outputs grow with each call."""

    t: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 4, 3)
        self.register_buffer("t", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.t.add_(1)
        out: Tensor = self.c(x) + self.t
        return out


class Smoothing(Counting):
    """A convolution that keeps a moving average of what it gives."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(x)
        self.t.lerp_(out.abs().mean(), 0.1)
        return out * self.t


class Adding(Counting):
    """The same with an addition in place, which PT2E quantizes: what it adds to is then no buffer any more."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(x)
        self.t.mul_(0.9).add_(0.1 * out.abs().mean())
        return out * self.t


OTHERWISE = "t changes differently than in the float model, at call 1"


@pytest.mark.parametrize(
    ("kind", "pt2e"),
    [
        pytest.param(Counting, None, id="counting"),
        pytest.param(Smoothing, None, id="smoothing"),
        pytest.param(Adding, OTHERWISE, id="adding"),
    ],
)
@pytest.mark.parametrize("mode", ["ptq", "qat"])
def test_a_state_that_the_float_model_keeps_has_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module], pt2e: str | None, mode: str
) -> None:
    monkeypatch.setattr(nn, "Kept", kind, raising=False)
    text = f"""
patterns: {{written: {{model: torch.nn.Kept, inputs: {IMAGE}}}}}
suites: {{written: {{axes: {{pattern: written, quantizer: xnnpack_int8_per_tensor_{mode}}}}}}}
"""
    (case,) = written_cases(tmp_path, text)
    record = run_case(case, diagnose="never")

    assert of_check(record, "steady_eval") == {"pt2e": pt2e, "fx": OTHERWISE}
    # FX graph mode drops the op that writes, since nothing reads its result.
    near, far = (record.pipelines[name].sqnr_db for name in ("pt2e", "fx"))
    assert near is not None
    assert far is not None
    assert near > far + 10
    assert of_check(record, "deterministic_eval") == {"pt2e": None, "fx": None}


def test_a_linear_layer_and_a_batch_norm_on_another_axis_stay_two(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        '{lin: "Linear(4, 6)", bn: BatchNorm1d(6)}',
        "return bn(lin(x))",
        inputs="{x: {shape: [3, 6, 4]}}",
        quantizer="xnnpack_int8_per_channel_qat",
        pt2e_alone=True,
    )

    assert record.verdict == "checked"
    assert of_check(record, "batch_norm_folded") == {"pt2e": None}
