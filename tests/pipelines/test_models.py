"""Models: declarations become torch modules, and weights and inputs depend on the case's seed alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from qatrix.pipelines.models import build_inputs, build_model
from support.cases import shipped_cases, written_cases

SUITE = """
suites:
  written:
    axes:
      pattern: {pattern}
      quantizer: xnnpack_int8_per_tensor_qat
{axes}
"""
PATTERN = """
patterns:
  written:
    params: {{width: 4}}
    layers: {layers}
    forward: {forward}
    inputs: {inputs}
"""


def built(tmp_path: Path, *, layers: str, forward: str, inputs: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The model and inputs of a pattern that is written in the test."""
    text = PATTERN.format(layers=layers, forward=forward, inputs=inputs) + SUITE.format(pattern="written", axes="")
    (case,) = written_cases(tmp_path, text)
    return build_model(case), build_inputs(case)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("kind", ["conv", "conv_transpose", "grouped", "depthwise", "dilated", "strided"])
def test_every_conv_kind_builds_and_runs_at_every_dim(tmp_path: Path, kind: str, dim: int) -> None:
    axes = f"      conv: {kind}\n      dim: {dim}\n"
    (case,) = written_cases(tmp_path, SUITE.format(pattern="conv_bn_relu", axes=axes))
    model, inputs = build_model(case), build_inputs(case)

    expected = getattr(nn, f"ConvTranspose{dim}d" if kind == "conv_transpose" else f"Conv{dim}d")
    assert type(model.get_submodule("conv")) is expected
    assert inputs[0].shape == (1, 3, *[5] * dim)
    assert model(*inputs).ndim == dim + 2


@pytest.mark.parametrize(
    ("kind", "attribute", "value"),
    [
        ("grouped", "groups", 3),
        ("depthwise", "groups", 3),
        ("dilated", "dilation", (2, 2)),
        ("strided", "stride", (2, 2)),
    ],
)
def test_a_conv_kind_is_what_its_declaration_says(tmp_path: Path, kind: str, attribute: str, value: object) -> None:
    axes = f"      conv: {kind}\n      dim: 2\n"
    (case,) = written_cases(tmp_path, SUITE.format(pattern="conv", axes=axes))

    assert getattr(build_model(case).get_submodule("conv"), attribute) == value


def test_weights_and_inputs_do_not_depend_on_quantizer_order_or_random_state() -> None:
    first, second, *_ = shipped_cases("conv_bn_fusion/*dim=2*")
    model, inputs = build_model(first), build_inputs(first)
    torch.manual_seed(12345)
    torch.rand(7)
    again, inputs_again = build_model(second), build_inputs(second)

    assert first.quantizer != second.quantizer
    assert all(
        torch.equal(left, right) for left, right in zip(model.state_dict().values(), again.state_dict().values())
    )
    assert torch.equal(inputs[0], inputs_again[0])


def test_another_parameter_means_other_weights() -> None:
    plain, *_ = shipped_cases("conv_bn_fusion/*dim=2*")
    strided, *_ = shipped_cases("conv_bn_fusion_literal_args/*dim=2*")

    assert plain.seed != strided.seed
    assert not torch.equal(
        build_model(plain).get_parameter("conv.weight"), build_model(strided).get_parameter("conv.weight")
    )


def test_patterns_compose() -> None:
    case, *_ = shipped_cases("preserve_source_fn_stack/*dim=2*")
    model = build_model(case)

    assert model.get_submodule("conv").in_channels == 5
    assert model.get_submodule("backbone.conv").in_channels == 3
    assert model(*build_inputs(case)).shape == (1, 3, 6, 6)


def test_a_factory_makes_the_model() -> None:
    case, *_ = shipped_cases("mobilenet_v2/*")

    assert type(build_model(case)).__name__ == "MobileNetV2"
    assert build_model(case).training


def test_several_inputs_and_structured_outputs(tmp_path: Path) -> None:
    model, inputs = built(
        tmp_path,
        layers="{a: 'Linear(width, width)', e: 'Embedding(8, width)'}",
        forward="['y, z = torch.chunk(a(x), 2, dim=-1)', 'w = e(i)', 'return {\"sum\": y + z, \"all\": (y, [z, w])}']",
        inputs="{x: {shape: [2, width]}, i: {shape: [3], dtype: int64}}",
    )
    out = model(*inputs)

    assert set(out) == {"sum", "all"}
    assert torch.equal(out["sum"], out["all"][0] + out["all"][1][0])
    assert out["all"][1][1].shape == (3, 4)
    assert inputs[1].dtype == torch.int64


def test_the_language_reaches_methods_slices_in_place_and_dtypes(tmp_path: Path) -> None:
    model, (x,) = built(
        tmp_path,
        layers="{a: 'Linear(width * 2, width)'}",
        forward="['y = a(x)', 'y *= 2', 'y = y[:, 1:width - 1].relu()', 'y = torch.cat((y, torch.zeros(2, 1)), 1)',"
        " 'return -y.to(torch.float64) @ y.to(torch.float64).transpose(0, 1)']",
        inputs="{x: {shape: [2, 2 * width]}}",
    )
    y = (model.get_submodule("a")(x) * 2)[:, 1:3].relu()
    y = torch.cat((y, torch.zeros(2, 1)), 1).double()

    assert torch.equal(model(x), -y @ y.T)


def test_an_input_may_be_boolean(tmp_path: Path) -> None:
    model, (x, mask) = built(
        tmp_path,
        layers="{a: 'Linear(width, width)'}",
        forward="['return torch.where(m, a(x), x)']",
        inputs="{x: {shape: [2, width]}, m: {shape: [2, width], dtype: bool}}",
    )

    assert mask.dtype == torch.bool
    assert model(x, mask).shape == (2, 4)


def test_a_factory_that_makes_no_module_is_refused(tmp_path: Path) -> None:
    text = "patterns: {written: {model: torch.Size, inputs: {x: {shape: [1]}}}}\n" + SUITE.format(
        pattern="written", axes=""
    )
    (case,) = written_cases(tmp_path, text)

    with pytest.raises(TypeError, match=r"torch\.Size made a Size, not a torch\.nn\.Module"):
        build_model(case)
