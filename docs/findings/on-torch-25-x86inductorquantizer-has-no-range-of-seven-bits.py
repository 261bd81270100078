# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: On torch 2.5 X86InductorQuantizer has no range of seven bits
#
# What is wrong: pt2e failed at prepare: TypeError: get_default_x86_inductor_quantization_config() got
# an unexpected keyword argument 'reduce_range'.
#
# case      x86/conv/dim=2,quantizer=x86_int8_ptq,device=cpu
# command   qatrix repro 'x86/conv/dim=2,quantizer=x86_int8_ptq,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.5.1, torchvision 0.20.1, numpy 2.4.6, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     pt2e: failed at prepare: TypeError: get_default_x86_inductor_quantization_config() got an unexpected keyword argument 'reduce_range'
#     fx: SQNR 36.320943074224694 dB

import copy
import math
import textwrap
import traceback
import warnings

import torch
from torch import nn
from torch._export import capture_pre_autograd_graph
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.backend_config.x86 import get_x86_backend_config
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, prepare_fx
from torch.ao.quantization.quantize_pt2e import convert_pt2e, prepare_pt2e
from torch.ao.quantization.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class Conv(nn.Module):
    """Convolution alone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return self.conv(x)


def float_model():
    torch.manual_seed(132463054)
    return Conv()


def inputs_of_the_case():
    torch.manual_seed(132463054)
    return (torch.randn(1, 3, 5, 5),)


def forward(model, inputs, seed=100):
    torch.manual_seed(seed)
    return model(*(tensor.clone() for tensor in inputs))


def capture(model, inputs):
    """The exported model, in the mode (train or eval) that it is in."""
    before = {name.replace(".", "_"): buffer.clone() for name, buffer in model.named_buffers()}
    program = capture_pre_autograd_graph(copy.deepcopy(model), inputs)
    with torch.no_grad():
        # Capturing counts a batch: num_batches_tracked is 1 before anything has run.
        for name, buffer in program.named_buffers():
            if name in before:
                buffer.copy_(before[name])
    return program


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
        model = capture(model, inputs)
        stage = "prepare"
        quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config(reduce_range=True))
        model = prepare_pt2e(model, quantizer)
        stage = "forward"
        seen["prepare"] = forward(model, inputs)
        stage = "convert"
        converted = convert_pt2e(model)
        stage = "quantized_forward"
        seen["convert"] = forward(converted, inputs)
    except Exception as error:
        report("pt2e", stage, error)
    return seen, converted


def run_fx(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    model.eval()
    qconfigs = get_default_qconfig_mapping("x86")
    backend_config = get_x86_backend_config()
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
