# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: default_fake_quant leaves a bit unused whatever range is declared
#
# What is wrong: pt2e does not do what its quantizer says (check as_specified): x after prepare: its
# range of integers is uint8 from 0 to 127, and its quantizer has none such; conv.weight after
# prepare: its range of integers is uint8 from 0 to 127, and its quantizer has none such; bn after
# prepare: its range of integers is uint8 from 0 to 127, and its quantizer has none such.
#
# case      conv_bn_bias_derived_qspec/conv_bn/dim=1,quantizer=conv_bn_derived_bias_per_tensor_qat,device=cpu
# command   qatrix repro 'conv_bn_bias_derived_qspec/conv_bn/dim=1,quantizer=conv_bn_derived_bias_per_tensor_qat,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
# note      fx is left out: FX graph mode leaves biases in float: it has no derived quantization spec
#
# It prints
#     pt2e: SQNR 37.45966994295251 dB

import math
import operator
import textwrap
import warnings

import torch
from torch import nn
from torchao.quantization.pt2e import default_fake_quant, move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import (
    DerivedQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class ConvBn(nn.Module):
    """Convolution, batch norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 3)
        self.bn = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.bn(self.conv(x))


CONV = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
BN = {"batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"}
ACTIVATION = QuantizationSpec(
    dtype=torch.uint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=default_fake_quant,
)
WEIGHT = QuantizationSpec(
    dtype=torch.uint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=default_fake_quant,
)


def op_of(node):
    """The name of the aten op that a node calls, without its overload."""
    packet = getattr(node.target, "overloadpacket", None)
    return None if packet is None else packet.__name__


def output_of(node):
    """The node itself; of one with several outputs, as batch norm was before torch 2.7, what takes the first."""
    items = (user for user in node.users if user.target is operator.getitem and user.args[1] == 0)
    return next(items, node)


def chains(graph, *parts):
    """Every run of nodes with these ops, each the only user of the one before."""
    for node in graph.nodes:
        chain = []
        while op_of(node) in parts[len(chain)]:
            chain.append(output_of(node))
            if len(chain) == len(parts):
                yield chain
                break
            if len(chain[-1].users) != 1:
                break
            (node,) = chain[-1].users


def scale_product(observers):
    """The scale and zero point of a bias: the product of the scales that it derives from, and 0."""
    scale = torch.ones(1)
    for observer in observers:
        scale = scale * observer.calculate_qparams()[0]
    scale = scale.reshape(1).to(torch.float32)
    return scale, torch.zeros_like(scale, dtype=torch.int32)


class ConvBnDerivedBiasPerTensorQatQuantizer(Quantizer):
    def annotate(self, model):
        for conv, bn in list(chains(model.graph, CONV, BN)):
            inputs = {conv.args[0]: ACTIVATION, conv.args[1]: WEIGHT}
            if len(conv.args) > 2 and conv.args[2] is not None:
                inputs[conv.args[2]] = DerivedQuantizationSpec(
                    derived_from=[(conv.args[0], conv), (conv.args[1], conv)],
                    derive_qparams_fn=scale_product,
                    dtype=torch.int32,
                    quant_min=-2147483648,
                    quant_max=2147483647,
                    qscheme=torch.per_tensor_affine,
                )
            conv.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
            bn.meta["quantization_annotation"] = QuantizationAnnotation(output_qspec=ACTIVATION, _annotated=True)
        return model

    def validate(self, model):
        pass


def float_model():
    torch.manual_seed(1256567137)
    return ConvBn()


def inputs_of_the_case():
    torch.manual_seed(1256567137)
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
    quantizer = ConvBnDerivedBiasPerTensorQatQuantizer()
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
