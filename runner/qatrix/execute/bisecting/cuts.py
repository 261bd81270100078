"""Where a quantized program can be cut: its values at the places where they are rounded, and those in floating point.

A converted program is its own reference. A prepared one, which a runtime converts itself, has observers where its
reference quantizes, and the two have the same names for what computes.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from qatrix.execute.recording import Recorded, Store, record
from qatrix.judge.diagnosis.exported import nested_graph
from qatrix.judge.diagnosis.placement import Probe
from qatrix.judge.diagnosis.quantizing import finds_range, quantizes
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, called_module, constant_value, is_guard, op_name
from qatrix.pipelines.inputs import Inputs

# What is computed as one with the op before it, where nothing is rounded between the two.
_FOLLOWING: Final = frozenset(
    {
        *("relu", "relu6", "hardtanh", "clamp", "leaky_relu", "leakyrelu", "gelu", "silu", "elu", "tanh", "sigmoid"),
        *("hardswish", "hardsigmoid", "batch_norm", "batchnorm1d", "batchnorm2d", "batchnorm3d"),
    }
)
_WEIGHTED: Final = frozenset({"conv", "conv_transpose", "linear"})
# What gives its input's values, in another shape or place.
MOVING: Final = frozenset(
    {
        *("reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "clone", "contiguous", "getitem"),
        *("slice", "select", "expand", "dropout", "identity", "alias", "detach", "t"),
    }
)
_OPERATORS_IN_PLACE: Final = frozenset({"iadd", "isub", "imul", "itruediv"})
# A value that is not quantized has the step that eight bits would have for its range.
_LEVELS: Final = 255


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A value at which a program can be cut.

    `source` is the node that computes it, `read` the one that rounds it, or the source itself where nothing does.
    `shown` has it as other ops read it. `begins` says whether a part can begin there: one that only moves
    quantized values would begin with a value that nothing quantizes.
    """

    source: str
    read: str
    shown: str
    scale: float | None = None
    zero_point: int | None = None
    quant_min: int | None = None
    quant_max: int | None = None
    begins: bool = True


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A program with its cuts, in the program's order, and the reference's values.

    `seen` has for each cut, by `read`, where the reference has its value.
    """

    program: fx.GraphModule
    cuts: tuple[Cut, ...]
    seen: Mapping[str, str]
    recorded: Recorded
    outputs: object
    _above: dict[str, tuple[Cut, ...]] = field(default_factory=dict)

    def value(self, cut: Cut) -> Tensor:
        """The reference's value at a cut."""
        found = self.recorded.get(Probe(node=self.seen[cut.read]))
        assert isinstance(found, Tensor)
        return found

    def plain(self, node: fx.Node) -> object:
        """The reference's value of any other node, None where it has none."""
        return self.recorded.get(Probe(node=node.name))

    def step(self, cut: Cut) -> float:
        """How far two values at a cut are apart that are one step apart."""
        if cut.scale is not None:
            return cut.scale
        value = self.value(cut).double()
        span = float(value.max() - value.min()) if value.numel() else 0.0
        return span / _LEVELS or max(float(value.abs().max()) if value.numel() else 0.0, 1.0) / _LEVELS

    @functools.cached_property
    def nodes(self) -> Mapping[str, fx.Node]:
        """The program's nodes by their names, in its order."""
        return {node.name: node for node in self.program.graph.nodes}

    @functools.cached_property
    def _active(self) -> Mapping[fx.Node, None]:
        return active_nodes(self.program.graph)

    def _computes(self, node: fx.Node) -> bool:
        return _computes(node) and not is_plain(self.plain(node))

    @functools.cached_property
    def _begins(self) -> Mapping[str, Cut]:
        return {cut.read: cut for cut in self.cuts if cut.begins}

    def feeding(self, cut: Cut) -> tuple[Cut, ...]:
        """The cuts that it is computed from, with no other in between."""
        return tuple(self._walk(cut)[0])

    def ops(self, cut: Cut) -> list[fx.Node]:
        """The nodes that compute it from those cuts, in the program's order."""
        _, nodes = self._walk(cut)
        found = [node for node in self._active if node in nodes and self._computes(node)]
        source = self.nodes[cut.source]
        # A value that is read as it is, too, is a cut before it is rounded.
        return found or ([source] if self._computes(source) else [])

    def above(self, cut: Cut) -> tuple[Cut, ...]:
        """All cuts that it is computed from, and itself, in the program's order."""
        if cut.read not in self._above:
            names = {cut.read, *(item.read for source in self.feeding(cut) for item in self.above(source))}
            self._above[cut.read] = tuple(item for item in self.cuts if item.read in names)
        return self._above[cut.read]

    def returned(self) -> Iterator[Cut | None]:
        """The cut of each value that the program returns; None of one that is at none."""
        output = next(node for node in reversed(self.program.graph.nodes) if node.op == "output")
        by_name = {cut.read: cut for cut in self.cuts}
        for leaf in pytree.tree_leaves(output.args[0]):
            if isinstance(leaf, fx.Node):
                read = rounding(leaf)
                yield by_name.get(leaf.name if read is None else read.name)

    def _walk(self, cut: Cut) -> tuple[list[Cut], set[fx.Node]]:
        found: dict[str, Cut] = {}
        seen: set[fx.Node] = set()
        start = self.nodes[cut.source]
        left = [start]
        while left:
            node = left.pop()
            if node in seen:
                continue
            known = self._begins.get(node.name)
            if known is not None and not (node is start and known.read == cut.read):
                found[node.name] = known
                continue
            seen.add(node)
            left += node.all_input_nodes
        return list(found.values()), seen


