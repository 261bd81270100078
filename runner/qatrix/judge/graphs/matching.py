"""A pattern in the small language against the nodes of a graph, from a node backwards.

A name that is assigned stands for its expression; any other name captures what stands in
its place, and must find the same there ever after. What fails is a `Mismatch` that says where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import torch
from torch import fx

from qatrix.arithmetic import MAX_ITEMS, EvaluationError
from qatrix.expressions import Call, Conditional, Expression, Name, Sequence, evaluate
from qatrix.facts import ANYTHING
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, constant_value, names_of, op_name
from qatrix.judge.graphs.places import behind, node_words, place_of

_SELECTION: Final = "getitem"
# Of a path that a message tells: its end says where to look.
_LONGEST_PATH: Final = 12


@dataclass(frozen=True)
class Mismatch:
    """Where a match failed, as a path from the output, and why; a longer path is nearer to a match."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        clipped = len(self.path) > _LONGEST_PATH
        shown = (self.path[0], "…", *self.path[2 - _LONGEST_PATH :]) if clipped else self.path
        return f"{' ← '.join(shown)}: {self.message}" if shown else self.message


@dataclass(frozen=True, eq=False)
class Named:
    """An assigned expression, by the number of its line; wherever it occurs again it must be the same node."""

    name: str
    line: int
    expression: Any


class _Part(NamedTuple):
    """A pattern, what stands in its place, where that is, and the node that reads it."""

    pattern: Any
    found: object
    path: tuple[str, ...]
    reader: fx.Node | None = None


class Match:
    """One attempt to match at one place; `captured` is what was captured before, and then all that is."""

    def __init__(self, scope: Mapping[str, object], captured: Mapping[str, object] | None = None) -> None:
        self.captured: dict[str, object] = dict(captured or {})
        self._scope = scope
        self._bound: dict[Named, object] = {}
        self._lines: dict[str, int] = {}

    def fault(self, pattern: Any, found: object, path: tuple[str, ...] = ()) -> Mismatch | None:
        """Match an expression with what stands in a place: a node, a literal, or nothing; the first part that fails."""
        # A graph may be deeper than Python's stack.
        left = [_Part(pattern, found, path)]
        while left:
            part = left.pop()
            step = self._step(part.pattern, part.found, part.path)
            if isinstance(step, Mismatch):
                return _told_at(step, part)
            left += reversed(step)
        return None

    def _step(self, pattern: Any, found: object, path: tuple[str, ...]) -> Mismatch | list[_Part]:
        """What is wrong with a pattern in its place, or the parts that it leaves to be matched."""
        match pattern:
            case Named():
                return self._named(pattern, found, path)
            case Name(id) if id not in self._scope:
                return self._capture(id, found, path) or []
            case Call():
                return self._call(pattern, found, path)
            case Sequence(_, items):
                held = number_of(found)
                if not isinstance(held, (tuple, list)) or len(held) != len(items):
                    return Mismatch(path, f"expected {len(items)} items, found {describe(found)}")
                return [_Part(part, item, (*path, f"[{place}]")) for place, (part, item) in enumerate(zip(items, held))]
            case _:
                return self._value(pattern, found, path) or []

    def _named(self, named: Named, found: object, path: tuple[str, ...]) -> Mismatch | list[_Part]:
        if named in self._bound:
            return _same(named.name, self._bound[named], found, path) or []
        self._bound[named] = found
        # Of several lines that assign a name, the last one counts.
        if self._lines.get(named.name, -1) < named.line:
            self._lines[named.name] = named.line
            self.captured[named.name] = found
        return [_Part(named.expression, found, path)]

    def _capture(self, name: str, found: object, path: tuple[str, ...]) -> Mismatch | None:
        if name == ANYTHING:
            return None
        if name in self.captured:
            return _same(name, self.captured[name], found, path)
        self.captured[name] = found
        return None

    def _call(self, call: Call, found: object, path: tuple[str, ...]) -> Mismatch | list[_Part]:
        node = found if call.function == _SELECTION else _past_selection(found)
        if not isinstance(node, fx.Node) or call.function not in names_of(node):
            return Mismatch(path, f"expected {call.function}(…), found {describe(node)}")
        here = (*path, call.function)
        parts = [_Part(part, operand(node, place), here, node) for place, part in enumerate(call.args)]
        for name, part in call.kwargs:
            given = _given(node, name)
            if given is None:
                return self._missing(node, parts, (*here, name))
            parts.append(_Part(part, *given, (*here, name), node))
        return parts

    def _missing(self, node: fx.Node, before: list[_Part], path: tuple[str, ...]) -> Mismatch:
        """That a node has no such argument, unless one of the arguments before it is wrong."""
        faults = ((self.fault(part.pattern, part.found, part.path), part) for part in before)
        first = next((_told_at(fault, part) for fault, part in faults if fault is not None), None)
        return first or Mismatch(path, f"{describe(node)} has no such argument or attribute")

    def _value(self, pattern: Expression, found: object, path: tuple[str, ...]) -> Mismatch | None:
        try:
            expected = evaluate(pattern, self._scope)
        except EvaluationError as error:
            return Mismatch(path, str(error))
        if _equal(expected, number_of(named_value(found))):
            return None
        return Mismatch(path, f"expected {expected!r}, found {describe(found)}")


