"""A graph in the language of expected graphs: what a check claims that holds of this graph, and of no other.

Scales and zero points come from data and are left out unless they are asked for. What the language has no words
for, such as a device, is left open with `_`.
"""

from __future__ import annotations

import keyword
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from torch import fx, nn
from torch.utils import _pytree as pytree

from qatrix.arithmetic import MAX_ITEMS, within_bounds
from qatrix.claims import Transcript
from qatrix.facts import ANYTHING
from qatrix.judge.graphs.matching import named_value, number_of
from qatrix.judge.graphs.operands import operand, operands
from qatrix.judge.graphs.ops import argument, called_module, is_guard, is_observing, names_of, op_name

# A line of the language may not be longer.
_LONGEST: Final = 1000
_PLAIN: Final = frozenset({"input", "constant"})
_QUANTIZING: Final = ("quantize", "dequantize", "choose_qparams")
_FROM_DATA: Final[tuple[str, ...]] = ("scale", "scales", "zero_point", "zero_points")
_OBSERVING: Final = ("dtype", "quant_min", "quant_max", "qscheme", "is_dynamic", "observer")
_OF_WEIGHT: Final = ("dtype", "quant_min", "quant_max", "qscheme", "axis", "ch_axis", "observer")
_NAMED: Final = re.compile(r"[A-Za-z_]\w*=")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OP: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def transcribe(program: fx.GraphModule, *, taken: Collection[str], values: bool) -> Transcript:
    """The claims that make up a program's graph; `taken` are names that stand for values and that no node may have."""
    nodes = [node for node in program.graph.nodes if node.op != "output" and not is_guard(node)]
    names = [op_name(node) for node in nodes]
    counted = Counter(name for node in nodes for name in names_of(node))
    return Transcript(
        counts={name: counted[name] for name in dict.fromkeys(names) if _OP.fullmatch(name)},
        order=tuple(name for name in names if name not in _PLAIN and _OP.fullmatch(name)),
        graph=tuple(_Scribe(program.graph, taken, values=values).lines()),
    )