def outline(program: fx.GraphModule, reference: fx.GraphModule, inputs: Inputs, store: Store) -> Outline:
    """Where a program can be cut, with the values of its reference, which runs once."""
    active = active_nodes(reference.graph)
    rounded = _rounded(active)
    shown = {item.shown for items in rounded.values() for item in items}
    probes = [Probe(node=node.name) for node in active if not quantizes(node) or node.name in shown]
    with torch.no_grad():
        outputs, recorded = record(reference, inputs, probes, store)
    cuts, seen = [], {}
    own = active_nodes(program.graph)
    quantized: set[str] = set()
    for node in program.graph.nodes:
        if node not in own or node.op == "output":
            continue
        if quantizes(node):
            source = operand(node, 0)
            known = rounded.get(source.name, []) if isinstance(source, fx.Node) and _rounds(node) else []
            if known:
                item = known.pop(0)
                cuts.append(replace(item, read=node.name, shown=_shown(node)))
                seen[node.name] = item.shown
                quantized.update(user.name for user in (node, *node.users))
        elif (found := _float_cut(node, recorded, quantized)) is not None:
            cuts.append(found)
            seen[node.name] = node.name
        elif _moves(node) and _reads_one_of(node, quantized):
            quantized.add(node.name)
    return Outline(program=program, cuts=tuple(cuts), seen=seen, recorded=recorded, outputs=outputs)


def uncuttable(program: fx.GraphModule) -> str | None:
    """Why no part of a program would compute what the program does, None where parts do."""
    for node in program.graph.nodes:
        if nested_graph(node) is not None:
            return f"the node {node.name} runs a graph inside the graph"
        changed = operand(node, 0) if _works_in_place(node) else None
        if isinstance(changed, fx.Node):
            order = {item: place for place, item in enumerate(program.graph.nodes)}
            later = [user.name for user in changed.users if order[user] > order[node]]
            if later:
                return f"the node {node.name} changes a value in place that {later[0]} reads after it"
    return None


def active_nodes(graph: fx.Graph) -> dict[fx.Node, None]:
    """The nodes that depend on an input of the program, in its order, without those that only check it."""
    active: dict[fx.Node, None] = {}
    for node in graph.nodes:
        if not is_guard(node) and (node.op == "placeholder" or any(item in active for item in node.all_input_nodes)):
            active[node] = None
    return active


