"""What ran where in an edge program of ExecuTorch: in a delegate, or in a kernel of its own."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import fx
from torch.export import ExportedProgram

from qatrix.lowerings import Arithmetic, FloatOp, Ran
from qatrix.pipelines.runtimes.kernels import counted
from qatrix.pipelines.runtimes.programs import (
    QuantizedOp,
    constant_nodes,
    constants,
    is_computing,
    is_dequantize,
    is_quantize,
    layer_of,
    modules_around,
    op_name,
    origin,
)

# XNNPACK's partitioner notes it at the quantize and dequantize ops that it takes into an integer kernel;
# it computes the others as they stand, and what is between them in floating point.
_INTO_A_KERNEL: Final = "IS_IMPLICIT_Q_DQ_TAG"
_LEFT_OVER: Final = "XNNPACK's partitioner left it to ExecuTorch's own kernels, which compute in floating point"
_IN_FLOAT: Final = "XNNPACK computes it, in floating point"
_NO_DELEGATE: Final = (
    "without a partitioner ExecuTorch's own kernels compute quantize, dequantize and float ops, as the reference does"
)


@dataclass(frozen=True, kw_only=True)
class _Op:
    """One op of the lowered program; `backend` is the delegate's, None for one that is left over."""

    node: fx.Node
    arithmetic: Arithmetic
    backend: str | None

    @property
    def kernel(self) -> str:
        name = getattr(self.node.target, "__name__", str(self.node.target))
        return name if self.backend is None else f"{self.backend}: {name}"

    @property
    def layer(self) -> str | None:
        if self.arithmetic == "none":
            return None
        return layer_of(modules_around(self.node), origin(self.node))


def ran_where(graph: fx.GraphModule, wanted: Mapping[str, QuantizedOp] | None) -> Ran:
    """What an edge program computes where; `wanted` are the ops that are to run in integers, None where none are."""
    delegates = list(_delegates(graph))
    left = [_Op(node=node, arithmetic=_in_float(node), backend=None) for node in _calls(graph)]
    parts = [_delegated(module) for module in delegates]
    ops = [op for part in (*parts, left) for op in part]
    return Ran(
        kernels=counted((op.kernel, op.arithmetic, () if op.layer is None else (op.layer,)) for op in ops),
        delegated=sum(map(len, parts)),
        left_over=len(left),
        partitions=len(parts),
        float_ops=() if wanted is None else tuple(_float_ops(ops, wanted)),
        notes=(_NO_DELEGATE,) if wanted is None else tuple(_cuts(parts, left)),
    )


def _delegates(graph: fx.GraphModule) -> Iterator[Any]:
    for node in graph.graph.nodes:
        # The module of a delegate is read once for each call of it.
        if node.op == "get_attr" and hasattr(found := getattr(graph, str(node.target), None), "original_module"):
            yield found


def _delegated(module: Any) -> list[_Op]:
    program: ExportedProgram = module.original_module
    own = constant_nodes(program.graph, constants(program))
    in_integers: set[fx.Node] = set()
    ops = []
    for node in _calls(program.graph_module):
        if is_computing(node) and _is_in_integers(node, own, in_integers):
            in_integers.add(node)
        arithmetic: Arithmetic = "integers" if node in in_integers else _in_float(node)
        ops.append(_Op(node=node, arithmetic=arithmetic, backend=module.backend_id))
    return ops


def _calls(graph: fx.GraphModule) -> Iterator[fx.Node]:
    """The ops of a graph, less the calls of delegates and what picks one of several outputs."""
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target is not operator.getitem and "delegate" not in op_name(node):
            yield node


def _in_float(node: fx.Node) -> Arithmetic:
    return "float" if is_computing(node) else "none"


def _is_in_integers(node: fx.Node, own: Collection[fx.Node], before: Collection[fx.Node]) -> bool:
    """Whether what it reads is taken into an integer kernel, or it is an activation that belongs to one.

    `own` are the nodes of the program's own tensors, whose dequantize ops say nothing of what the op computes with.
    """
    values = [source for source in node.all_input_nodes if source not in own]
    if any(map(is_dequantize, values)):
        return all(is_dequantize(value) and _is_taken(value) for value in values)
    fused = [value for value in values if value in before]
    return bool(fused) and all(is_quantize(user) and _is_taken(user) for user in node.users)


def _is_taken(node: fx.Node) -> bool:
    return bool(node.meta.get(_INTO_A_KERNEL, False))


def _float_ops(ops: list[_Op], wanted: Mapping[str, QuantizedOp]) -> Iterator[FloatOp]:
    told: dict[str, str] = {}
    for op in ops:
        name = origin(op.node)
        if name in wanted and op.arithmetic == "float":
            told.setdefault(name, _LEFT_OVER if op.backend is None else _IN_FLOAT)
    for name, because in told.items():
        yield FloatOp(op=wanted[name].op, layer=wanted[name].layer, because=because)


def _cuts(parts: list[list[_Op]], left: list[_Op]) -> Iterator[str]:
    """What each part computes, where there are several, and what stands between them."""
    if len(parts) < 2:  # noqa: PLR2004 - one part is not cut
        return
    for number, part in enumerate(parts, start=1):
        computed = [op_name(op.node) for op in part if op.arithmetic != "none"]
        yield f"part {number} of {len(parts)} computes {', '.join(computed) or 'nothing, and moves values'}"
    computed = [op_name(op.node) for op in left if op.arithmetic != "none"]
    if computed:
        yield f"left over between and around the parts: {', '.join(computed)}"
