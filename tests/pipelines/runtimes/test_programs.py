"""What of a converted program is quantized, and in which layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes.programs import (
    QuantizedOp,
    exported,
    flat_inputs,
    plain_path,
    quantized_ops,
    restored,
)
from support.converted import converted, nested, small


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("blocks.0.conv", "blocks.0.conv"),
        ("conv@1", "conv"),
        ("", ""),
        ("L['self'].conv", "conv"),
        ("getattr(L['fn'], '0')", "0"),
        ("getattr(getattr(L['self'].layers, '0').parts, '1').conv", "layers.0.parts.1.conv"),
        ("L['self']._modules['blocks'][2]", "blocks.2"),
    ],
)
def test_a_path_is_that_of_the_float_model_whatever_the_release_writes(path: str, plain: str) -> None:
    assert plain_path(path) == plain


@pytest.mark.torch
def test_the_ops_that_a_quantizer_took_are_named_by_layer_and_an_activation_is_part_of_the_one_before_it() -> None:
    program, _ = small("conv_bn_relu")

    found = quantized_ops(exported(program), program.module)

    assert list(found.values()) == [
        QuantizedOp(op="conv2d", layer="conv"),
        QuantizedOp(op="conv2d", layer="last"),
    ]


@pytest.mark.torch
def test_an_op_that_no_quantizer_took_is_not_quantized_though_what_is_around_it_is() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 4))
    program, _ = converted(model, Inputs.of(torch.randn(4, 8)))

    assert [op.layer for op in quantized_ops(exported(program), program.module).values()] == ["0", "2"]


@pytest.mark.torch
def test_without_a_quantizers_notes_it_is_what_stands_between_dequantize_and_quantize_ops() -> None:
    program, _ = small("add")
    for node in program.module.graph.nodes:  # type: ignore[union-attr]  # it is a graph module
        node.meta.pop("quantization_annotation", None)

    found = quantized_ops(exported(program), program.module)

    assert [(op.op, op.layer) for op in found.values()] == [("conv2d", "left"), ("conv2d", "right"), ("add", "add")]


@pytest.mark.torch
def test_tensors_go_in_and_come_out_in_the_programs_order_and_structure() -> None:
    program, _ = nested()
    source = exported(program)
    leaves = [torch.tensor(float(number)) for number in range(3)]

    assert [tuple(tensor.shape) for tensor in flat_inputs(source, program.inputs)] == [(4, 8), (4, 6)]
    assert restored(source, leaves) == {"sum": leaves[0], "parts": [leaves[1], leaves[2]]}


class _WithNumbers(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int, None, Tensor]:
        return x + 1, 3, None, x * 2


@pytest.mark.torch
def test_outputs_that_are_no_tensors_are_put_back() -> None:
    inputs = Inputs.of(torch.ones(2))
    program = torch.export.export(_WithNumbers(), inputs.args)
    one, two = torch.ones(2), torch.zeros(2)

    assert restored(program, [one, two]) == (one, 3, None, two)
    with pytest.raises(ValueError, match="the runtime gave 1 outputs where the program has 2 tensors"):
        restored(program, [one])