@dataclass
class _Scribe:
    """Writes a graph line by line, each node under a name of its own."""

    graph: fx.Graph
    taken: Collection[str]
    values: bool = field(kw_only=True)

    def __post_init__(self) -> None:
        output = next(node for node in reversed(self.graph.nodes) if node.op == "output")
        self._outputs = pytree.tree_leaves(output.args[0])
        self._live = _sources_of(output)
        self._names = _names(self._live, self.taken)

    def lines(self) -> Iterator[str]:
        """A line for each node that the outputs depend on, what is returned, and which observers are one."""
        for node in self._live:
            if not self._is_inline(node) and (line := self._line(node)) is not None:
                yield line
        if self._outputs:
            texts = list(map(self._text, self._outputs))
            line = f"return {', '.join(texts)}"
            yield line if len(line) <= _LONGEST else f"return {texts[0]}"
        yield from self._shared()

    def _is_inline(self, node: fx.Node) -> bool:
        """Whether a node is written where it is read: a constant that is read in one place."""
        if node.op != "get_attr" or node in self._outputs:
            return False
        reads = (leaf is node for user in node.users for leaf in pytree.tree_leaves((user.args, user.kwargs)))
        return sum(reads) == 1

    def _line(self, node: fx.Node) -> str | None:
        """The node as an assignment; None where its op is no word, so that its name captures whatever stands there."""
        op = op_name(node)
        if not _OP.fullmatch(op) or keyword.iskeyword(op) or op.startswith("__"):
            return None
        given = self._arguments(node)
        while given and len(f"{self._names[node]} = {op}({', '.join(given)})") > _LONGEST:
            # Of what has a name any may be left open, of the rest the last.
            named = [item for item in given if _NAMED.match(item)]
            given.pop(given.index(max(named, key=len)) if named else -1)
        return f"{self._names[node]} = {op}({', '.join(given)})"

    def _arguments(self, node: fx.Node) -> list[str]:
        if node.op in {"placeholder", "get_attr"}:
            return []
        if node.op == "call_module":
            return [*self._positional(node), *self._of_module(node)]
        if op_name(node).startswith(_QUANTIZING) and operands(node):
            return self._of_quantizing(node)
        named = {name: self._text(value) for name, value in node.kwargs.items() if not keyword.iskeyword(name)}
        return [*_trimmed(map(self._text, node.args)), *_written(named, unless={ANYTHING})]

    def _positional(self, node: fx.Node) -> list[str]:
        """What a module is given, in the order of its parameters: its other names are its attributes."""
        count = len(node.args) + len(node.kwargs)
        return _trimmed(self._text(operand(node, place)) for place in range(count))

    def _of_quantizing(self, node: fx.Node) -> list[str]:
        """The value that is quantized, and the settings by name; a scale where it is computed, or asked for."""
        (_, value), *settings = operands(node).items()
        texts = {}
        for name, setting in settings:
            is_held = not isinstance(setting, fx.Node) or setting.op == "get_attr"
            texts[name] = self._from_data(setting) if name in _FROM_DATA and is_held else self._text(setting)
        return [self._text(value), *_written(texts)]

    def _of_module(self, node: fx.Node) -> list[str]:
        """The settings of a module that is called, by name."""
        module = called_module(node)
        if module is None:
            return []
        if is_observing(module):
            per_channel = _attribute(node, "is_per_channel") is True
            names, from_data = (*_OBSERVING, *(("ch_axis",) if per_channel else ())), _FROM_DATA
        else:
            names = (*_constants(module), *(f"weight_{name}" for name in _OF_WEIGHT))
            from_data = tuple(f"weight_{name}" for name in _FROM_DATA)
        settings = {name: self._text(number_of(_attribute(node, name))) for name in names}
        settings |= {name: self._from_data(_attribute(node, name)) for name in from_data}
        return _written(settings)

    def _from_data(self, value: object) -> str:
        return self._text(number_of(value)) if self.values and value is not None else ANYTHING

    def _text(self, value: object) -> str:
        """A value as the language writes it, `_` where it has no words for it."""
        if isinstance(value, fx.Node):
            return "constant()" if self._is_inline(value) else self._names[value]
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(self._text, value))}]" if len(value) <= MAX_ITEMS else ANYTHING
        value = named_value(value)
        if isinstance(value, float) and not math.isfinite(value):
            return ANYTHING
        if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and within_bounds(value)):
            return repr(value)
        return repr(str(value)) if isinstance(value, str) else ANYTHING

    def _shared(self) -> Iterator[str]:
        """Which of the observers are the same as an earlier one."""
        first: dict[int, fx.Node] = {}
        for node in self._live:
            module = called_module(node) if node.op == "call_module" else None
            if module is not None and is_observing(module):
                earlier = first.setdefault(id(module), node)
                if earlier is not node:
                    yield f"assert shared({self._names[earlier]}, {self._names[node]})"


def _sources_of(output: fx.Node) -> list[fx.Node]:
    """The nodes that a node depends on, in the order of the graph."""
    found, left = {output}, [output]
    while left:
        fresh = [source for source in left.pop().all_input_nodes if source not in found]
        found.update(fresh)
        left += fresh
    return [node for node in output.graph.nodes if node in found and node is not output]


def _names(nodes: list[fx.Node], taken: Collection[str]) -> Mapping[fx.Node, str]:
    """A name for each node: its own, where that can be written and stands for nothing else."""
    used = {*taken}
    names = {}
    for node in nodes:
        base = node.name if _WORD.fullmatch(node.name) and not keyword.iskeyword(node.name) else f"node_{node.name}"
        name, number = base, 1
        while name in used:
            number += 1
            name = f"{base}_{number}"
        used.add(name)
        names[node] = name
    return names


def _trimmed(texts: Iterator[str]) -> list[str]:
    """The texts without those at the end that leave everything open."""
    found = list(texts)
    while found and found[-1] == ANYTHING:
        found.pop()
    return found


def _written(texts: Mapping[str, str], *, unless: Collection[str] = (ANYTHING, "None")) -> list[str]:
    """Arguments by name, without those that say nothing."""
    return [f"{name}={text}" for name, text in texts.items() if text not in unless]


def _constants(module: nn.Module) -> tuple[str, ...]:
    """The names of the settings of one of torch's layers; of a fused one those of the layer with the weight."""
    layer = next(module.children(), module) if isinstance(module, nn.Sequential) else module
    return tuple(getattr(type(layer), "__constants__", ()))


def _attribute(node: fx.Node, name: str) -> Any:
    """A setting of the module that a node calls, None where it has none of that name."""
    try:
        value = argument(node, name)
    except KeyError:
        return None
    return None if isinstance(value, nn.Module) else value
