"""What a program in oneDNN's ops says of itself: its kernels, whose layers they are, what is left in float."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import fx

from qatrix.lowerings import Arithmetic, FloatOp, Kernel
from qatrix.pipelines.runtimes.islands import is_move, left_in_float, move_names
from qatrix.pipelines.runtimes.kernels import counted
from qatrix.pipelines.runtimes.places import Places

__all__ = ["Places", "called", "float_ops", "kernels"]

_CALLS: Final = frozenset({"call_function", "call_method", "call_module"})
# A kernel that the generated code calls; where it is defined, no parenthesis follows.
_CALLED: Final = re.compile(r"(?<![\w.])(torch\.ops\.[\w.]+|extern_kernels\.\w+|aten\.[\w.]+|cpp_fused_\w+)\(")
_FUSED: Final = "cpp_fused"
# What Inductor's own lowerings of integers are called, and the ops that they become in its code.
_INDUCTOR: Final = "inductor."
_BECOMES: Final[Mapping[str, str]] = {
    "inductor.qconv": "onednn.qconv_pointwise",
    "inductor.qconv_binary": "onednn.qconv2d_pointwise",
    "inductor.qlinear": "onednn.qlinear_pointwise",
    "inductor.qlinear_binary": "onednn.qlinear_pointwise",
}
_QUANTIZING: Final = (
    "quantize_per_tensor",
    "quantize_per_channel",
    "quantize_per_token",
    "dequantize_per_tensor",
    "dequantize_per_channel",
    "dequantize_per_token",
    "choose_qparams",
)
_NOT_COUNTED: Final = frozenset({"getitem", "inductor_force_stride_order"})


def kernels(graph: fx.Graph, places: Places) -> tuple[Kernel, ...]:
    """The ops of a lowered graph by name, with the layers that each computes, in their order."""
    calls = ((node, _op(node)) for node in graph.nodes if node.op in _CALLS)
    ran = ((node, name, _arithmetic(name)) for node, name in calls if _plain(name) not in _NOT_COUNTED)
    return counted(
        (name, arithmetic, places.of_node(node) if arithmetic != "none" else ()) for node, name, arithmetic in ran
    )


def called(code: Sequence[str], of_graphs: Sequence[Kernel]) -> tuple[Kernel, ...]:
    """What generated code calls: oneDNN's ops with the layers that they have in the graphs, and C++ kernels."""
    layers: dict[str, list[str]] = {}
    for kernel in of_graphs:
        layers.setdefault(_BECOMES.get(kernel.name, _packet(kernel.name)), []).extend(kernel.layers)
    names = (name.removeprefix("torch.ops.") for text in code for name in _CALLED.findall(text))
    return counted(
        (name, _arithmetic(name), layers.get(_packet(name), ())) for name in names if not name.startswith(_INDUCTOR)
    )


def float_ops(graph: fx.Graph, places: Places) -> tuple[FloatOp, ...]:
    """The ops that the lowering left between dequantize and quantize ops."""
    return tuple(
        FloatOp(
            op=_op(node),
            layer=next(iter(places.of_node(node)), None),
            because="Inductor left it between dequantize and quantize ops, because none of its int8 patterns took it",
        )
        for node in left_in_float(graph, _Reader())
    )


class _Reader:
    """How a graph in the ops of aten, quantized_decomposed and onednn is read."""

    def quantizes(self, node: fx.Node) -> bool:
        """Whether it is a quantize op, or a kernel that gives integers or takes them."""
        return _op(node).startswith(("quantized_decomposed.quantize", "onednn.q", "inductor.q"))

    def dequantizes(self, node: fx.Node) -> bool:
        """Whether it is a dequantize op."""
        return _op(node).startswith("quantized_decomposed.dequantize")

    def name(self, node: fx.Node) -> str:
        """The name of the op without namespace and overload."""
        return _plain(_op(node))


def _op(node: fx.Node) -> str:
    """What a node calls, with its namespace: "onednn.qconv_pointwise.default", "inductor.qconv"."""
    target: Any = node.target
    if isinstance(target, functools.partial):
        return f"{_INDUCTOR}{target.func.__name__}"
    return str(target) if isinstance(target, str) or not hasattr(target, "__name__") else _named(target)


def _named(target: Any) -> str:
    return str(target) if hasattr(target, "overloadpacket") else str(target.__name__)


def _arithmetic(name: str) -> Arithmetic:
    """What an op or a kernel computes in, as its name says."""
    if name.startswith(_FUSED):
        return "float" if _computes(name) else "none"
    plain = _plain(name)
    if name.startswith("quantized_decomposed.") or is_move(plain.removeprefix("q")) or is_move(plain):
        return "none"
    return "integers" if name.startswith(("onednn.q", "inductor.q", "quantized.")) else "float"


def _computes(fused: str) -> bool:
    """Whether a C++ kernel, which is named after the ops in it, has more in it than moves and quantize ops."""
    left = _without_number(fused.removeprefix(_FUSED))
    known = sorted((*_QUANTIZING, *move_names()), key=len, reverse=True)
    pattern = re.compile(rf"_(?:{'|'.join(map(re.escape, known))})(?=_|$)")
    return bool(pattern.sub("", left))


def _without_number(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _packet(name: str) -> str:
    """An op's name without its overload."""
    return ".".join(name.split(".")[:2])


def _plain(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else name
