# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: torch.ao's fusion leaves annotations that name replaced nodes
#
# What is wrong: pt2e_torch_ao failed at prepare: KeyError: (batch_norm_2, cat).
#
# case      two_pt2e_shared_qspec/conv_bn_pairs_cat/dim=2,quantizer=conv_bn_cat_shared_qat,device=cpu
# command   qatrix repro 'two_pt2e_shared_qspec/conv_bn_pairs_cat/dim=2,quantizer=conv_bn_cat_shared_qat,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.9.1, torchao 0.17.0, torchvision 0.24.1, numpy 2.4.6, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     pt2e_torch_ao: failed at prepare: KeyError: (batch_norm_2, cat)
#     pt2e: SQNR 38.207907277870554 dB

import math
import operator
import textwrap
import traceback
import warnings

import torch
from torch import nn
from torchao.quantization.pt2e import (
    FusedMovingAvgObsFakeQuantize,
    MovingAverageMinMaxObserver,
    move_exported_model_to_eval,
)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class ConvBnPairsCat(nn.Module):
    """Two conv-bn pairs side by side, concatenated."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3)
        self.bn1 = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 3, 3)
        self.bn2 = nn.BatchNorm2d(3)

    def forward(self, x):
        left = self.bn1(self.conv1(x))
        right = self.bn2(self.conv2(x))
        return torch.cat((left, right), 1)


CONV = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
BN = {"batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"}
CAT = {"cat"}
ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver),
)
WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_tensor_symmetric,
    observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver),
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


def is_taken(node):
    """Whether a node is annotated already."""
    annotation = node.meta.get("quantization_annotation")
    return annotation is not None and annotation._annotated


class ConvBnCatSharedQatQuantizer(Quantizer):
    def annotate(self, model):
        for conv, bn in list(chains(model.graph, CONV, BN)):
            if is_taken(conv) or is_taken(bn):
                continue
            inputs = {conv.args[0]: ACTIVATION, conv.args[1]: WEIGHT}
            conv.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
            bn.meta["quantization_annotation"] = QuantizationAnnotation(output_qspec=ACTIVATION, _annotated=True)
        for (cat,) in list(chains(model.graph, CAT)):
            if is_taken(cat):
                continue
            inputs = dict.fromkeys(cat.all_input_nodes, ACTIVATION)
            first, *others = inputs
            shared = SharedQuantizationSpec((first, cat))
            inputs |= dict.fromkeys(others, shared)
            cat.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map=inputs,
                output_qspec=shared,
                _annotated=True,
            )
        return model

    def validate(self, model):
        pass


def float_model():
    torch.manual_seed(346224506)
    return ConvBnPairsCat()


def inputs_of_the_case():
    torch.manual_seed(346224506)
    return (torch.randn(1, 3, 5, 5),)


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
    quantizer = ConvBnCatSharedQatQuantizer()
    model = prepare_qat_pt2e(model, quantizer)
    seen["prepare"] = forward(model, inputs)
    move_exported_model_to_eval(model)
    converted = convert_pt2e(model)
    seen["convert"] = forward(converted, inputs)
    return seen, converted


def run_pt2e_torch_ao(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    
    from torch.ao.quantization import (
        FusedMovingAvgObsFakeQuantize,
        MovingAverageMinMaxObserver,
        move_exported_model_to_eval,
    )
    from torch.ao.quantization.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
    from torch.ao.quantization.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer, SharedQuantizationSpec
    seen, converted, stage = {}, None, "build"
    try:
        model = float_model()
        stage = "capture"
        model = capture(model, inputs)
        stage = "prepare"
        CONV = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
        BN = {"batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"}
        CAT = {"cat"}
        ACTIVATION = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-128,
            quant_max=127,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver),
        )
        WEIGHT = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-127,
            quant_max=127,
            qscheme=torch.per_tensor_symmetric,
            observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver),
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


        def is_taken(node):
            """Whether a node is annotated already."""
            annotation = node.meta.get("quantization_annotation")
            return annotation is not None and annotation._annotated


        class ConvBnCatSharedQatQuantizer(Quantizer):
            def annotate(self, model):
                for conv, bn in list(chains(model.graph, CONV, BN)):
                    if is_taken(conv) or is_taken(bn):
                        continue
                    inputs = {conv.args[0]: ACTIVATION, conv.args[1]: WEIGHT}
                    conv.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
                    bn.meta["quantization_annotation"] = QuantizationAnnotation(output_qspec=ACTIVATION, _annotated=True)
                for (cat,) in list(chains(model.graph, CAT)):
                    if is_taken(cat):
                        continue
                    inputs = dict.fromkeys(cat.all_input_nodes, ACTIVATION)
                    first, *others = inputs
                    shared = SharedQuantizationSpec((first, cat))
                    inputs |= dict.fromkeys(others, shared)
                    cat.meta["quantization_annotation"] = QuantizationAnnotation(
                        input_qspec_map=inputs,
                        output_qspec=shared,
                        _annotated=True,
                    )
                return model

            def validate(self, model):
                pass

        quantizer = ConvBnCatSharedQatQuantizer()
        model = prepare_qat_pt2e(model, quantizer)
        stage = "forward"
        seen["prepare"] = forward(model, inputs)
        stage = "convert"
        move_exported_model_to_eval(model)
        converted = convert_pt2e(model)
        stage = "quantized_forward"
        seen["convert"] = forward(converted, inputs)
    except Exception as error:
        report("pt2e_torch_ao", stage, error)
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
for name, run in {"pt2e": run_pt2e, "pt2e_torch_ao": run_pt2e_torch_ao}.items():
    seen[name], converted[name] = run(inputs)
for name in converted:
    if "convert" in seen[name]:
        print_sqnr(name, reference, seen[name]["convert"])
