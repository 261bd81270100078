"""Exported programs as runtimes are given them: flat inputs, flat outputs, and what of them is quantized.

What a program quantizes is what its quantizer annotated, where PT2E's notes of it are there, and else what stands
between dequantize and quantize ops.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export._tree_utils import reorder_kwargs
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program

_ANNOTATION: Final = "quantization_annotation"
# What puts values elsewhere and computes none, by the names of torch's ops; runtimes do it in any type.
_MOVING: Final = frozenset(
    "alias chunk clone contiguous copy detach dropout expand flatten getitem permute repeat reshape select slice split"
    " split_with_sizes squeeze t to transpose unbind unflatten unsqueeze view _unsafe_view _to_copy".split()
)
# What runtimes compute together with the op before it.
_ACTIVATIONS: Final = frozenset("clamp hardtanh relu relu6".split())
# What paths begin with up to torch 2.6, where they are Python that reads the module, and the names in them.
_OLD: Final = ("L['", "getattr(")
_PARTS: Final = re.compile(r"\.(\w+)|, '([^']+)'|\['?(\w+)'?\]")
# The module that a rewriting of PT2E made an op in, which is no part of the model.
_REWRITING: Final = ".pt2e.export_utils."


@dataclass(frozen=True, kw_only=True)
class QuantizedOp:
    """An op of a program that its quantizer quantizes: what it is called and in which layer."""

    op: str
    layer: str


def exported(program: Program) -> ExportedProgram:
    """The program as `torch.export` gives it, with free axes where it has them."""
    return torchenv.exported(program.module, program.inputs, dynamic_batch=program.dynamic_batch)


def flat_inputs(program: ExportedProgram, inputs: Inputs) -> list[Tensor]:
    """The tensors of a call in the order in which the program takes them; copies, which a runtime may write to."""
    given = inputs.copies()
    kwargs = reorder_kwargs(dict(given.kwargs), program.call_spec.in_spec)
    return [leaf for leaf in pytree.tree_leaves((given.args, kwargs)) if isinstance(leaf, Tensor)]


def restored(program: ExportedProgram, outputs: Sequence[Tensor]) -> object:
    """A flat list of tensors in the structure of the program's outputs, with the values that are no tensors."""
    wanted = [spec.arg for spec in program.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    tensors = [argument for argument in wanted if isinstance(argument, TensorArgument)]
    if len(outputs) == len(wanted):
        leaves: list[Any] = list(outputs)
    elif len(outputs) == len(tensors):
        left = iter(outputs)
        leaves = [
            next(left) if isinstance(argument, TensorArgument) else getattr(argument, "value", None)
            for argument in wanted
        ]
    else:
        msg = f"the runtime gave {len(outputs)} outputs where the program has {len(tensors)} tensors"
        raise ValueError(msg)
    return pytree.tree_unflatten(leaves, program.call_spec.out_spec)


def origin(node: fx.Node) -> str:
    """The name that a node had in the program which the quantizer saw, whatever lowerings made of it since."""
    name, sources = node.name, node.meta.get("from_node") or ()
    while sources:
        name, sources = sources[-1].name, sources[-1].from_node or ()
    return name


def op_name(node: fx.Node) -> str:
    """An op's name without its namespace and overload: "conv2d" for aten.conv2d.default."""
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        return str(schema.name).rpartition("::")[2]
    return str(getattr(node.target, "__name__", node.target))


def layer_of(path_and_kinds: Sequence[tuple[str, str]], name: str) -> str:
    """The layer of the float model that an op belongs to: a layer of torch, else the op itself in its module.

    `path_and_kinds` are the modules around it, the outermost first, each with its path and the name of its class.
    """
    path, kind = path_and_kinds[-1] if path_and_kinds else ("", "")
    if path and kind.startswith("torch.nn.") and ".container." not in kind:
        return path
    return f"{path}.{name}" if path else name


def plain_path(path: str) -> str:
    """A module's path: "conv" for the "conv@1" of a second call, and for "L['self'].conv" of torch 2.6 and earlier."""
    path = path.partition("@")[0]
    if not path.startswith(_OLD):
        return path
    parts = ("".join(found) for found in _PARTS.findall(path.partition("]")[2]))
    return ".".join(part for part in parts if part != "_modules")


def modules_around(node: fx.Node) -> list[tuple[str, str]]:
    """The modules around a node, the outermost first; none where a rewriting made it."""
    found = [(plain_path(str(path)), _class_name(kind)) for path, kind in _stack(node)]
    return [] if found and _REWRITING in found[-1][1] else found


def is_dequantize(node: object) -> bool:
    """Whether this gives floating point for integers."""
    return isinstance(node, fx.Node) and node.op == "call_function" and op_name(node).startswith("dequantize_")


def is_quantize(node: object) -> bool:
    """Whether this gives integers for floating point."""
    return isinstance(node, fx.Node) and node.op == "call_function" and op_name(node).startswith("quantize_")


def is_computing(node: fx.Node) -> bool:
    """Whether this computes, and neither moves values nor changes how they are held."""
    return (
        node.op == "call_function"
        and not (is_quantize(node) or is_dequantize(node))
        and not op_name(node).startswith("choose_qparams")
        and op_name(node).removesuffix("_copy") not in _MOVING
    )


def constants(program: ExportedProgram) -> frozenset[str]:
    """The placeholders that stand for weights and other tensors of the program's own."""
    specs = program.graph_signature.input_specs
    return frozenset(spec.arg.name for spec in specs if spec.kind != InputKind.USER_INPUT)


def constant_nodes(graph: fx.Graph, own: Collection[str]) -> frozenset[fx.Node]:
    """The nodes of a graph that depend on the program's `own` tensors alone."""
    found: set[fx.Node] = set()
    # Each node comes after all that it reads; from node to node there are too many ways in a deep model.
    for node in graph.nodes:
        if node.name in own if node.op == "placeholder" else found.issuperset(node.all_input_nodes):
            found.add(node)
    return frozenset(found)


def quantized_ops(program: ExportedProgram, converted: nn.Module) -> Mapping[str, QuantizedOp]:
    """The ops that are quantized, by their `origin`; an activation behind one of them is part of it."""
    constant, annotated = constant_nodes(program.graph, constants(program)), _annotated(converted)
    return {
        origin(node): QuantizedOp(
            op=op_name(node),
            layer=layer_of(modules_around(node) or _owners(program, node), origin(node)),
        )
        for node in program.graph.nodes
        if is_computing(node) and _is_quantized(node, constant) and (annotated is None or origin(node) in annotated)
    }


def _stack(node: fx.Node) -> Iterator[tuple[str, Any]]:
    yield from (node.meta.get("nn_module_stack") or {}).values()


def _class_name(kind: object) -> str:
    return kind if isinstance(kind, str) else f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}"


