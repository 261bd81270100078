"""A layer and its neighbors in both programs and in the runtimes: boxes and arrows that the templates draw as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from qatrix.diagnoses import GraphText
from qatrix.lowerings import Kernel
from qatrix.outcomes import Record
from qatrix.report.casepage.ledger import Entry, Ledger
from qatrix.report.casepage.nodes import Node, nodes_of, readers_of
from qatrix.report.casepage.panels import layer_nodes, op_in_words, steps_of
from qatrix.report.figures import listed
from qatrix.report.lowered import lowered_models
from qatrix.text import one_line

# How a box is drawn: rounding to integers, giving values back, an op on rounded values, an op in float.
Look = Literal["q", "dq", "op", "float"]
_WIDTH, _HEIGHT, _GAP, _LANE = 142.0, 40.0, 22.0, 52.0
_TITLE, _MARGIN = 20.0, 4.0
_MOST_COLUMNS: Final = 9
_BACK, _AHEAD = 3, 2
# Letters that a box holds, of its op and of what stands below.
_LETTERS: Final = 19
_HEAD: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Box:
    """An op: where it stands, its name and what is below it, both cut to what fits, and both whole in `title`.

    `mark` is "≠" where the programs first differ, "+" where the other has no such op, else empty.
    """

    x: float
    y: float
    look: Look
    text: str
    below: str
    title: str
    mark: str = ""
    width: float = _WIDTH
    height: float = _HEIGHT


@dataclass(frozen=True, kw_only=True)
class Row:
    """One program's boxes; `edges` and `heads` are SVG paths of all its arrows."""

    name: str
    y: float
    boxes: tuple[Box, ...]
    edges: str
    heads: str


