"""The assertions of an expected graph: whether they hold of what was captured, and of which nodes they do not."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import torch
from torch import fx

from qatrix import expressions
from qatrix.arithmetic import EvaluationError, apply, bounded, truth
from qatrix.expressions import Call, Comprehension, Conditional, Expression, Literal, Loop, Name, Operation
from qatrix.facts import ANYTHING, NEIGHBORS
from qatrix.judge.graphs.matching import Match, describe, in_float32, resolved
from qatrix.judge.graphs.metadata import FACTS
from qatrix.judge.graphs.ops import constant_value, is_guard, names_of
from qatrix.judge.graphs.wording import names_in, text_of

# Two scales computed in another order differ by a rounding of float32.
_FLOAT32_EPS: Final = torch.finfo(torch.float32).eps
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
# What is given a loop; `distinct` may be given values, too.
LOOPED: Final = frozenset({"all", "any", "sum", "sorted", "distinct"})
# Nodes of a loop that a message names; the rest it counts.
_TOLD: Final = 3
# Of all loops of one assertion together: some ten seconds.
_MOST_LOOKED_AT: Final = 5_000_000
_LISTS: Final = reprlib.Repr()
_LISTS.maxlist = 12
_LISTS.maxstring = 80


@dataclass(frozen=True, kw_only=True)
class Assertions:
    """Assertions of one graph. `scope` has the values that their names stand for, `captured` what was captured."""

    graph: fx.Graph
    scope: Mapping[str, object]
    captured: Mapping[str, object]

    def fault(self, condition: Expression) -> str | None:
        """In words why a condition does not hold; None where it does."""
        names = {**{name: _number(value) for name, value in self.captured.items()}, **self.scope}
        evaluation = _Evaluation(graph=self.graph, scope=self.scope)
        try:
            holds = truth(evaluation.value(condition, names))
        except (EvaluationError, TypeError, ArithmeticError) as error:
            return f"{text_of(condition)} cannot be told: {error}"
        if holds:
            return None
        captured = [f"{name} is {_shown(names[name])}" for name in sorted(names_in(condition)) if name in self.captured]
        told = "; ".join(filter(None, (", ".join((*captured, *evaluation.told)), *evaluation.nodes)))
        return f"{text_of(condition)} does not hold: {told}" if told else f"{text_of(condition)} does not hold"


@dataclass
class _Budget:
    """How many more nodes the loops of an assertion may look at, and how many pairs of values they may compare."""

    left: int = field(default_factory=lambda: _MOST_LOOKED_AT)

    def spend(self, count: int = 1) -> None:
        """Count a node, or so many pairs. Raises EvaluationError where there were too many."""
        self.left -= count
        if self.left < 0:
            msg = f"its loops look at more than {_MOST_LOOKED_AT:,} nodes or pairs of values"
            raise EvaluationError(msg)


@dataclass
class _Deciding:
    """The rounds of a loop that decide what a function of it is, in words: their nodes, and what was asked of them."""

    count: int = 0
    words: list[str] = field(default_factory=list)

    def add(self, nodes: Sequence[object], told: Sequence[str]) -> None:
        """Count a round; the first few are told."""
        self.count += 1
        if self.count <= _TOLD:
            asked = f" ({', '.join(told)})" if told else ""
            self.words.append(f"{', '.join(map(_shown, nodes))}{asked}")

    def sentence(self, about: str) -> list[str]:
        """What to say of them, nothing where there are none."""
        more = f" and {self.count - _TOLD} more" if self.count > _TOLD else ""
        return [f"{about} {', '.join(self.words)}{more}"] if self.words else []


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """One evaluation of a condition: what its functions have answered, and of which nodes its loops speak."""

    graph: fx.Graph
    scope: Mapping[str, object]
    budget: _Budget = field(default_factory=_Budget)
    told: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)

    def value(self, part: Expression, names: Mapping[str, object]) -> object:
        """The value of a part of the condition over these names."""
        match part:
            case Literal(value):
                return value
            case Name(id) if id in names:
                return names[id]
            case expressions.Sequence(_, items):
                return bounded([self.value(item, names) for item in items])
            case Operation(("and" | "or") as symbol, (left, right)):
                first = self.value(left, names)
                return self.value(right, names) if truth(first) == (symbol == "and") else first
            case Operation(symbol, operands):
                values = [self.value(operand, names) for operand in operands]
                return apply(symbol, *(map(_comparable, values) if symbol in _COMPARISONS else values))
            case Conditional(condition, then, otherwise):
                return self.value(then if truth(self.value(condition, names)) else otherwise, names)
            case Call(function, (Comprehension() as items,)):
                return self._looped(function, part, items, names)
            case Call(function, args):
                return self._answer(function, part, [self.value(item, names) for item in args])
        msg = f"nothing captures '{text_of(part)}'"
        raise EvaluationError(msg)

    def _answer(self, function: str, call: Call, values: Sequence[object]) -> object:
        if function in OF_VALUES:
            return OF_VALUES[function](*values)
        found = FACTS[function](*map(_node, values))
        if not isinstance(found, (bool, list)):
            self._tell(f"{text_of(call)} is {_shown(found)}")
        return found

    def _looped(self, function: str, call: Call, items: Comprehension, names: Mapping[str, object]) -> object:
        """The value of a function of what a loop gives; notes the nodes that decide it."""
        rounds = self._rounds(items.loops, names)
        if function in {"distinct", "sorted"}:
            values = [self._apart().value(items.item, found) for found in rounds]
            if function == "distinct":
                # Each is compared with all before it.
                self.budget.spend(math.comb(len(values), 2))
            self._tell(f"the values are {_LISTS.repr(values)}")
            return _distinct(*values) if function == "distinct" else _ordered(values)
        deciding, total, made = _Deciding(), 0.0, False
        for found in rounds:
            made, apart = True, self._apart()
            value = apart.value(items.item, found)
            if truth(value) == (function != "all"):
                targets = [loop.target for loop in items.loops]
                captured = sorted(names_in(items.item) - {*targets, *names})
                told = [f"{name} is {_shown(found[name])}" for name in captured if name in found]
                deciding.add([found[target] for target in targets], [*told, *apart.told])
            total += _summand(value) if function == "sum" else 0
        self.nodes.extend(deciding.sentence("not for" if function == "all" else "for"))
        if function == "sum":
            self._tell(f"{text_of(call)} is {total:g}")
            return total
        if function == "any":
            return deciding.count > 0
        if not made:
            self._demand_nodes(items.loops[0], names)
        return deciding.count == 0

    def _demand_nodes(self, loop: Loop, names: Mapping[str, object]) -> None:
        """Raise EvaluationError where a loop goes through nothing: of nothing everything is true, in any graph."""
        if next(iter(self._sources(loop, names)), None) is None:
            msg = f"there is no {text_of(loop.source)} in the graph, so that it says nothing"
            raise EvaluationError(msg)

    def _tell(self, words: str) -> None:
        if words not in self.told:
            self.told.append(words)

    def _apart(self) -> _Evaluation:
        """An evaluation that keeps its words for itself."""
        return _Evaluation(graph=self.graph, scope=self.scope, budget=self.budget)

    def _rounds(self, loops: Sequence[Loop], names: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
        """The names of each round of the loops, the last one being the innermost."""
        if not loops:
            yield names
            return
        loop, *inner = loops
        for found in self._sources(loop, names):
            if all(truth(self._apart().value(condition, found)) for condition in loop.conditions):
                yield from self._rounds(inner, found)

    def _sources(self, loop: Loop, names: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
        """The names of each node that a loop goes through, with what its op captures there."""
        source = resolved(loop.source, {}, self.scope)
        if isinstance(source, Call) and source.function in NEIGHBORS:
            yield from ({**names, loop.target: node} for node in _list(self._apart().value(source, names)))
            return
        op = source.function if isinstance(source, Call) else source.id
        for node in self.graph.nodes:
            self.budget.spend()
            if node.op == "output" or is_guard(node) or not (op == ANYTHING or op in names_of(node)):
                continue
            captured = self._captured(source, node, names) if isinstance(source, Call) else {}
            if captured is not None:
                yield {**names, **captured, loop.target: node}

    def _captured(self, op: Call, node: fx.Node, names: Mapping[str, object]) -> Mapping[str, object] | None:
        """What the call of an op captures at a node, None where it does not fit."""
        before = {name: getattr(value, "node", value) for name, value in names.items() if name not in self.scope}
        match = Match(self.scope, before)
        if match.fault(op, node) is not None:
            return None
        return {name: _number(value) for name, value in match.captured.items()}


class _Constant(float):
    """A one-element constant: a number in arithmetic, and still the node that holds it."""

    node: fx.Node

    def __new__(cls, node: fx.Node, value: float) -> Self:
        made = super().__new__(cls, value)
        made.node = node
        return made


def _number(value: object) -> object:
    """A captured constant's tensor as a value, where it has one element; anything else as it is."""
    if isinstance(value, fx.Node) and value.op == "get_attr":
        tensor = constant_value(value)
        if isinstance(tensor, torch.Tensor) and tensor.numel() == 1:
            return _Constant(value, float(tensor))
    return value


