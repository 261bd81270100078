# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: An evaluation thaws PT2E's batch norms that were frozen
#
# What is wrong: pt2e and fx are 0.225 apart in the loss of training (step 1), 0.573 in the gradients
# of the first step (conv.weight[0, 0, 0, 2]), 0.0111 in the parameters after training (conv.weight[1,
# 1, 1, 0]), 0.157 in the batch norms' statistics after training (bn.running_var[0]); pt2e and fx are
# 0.0962 apart after convert, 10.1 quantization steps; fx is 19.4 dB nearer to the float model; check
# survives_lifecycle fails on pt2e: batch_norm has the arguments (False, 0.1, 1e-05, False) before
# evaluation, and (True, 0.1, 1e-05, False) after it; in the loss of training it gives other values
# than without eval_and_train: 0.225 apart at ['step 1']; in the gradients of the first step it gives
# other values than without eval_and_train: 0.573 apart at ['conv.weight'][0, 0, 0, 2] and 3 more;
# first at relu after convert.
#
# case      lifecycle_frozen/conv_bn_relu/dim=2,lifecycle=eval_and_train,quantizer=xnnpack_int8_per_channel_qat,train_steps=2,batch_norm=frozen,device=cpu
# command   qatrix repro 'lifecycle_frozen/conv_bn_relu/dim=2,lifecycle=eval_and_train,quantizer=xnnpack_int8_per_channel_qat,train_steps=2,batch_norm=frozen,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     pt2e: it gives other values than without eval_and_train
#     after prepare: max abs difference 0.0, 0 of 27 values out of tolerance
#     in the loss of training: max abs difference 0.22467267513275146, 2 of 2 values out of tolerance
#     in the gradients of the first step: max abs difference 0.5726683437824249, 85 of 90 values out of tolerance
#     in the parameters after training: max abs difference 0.011068048886954784, 86 of 90 values out of tolerance
#     in the batch norms' statistics after training: max abs difference 0.15670335292816162, 6 of 6 values out of tolerance
#     after convert: max abs difference 0.0961935818195343, 13 of 27 values out of tolerance
#     pt2e: SQNR 22.009031940453383 dB
#     fx: SQNR 41.45311189632848 dB
#     pt2e: 2 quantize and 3 dequantize ops
#     fx: 2 quantize and 2 dequantize ops

import math
import textwrap
import warnings

import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import nn
from torch.ao.nn.intrinsic.qat import freeze_bn_stats
from torch.ao.quantization import QConfigMapping
from torch.ao.quantization.backend_config import get_qnnpack_backend_config
from torch.ao.quantization.qconfig import default_per_channel_symmetric_qnnpack_qat_qconfig
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, prepare_qat_fx
from torch.nn.modules.batchnorm import _BatchNorm
from torchao.quantization.pt2e import (
    disable_observer,
    enable_observer,
    move_exported_model_to_eval,
    move_exported_model_to_train,
)
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


def freeze_exported_batch_norms(program):
    """Set the argument `training` of every batch norm in the graph to false; how many there are."""
    aten = torch.ops.aten
    kinds = (
        aten.batch_norm.default,
        aten._native_batch_norm_legit.default,
        aten.cudnn_batch_norm.default,
        aten.miopen_batch_norm.default,
    )
    nodes = [node for node in program.graph.nodes if node.target in kinds]
    for node in nodes:
        node.args = (*node.args[:5], False, *node.args[6:])
    program.recompile()
    return len(nodes)


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


def take_steps(program, inputs, parameters, around=None):
    """The losses by step, and the gradients of the first."""
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01)
    losses, gradients = {}, {}
    with torch.enable_grad():
        for step in range(1, 3):
            if around is not None:
                around()
            optimizer.zero_grad()
            loss = loss_of(forward(program, inputs))
            loss.backward()
            losses[f"step {step}"] = loss.detach()
            if step == 1:
                gradients = copied({name: item.grad for name, item in parameters.items() if item.grad is not None})
            optimizer.step()
    optimizer.zero_grad()
    return losses, gradients


def train(program, inputs, names, around=None):
    parameters = renamed(names, program.named_parameters())
    losses, gradients = take_steps(program, inputs, parameters, around)
    kinds = ("running_mean", "running_var")
    buffers = renamed(names, program.named_buffers())
    return {
        "train_loss": losses,
        "train_gradients": gradients,
        "train_parameters": copied(parameters),
        "train_statistics": copied({name: item for name, item in buffers.items() if name.rpartition(".")[2] in kinds}),
    }


def train_float(model, inputs):
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    take_steps(model, inputs, dict(model.named_parameters()))


def differs(seen, plain):
    """Whether anything that is seen with the lifecycle is other than without it, to the bit."""
    points = seen.keys() & plain.keys()
    try:
        return any(differ(*pair) for point in points for pair in pairs(seen[point], plain[point]))
    except ValueError:
        return True


def differ(one, other):
    same = torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)) and torch.equal(one.signbit(), other.signbit())
    return not same


def run_pt2e(inputs, lifecycle=True):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    model = capture(model, inputs)
    names = float_names(model)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_qat=True))
    model = prepare_qat_pt2e(model, quantizer)
    seen["prepare"] = forward(model, inputs)
    frozen = freeze_exported_batch_norms(model)


    def evaluate():
        model.apply(disable_observer)
        move_exported_model_to_eval(model)
        with torch.no_grad():
            forward(model, inputs)
        move_exported_model_to_train(model)
        model.apply(enable_observer)


    seen |= train(model, inputs, names, evaluate if lifecycle else None)
    move_exported_model_to_eval(model)
    converted = convert_pt2e(model)
    with torch.no_grad():
        seen["convert"] = forward(converted, inputs)
    return seen, converted


def run_fx(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    names = float_names(model)
    qconfigs = QConfigMapping().set_global(default_per_channel_symmetric_qnnpack_qat_qconfig)
    backend_config = get_qnnpack_backend_config()
    model = prepare_qat_fx(model, qconfigs, inputs, backend_config=backend_config)
    seen["prepare"] = forward(model, inputs)
    model.apply(freeze_bn_stats)


    def evaluate():
        model.apply(torch.ao.quantization.disable_observer)
        model.eval()
        forward(model, inputs)
        model.train()
        model.apply(torch.ao.quantization.enable_observer)


    seen |= train(model, inputs, names, evaluate)
    model.eval()
    converted = _convert_to_reference_decomposed_fx(model, backend_config=backend_config)
    seen["convert"] = forward(converted, inputs)
    return seen, converted


def float_outputs(inputs):
    """Those of the float model in evaluation, after the training that the quantized ones get."""
    model = float_model()
    with torch.no_grad():
        forward(model, inputs)
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
    if name in ["pt2e"] and differs(seen[name], run(inputs, lifecycle=False)[0]):
        print(f"{name}: it gives other values than without eval_and_train")
points = {
    "prepare": "after prepare",
    "train_loss": "in the loss of training",
    "train_gradients": "in the gradients of the first step",
    "train_parameters": "in the parameters after training",
    "train_statistics": "in the batch norms' statistics after training",
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
