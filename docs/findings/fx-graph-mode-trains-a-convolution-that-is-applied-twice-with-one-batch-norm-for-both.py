# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: FX graph mode trains a convolution that is applied twice with one batch norm for both
#
# What is wrong: pt2e and fx are 0.668 apart after prepare, 88.5 quantization steps; pt2e and fx are
# 2.01 apart after convert, 266 quantization steps; pt2e is 3.4 dB nearer to the float model; check
# ops_quantized fails on pt2e: the second call of conv has its weight in float; check
# batch_norm_folded fails on pt2e: bn2 still follows the second call of conv; pt2e does not do what
# its quantizer says (check as_specified): conv@2 after convert: its weight is up to 0.0892 away from
# the float model's; conv@2 after convert: its bias is up to 0.592 away from what float64 gives for
# what it reads; check sqnr_of_bits fails on pt2e: an SQNR of 4.0 dB is below 18.3 dB, which their
# bits and ranges explain; the noise is 3.8 dB louder than what varies in the float model's outputs;
# fx does not do what its quantizer says (check as_specified): conv after prepare: 26 of its weight's
# 27 values are not the integers nearest to the float model's, and up to 0.332 away; bn1 after
# prepare: its value is up to 3.43 away from what float64 gives for what it reads; conv@2 after
# prepare: 24 of its weight's 27 values are not the integers nearest to the float model's, and up to
# 0.00541 away; 5 more; check sqnr_of_bits fails on fx: an SQNR of 0.6 dB is below 17.5 dB, which
# their bits and ranges explain; the noise is 7.2 dB louder than what varies in the float model's
# outputs; first at bn1 after prepare: fx computes bn1 and bn2 with the parameters and statistics of
# one batch norm.
#
# case      batch_norms_wide/shared_conv_two_bn/dim=1,quantizer=xnnpack_int8_per_tensor_qat,device=cpu
# command   qatrix repro 'batch_norms_wide/shared_conv_two_bn/dim=1,quantizer=xnnpack_int8_per_tensor_qat,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     after prepare: max abs difference 0.6684180200099945, 30 of 30 values out of tolerance
#     after convert: max abs difference 2.010457456111908, 30 of 30 values out of tolerance
#     pt2e: SQNR 3.978593870919165 dB
#     fx: SQNR 0.5959594958649129 dB
#     pt2e: 2 quantize and 3 dequantize ops
#     fx: 3 quantize and 3 dequantize ops

import math
import textwrap
import warnings

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import nn
from torch.ao.quantization import QConfigMapping
from torch.ao.quantization.backend_config import get_qnnpack_backend_config
from torch.ao.quantization.qconfig import default_symmetric_qnnpack_qat_qconfig
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, prepare_qat_fx
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class SharedConvTwoBn(nn.Module):
    """One convolution applied twice, each time with a batch norm of its own, which are not alike."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 3, padding=1)
        self.bn1 = nn.BatchNorm1d(3)
        self.bn2 = nn.BatchNorm1d(3)
        nn.init.constant_(self.bn1.weight, 1.5)
        nn.init.constant_(self.bn1.bias, 0.5)
        nn.init.constant_(self.bn2.weight, 0.5)
        nn.init.constant_(self.bn2.bias, -0.5)

    def forward(self, x):
        return self.bn2(self.conv(self.bn1(self.conv(x))))


def float_model():
    torch.manual_seed(2052457826)
    return SharedConvTwoBn()


def inputs_of_the_case():
    torch.manual_seed(2052457826)
    return (torch.randn(2, 3, 5),)


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
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=False, is_qat=True))
    model = prepare_qat_pt2e(model, quantizer)
    seen["prepare"] = forward(model, inputs)
    move_exported_model_to_eval(model)
    converted = convert_pt2e(model)
    with torch.no_grad():
        seen["convert"] = forward(converted, inputs)
    return seen, converted


def run_fx(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    qconfigs = QConfigMapping().set_global(default_symmetric_qnnpack_qat_qconfig)
    backend_config = get_qnnpack_backend_config()
    model = prepare_qat_fx(model, qconfigs, inputs, backend_config=backend_config)
    seen["prepare"] = forward(model, inputs)
    model.eval()
    converted = _convert_to_reference_decomposed_fx(model, backend_config=backend_config)
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


def gap(left, right):
    """The greatest difference (NaN counts as the greatest), how many values are out of tolerance, and of how many."""
    if not left.numel():
        return 0.0, 0, 0
    is_float = left.dtype.is_floating_point
    left, right = left.double(), right.double()
    same = (left == right) | (left.isnan() & right.isnan())
    difference = (left - right).abs().masked_fill(same, 0.0)
    within = (difference <= 1e-05 + 1.3e-06 * right.abs()) & difference.isfinite()
    outside = ~same & ~within if is_float else ~same
    greatest = torch.nan_to_num(difference, nan=math.inf).argmax()
    return float(difference.flatten()[greatest]), int(outside.sum()), left.numel()


def compare(where, left, right):
    gaps = [gap(one, other) for one, other in pairs(left, right)]
    greatest = max((item[0] for item in gaps), key=lambda value: math.inf if math.isnan(value) else value, default=0.0)
    outside, total = sum(item[1] for item in gaps), sum(item[2] for item in gaps)
    print(f"{where}: max abs difference {greatest!r}, {outside} of {total} values out of tolerance")


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


def print_counts(name, program):
    """How many quantize and dequantize ops the graphs of the program have."""
    graphs = [part.graph for part in program.modules() if isinstance(part, torch.fx.GraphModule)]
    targets = [getattr(node.target, "overloadpacket", node.target) for graph in graphs for node in graph.nodes]
    names = [getattr(target, "__name__", str(target)) for target in targets]
    quantize = sum(name.startswith("quantize_") for name in names)
    dequantize = sum(name.startswith("dequantize") for name in names)
    print(f"{name}: {quantize} quantize and {dequantize} dequantize ops")


inputs = inputs_of_the_case()
reference = float_outputs(inputs)
seen, converted = {}, {}
for name, run in {"pt2e": run_pt2e, "fx": run_fx}.items():
    seen[name], converted[name] = run(inputs)
points = {
    "prepare": "after prepare",
    "convert": "after convert",
}
for point, where in points.items():
    compare(where, seen["pt2e"][point], seen["fx"][point])
for name in converted:
    print_sqnr(name, reference, seen[name]["convert"])
for name, program in converted.items():
    print_counts(name, program)
for name, program in converted.items():
    print(textwrap.indent(f"\n{name} after convert:\n{program}", "    "))