@dataclass(frozen=True, kw_only=True)
class Neighborhood:
    """The whole drawing, and the same in words."""

    width: float
    height: float
    rows: tuple[Row, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One program's boxes before they have places: columns from the layer's own op, which is 0."""

    name: str
    columns: Mapping[str, int]
    lanes: Mapping[str, int]
    nodes: tuple[_Drawn, ...]


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    name: str
    text: str
    below: str
    look: Look
    mark: str
    inputs: tuple[str, ...]


def neighborhood(record: Record, ledger: Ledger, entry: Entry) -> Neighborhood | None:
    """The layer with what it reads and what reads it; None where no program has a graph of it."""
    graphs = ledger.point.graphs
    chains = [[op_in_words(node) for node in layer_nodes(graph, entry)] for graph in graphs]
    plans = []
    for place, graph in enumerate(graphs):
        others = chains[1 - place] if len(chains) == 2 else []  # noqa: PLR2004 - a pair
        plan = _plan(graph, entry, ledger, left=place == 0, others=others)
        plans += [plan] if plan is not None else []
    plans += _runtime_plans(record, ledger, entry)
    return _placed(plans) if plans else None


def runtime_neighborhood(record: Record) -> Neighborhood | None:
    """The layer at which a runtime first leaves its reference, and those beside it, in every runtime of the case."""
    models = lowered_models(record)
    departed = next((model.lowering.first for model in models if model.lowering.first is not None), None)
    if departed is None:
        return None
    plans = []
    for model in models:
        kernels = () if model.lowering.ran is None else model.lowering.ran.kernels
        first = None if model.lowering.first is None else model.lowering.first.layer
        known = [(layer, kernel) for kernel in kernels for layer in kernel.layers]
        if first is not None and first not in {layer for layer, _ in known}:
            named = model.lowering.first.kernel if model.lowering.first and model.lowering.first.kernel else departed.op
            known.append((first, Kernel(name=named, arithmetic="integers")))
        layers = [layer for layer, _ in known]
        place = layers.index(departed.layer) if departed.layer in layers else 0
        if known:
            plans.append(_of_kernels(model.deployed, known[max(0, place - _BACK) : place + _AHEAD + 1], first))
    return _placed(plans) if plans else None


def _plan(graph: GraphText, entry: Entry, ledger: Ledger, *, left: bool, others: Sequence[str]) -> _Plan | None:
    own = layer_nodes(graph, entry)
    if not own:
        return None
    nodes = {node.name: node for node in _around(graph, own)}
    columns = _columns(nodes, anchor=_anchor(own, graph))
    floating = _floating(ledger, left=left)
    steps = steps_of([op_in_words(node) for node in own], others)
    only = {
        node.name for node, step in zip(own, steps) if step.own and node.kind in {"quantize", "dequantize", "observe"}
    }
    drawn = tuple(
        _Drawn(
            name=node.name,
            text=node.label if node.kind != "input" else node.name,
            below=_below(node),
            look=_look(node, floating),
            mark="≠" if node.place == graph.first_differing else "+" if node.name in only else "",
            inputs=tuple(name for name in node.inputs if name in columns),
        )
        for node in nodes.values()
        if node.name in columns
    )
    return _Plan(name=graph.pipeline, columns=columns, lanes=_lanes(nodes, columns), nodes=drawn)


def _around(graph: GraphText, own: Sequence[Node]) -> tuple[Node, ...]:
    """The layer's nodes with some that they read and some that read them, in the order of the graph."""
    nodes = nodes_of(graph)
    by_name, readers = {node.name: node for node in nodes}, readers_of(nodes)
    found = {node.name for node in own}
    back, ahead = [*own], [*own]
    for _ in range(_BACK):
        back = [by_name[name] for node in back for name in node.inputs if name not in found]
        back = [node for node in back if node.kind not in {"constant", "guard"}]
        found |= {node.name for node in back}
    for _ in range(_AHEAD):
        ahead = [reader for node in ahead for reader in readers[node.name] if reader.name not in found]
        ahead = [node for node in ahead if node.kind not in {"output", "guard"}]
        found |= {node.name for node in ahead}
    return tuple(node for node in nodes if node.name in found)


def _anchor(own: Sequence[Node], graph: GraphText) -> str:
    """The node that stands in the same column in every program: the layer's first op, else its first node."""
    marked = [node for node in own if node.place == graph.first_differing and node.kind == "op"]
    ops = [node for node in own if node.kind == "op"]
    return (marked or ops or [*own])[0].name


def _columns(nodes: Mapping[str, Node], *, anchor: str) -> dict[str, int]:
    """The column of each node that is drawn: as far from the inputs as its longest path, counted from the anchor."""
    depth: dict[str, int] = {}
    for name, node in nodes.items():
        depth[name] = 1 + max((depth[source] for source in node.inputs if source in depth), default=-1)
    # A rounded weight stands right before what reads it.
    for name, node in reversed([*nodes.items()]):
        if node.of_constant:
            reads = [depth[other.name] for other in nodes.values() if name in other.inputs]
            depth[name] = min(reads) - 1 if reads else depth[name]
    columns = {name: place - depth[anchor] for name, place in depth.items()}
    kept = sorted({*columns.values()}, key=abs)[:_MOST_COLUMNS]
    return {name: column for name, column in columns.items() if column in kept}


def _lanes(nodes: Mapping[str, Node], columns: Mapping[str, int]) -> dict[str, int]:
    """The lane of each node: what carries the data above, rounded weights below."""
    taken: dict[int, int] = {}
    lanes = {}
    for name in sorted(columns, key=lambda name: nodes[name].of_constant):
        lanes[name] = taken.get(columns[name], 0)
        taken[columns[name]] = lanes[name] + 1
        if nodes[name].of_constant:
            lanes[name] = max(1, lanes[name])
    return lanes


def _floating(ledger: Ledger, *, left: bool) -> frozenset[str]:
    """The layers of which one program rounds neither value nor weight."""
    names = set()
    for block in ledger.blocks:
        for entry in block.entries:
            sides = [row.left if left else row.right for row in entry.parameters]
            if not any(sides):
                names.add(entry.layer)
    return frozenset(names)


def _look(node: Node, floating: frozenset[str]) -> Look:
    if node.kind in {"quantize", "observe"}:
        return "q"
    if node.kind == "dequantize":
        return "dq"
    return "float" if node.layer is None or node.layer in floating else "op"


def _below(node: Node) -> str:
    if node.kind == "input":
        return "input"
    return "weight" if node.of_constant else node.layer or ""


def _runtime_plans(record: Record, ledger: Ledger, entry: Entry) -> Iterator[_Plan]:
    """For each runtime the kernels of the layer and of those beside it."""
    layers = [item.layer for block in ledger.blocks for item in block.entries]
    place = layers.index(entry.layer)
    beside = layers[max(0, place - 1) : place + 2]
    covered = {name for row in entry.rows for name in row.covers}
    for model in lowered_models(record):
        kernels = () if model.lowering.ran is None else model.lowering.ran.kernels
        own = [(layer, kernel) for layer in beside for kernel in kernels if layer in kernel.layers]
        own = own or [(name, kernel) for name in covered for kernel in kernels if name in kernel.layers]
        if own:
            first = None if model.lowering.first is None else model.lowering.first.layer
            yield _of_kernels(model.deployed, own[:_MOST_COLUMNS], first)


def _of_kernels(name: str, kernels: Sequence[tuple[str, Kernel]], first: str | None) -> _Plan:
    drawn = tuple(
        _Drawn(
            name=str(place),
            text=kernel.name.rpartition(": ")[2],
            below=layer,
            look="float" if kernel.arithmetic == "float" else "op",
            mark="≠" if layer == first else "",
            inputs=(str(place - 1),) if place else (),
        )
        for place, (layer, kernel) in enumerate(kernels)
    )
    columns = {str(place): place for place in range(len(kernels))}
    return _Plan(name=name, columns=columns, lanes=dict.fromkeys(columns, 0), nodes=drawn)


def _placed(plans: Sequence[_Plan]) -> Neighborhood:
    least = min(column for plan in plans for column in plan.columns.values())
    rows, top, right = [], 0.0, 0.0
    for plan in plans:
        row = _row(plan, least, top)
        rows.append(row)
        top = max(box.y + box.height for box in row.boxes) + _GAP
        right = max(right, *(box.x + box.width for box in row.boxes))
    return Neighborhood(
        width=right + _MARGIN, height=top - _GAP + _MARGIN, rows=tuple(rows), words="; ".join(map(_in_words, rows))
    )


def _row(plan: _Plan, least: int, top: float) -> Row:
    boxes = {}
    for node in plan.nodes:
        x = _MARGIN + (plan.columns[node.name] - least) * (_WIDTH + _GAP)
        y = top + _TITLE + plan.lanes[node.name] * _LANE
        text, below = one_line(node.text), one_line(node.below)
        boxes[node.name] = Box(
            x=x,
            y=y,
            look=node.look,
            text=_cut(text),
            below=_cut(below),
            title=f"{text[:300]} ({below[:300]})" if below else text[:300],
            mark=node.mark,
        )
    arrows = [(boxes[name], boxes[node.name]) for node in plan.nodes for name in node.inputs if name in boxes]
    edges = " ".join(_edge(*arrow) for arrow in arrows)
    heads = " ".join(_head(target) for _, target in arrows)
    return Row(name=plan.name, y=top + _TITLE - 7, boxes=tuple(boxes.values()), edges=edges, heads=heads)


def _edge(source: Box, target: Box) -> str:
    """A line from the right side of a box to the left side of another, bent where they are in different lanes."""
    x, y = source.x + source.width, source.y + source.height / 2
    to_x, to_y = target.x - _HEAD, target.y + target.height / 2
    bend = f" H{to_x - 6:g} V{to_y:g}" if y != to_y else ""
    return f"M{x:g} {y:g}{bend} H{to_x:g}"


def _head(target: Box) -> str:
    x, y = target.x, target.y + target.height / 2
    return f"M{x - _HEAD:g} {y - 4:g} L{x:g} {y:g} L{x - _HEAD:g} {y + 4:g} Z"


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _in_words(row: Row) -> str:
    told = [f"{box.text}{' (first difference)' if box.mark == '≠' else ''}" for box in row.boxes]
    return f"{row.name}: {listed(told)}"