def rounding(node: fx.Node) -> fx.Node | None:
    """The node that rounds the value which a node dequantizes or observes, None where it does neither."""
    if not quantizes(node):
        return None
    source = operand(node, 0)
    dequantizes = op_name(node).startswith("dequantize") and isinstance(source, fx.Node)
    return source if dequantizes else node


def _rounded(active: Mapping[fx.Node, None]) -> dict[str, list[Cut]]:
    """What a reference rounds to a grid that does not depend on the inputs, by the node that computes it."""
    found: defaultdict[str, list[Cut]] = defaultdict(list)
    for node in active:
        source = operand(node, 0) if quantizes(node) and _rounds(node) else None
        fixed = not any(item in active for item in node.all_input_nodes[1:])
        if isinstance(source, fx.Node) and fixed and _shown(node) != node.name:
            found[source.name].append(
                Cut(
                    source=source.name,
                    read=node.name,
                    shown=_shown(node),
                    scale=_number(node, "scale"),
                    zero_point=_integer(node, "zero_point"),
                    quant_min=_integer(node, "quant_min"),
                    quant_max=_integer(node, "quant_max"),
                )
            )
    return found


def _rounds(node: fx.Node) -> bool:
    return not op_name(node).startswith("dequantize")


def _shown(node: fx.Node) -> str:
    """Who has a rounded value as other ops read it: the first that dequantizes it, or an observer itself."""
    users = (user.name for user in node.users if op_name(user).startswith("dequantize"))
    return next(users, node.name)


def _integer(node: fx.Node, name: str) -> int | None:
    found = _number(node, name)
    return None if found is None else int(found)


def _number(node: fx.Node, name: str) -> float | None:
    try:
        value = argument(node, name)
    except KeyError:
        return None
    if isinstance(value, fx.Node):
        value = constant_value(value)
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, (int, float)) else None


def _float_cut(node: fx.Node, recorded: Recorded, quantized: set[str]) -> Cut | None:
    """A value that is read as it was computed, in floating point; None where it is no cut."""
    readers = [user for user in node.users if not is_guard(user)]
    plain = [user for user in readers if not (quantizes(user) and _rounds(user)) and not finds_range(user)]
    value = recorded.get(Probe(node=node.name))
    if not _computes(node) or not plain or not isinstance(value, Tensor) or not value.is_floating_point():
        return None
    if _goes_on(node, readers):
        return None
    moved = _moves(node) and _reads_one_of(node, quantized)
    if moved and not any(user.op == "output" for user in plain):
        return None
    return Cut(source=node.name, read=node.name, shown=node.name, begins=not moved)


def _goes_on(node: fx.Node, readers: list[fx.Node]) -> bool:
    """Whether an op is computed as one with the only one that reads it."""
    if len(readers) != 1:
        return False
    name = op_name(readers[0])
    return name in _FOLLOWING or (op_name(node) in _WEIGHTED and name == "add")


def _computes(node: fx.Node) -> bool:
    plain = node.op in {"placeholder", "get_attr", "output"}
    return not (plain or quantizes(node) or finds_range(node) or is_guard(node))


def _moves(node: fx.Node) -> bool:
    return op_name(node) in MOVING


def _reads_one_of(node: fx.Node, names: set[str]) -> bool:
    source = operand(node, 0)
    return isinstance(source, fx.Node) and source.name in names


def _works_in_place(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        return bool(schema.is_mutable)
    if node.op == "call_module":
        return bool(getattr(called_module(node), "inplace", False))
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
    marked = name.endswith("_") and not name.endswith("__")
    return marked or name in _OPERATORS_IN_PLACE or bool(node.kwargs.get("inplace", False))


def is_plain(value: object) -> bool:
    """Whether a value is known and holds no tensor, such as a size."""
    return value is not None and not any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))
