# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: An average that begins before a program has run cannot take in scales per channel
#
# What is wrong: pt2e failed at average: RuntimeError: output with shape [1] doesn't match the
# broadcast shape [3]; fx failed at average: RuntimeError: output with shape [1] doesn't match the
# broadcast shape [3].
#
# case      lifecycle_average_at_once/conv_bn_relu/dim=2,lifecycle=average,quantizer=xnnpack_int8_per_channel_qat,train_steps=2,calibration_batches=0,device=cpu
# command   qatrix repro 'lifecycle_average_at_once/conv_bn_relu/dim=2,lifecycle=average,quantizer=xnnpack_int8_per_channel_qat,train_steps=2,calibration_batches=0,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     pt2e: failed at average: RuntimeError: output with shape [1] doesn't match the broadcast shape [3]
#     fx: failed at average: RuntimeError: output with shape [1] doesn't match the broadcast shape [3]

import math
import textwrap
import traceback
import warnings

import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import nn
from torch.ao.quantization import QConfigMapping
from torch.ao.quantization.backend_config import get_qnnpack_backend_config
from torch.ao.quantization.qconfig import default_per_channel_symmetric_qnnpack_qat_qconfig
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, prepare_qat_fx
from torch.optim.swa_utils import AveragedModel
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

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


def capture(model, inputs):
    """The exported model, in the mode (train or eval) that it is in."""
    return torch.export.export(model, inputs, strict=True).module()


def float_names(program):
    """The names of parameters and buffers before prepare, by identity; the tensors are kept, so that none is reused."""
    named = (*program.named_parameters(), *program.named_buffers())
    return {id(tensor): (name, tensor) for name, tensor in named}


def renamed(names, tensors):
    return {names.get(id(tensor), (name,))[0]: tensor for name, tensor in tensors}


def copied(tensors):
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def loss_of(outputs):
    """The mean squared errors of all outputs, summed up, against targets of a seed of their own."""
    generator = torch.Generator().manual_seed(1769781795)
    leaves = (item for item in pytree.tree_leaves(outputs) if isinstance(item, torch.Tensor))
    tensors = [tensor for tensor in leaves if tensor.is_floating_point()]
    targets = [torch.randn(tensor.shape, generator=generator).to(tensor) for tensor in tensors]
    return torch.stack([F.mse_loss(tensor, target) for tensor, target in zip(tensors, targets)]).sum()


def names_of_copy(names, program, copied):
    """The same names for the tensors of a copy."""
    named = (*program.named_parameters(), *program.named_buffers())
    own = {own: names[id(item)][0] for own, item in named if id(item) in names}
    named = (*copied.named_parameters(), *copied.named_buffers())
    return {id(item): (own[name], item) for name, item in named if name in own}


def take_steps(program, inputs, parameters, around=None):
    """The losses by step, and the gradients of the first."""
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01)
    losses, gradients = {}, {}
    with torch.enable_grad():
        for step in range(1, 3):
            optimizer.zero_grad()
            loss = loss_of(forward(program, inputs))
            loss.backward()
            losses[f"step {step}"] = loss.detach()
            if step == 1:
                gradients = copied({name: item.grad for name, item in parameters.items() if item.grad is not None})
            optimizer.step()
            around()
    optimizer.zero_grad()
    return losses, gradients


def train(program, inputs, names, around=None, result=None):
    parameters = renamed(names, program.named_parameters())
    losses, gradients = take_steps(program, inputs, parameters, around)
    if result is not program:
        parameters = renamed(names_of_copy(names, program, result), result.named_parameters())
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    buffers = renamed(names, program.named_buffers())
    return {
        "train_loss": losses,
        "train_gradients": gradients,
        "train_parameters": copied(parameters),
        "train_statistics": copied({name: item for name, item in buffers.items() if name.rpartition(".")[2] in kinds}),
    }


def train_float(model, inputs):
    averaged = AveragedModel(model)
    take_steps(model, inputs, dict(model.named_parameters()), lambda: averaged.update_parameters(model))
    with torch.no_grad():
        for parameter, average in zip(model.parameters(), averaged.module.parameters()):
            parameter.copy_(average)


def report(pipeline, stage, error):
    first = (str(error).strip() or "no message").splitlines()[0]
    print(f"{pipeline}: failed at {stage}: {type(error).__name__}: {first}")
    print(textwrap.indent("".join(traceback.format_exception(error)), "    "))


def run_pt2e(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen, converted, stage = {}, None, "build"
    try:
        model = float_model()
        stage = "capture"
        model = capture(model, inputs)
        names = float_names(model)
        stage = "prepare"
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_qat=True))
        model = prepare_qat_pt2e(model, quantizer)
        stage = "forward"
        stage = "train"
        stage = "average"
        averaged = AveragedModel(model)


        def update():
            nonlocal stage
            stage = "average"
            averaged.update_parameters(model)
            stage = "train"


        stage = "train"
        seen |= train(model, inputs, names, update, averaged.module)
        model = averaged.module
        stage = "convert"
        move_exported_model_to_eval(model)
        converted = convert_pt2e(model)
        stage = "quantized_forward"
        with torch.no_grad():
            seen["convert"] = forward(converted, inputs)
    except Exception as error:
        report("pt2e", stage, error)
    return seen, converted


def run_fx(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen, converted, stage = {}, None, "build"
    try:
        model = float_model()
        names = float_names(model)
        stage = "prepare"
        qconfigs = QConfigMapping().set_global(default_per_channel_symmetric_qnnpack_qat_qconfig)
        backend_config = get_qnnpack_backend_config()
        model = prepare_qat_fx(model, qconfigs, inputs, backend_config=backend_config)
        stage = "forward"
        stage = "train"
        stage = "average"
        averaged = AveragedModel(model)


        def update():
            nonlocal stage
            stage = "average"
            averaged.update_parameters(model)
            stage = "train"


        stage = "train"
        seen |= train(model, inputs, names, update, averaged.module)
        model = averaged.module
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
        train_float(model, inputs)
        return forward(model.eval(), inputs)


def pairs(left, right):
    """The tensors that stand at the same place; raises ValueError where the structures differ."""
    if type(left) is not type(right):
        raise ValueError
    if isinstance(left, torch.Tensor):
        if (left.shape, left.dtype, left.layout) != (right.shape, right.dtype, right.layout):
            raise ValueError
        yield left.detach().cpu(), right.detach().cpu()
    elif isinstance(left, dict):
        if left.keys() != right.keys():
            raise ValueError
        for key in left:
            yield from pairs(left[key], right[key])
    elif isinstance(left, (tuple, list)):
        if len(left) != len(right):
            raise ValueError
        for one, other in zip(left, right):
            yield from pairs(one, other)
    elif left is not right and left != right:
        raise ValueError


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
