"""Single ops of aten that a declared quantizer annotates, as source; the counterpart of pipelines.aten_ops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qatrix.declare.source.text import call_text
from qatrix.declare.spec import OpSpec, OpTensor, QuantizerSpec, SharedSpec, TensorSpec
from qatrix.scripts import literal

_INPUTS: Final = '''
def inputs_of(node):
    """The nodes that an op is given, those inside a list too, by the names of its arguments."""
    names = [item.name for item in node.target._schema.arguments]
    given = {**dict(zip(names, node.args)), **node.kwargs}
    found = {name: [] for name in given}
    for name, value in given.items():
        torch.fx.node.map_arg(value, found[name].append)
    return {name: nodes for name, nodes in found.items() if nodes}
'''
_IN_ORDER: Final = (
    "    inputs = {source: specs[name] for name, sources in given.items() if name in specs for source in sources}"
)
_USUAL: Final = '''
def usual_inputs(given):
    """Weights by their own spec, biases in float, other tensors of numbers as activations."""
    specs = {{"weight": {weight}, "bias": None}}
    pairs = [(name, source) for name, sources in given.items() for source in sources]
    floating = [pair for pair in pairs if pair[1].meta["val"].is_floating_point()]
    found = {{source: specs.get(name, {activation}) for name, source in floating}}
    return {{source: spec for source, spec in found.items() if spec is not None}}
'''


def own_specs(spec: QuantizerSpec) -> Iterator[tuple[str, TensorSpec]]:
    """The specs that single tensors of ops have, by the names that the script gives them."""
    for number, op in enumerate(spec.ops, start=1):
        tensors = {**(op.inputs or {}), "output": op.output}
        for name, tensor in tensors.items():
            if isinstance(tensor, TensorSpec):
                yield _name(number, name), tensor


def op_helpers(spec: QuantizerSpec) -> Iterator[str]:
    """The functions that the loops over ops call."""
    if spec.ops:
        yield _INPUTS
    if any(op.inputs is None for op in spec.ops):
        yield _USUAL.format(activation=_named("activation", spec), weight=_named("weight", spec))


def annotated_ops(spec: QuantizerSpec) -> Iterator[str]:
    """The loops over the calls of each op."""
    for number, op in enumerate(spec.ops, start=1):
        yield "for node in list(model.graph.nodes):"
        yield f"    if node.target is not torch.ops.{op.op} or is_taken(node):"
        yield "        continue"
        yield "    given = inputs_of(node)"
        lenders = list(dict.fromkeys(_lenders(op)))
        if lenders:
            yield f"    if not {{{', '.join(map(literal, lenders))}}} <= given.keys():"
            yield "        continue"
        yield from _inputs(number, op, spec)
        yield from _annotation(number, op, spec)


def _inputs(number: int, op: OpSpec, spec: QuantizerSpec) -> Iterator[str]:
    if op.inputs is None:
        yield "    inputs = usual_inputs(given)"
        return
    found = {name: _made(number, name, tensor, spec) for name, tensor in op.inputs.items()}
    specs = ", ".join(f"{literal(name)}: {text}" for name, text in found.items() if text != "None")
    yield f"    specs = {{{specs}}}"
    borrowers = [literal(name) for name, tensor in op.inputs.items() if isinstance(tensor, SharedSpec)]
    if not borrowers:
        yield _IN_ORDER
        return
    yield "    # Who lends its parameters stands first, because prepare shares with what it has seen."
    yield f"    names = sorted(filter(specs.__contains__, given), key=lambda name: name in {{{', '.join(borrowers)}}})"
    yield "    inputs = {source: specs[name] for name in names for source in given[name]}"


def _annotation(number: int, op: OpSpec, spec: QuantizerSpec) -> Iterator[str]:
    default: OpTensor = "float" if spec.is_dynamic else "activation"
    output = _made(number, "output", default if op.output is None else op.output, spec)
    arguments = [
        "input_qspec_map=inputs",
        *([] if output == "None" else [f"output_qspec={output}"]),
        *([] if op.implicit_sharing else ["allow_implicit_sharing=False"]),
        "_annotated=True",
    ]
    made = call_text(
        "QuantizationAnnotation", arguments, indent=8, prefix='    node.meta["quantization_annotation"] = '
    )
    first, *rest = made.split("\n")
    yield first
    yield from (line[4:] for line in rest)


def _made(number: int, name: str, tensor: OpTensor, spec: QuantizerSpec) -> str:
    """The expression of a tensor's spec, None where it stays in float."""
    if isinstance(tensor, SharedSpec):
        return f"SharedQuantizationSpec((given[{literal(tensor.shared_with)}][0], node))"
    return _name(number, name) if isinstance(tensor, TensorSpec) else _named(tensor, spec)


def _named(tensor: str, spec: QuantizerSpec) -> str:
    known = {"activation": spec.activation, "weight": spec.weight}
    return tensor.upper() if known.get(tensor) is not None else "None"


def _name(number: int, name: str) -> str:
    return f"OP_{number}_{name.upper()}"


def _lenders(op: OpSpec) -> Iterator[str]:
    tensors = (*(op.inputs or {}).values(), op.output)
    yield from (tensor.shared_with for tensor in tensors if isinstance(tensor, SharedSpec))
