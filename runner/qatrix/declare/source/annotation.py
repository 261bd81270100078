"""A declared quantizer for PT2E, as the class that one would write for it by hand: only what this one needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from qatrix.declare.source.aten_ops import annotated_ops, op_helpers, own_specs
from qatrix.declare.source.names import Names
from qatrix.declare.source.observers import constructor_call, range_arguments
from qatrix.declare.source.text import call_text
from qatrix.declare.spec import DerivedSpec, QuantizerSpec, TensorSpec
from qatrix.scripts import QuantizerSource, literal

# As pipelines.annotation has them; in-place variants end in an underscore.
_OPS: Final = {
    "conv": [f"{name}{dim}d" for name in ("conv", "conv_transpose") for dim in (1, 2, 3)],
    "bn": ["batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"],
    "relu": ["relu", "relu_"],
    "linear": ["linear"],
    "add": ["add", "add_"],
    "mul": ["mul", "mul_"],
    "cat": ["cat"],
}
_WEIGHTED: Final = ("conv", "linear")
_CHAINS: Final = '''
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
'''
_TAKEN: Final = '''
def is_taken(node):
    """Whether a node is annotated already."""
    annotation = node.meta.get("quantization_annotation")
    return annotation is not None and annotation._annotated
'''
_TAKEN_OR_SKIPPED: Final = '''
def is_taken(node):
    """Whether a node is annotated already, or comes from a module that is to be left alone."""
    annotation = node.meta.get("quantization_annotation")
    kinds = [kind for _, kind in node.meta.get("nn_module_stack", {{}}).values()]
    names = {{kind if isinstance(kind, str) else f"{{kind.__module__}}.{{kind.__qualname__}}" for kind in kinds}}
    skipped = {{f"{{kind.__module__}}.{{kind.__qualname__}}" for kind in ({modules},)}}
    return (annotation is not None and annotation._annotated) or bool(names & skipped)
'''


def declared_pt2e(
    spec: QuantizerSpec, skip_modules: tuple[str, ...], *, names: Names, on_cpu: bool, is_member: bool = False
) -> QuantizerSource:
    """The definitions of a quantizer class for PT2E, and the line that makes one.

    A member of a composition heeds what others have annotated.
    """
    name = names.class_of_quantizer(spec.name)
    chains = sorted(spec.annotate, key=lambda chain: -chain.count("_"))
    checks = len(chains) > 1 or bool(skip_modules) or is_member or bool(spec.ops)
    sections = [
        *([_ops(chains)] if chains else []),
        *_specs(spec),
        *([_CHAINS] if chains else []),
        *_helpers(spec, skip_modules, checks=checks, on_cpu=on_cpu),
        *op_helpers(spec),
        "\n".join(_class(name, spec, chains, checks=checks)),
    ]
    return QuantizerSource(
        definitions=_spaced([text.strip("\n") for text in sections]), lines=(f"quantizer = {name}()",)
    )


def _spaced(sections: list[str]) -> str:
    """Assignments on neighbouring lines, functions and classes two lines apart."""
    text = sections[0]
    for before, section in itertools.pairwise(sections):
        assigned = not before.startswith(("def", "class")) and not section.startswith(("def", "class"))
        text += ("\n" if assigned else "\n\n\n") + section
    return text


def _helpers(spec: QuantizerSpec, skip_modules: tuple[str, ...], *, checks: bool, on_cpu: bool) -> Iterator[str]:
    if spec.bias is not None:
        yield "\n".join(_scale_product(spec.bias, on_cpu=on_cpu))
    if skip_modules:
        yield _TAKEN_OR_SKIPPED.format(modules=", ".join(f"nn.{module}" for module in skip_modules))
    elif checks:
        yield _TAKEN


def _ops(chains: list[str]) -> str:
    parts = dict.fromkeys(part for chain in chains for part in chain.split("_"))
    return "\n".join(f"{part.upper()} = {{{', '.join(map(literal, _OPS[part]))}}}" for part in parts)


def _specs(spec: QuantizerSpec) -> Iterator[str]:
    # One object each: PT2E lets a producer and its consumers share an observer where their specs are equal.
    for name, tensor in (("ACTIVATION", spec.activation), ("WEIGHT", spec.weight), *own_specs(spec)):
        if tensor is not None:
            arguments = _spec_arguments(spec, tensor)
            kind = "QuantizationSpec" if tensor.scale is None else "FixedQParamsQuantizationSpec"
            yield call_text(kind, arguments, prefix=f"{name} = ")


def _spec_arguments(spec: QuantizerSpec, tensor: TensorSpec) -> list[str]:
    if tensor.scale is not None:
        return [
            *range_arguments(tensor, tensor.dtype),
            f"scale={literal(tensor.scale)}",
            f"zero_point={tensor.zero_point or 0}",
        ]
    if tensor.group_size is not None:
        return _grouped_arguments(tensor)
    mode = spec.mode_of(tensor)
    function, arguments = constructor_call(tensor, mode)
    prefix = "observer_or_fake_quant_ctr="
    made = call_text(function, arguments, indent=4, prefix=prefix) if arguments else f"{prefix}{function}"
    return [
        f"dtype=torch.{tensor.dtype}",
        f"quant_min={tensor.quant_min}",
        f"quant_max={tensor.quant_max}",
        f"qscheme=torch.{tensor.qscheme}",
        *([] if tensor.ch_axis is None else [f"ch_axis={tensor.ch_axis}"]),
        *(["is_dynamic=True"] if mode == "dynamic" or tensor.dynamic else []),
        made,
    ]


def _grouped_arguments(tensor: TensorSpec) -> list[str]:
    """A scale for each group of values along the last axis; the counterpart of pipelines.groups."""
    kind = "SYMMETRIC" if tensor.qscheme.endswith("symmetric") else "ASYMMETRIC"
    eps = "torch.finfo(torch.float32).eps" if tensor.eps is None else literal(tensor.eps)
    arguments = [
        f"mapping_type=MappingType.{kind}",
        f"target_dtype=torch.{tensor.dtype}",
        f"granularity=PerGroup({tensor.group_size})",
        f"eps={eps}",
        "scale_dtype=torch.float32",
        "zero_point_dtype=torch.int32",
    ]
    prefix = "observer_or_fake_quant_ctr="
    return [
        f"dtype=torch.{tensor.dtype}",
        f"quant_min={tensor.quant_min}",
        f"quant_max={tensor.quant_max}",
        call_text("AffineQuantizedMinMaxObserver.with_args", arguments, indent=4, prefix=prefix),
    ]


def _scale_product(bias: DerivedSpec, *, on_cpu: bool) -> Iterator[str]:
    yield "def scale_product(observers):"
    yield '    """The scale and zero point of a bias: the product of the scales that it derives from, and 0."""'
    yield "    scale = torch.ones(1)"
    yield "    for observer in observers:"
    yield f"        scale = scale * observer.calculate_qparams()[0]{'' if on_cpu else '.cpu()'}"
    if not bias.qscheme.startswith("per_channel"):
        yield "    scale = scale.reshape(1).to(torch.float32)"
    yield "    return scale, torch.zeros_like(scale, dtype=torch.int32)"


def _class(name: str, spec: QuantizerSpec, chains: list[str], *, checks: bool) -> Iterator[str]:
    yield f"class {name}(Quantizer):"
    yield "    def annotate(self, model):"
    for chain in chains:
        yield from (f"        {line}" for line in _annotated(spec, chain, checks=checks))
    yield from (f"        {line}" for line in annotated_ops(spec))
    yield "        return model"
    yield ""
    yield "    def validate(self, model):"
    yield "        pass"


def _annotated(spec: QuantizerSpec, chain: str, *, checks: bool) -> Iterator[str]:
    """The loop over the runs of one chain."""
    parts = chain.split("_")
    nodes = ", ".join(parts) if len(parts) > 1 else f"({parts[0]},)"
    yield f"for {nodes} in list(chains(model.graph, {', '.join(part.upper() for part in parts)})):"
    if checks:
        yield f"    if {' or '.join(f'is_taken({part})' for part in parts)}:"
        yield "        continue"
    yield from (f"    {line}" for line in _inputs(spec, parts[0]))
    output = [] if spec.activation is None or spec.is_dynamic else ["output_qspec=ACTIVATION"]
    if chain in spec.shared:
        yield "    first, *others = inputs"
        yield f"    shared = SharedQuantizationSpec((first, {parts[0]}))"
        yield "    inputs |= dict.fromkeys(others, shared)"
        output = ["output_qspec=shared"]
    for part in parts:
        told = ["input_qspec_map=inputs"] if part == parts[0] else []
        yield from _annotation(part, [*told, *(output if part == parts[-1] else [])])


def _annotation(node: str, arguments: list[str]) -> Iterator[str]:
    prefix = f'    {node}.meta["quantization_annotation"] = '
    made = call_text("QuantizationAnnotation", [*arguments, "_annotated=True"], indent=8, prefix=prefix)
    # It was laid out for the place where it will stand, eight columns further right.
    first, *rest = made.split("\n")
    yield first
    yield from (line[4:] for line in rest)


def _inputs(spec: QuantizerSpec, anchor: str) -> Iterator[str]:
    """The lines that make `inputs`, the spec of each input of the chain's first node."""
    if anchor not in _WEIGHTED:
        quantized = f"dict.fromkeys({anchor}.all_input_nodes, ACTIVATION)"
        yield f"inputs = {quantized if spec.activation is not None else '{}'}"
        return
    known = (("ACTIVATION", spec.activation), ("WEIGHT", spec.weight))
    pairs = [f"{anchor}.args[{place}]: {name}" for place, (name, tensor) in enumerate(known) if tensor is not None]
    yield f"inputs = {{{', '.join(pairs)}}}"
    if spec.bias is not None:
        yield f"if len({anchor}.args) > 2 and {anchor}.args[2] is not None:"
        yield from (f"    {line}" for line in _derived(spec.bias, anchor).split("\n"))


def _derived(bias: DerivedSpec, anchor: str) -> str:
    places = {"activation": 0, "weight": 1}
    sources = ", ".join(f"({anchor}.args[{places[name]}], {anchor})" for name in bias.derived_from)
    arguments = [
        f"derived_from=[{sources}]",
        "derive_qparams_fn=scale_product",
        f"dtype=torch.{bias.dtype}",
        f"quant_min={bias.quant_min}",
        f"quant_max={bias.quant_max}",
        f"qscheme=torch.{bias.qscheme}",
        *([] if bias.ch_axis is None else [f"ch_axis={bias.ch_axis}"]),
    ]
    return call_text("DerivedQuantizationSpec", arguments, prefix=f"inputs[{anchor}.args[2]] = ")
