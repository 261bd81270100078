# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: A deep copy of a program that is prepared for dynamic quantization cannot be converted
#
# What is wrong: pt2e failed at convert: Exception: An error occurred when running the
# 'PortNodeMetaForQDQ' pass after the following passes: [].
#
# case      lifecycle_dynamic/linear_relu/lifecycle=deepcopy,quantizer=int8_dynamic,device=cpu
# command   qatrix repro 'lifecycle_dynamic/linear_relu/lifecycle=deepcopy,quantizer=int8_dynamic,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
#
# It prints
#     pt2e: failed at convert: Exception: An error occurred when running the 'PortNodeMetaForQDQ' pass after the following passes: []
#     after prepare: max abs difference 0.0, 0 of 12 values out of tolerance
#     fx: SQNR 42.354210164316626 dB

import copy
import math
import operator
import textwrap
import traceback
import warnings

import torch
from torch import nn
from torch.ao.quantization import QConfig, QConfigMapping
from torch.ao.quantization.backend_config import BackendConfig, DTypeConfig
from torch.ao.quantization.backend_config._common_operator_config_utils import _get_linear_configs
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx, prepare_fx
from torchao.quantization.pt2e import PerChannelMinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class LinearRelu(nn.Module):
    """Linear relu."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.fc(x))


LINEAR = {"linear"}
RELU = {"relu", "relu_"}
ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    is_dynamic=True,
    observer_or_fake_quant_ctr=PlaceholderObserver,
)
WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(ch_axis=0),
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


class Int8DynamicQuantizer(Quantizer):
    def annotate(self, model):
        for linear, relu in list(chains(model.graph, LINEAR, RELU)):
            if is_taken(linear) or is_taken(relu):
                continue
            inputs = {linear.args[0]: ACTIVATION, linear.args[1]: WEIGHT}
            linear.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
            relu.meta["quantization_annotation"] = QuantizationAnnotation(_annotated=True)
        for (linear,) in list(chains(model.graph, LINEAR)):
            if is_taken(linear):
                continue
            inputs = {linear.args[0]: ACTIVATION, linear.args[1]: WEIGHT}
            linear.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
        return model

    def validate(self, model):
        pass


def shape_of(config):
    """Whether a backend pattern has a batch norm and a ReLU in it; fused modules tell by their names."""
    text = str(config.pattern).lower()
    return "bn" in text or "batchnorm" in text, "relu" in text


dtypes = DTypeConfig(
    input_dtype=torch.qint8,
    output_dtype=torch.float,
    weight_dtype=torch.qint8,
    bias_dtype=torch.float,
    is_dynamic=True,
)
patterns = [*_get_linear_configs([dtypes])]
qconfig = QConfig(
    activation=torch.ao.quantization.PlaceholderObserver.with_args(
        dtype=torch.qint8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        is_dynamic=True,
    ),
    weight=torch.ao.quantization.PerChannelMinMaxObserver.with_args(
        ch_axis=0,
        dtype=torch.qint8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
    ),
)


def float_model():
    torch.manual_seed(1424559548)
    return LinearRelu()


def inputs_of_the_case():
    torch.manual_seed(1424559548)
    return (torch.randn(3, 8),)


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
    seen, converted, stage = {}, None, "build"
    try:
        model = float_model()
        model.eval()
        stage = "capture"
        model = capture(model, inputs)
        stage = "prepare"
        quantizer = Int8DynamicQuantizer()
        model = prepare_pt2e(model, quantizer)
        stage = "deepcopy"
        copied_program = copy.deepcopy(model)
        model = copied_program
        stage = "forward"
        with torch.no_grad():
            seen["prepare"] = forward(model, inputs)
        stage = "convert"
        converted = convert_pt2e(model)
        stage = "deepcopy"
        copied_program = copy.deepcopy(converted)
        converted = copied_program
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
    qconfigs = QConfigMapping().set_global(qconfig)
    backend_config = BackendConfig("int8_dynamic").set_backend_pattern_configs(
        [config for config in patterns if shape_of(config) in {(False, False), (False, True)}],
    )
    model = prepare_fx(model, qconfigs, inputs, backend_config=backend_config)
    copied_program = copy.deepcopy(model)
    model = copied_program
    seen["prepare"] = forward(model, inputs)
    converted = _convert_to_reference_decomposed_fx(model, backend_config=backend_config)
    copied_program = copy.deepcopy(converted)
    converted = copied_program
    seen["convert"] = forward(converted, inputs)
    return seen, converted


def float_outputs(inputs):
    """Those of the float model in evaluation."""
    model = float_model()
    with torch.no_grad():
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


inputs = inputs_of_the_case()
reference = float_outputs(inputs)
seen, converted = {}, {}
for name, run in {"pt2e": run_pt2e, "fx": run_fx}.items():
    seen[name], converted[name] = run(inputs)
if "prepare" in seen["pt2e"] and "prepare" in seen["fx"]:
    compare("after prepare", seen["pt2e"]["prepare"], seen["fx"]["prepare"])
for name in converted:
    if "convert" in seen[name]:
        print_sqnr(name, reference, seen[name]["convert"])
