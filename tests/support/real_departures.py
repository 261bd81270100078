"""Departures of real runtimes: `python -m support.real_departures FILE` saves that of Inductor's convolution.

In a process of its own, because oneDNN reads ONEDNN_MAX_CPU_ISA once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from qatrix.declare.spec import FxPreset, Pt2ePreset, QuantizerSpec
from qatrix.judge.lowering import Codes, DepartureFacts, Product
from qatrix.pipelines import PIPELINES, torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program, inductor, native
from support import specs
from support.departures import departure

_NAMES: Final = {"eight_bits": {}, "seven_bits": {"reduce_range": True}}


def quantizer(name: str) -> QuantizerSpec:
    """X86InductorQuantizer's with eight or seven bits of activations; FX's for x86, of seven bits, goes with both."""
    preset = Pt2ePreset(quantizer="X86InductorQuantizer", config=_NAMES[name])
    fx = FxPreset(backend_config="x86", qconfig_mapping="x86")
    return specs.quantizer(name, mode="ptq", pt2e=preset, fx=fx)


def program(model: nn.Module, inputs: Inputs, spec: QuantizerSpec, *, pipeline: str, prepared: bool = False) -> Program:
    """A model, quantized by a pipeline after one forward pass; only prepared where asked."""
    kind = PIPELINES[pipeline]
    made = kind.prepare(kind.capture(model.eval(), inputs, dynamic_batch=False)(), inputs, spec, skip_modules=())
    inputs.call(made)
    return Program(module=made if prepared else kind.convert(made, spec), inputs=inputs, quantizer=spec)


def convolution(name: str) -> DepartureFacts:
    """A convolution and a ReLU on Inductor, its output in float, with all that the arithmetic needs."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs = Inputs.of(torch.randn(2, 6, 9, 9))
    made = program(nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()), inputs, quantizer(name), pipeline="pt2e")
    lowered = inductor.runtime({"compile": False}).lower(made)
    measured: Any = lowered.run(inputs)
    with torch.no_grad():
        reference: Any = inputs.call(made.module)
    return DepartureFacts(
        departure=departure("0", kernel="onednn.qconv_pointwise.default"),
        pipeline="pt2e",
        runtime="inductor",
        reference=reference,
        measured=measured,
        product=_product(made.module, inputs.tensors[0]),
        cpu=torchenv.cpu_features(),
        ran=lowered.ran(),
    )


def _product(module: Any, values: Tensor) -> Product:
    """The program's own integers: the graph's first quantize op and its dequantized weight."""
    nodes = {str(node.target): node for node in reversed(module.graph.nodes)}
    _, scale, zero_point, low, high, _ = nodes["quantized_decomposed.quantize_per_tensor.default"].args
    weight, scales, zero_points = (
        getattr(module, str(node.target))
        for node in nodes["quantized_decomposed.dequantize_per_channel.default"].args[:3]
    )
    bias = next(value for name, value in module.named_parameters() if name.endswith("bias"))
    codes = (torch.round(values / scale) + zero_point).clamp(low, high).to(torch.int64)
    return Product(
        kind="conv",
        activation=Codes(
            codes=codes,
            scale=torch.tensor(scale),
            zero_point=torch.tensor(zero_point),
            quant_min=low,
            quant_max=high,
        ),
        weight=Codes(codes=weight, scale=scales, zero_point=zero_points, quant_min=-128, quant_max=127),
        bias=bias.detach(),
        padding=(1, 1),
        fused="relu",
    )


def clamp(engine: str) -> tuple[Tensor, Tensor]:
    """What FX's reference and a native engine give for a convolution and a ReLU6.

    With the engine's own configuration: eight bits of activations saturate on x86 without VNNI, clamp or not.
    """
    torch.manual_seed(0)
    inputs = Inputs.of(torch.randn(2, 4, 8, 8))
    spec = specs.quantizer(mode="ptq", fx=FxPreset(backend_config=engine, qconfig_mapping=engine))
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU6())
    prepared = program(model, inputs, spec, pipeline="fx", prepared=True)
    measured: Any = native.runtime({"engine": engine}).lower(prepared).run(inputs)
    converted = PIPELINES["fx"].convert(prepared.module, spec)
    with torch.no_grad():
        return inputs.call(converted), measured


if __name__ == "__main__":
    torch.save([convolution("eight_bits"), convolution("seven_bits")], Path(sys.argv[1]))
