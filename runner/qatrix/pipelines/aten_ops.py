"""Single ops of aten that a declared quantizer annotates: found in this torch, and in an exported program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from qatrix.declare.language import nearest
from qatrix.declare.spec import OpSpec, QuantizerSpec, SharedSpec
from qatrix.pipelines.torchenv import Pt2eApi


class OpFault(Exception):
    """A quantizer names an op that this torch does not have, or an input that the op does not have."""


def require_ops(quantizer: QuantizerSpec) -> None:
    """Raise OpFault where this torch lacks an op that a quantizer annotates, or the op an input that it names."""
    for member in quantizer.members:
        for op in member.ops:
            at = f"quantizer '{member.name}', ops"
            names = [item.name for item in _overload(op.op, at)._schema.arguments]
            for name in _named(op):
                if name not in names:
                    hint = nearest(name, names)
                    msg = (
                        f"{at}: {op.op} has no input '{name}'; "
                        f"expected one of {', '.join(names)}{f' ({hint})' if hint else ''}"
                    )
                    raise OpFault(msg)


def _named(op: OpSpec) -> Iterator[str]:
    """The inputs of an op that its declaration names."""
    yield from op.inputs or {}
    tensors = (*(op.inputs or {}).values(), op.output)
    yield from (tensor.shared_with for tensor in tensors if isinstance(tensor, SharedSpec))


def _overload(name: str, at: str) -> Any:
    _, packet, overload = name.split(".")
    found = getattr(getattr(torch.ops.aten, packet, None), overload, None)
    if not isinstance(found, torch._ops.OpOverload):
        hint = nearest(name, _known())
        msg = (
            f"{at}: torch {torch.__version__} has no op {name}; "
            "expected an op of torch.ops.aten with its overload, such as aten.silu.default"
            f"{f' ({hint})' if hint else ''}"
        )
        raise OpFault(msg)
    return found


def _known() -> list[str]:
    """The names of all ops of aten with their overloads."""
    schemas = (item.partition("::") for item in torch._C._dispatch_get_all_op_names())
    names = (name for space, _, name in schemas if space == "aten")
    return [f"aten.{name}" if "." in name else f"aten.{name}.default" for name in names]


@dataclass(frozen=True, kw_only=True)
class Specs:
    """The quantization specs of an op's inputs and output; SharedSpec where one is that of an input.

    `inputs` is None where `usual` has them by their names, and any other input that of activations.
    """

    inputs: Mapping[str, Any] | None
    output: Any
    usual: Mapping[str, Any]

    def of_input(self, name: str, node: fx.Node) -> Any:
        """What a node is quantized by that is given as an input, None where it is not."""
        if self.inputs is not None:
            return self.inputs.get(name)
        return self.usual.get(name, self.usual["activation"]) if _is_float(node) else None


@dataclass(frozen=True)
class OpAnnotation:
    """An op of a declared quantizer, with what its tensors are quantized by."""

    op: OpSpec
    specs: Specs

    def is_call(self, node: fx.Node) -> bool:
        """Whether a node calls the op, and has a tensor for each input whose parameters another tensor shares."""
        if node.op != "call_function" or str(node.target) != self.op.op:
            return False
        given = _inputs(node)
        return all(given.get(name) for name in self._lenders())

    def _lenders(self) -> Iterator[str]:
        tensors = (*(self.specs.inputs or {}).values(), self.specs.output)
        yield from (tensor.shared_with for tensor in tensors if isinstance(tensor, SharedSpec))

    def annotate(self, node: fx.Node, api: Pt2eApi) -> None:
        """Say of a call how its tensors are quantized."""
        given = _inputs(node)

        def made(spec: Any) -> Any:
            if not isinstance(spec, SharedSpec):
                return spec
            return api.find("SharedQuantizationSpec")((given[spec.shared_with][0], node))

        # prepare of torchao shares with what it has seen, in this order: who lends its parameters stands first.
        pairs = sorted(
            ((name, source) for name, sources in given.items() for source in sources),
            key=lambda pair: isinstance(self.specs.of_input(*pair), SharedSpec),
        )
        specs = {source: made(self.specs.of_input(name, source)) for name, source in pairs}
        inputs = {source: spec for source, spec in specs.items() if spec is not None}
        node.meta["quantization_annotation"] = api.find("QuantizationAnnotation")(
            input_qspec_map=inputs,
            output_qspec=made(self.specs.output),
            allow_implicit_sharing=self.op.implicit_sharing,
            _annotated=True,
        )


def _is_float(node: fx.Node) -> bool:
    """Whether a value can be quantized; an index, for one, cannot."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _inputs(node: fx.Node) -> dict[str, list[fx.Node]]:
    """The nodes that an op is given, those inside a list too, by the names of its arguments."""
    names = [item.name for item in node.target._schema.arguments]  # type: ignore[union-attr]  # an overload has a schema
    given = {**dict(zip(names, node.args)), **node.kwargs}
    found: dict[str, list[fx.Node]] = {}
    for name, value in given.items():
        fx.node.map_arg(value, found.setdefault(name, []).append)
    return {name: nodes for name, nodes in found.items() if nodes}