def _node(value: object) -> fx.Node:
    node = getattr(value, "node", value)
    if not isinstance(node, fx.Node):
        msg = f"{describe(value)} is no node of the graph"
        raise EvaluationError(msg)
    return node


def _list(value: object) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        msg = f"{_shown(value)} is no list"
        raise EvaluationError(msg)
    return value


def _shown(value: object) -> str:
    return describe(value) if isinstance(value, fx.Node) else repr(value)


def _comparable(value: object) -> object:
    """A value as float32 has it, so that 0.1 is what a scale of 0.1 became; a list item by item."""
    if isinstance(value, float):
        return in_float32(value)
    return [_comparable(item) for item in value] if isinstance(value, (list, tuple)) else value


def _summand(value: object) -> float:
    if isinstance(value, (bool, int, float)):
        return value
    msg = f"{_shown(value)} is no number to sum up"
    raise EvaluationError(msg)


def _ordered(values: Sequence[object]) -> object:
    """The values from the least to the greatest: numbers, or texts."""
    if not (all(isinstance(item, str) for item in values) or all(isinstance(item, (int, float)) for item in values)):
        msg = f"{list(values)!r} are not all numbers, nor all texts, and have no order"
        raise EvaluationError(msg)
    return bounded(sorted(values))  # type: ignore[type-var]  # all of one of these types


def _isclose(left: object, right: object) -> bool:
    return math.isclose(_summand(left), _summand(right), rel_tol=_FLOAT32_EPS)


def _distinct(*values: object) -> bool:
    return all(one != other for place, one in enumerate(values) for other in values[:place])


def _len(value: object) -> int:
    return len(_list(value))


# What is asked of values.
OF_VALUES: Final[Mapping[str, Callable[..., object]]] = {"isclose": _isclose, "distinct": _distinct, "len": _len}
