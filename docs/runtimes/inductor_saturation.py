"""Inductor's int8 convolution on a processor without VNNI: it leaves its reference, because sums saturate in 16 bits.

It needs torch and torchao on an x86 processor with AVX2, and no compiler. It holds oneDNN to AVX2, so that it shows
the same on a processor with VNNI.
"""

import os

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"

import torch
from torch import nn
from torchao.quantization.pt2e.lowering import lower_pt2e_quantized_to_x86
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

torch.manual_seed(0)
model = nn.Sequential(nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3)).eval()
inputs = (torch.randn(2, 16, 16, 16),)


def decibels(value: torch.Tensor, wanted: torch.Tensor) -> float:
    """The SQNR of a value."""
    return float(20 * torch.log10(wanted.norm() / (value - wanted).norm()))


with torch.no_grad():
    for reduce_range in (False, True):
        quantizer = X86InductorQuantizer()
        quantizer.set_global(get_default_x86_inductor_quantization_config(reduce_range=reduce_range))
        prepared = prepare_pt2e(torch.export.export(model, inputs).module(), quantizer)
        prepared(*inputs)
        reference = convert_pt2e(prepared)
        lowered = lower_pt2e_quantized_to_x86(reference, inputs)
        wanted = model(*inputs)
        print(
            f"reduce_range={reduce_range}: SQNR of the reference {decibels(reference(*inputs), wanted):.1f} dB, "
            f"lowered {decibels(lowered(*inputs), wanted):.1f} dB"
        )
