"""What ran where in an optimized ONNX model: in integers, in floating point, or only moved and rounded.

The models are read by their fields alone, so that nothing here imports onnx.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qatrix.lowerings import Arithmetic, FloatOp, Ran
from qatrix.pipelines.runtimes.kernels import counted
from qatrix.pipelines.runtimes.programs import QuantizedOp, layer_of, plain_path

_SCOPES: Final = "pkg.torch.onnx.name_scopes"
_CLASSES: Final = "pkg.torch.onnx.class_hierarchy"
# What the optimizer adds to the name of a node that it copies or replaces.
_ADDED: Final = re.compile(r"(/duplicated|_token_\d+|_nchwc)+$")
_QUANTIZING: Final = frozenset(("QuantizeLinear", "DynamicQuantizeLinear"))
_DEQUANTIZING: Final = "DequantizeLinear"
_INTEGER_KERNELS: Final = re.compile(r"QLinear|^QGemm$|Integer|^DynamicQuantize(?!Linear$)|^QAttention$")
# What puts values elsewhere, in whatever type they are.
_MOVING: Final = frozenset(
    "Cast Constant ConstantOfShape Dropout Expand Flatten Gather Identity ReorderInput ReorderOutput Reshape Shape Size"
    " Slice Split Squeeze Tile Transpose Unsqueeze".split()
)
# What has integers where its input has: it computes with whatever it is given.
_OF_ANY_TYPE: Final = _MOVING | frozenset("Clip Concat Max MaxPool Min Pad Relu Resize".split())
_BY_DESIGN: Final = (
    "below the optimization level 'extended' ONNX Runtime computes quantize, dequantize and float ops,"
    " as the reference does"
)


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """What torch.onnx noted of a node: the program's op that it comes from, and the layer."""

    op: str
    layer: str


def ran_where(
    optimized: Any, given: Any, wanted: Mapping[str, QuantizedOp] | None, *, size_bytes: int | None = None
) -> Ran:
    """What an optimized graph computes in; `wanted` are the ops that are to run in integers, None where none are.

    They go by the names that the program had for them which the exporter translated. `given` is the graph before,
    whose nodes say which layer they are from.
    """
    origins = dict(_origins(given))
    graph = _Graph(optimized)
    nodes = [(node, graph.arithmetic(node), _origin(node.name, origins)) for node in optimized.node]
    return Ran(
        kernels=counted(
            (_kernel(node), arithmetic, () if origin is None or arithmetic == "none" else (origin.layer,))
            for node, arithmetic, origin in nodes
        ),
        float_ops=() if wanted is None else tuple(_float_ops(graph, nodes, wanted)),
        size_bytes=size_bytes,
        notes=(_BY_DESIGN,) if wanted is None else (),
    )


class _Graph:
    """Which values of a graph are integers that stand for numbers, and where each comes from."""

    def __init__(self, graph: Any) -> None:
        self.producers: dict[str, Any] = {name: node for node in graph.node for name in node.output}
        self.constants: set[str] = {tensor.name for tensor in graph.initializer}
        self._quantized: set[str] = set()
        for node in graph.node:
            if all(name in self.constants for name in node.input if name):
                self.constants.update(node.output)
            if self.arithmetic(node) == "integers" or node.op_type in _QUANTIZING or self._passes_integers(node):
                self._quantized.update(node.output)

    def arithmetic(self, node: Any) -> Arithmetic:
        """What a node computes in."""
        kind = node.op_type
        if _INTEGER_KERNELS.search(kind):
            return "integers"
        if kind in _QUANTIZING or kind == _DEQUANTIZING or kind in _MOVING:
            return "none"
        return "integers" if self._passes_integers(node) else "float"

    def values(self, node: Any) -> list[str]:
        """What a node reads that is not constant."""
        return [name for name in node.input if name and name not in self.constants]

    def is_dequantized(self, name: str) -> bool:
        """Whether a value is floating point made of integers."""
        producer = self.producers.get(name)
        return producer is not None and producer.op_type == _DEQUANTIZING

    def _passes_integers(self, node: Any) -> bool:
        values = self.values(node)
        return node.op_type in _OF_ANY_TYPE and bool(values) and all(name in self._quantized for name in values)


def _kernel(node: Any) -> str:
    """The name of an op, with its domain where that is not ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain not in {"", "ai.onnx"} else str(node.op_type)


def _origins(given: Any) -> Iterator[tuple[str, _Origin]]:
    for node in given.node:
        notes = {item.key: item.value for item in node.metadata_props}
        if _SCOPES not in notes:
            continue
        *paths, name = _names(notes[_SCOPES])
        kinds = _names(notes.get(_CLASSES, "[]"))
        yield (
            node.name,
            _Origin(op=name, layer=layer_of([(plain_path(path), kind) for path, kind in zip(paths, kinds)], name)),
        )


def _names(text: str) -> Sequence[str]:
    """A list of names, as torch.onnx writes it."""
    found: Sequence[str] = ast.literal_eval(text)
    return found


def _origin(name: str, origins: Mapping[str, _Origin]) -> _Origin | None:
    """Where an optimized node comes from: a node that replaces several has the name of one, with more behind it."""
    plain = _ADDED.sub("", name)
    if plain in origins:
        return origins[plain]
    begun = max((known for known in origins if known and plain.startswith(known)), key=len, default=None)
    return None if begun is None else origins[begun]


def _float_ops(
    graph: _Graph, nodes: Sequence[tuple[Any, Arithmetic, _Origin | None]], wanted: Mapping[str, QuantizedOp]
) -> Iterator[FloatOp]:
    """What reads dequantized values alone, computes with them in floating point, and is quantized in the program."""
    told = set()
    for node, arithmetic, origin in nodes:
        values = graph.values(node)
        if arithmetic != "float" or origin is None or not values or not all(map(graph.is_dequantized, values)):
            continue
        op = wanted.get(origin.op)
        # One op may have become several.
        if op is not None and id(op) not in told:
            told.add(id(op))
            because = f"its optimizer left it as {_kernel(node)} between quantize and dequantize ops"
            yield FloatOp(op=op.op, layer=op.layer, because=because)
