"""The nodes of a program, read back from the lines of its graph as a record keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from qatrix.diagnoses import GraphLine, GraphText

# What a node does with its value; a guard checks inputs and gives nothing on.
Kind = Literal["input", "constant", "op", "quantize", "dequantize", "observe", "guard", "output"]
# Longer lines are hostile or generated; what is cut off is only the arguments' end.
_LONGEST: Final = 20_000
_ASSIGNED: Final = re.compile(r"([A-Za-z_]\w*) = (.*)", re.DOTALL)
# Names among arguments: no attribute, no keyword, nothing in quotes.
_OVERLOAD: Final = 3
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME: Final = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?![\w.]|=)")


@dataclass(frozen=True, kw_only=True)
class Node:
    """One line of a graph: its name, its op as the line has it, the names that it reads.

    `of_constant` is whether the first of these is a constant, such as a weight, or one that was rounded.
    `layer` is the layer of the float model that it belongs to, of a dequantize op that of the value it gives back.
    """

    place: int
    name: str
    op: str
    kind: Kind
    inputs: tuple[str, ...] = ()
    of_constant: bool = False
    layer: str | None = None

    @property
    def label(self) -> str:
        """The op as a reader calls it: "conv2d", "fake quantize", "quantize"."""
        if self.kind in {"quantize", "dequantize"}:
            return "fake quantize" if _is_fake(self.op) else self.kind
        return "observer" if self.kind == "observe" else short_op(self.op)


def nodes_of(graph: GraphText) -> tuple[Node, ...]:
    """All nodes of a graph in its order; lines that are no node's are left out."""
    found: dict[str, Node] = {}
    for place, line in enumerate(graph.lines):
        node = _node(place, line, found)
        if node is not None:
            found[node.name] = node
    return tuple(found.values())


def readers_of(nodes: Sequence[Node]) -> Mapping[str, tuple[Node, ...]]:
    """For each node's name the nodes that read it."""
    readers: dict[str, list[Node]] = {node.name: [] for node in nodes}
    for node in nodes:
        for name in node.inputs:
            readers[name].append(node)
    return {name: tuple(items) for name, items in readers.items()}


def short_op(op: str) -> str:
    """An op without namespace, overload and the module that it calls: "conv2d" of "aten.conv2d.default"."""
    parts = op.partition("[")[0].split(".")
    # An overload is named by namespace, op and overload: "aten.flatten.using_ints".
    return parts[1] if len(parts) == _OVERLOAD else parts[-1]


def _node(place: int, line: GraphLine, known: Mapping[str, Node]) -> Node | None:
    text = line.text[:_LONGEST]
    if text.startswith("return "):
        return Node(place=place, name="return", op="output", kind="output", inputs=_names(text[7:], known))
    match = _ASSIGNED.fullmatch(text)
    if match is None:
        return None
    name, rest = match[1], match[2]
    if rest == "input":
        return Node(place=place, name=name, op="input", kind="input", layer=line.layer)
    if rest.startswith("constant "):
        return Node(place=place, name=name, op="constant", kind="constant", layer=line.layer)
    op, _, arguments = rest.partition("(")
    node = Node(
        place=place,
        name=name,
        op=op,
        kind=_kind(op),
        inputs=_names(arguments, known),
        layer=line.layer,
    )
    source = known.get(node.inputs[0]) if node.inputs else None
    rounded = source is not None and source.kind in {"quantize", "dequantize"} and source.of_constant
    node = replace(node, of_constant=source is not None and (source.kind == "constant" or rounded))
    # A value that is given back belongs to the layer that it comes from, and so does one that is quantized again.
    return replace(node, layer=source.layer) if node.layer is None and node.kind == "dequantize" and source else node


def _names(arguments: str, known: Mapping[str, Node]) -> tuple[str, ...]:
    found = _NAME.findall(_QUOTED.sub("''", arguments))
    return tuple(dict.fromkeys(name for name in found if name in known))


def _kind(op: str) -> Kind:
    name = short_op(op).lower()
    if name.startswith("dequantize"):
        return "dequantize"
    if name.startswith("quantize") or _is_fake(op):
        return "quantize"
    if name.endswith("observer"):
        return "observe"
    return "guard" if name in {"guardsfn", "_guards_fn"} else "op"


def _is_fake(op: str) -> bool:
    return "fakequant" in short_op(op).lower().replace("_", "")
