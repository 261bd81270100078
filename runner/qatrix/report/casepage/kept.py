"""The layers of a case without a diagnosis, from the converted programs that its record keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.diagnoses import GraphText
from qatrix.outcomes import Record
from qatrix.report.casepage.nodes import Node, nodes_of
from qatrix.report.figures import counted, number

# Value, scale, zero point, least and greatest integer, dtype, as the op that rounds has them.
_PER_TENSOR: Final = re.compile(
    r"quantize_per_tensor[\w.]*\(\w+, ([-+.e\d]{1,40}), (-?\d{1,20}), (-?\d{1,20}), (-?\d{1,20}), torch\.(\w{1,20})"
)
_PER_CHANNEL: Final = re.compile(r"quantize_per_channel[\w.]*\(.*, (-?\d{1,20}), (-?\d{1,20}), torch\.(\w{1,20})")
_NAMED: Final = 3


@dataclass(frozen=True, kw_only=True)
class KeptLayer:
    """A layer in every program: its op, and how its value is rounded there, "" where it is not, or is not seen."""

    layer: str
    op: str
    sides: tuple[str, ...]

    @property
    def alike(self) -> bool:
        """Whether all programs round its value, and do it alike."""
        return all(self.sides) and len(set(self.sides)) == 1

    @property
    def unrounded(self) -> bool:
        """Whether no program rounds its value."""
        return not any(self.sides)


@dataclass(frozen=True, kw_only=True)
class KeptLayers:
    """The layers of all programs in the order of the first.

    `folded` are groups of layers with a title, in which the programs do not differ: they are quantized alike, or no
    program rounds them; a single program has all its layers there. `others` are those in which programs differ.
    """

    names: tuple[str, ...]
    folded: tuple[tuple[str, tuple[KeptLayer, ...]], ...]
    others: tuple[KeptLayer, ...]


def kept_layers(record: Record) -> KeptLayers | None:
    """How each converted program quantizes each layer; None where the record keeps no graphs with layers."""
    programs = [_layers(graph) for graph in record.graphs]
    names = dict.fromkeys(name for program in programs for name in program)
    if not names:
        return None
    layers = [
        KeptLayer(
            layer=name,
            op=next((program[name][0] for program in programs if name in program and program[name][0]), ""),
            sides=tuple(program[name][1] if name in program else "" for program in programs),
        )
        for name in names
    ]
    pipelines = tuple(graph.pipeline for graph in record.graphs)
    if len(pipelines) == 1:
        return KeptLayers(names=pipelines, folded=tuple(_folded(layers, f"in {pipelines[0]}")), others=())
    return KeptLayers(
        names=pipelines,
        folded=(
            *_folded([layer for layer in layers if layer.alike], "quantized alike"),
            *_folded([layer for layer in layers if layer.unrounded], "whose output no program rounds"),
        ),
        others=tuple(layer for layer in layers if not layer.alike and not layer.unrounded),
    )


def _folded(layers: Sequence[KeptLayer], how: str) -> Iterator[tuple[str, tuple[KeptLayer, ...]]]:
    """The layers with a title such as "2 layers quantized alike: x, conv"; nothing where there are none."""
    names = [layer.layer for layer in layers]
    if names:
        some = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} to {names[-1]}"
        yield f"{counted(len(names), 'layer')} {how}: {some}", tuple(layers)


def rounding_of(text: str) -> Mapping[str, str]:
    """What a rounding op's own line says of its integers, by name; empty for other lines."""
    found = _PER_TENSOR.search(text)
    if found is not None:
        scale, zero, low, high, dtype = found.groups()
        return {"dtype": dtype, "scale": _scale(scale), "zero point": zero, "range": f"{low}…{high}"}
    found = _PER_CHANNEL.search(text)
    return {} if found is None else {"dtype": found[3], "range": f"{found[1]}…{found[2]}", "scale": "per channel"}


def _scale(text: str) -> str:
    try:
        return number(float(text), 6)
    except ValueError:
        return text


def _layers(graph: GraphText) -> dict[str, tuple[str, str]]:
    """Each layer of a program with its op, and how its value is rounded in a few words."""
    found: dict[str, tuple[str, str]] = {}
    for node, text in _computing(graph):
        if node.layer is None:
            continue
        op, told = found.get(node.layer, ("", ""))
        rounds = node.kind == "quantize" and not node.of_constant
        found[node.layer] = (
            op or (node.label if node.kind in {"op", "input"} else ""),
            told or (_brief(rounding_of(text)) if rounds else ""),
        )
    # A layer that is computed as one with another has no op of its own, and its value may be rounded all the same.
    return {name: facts for name, facts in found.items() if any(facts)}


def _computing(graph: GraphText) -> Iterator[tuple[Node, str]]:
    for node in nodes_of(graph):
        if node.kind not in {"guard", "constant", "output"}:
            yield node, graph.lines[node.place].text


def _brief(facts: Mapping[str, str]) -> str:
    if not facts:
        return "rounded"
    zero = f", zero point {facts['zero point']}" if "zero point" in facts else ""
    return f"{facts['dtype']}, scale {facts['scale']}{zero}"