def _annotated(converted: nn.Module) -> frozenset[str] | None:
    """The origins of what a quantizer of PT2E annotated; None where there are no notes, as those of FX."""
    if not isinstance(converted, fx.GraphModule):
        return None
    noted = {
        origin(node)
        for node in converted.graph.nodes
        if (note := node.meta.get(_ANNOTATION)) is not None and getattr(note, "_annotated", True)
    }
    return frozenset(noted) or None


def _is_quantized(node: fx.Node, constant: Collection[fx.Node]) -> bool:
    """Whether what varies among its inputs is dequantized, and its weights or its output are quantized, too."""
    values = [source for source in node.all_input_nodes if source not in constant]
    if not values or not all(map(is_dequantize, values)):
        return False
    weights = any(is_dequantize(source) for source in node.all_input_nodes if source not in values)
    return weights or _is_quantized_after(node)


def _is_quantized_after(node: fx.Node) -> bool:
    users = list(node.users)
    if len(users) == 1 and op_name(users[0]) in _ACTIVATIONS:
        users = list(users[0].users)
    return bool(users) and all(map(is_quantize, users))


def _owners(program: ExportedProgram, node: fx.Node) -> list[tuple[str, str]]:
    """The module whose parameters a node reads, for one that a rewriting made."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    read = (names.get(source.name, "") for source in node.all_input_nodes)
    owners = {name.rpartition(".")[0] for name in read if "." in name}
    return [(owners.pop(), f"{nn.__name__}.")] if len(owners) == 1 else []
