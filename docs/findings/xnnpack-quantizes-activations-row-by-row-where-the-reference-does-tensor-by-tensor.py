# Written by qatrix findings, which replaces and removes it: change a copy.
# Cause: XNNPACK quantizes activations row by row where the reference does tensor by tensor
#
# What is wrong: pt2e on executorch is 0.00454 off its reference; pt2e on executorch has 46.8 dB
# against the float model, and its reference 43.7 dB.
#
# case      deployed_dynamic/one_linear/quantizer=xnnpack_int8_per_channel_dynamic,runtime=executorch,device=cpu
# command   qatrix repro 'deployed_dynamic/one_linear/quantizer=xnnpack_int8_per_channel_dynamic,runtime=executorch,device=cpu'    (qatrix 0.1.0)
# versions  torch 2.15.0, torchao 0.18.0, torchvision 0.29.2, numpy 2.4.6, executorch 1.5.1, onnx
#           1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11.7,
#           Linux-6.18.44-fc-v669-x86_64-with-glibc2.36, x86_64 AVX512, 2 cores
# needs     executorch: pip install "qatrix[executorch]" brings it
#
# It prints
#     pt2e and pt2e on executorch after lowering: max abs difference 0.004544943571090698
#     pt2e: SQNR 43.68044882782335 dB
#     pt2e on executorch: SQNR 46.83647863080593 dB

import math
import warnings

import torch
import torch.utils._pytree as pytree
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import nn
from torch.export._tree_utils import reorder_kwargs
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

# One thread, as in the run: sums over several come out in another order.
torch.set_num_threads(1)
warnings.simplefilter("ignore")


class OneLinear(nn.Module):
    """Linear."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(x)


def float_model():
    torch.manual_seed(1803544249)
    return OneLinear()


def inputs_of_the_case():
    torch.manual_seed(1803544249)
    return (torch.randn(3, 8),)


def forward(model, inputs, seed=100):
    torch.manual_seed(seed)
    return model(*(tensor.clone() for tensor in inputs))


def capture(model, inputs):
    """The exported model, in the mode (train or eval) that it is in."""
    return torch.export.export(model, inputs, strict=True).module()


def exported(program, args, kwargs, **options):
    return torch.export.export(program, args, kwargs, **options)


def tensors_of(source, args, kwargs):
    """The tensors of a call, in the order in which an exported program takes them."""
    leaves = pytree.tree_leaves((args, reorder_kwargs(kwargs, source.call_spec.in_spec)))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def with_structure_of(source, outputs):
    """Flat outputs, as the exported program returns them."""
    return pytree.tree_unflatten(list(outputs), source.call_spec.out_spec)


def lower_pt2e(program, args, kwargs):
    """The program in its runtime."""
    import executorch.kernels.quantized
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(1)
    source = exported(program, args, kwargs)
    edge = to_edge_transform_and_lower(source, partitioner=[XnnpackPartitioner()])
    loaded = Runtime.get().load_program(edge.to_executorch().buffer)
    method = loaded.load_method("forward")

    def run(*args, **kwargs):
        outputs = method.execute(tensors_of(source, args, kwargs))
        # The method needs the program that it comes from.
        assert loaded is not None
        return with_structure_of(source, outputs)

    return run


def run_pt2e(inputs):
    """Outputs by the point where they are compared, and the converted program."""
    seen = {}
    model = float_model()
    model.eval()
    model = capture(model, inputs)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True))
    model = prepare_pt2e(model, quantizer)
    with torch.no_grad():
        seen["prepare"] = forward(model, inputs)
    converted = convert_pt2e(model)
    with torch.no_grad():
        seen["convert"] = forward(converted, inputs)
    with torch.no_grad():
        lowered = lower_pt2e(converted, inputs, {})
        seen["lowered"] = forward(lowered, inputs)
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


def step_of(node):
    """The quantization step of a value, None where it is not quantized per tensor."""
    moving = """
        clone contiguous flatten getitem permute reshape slice squeeze transpose unsqueeze view _unsafe_view
    """
    while isinstance(node, torch.fx.Node):
        target = getattr(node.target, "overloadpacket", node.target)
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        if name == "dequantize_per_tensor":
            return node.args[1] if isinstance(node.args[1], (int, float)) else None
        if name not in moving.split():
            return None
        node = node.args[0]
    return None


def compare_lowered(names, outputs, programs):
    """How far two outputs are apart, also in steps, by the coarser of both programs'."""
    steps = []
    for name in names:
        output = next(node for node in programs[name].graph.nodes if node.op == "output")
        steps.append([step_of(leaf) for leaf in pytree.tree_leaves(output.args[0])])
    where = f"{names[0]} and {names[1]} after lowering"
    gaps = [gap(*pair)[0] for pair in pairs(*(outputs[name] for name in names))]
    known = [max((step for step in both if step), default=None) for both in zip(*steps)]
    apart = [greatest / step for greatest, step in zip(gaps, known) if step]
    told = f", {max(apart)!r} steps" if apart else ""
    print(f"{where}: max abs difference {max(gaps, default=0.0)!r}{told}")


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
sides = {"pt2e on executorch": "pt2e"}
outputs = {name: seen[name]["convert"] for name in seen if "convert" in seen[name]}
outputs |= {side: seen[name]["lowered"] for side, name in sides.items() if "lowered" in seen[name]}
programs = converted | {side: converted[name] for side, name in sides.items()}
for names in [("pt2e", "pt2e on executorch")]:
    if all(name in outputs for name in names):
        compare_lowered(names, outputs, programs)
for name in converted:
    print_sqnr(name, reference, seen[name]["convert"])
    if name == "pt2e" and "lowered" in seen[name]:
        print_sqnr("pt2e on executorch", reference, seen[name]["lowered"])
