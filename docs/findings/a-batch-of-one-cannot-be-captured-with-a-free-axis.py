# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: A batch of one cannot be captured with a free axis
#
# What is wrong: pt2e failed at capture: UserError: Constraints violated (batch)! For more
# information, run with TORCH_LOGS="+dynamic".
#
# case      dynamic_batch_of_one/conv_bn_relu/dim=2,dynamic_batch=true,quantizer=xnnpack_int8_per_channel_ptq,device=cpu
# command   qatrix repro 'dynamic_batch_of_one/conv_bn_relu/dim=2,dynamic_batch=true,quantizer=xnnpack_int8_per_channel_ptq,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     pt2e: failed at capture: UserError: Constraints violated (batch)! For more information, run with TORCH_LOGS="+dynamic".
#     fx: SQNR 43.28535894410371 dB

import math
import textwrap
import traceback
import warnings

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import nn
from torch.ao.quantization import QConfigMapping
from torch.ao.quantization.backend_config import get_qnnpack_backend_config
from torch.ao.quantization.qconfig import default_per_channel_symmetric_qnnpack_qconfig
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, prepare_fx
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class ConvBnRelu(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.bn = nn.BatchNorm2d(3)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


def float_model():
    torch.manual_seed(1769781794)
    return ConvBnRelu()


def inputs_of_the_case():
    torch.manual_seed(1769781794)
    return (torch.randn(1, 3, 5, 5),)


def forward(model, inputs, seed=100):
    torch.manual_seed(seed)
    return model(*(tensor.clone() for tensor in inputs))


def capture(model, inputs, dynamic_batch=False):
    """The exported model, in the mode (train or eval) that it is in."""
    batch = {0: torch.export.Dim("batch")}
    shapes = tuple(batch for _ in inputs) if dynamic_batch else None
    return torch.export.export(model, inputs, dynamic_shapes=shapes, strict=True).module()


def report(pipeline, stage, error):
    first = (str(error).strip() or "no message").splitlines()[0]
    print(f"{pipeline}: failed at {stage}: {type(error).__name__}: {first}")
    print(textwrap.indent("".join(traceback.format_exception(error)), "    "))


def run_pt2e(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen, converted, stage = {}, None, "build"
    try:
        model = float_model()
        model.eval()
        stage = "capture"
        model = capture(model, inputs, dynamic_batch=True)
        stage = "prepare"
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        model = prepare_pt2e(model, quantizer)
        stage = "forward"
        with torch.no_grad():
            seen["prepare"] = forward(model, inputs)
        stage = "convert"
        converted = convert_pt2e(model)
        stage = "quantized_forward"
        with torch.no_grad():
            seen["convert"] = forward(converted, inputs)
    except Exception as error:
        report("pt2e", stage, error)
    return seen, converted


def run_fx(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    model.eval()
    qconfigs = QConfigMapping().set_global(default_per_channel_symmetric_qnnpack_qconfig)
    backend_config = get_qnnpack_backend_config()
    model = prepare_fx(model, qconfigs, inputs, backend_config=backend_config)
    seen["prepare"] = forward(model, inputs)
    converted = _convert_to_reference_decomposed_fx(model, backend_config=backend_config)
    seen["convert"] = forward(converted, inputs)
    return seen, converted


def float_outputs(inputs):
    """Those of the float model in evaluation."""
    model = float_model()
    with torch.no_grad():
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
