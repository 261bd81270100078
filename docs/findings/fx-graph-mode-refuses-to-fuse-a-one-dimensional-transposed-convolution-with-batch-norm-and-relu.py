# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: FX graph mode refuses to fuse a one-dimensional transposed convolution with batch norm and ReLU
#
# What is wrong: fx failed at prepare: Exception: Fusing ConvTranspose+BatchNorm not yet supported in
# QAT.
#
# case      x86_convs/conv_bn_relu/conv=conv_transpose,dim=1,quantizer=x86_int8_qat,device=cpu
# command   qatrix repro 'x86_convs/conv_bn_relu/conv=conv_transpose,dim=1,quantizer=x86_int8_qat,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     fx: failed at prepare: Exception: Fusing ConvTranspose+BatchNorm not yet supported in QAT.
#     pt2e: SQNR 141.52310866569428 dB

import math
import textwrap
import traceback
import warnings

import torch
from torch import nn
from torch.ao.quantization import get_default_qat_qconfig_mapping
from torch.ao.quantization.backend_config.x86 import get_x86_backend_config
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, prepare_qat_fx
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class ConvBnRelu(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self):
        super().__init__()
        self.conv = nn.ConvTranspose1d(3, 3, 3)
        self.bn = nn.BatchNorm1d(3)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


def float_model():
    torch.manual_seed(1172401250)
    return ConvBnRelu()


def inputs_of_the_case():
    torch.manual_seed(1172401250)
    return (torch.randn(1, 3, 5),)


def forward(model, inputs, seed=100):
    torch.manual_seed(seed)
    return model(*(tensor.clone() for tensor in inputs))


def capture(model, inputs):
    """The exported model, in the mode (train or eval) that it is in."""
    return torch.export.export(model, inputs, strict=True).module()


def report(pipeline, stage, error):
    first = (str(error).strip() or "no message").splitlines()[0]
    print(f"{pipeline}: failed at {stage}: {type(error).__name__}: {first}")
    print(textwrap.indent("".join(traceback.format_exception(error)), "    "))


def run_pt2e(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    model = capture(model, inputs)
    quantizer = X86InductorQuantizer().set_global(
        get_default_x86_inductor_quantization_config(reduce_range=True, is_qat=True),
    )
    model = prepare_qat_pt2e(model, quantizer)
    seen["prepare"] = forward(model, inputs)
    move_exported_model_to_eval(model)
    converted = convert_pt2e(model)
    with torch.no_grad():
        seen["convert"] = forward(converted, inputs)
    return seen, converted


def run_fx(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen, converted, stage = {}, None, "build"
    try:
        model = float_model()
        stage = "prepare"
        qconfigs = get_default_qat_qconfig_mapping("x86")
        backend_config = get_x86_backend_config()
        model = prepare_qat_fx(model, qconfigs, inputs, backend_config=backend_config)
        stage = "forward"
        seen["prepare"] = forward(model, inputs)
        stage = "convert"
        model.eval()
        converted = _convert_to_reference_decomposed_fx(model, backend_config=backend_config)
        stage = "quantized_forward"
        seen["convert"] = forward(converted, inputs)
    except Exception as error:
        report("fx", stage, error)
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
for name, run in {"pt2e": run_pt2e, "fx": run_fx}.items():
    seen[name], converted[name] = run(inputs)
for name in converted:
    if "convert" in seen[name]:
        print_sqnr(name, reference, seen[name]["convert"])
