# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: Weight scales per channel of transposed convolutions lie along the input channels
#
# What is wrong: check weight_scales fails on pt2e: conv has its weight's scales along axis 0, its
# output channels are axis 1.
#
# case      conv_transpose_bn/conv_bn/conv=conv_transpose,dim=1,out_channels=5,quantizer=xnnpack_int8_per_channel_qat,device=cpu
# command   qatrix repro 'conv_transpose_bn/conv_bn/conv=conv_transpose,dim=1,out_channels=5,quantizer=xnnpack_int8_per_channel_qat,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     pt2e: SQNR 34.85353569149603 dB

import math
import textwrap
import warnings

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import nn
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class ConvBn(nn.Module):
    """Convolution, batch norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.ConvTranspose1d(3, 5, 3)
        self.bn = nn.BatchNorm1d(5)

    def forward(self, x):
        return self.bn(self.conv(x))


def float_model():
    torch.manual_seed(1995940392)
    return ConvBn()


def inputs_of_the_case():
    torch.manual_seed(1995940392)
    return (torch.randn(1, 3, 5),)


def forward(model, inputs, seed=100):
    torch.manual_seed(seed)
    return model(*(tensor.clone() for tensor in inputs))


def capture(model, inputs):
    """The exported model, in the mode (train or eval) that it is in."""
    return torch.export.export(model, inputs, strict=True).module()


def run_pt2e(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    model = capture(model, inputs)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_qat=True))
    model = prepare_qat_pt2e(model, quantizer)
    seen["prepare"] = forward(model, inputs)
    move_exported_model_to_eval(model)
    converted = convert_pt2e(model)
    with torch.no_grad():
        seen["convert"] = forward(converted, inputs)
    return seen, converted


def float_outputs(inputs):
    """Those of the float model in evaluation, after the training that the quantized ones get."""
    model = float_model()
    with torch.no_grad():
        forward(model, inputs)
        return forward(model.eval(), inputs)


def pairs(left, right):
    yield left.detach().cpu(), right.detach().cpu()


def norm(tensors):
    """The norm over all tensors together, scaled so that no square overflows."""
    peak = max((float(tensor.abs().max()) for tensor in tensors if tensor.numel()), default=0.0)
    if not math.isfinite(peak) or peak == 0:
        return peak
    return peak * math.sqrt(sum(float((tensor / peak).square().sum()) for tensor in tensors))


def print_sqnr(name, reference, output):
    """Signal to quantization noise against the float model, in decibels."""
    both = [(one.double(), other.double()) for one, other in pairs(reference, output)]
    signal, noise = norm([one for one, _ in both]), norm([one - other for one, other in both])
    print(f"{name}: SQNR {20 * math.log10(signal / noise)!r} dB")


inputs = inputs_of_the_case()
reference = float_outputs(inputs)
seen, converted = {}, {}
for name, run in {"pt2e": run_pt2e}.items():
    seen[name], converted[name] = run(inputs)
for name in converted:
    print_sqnr(name, reference, seen[name]["convert"])
for name, program in converted.items():
    print(textwrap.indent(f"\n{name} after convert:\n{program}", "    "))