def _told_at(mismatch: Mismatch, part: _Part) -> Mismatch:
    """A mismatch with the node that reads what is wrong, where that is no node itself and so has no name."""
    if part.reader is None or isinstance(part.found, fx.Node):
        return mismatch
    return replace(mismatch, message=f"{mismatch.message}, at {describe(part.reader)}")


def resolved(expression: Any, assigned: Mapping[str, Any], scope: Mapping[str, object]) -> Any:
    """The expression with conditions decided and assigned names put in."""

    def resolve(part: Any) -> Any:
        match part:
            case Name(id) if id in assigned:
                return assigned[id]
            case Conditional(condition, then, otherwise):
                return resolve(then if evaluate(condition, scope) else otherwise)
            case Call(function, args, kwargs):
                return Call(function, tuple(map(resolve, args)), tuple((key, resolve(item)) for key, item in kwargs))
            case Sequence(kind, items):
                return Sequence(kind, tuple(map(resolve, items)))
            case _:
                return part

    return resolve(expression)


def describe(found: object) -> str:
    """What stands in a place, in words: a node by its op, its name and its layer.

    An op that quantizes has no layer of its own, and goes by what it reads, or by who reads it.
    """
    if not isinstance(found, fx.Node):
        return "nothing" if found is None else repr(found)
    op, beside = op_name(found), ""
    if op.startswith(("quantize", "dequantize", "choose_qparams")):
        readers = (f" for {place_of(user)}" for user in found.users if user.op != "output")
        beside = behind(found) or next(readers, "")
    return f"{op} ({node_words(found)}{beside})"


def in_float32(value: float) -> float:
    """The number nearest to it that float32 has, as scales and zero points are computed."""
    return float(torch.tensor(value, dtype=torch.float32))


def _same(name: str, known: object, found: object, path: tuple[str, ...]) -> Mismatch | None:
    if known is found or (not isinstance(known, fx.Node) and known == found):
        return None
    return Mismatch(path, f"expected '{name}', which is {describe(known)}, found {describe(found)}")


def _past_selection(found: object) -> object:
    """The node behind `getitem(node, 0)`: older releases give batch norm three outputs."""
    while isinstance(found, fx.Node) and op_name(found) == _SELECTION and found.args[1] == 0:
        found = found.args[0]
    return found


def _equal(expected: object, found: object) -> bool:
    """Equality of literals; 2 equals [2, 2], 1 is not True, and 0.03 is what float32 makes of it."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(found, (tuple, list)) and not isinstance(expected, (tuple, list)):
        return bool(found) and all(_equal(expected, item) for item in found)
    if isinstance(expected, (tuple, list)) and isinstance(found, (tuple, list)):
        return len(expected) == len(found) and all(map(_equal, expected, found))
    if isinstance(expected, float) and isinstance(found, float):
        return in_float32(expected) == in_float32(found)
    return expected == found


def _given(node: fx.Node, name: str) -> tuple[object] | None:
    """What a node is given by a name, as an expected graph writes it; None where it has no such argument."""
    try:
        return (named_value(argument(node, name)),)
    except KeyError:
        return None


def named_value(value: object) -> object:
    """torch's dtypes and schemes as text: int8 for torch.int8 and for torch.qint8."""
    if isinstance(value, (torch.dtype, torch.qscheme)):
        name = str(value).removeprefix("torch.")
        return name[1:] if name.startswith(("qint", "quint")) else name
    return value


def number_of(value: object) -> object:
    """A tensor, or the constant that holds one, as the number or the list that it is; anything else as it is."""
    held = constant_value(value) if isinstance(value, fx.Node) and value.op == "get_attr" else value
    if isinstance(held, torch.Tensor) and held.numel() <= MAX_ITEMS:
        return held.item() if held.numel() == 1 else held.tolist()
    return value
