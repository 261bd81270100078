"""What a float model reads of its parameters and buffers, and what nothing reads once it is converted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.execute.captures import Captures
from qatrix.execute.case import run_case
from qatrix.execute.reads import Reads, reads_of
from qatrix.judge.graphs.ops import op_name
from qatrix.pipelines.inputs import Inputs
from support.altered import with_altered
from support.cases import shipped_cases, written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]
X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Model(nn.Module):
    """A model whose forward pass is given."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.aux = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("mask", torch.ones(2, 4))
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def seen(forward: Callable[[Any, Tensor], Tensor]) -> Reads:
    found = reads_of(Model(forward).eval(), Inputs.of(X))
    assert found is not None
    return found


def names_of(reads: Reads) -> list[list[str]]:
    return [[held.names[0] for held in read.tensors] for read in reads.live]


@pytest.mark.parametrize(
    ("forward", "names"),
    [
        pytest.param(lambda m, x: m.lin(x), [["lin.bias"], ["lin.weight"]], id="a layer"),
        pytest.param(lambda m, x: x + m.mask, [["mask"]], id="a buffer"),
        pytest.param(lambda m, x: x * (m.scale + m.mask), [["mask", "scale"]], id="put together before"),
        pytest.param(lambda m, x: x + torch.zeros_like(m.mask), [], id="its shape alone"),
        pytest.param(lambda m, x: (m.aux(x), m.lin(x))[1], [["lin.bias"], ["lin.weight"]], id="a result is not used"),
        pytest.param(lambda m, _: m.scale * 2, [["scale"]], id="without an input"),
        pytest.param(lambda m, x: x.clone().add_(m.scale), [["scale"]], id="in place"),
    ],
)
def test_what_outputs_depend_on_is_read(forward: Callable[[Any, Tensor], Tensor], names: list[list[str]]) -> None:
    assert names_of(seen(forward)) == names


def test_parameters_that_no_output_depends_on_are_dead_and_buffers_are_not_told() -> None:
    assert seen(lambda m, x: m.lin(x)).dead == ("scale", "aux.weight", "aux.bias")


def test_a_tied_parameter_is_one_with_all_its_names() -> None:
    model = Model(lambda m, x: m.aux(m.lin(x)))
    model.aux.weight = model.lin.weight
    found = reads_of(model, Inputs.of(X))

    assert found is not None
    assert [held.names for read in found.live for held in read.tensors if held.size == 16] == [
        ("lin.weight", "aux.weight")
    ]


def test_a_batch_norm_is_read_with_the_layer_that_it_can_be_folded_into() -> None:
    found = reads_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval(), Inputs.of(torch.ones(1, 3, 5, 5)))

    assert found is not None
    (norm,) = (read for read in found.live if read.norm)
    assert [held.names[0] for held in norm.tensors] == ["1.bias", "1.running_mean", "1.running_var", "1.weight"]
    assert norm.layer is not None
    assert norm.layer.bias is not None
    assert norm.layer.bias.names == ("0.bias",)
    assert [held.names for held in norm.layer.weight] == [("0.weight",)]


def test_an_attention_is_read_as_it_is_captured_and_its_fast_path_is_left_as_it_was() -> None:
    fast = torch.backends.mha.get_fastpath_enabled()
    model = nn.TransformerEncoderLayer(8, 2, batch_first=True).eval()
    found = reads_of(model, Inputs.of(torch.ones(1, 3, 8)))

    assert found is not None
    assert {tuple(names) for names in names_of(found)} >= {("self_attn.in_proj_weight",), ("norm1.bias",)}
    assert found.dead == ()
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_a_model_that_refuses_to_be_watched_is_not_known() -> None:
    def refuse(_: Any, x: Tensor) -> Tensor:
        if torch._C._len_torch_dispatch_stack():
            msg = "no"
            raise RuntimeError(msg)
        return x

    assert reads_of(Model(refuse), Inputs.of(X)) is None


def without_bias(converted: nn.Module) -> nn.Module:
    """A converted program whose last convolution or linear layer has lost its bias."""
    assert isinstance(converted, fx.GraphModule)
    for node in reversed(converted.graph.nodes):
        module = converted.get_submodule(str(node.target)) if node.op == "call_module" else None
        if getattr(module, "bias", None) is not None:
            module.bias = None  # type: ignore[union-attr]  # one that has a bias is a module
            return converted
        if node.op == "call_function" and op_name(node) in {"conv", "linear"}:
            node.args = (*node.args[:2], None, *node.args[3:])
            converted.recompile()
            return converted
    return converted


@pytest.mark.parametrize("name", ["pt2e", "fx"])
@pytest.mark.parametrize("mode", ["ptq", "qat"])
@pytest.mark.parametrize(
    ("layers", "forward", "gone"),
    [
        pytest.param('{head: "Conv2d(3, 4, 3)"}', "return head(x)", "head.bias", id="a layer"),
        pytest.param(
            '{conv: "Conv2d(3, 4, 3)", head: "Conv2d(4, 4, 3)"}', "return head(F.relu(conv(x)))", "head.bias", id="last"
        ),
        pytest.param(
            '{conv: "Conv2d(3, 4, 3, bias=False)", bn: BatchNorm2d(4)}', "return bn(conv(x))", "bn.bias", id="folded"
        ),
    ],
)
def test_a_bias_that_is_lost_in_convert_is_found(
    tmp_path: Path, name: str, mode: str, layers: str, forward: str, gone: str
) -> None:
    text = f"""
patterns:
  written: {{layers: {layers}, forward: ["{forward}"], inputs: {{x: {{shape: [2, 3, 8, 8]}}}}}}
suites: {{written: {{axes: {{pattern: written, quantizer: xnnpack_int8_per_tensor_{mode}}}}}}}
"""
    (case,) = written_cases(tmp_path, text)
    captures = Captures()
    whole = run_case(case, captures=captures, diagnose="never")
    record = run_case(case, with_altered(name, convert=without_bias), captures=captures, diagnose="never")

    assert {check.status for check in whole.checks if check.name == "parameters_read"} == {"passed"}
    (check,) = (item for item in record.checks if item.name == "parameters_read" and item.status == "failed")
    assert check.pipeline == name
    assert str(check.message).startswith(f"{gone} is read by the float model and by nothing after convert")


def test_what_the_float_model_itself_does_not_read_is_a_note(tmp_path: Path) -> None:
    text = """
patterns:
  written:
    layers: {lin: "Linear(4, 4)", aux: "Linear(4, 4)"}
    forward: ["y = aux(x)", "return lin(x)"]
    inputs: {x: {shape: [2, 4]}}
suites: {written: {axes: {pattern: written, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""
    (case,) = written_cases(tmp_path, text)
    record = run_case(case, diagnose="never")
    found = [(item.status, item.message) for item in record.checks if item.name == "parameters_read"]

    assert found == [("passed", "the float model itself does not read aux.weight, aux.bias")] * 2


@pytest.mark.parametrize(
    "glob", ["conv_bn_fusion/*dim=2*", "inplace_add_relu/*", "batch_norms_wide/conv_bn_bn/dim=1*channel_ptq*"]
)
def test_what_is_folded_and_quantized_is_read(glob: str) -> None:
    case, *_ = shipped_cases(glob)
    record = run_case(case, diagnose="never")

    assert {item.status for item in record.checks if item.name == "parameters_read"} == {"passed"}
