"""Expected graphs: a pattern in the small language against the graph that a pipeline made.

A name that is assigned stands for its expression; any other name captures what stands in
its place, and must find the same there ever after. A match is tried at one place, from the
output backwards, and is a dict of captures or a `Mismatch` that says where it failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import fx
from torch.utils import _pytree as pytree

from qatrix.arithmetic import EvaluationError
from qatrix.expressions import (
    Assert,
    Assign,
    Call,
    Conditional,
    Expression,
    Literal,
    Name,
    Operation,
    Return,
    Sequence,
    Statement,
    evaluate,
)
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, constant_value, names_of, op_name
from qatrix.judge.graphs.places import node_words

ANYTHING: Final = "_"
# Two scales computed in another order differ by a rounding of float32.
_FLOAT32_EPS: Final = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Mismatch:
    """Where a match failed, as a path from the output, and why; a longer path is nearer to a match."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{' ← '.join(self.path)}: {self.message}" if self.path else self.message


def match_graph(statements: tuple[Statement, ...], graph: fx.Graph, scope: Mapping[str, object]) -> Mismatch | None:
    """None where the graph is the expected one, else the mismatch that came nearest.

    With a `return` the match starts at the graph's output, otherwise the last assignment is
    looked for anywhere in the graph.
    """
    root, pinned = _root(statements, scope)
    asserts = [statement.condition for statement in statements if isinstance(statement, Assert)]
    if pinned:
        starts = [_output(graph)]
        path: tuple[str, ...] = ("output",)
    else:
        starts = [node for node in graph.nodes if node.op != "output"]
        path = ()
    nearest: Mismatch | None = None
    for start in starts:
        attempt = _Attempt(scope)
        found = attempt.match(root, start, path) or attempt.check(asserts)
        if found is None:
            return None
        if nearest is None or len(found.path) > len(nearest.path):
            nearest = found
    return nearest or Mismatch(path, "the graph is empty")


def _root(statements: tuple[Statement, ...], scope: Mapping[str, object]) -> tuple[Any, bool]:
    """The expression to match, with every assigned name replaced by what it stands for; and whether it is returned."""
    assigned: dict[str, Any] = {}
    root: Any = Name(ANYTHING)
    for statement in statements:
        if isinstance(statement, Assign):
            root = _Named(statement.targets[0], _resolved(statement.value, assigned, scope))
            assigned[statement.targets[0]] = root
        elif isinstance(statement, Return):
            return _resolved(statement.value, assigned, scope), True
    return root, False


@dataclass(frozen=True)
class _Named:
    """An assigned expression; wherever it occurs again it must be the same node. Compared by identity."""

    name: str
    expression: Any

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def _resolved(expression: Any, assigned: Mapping[str, Any], scope: Mapping[str, object]) -> Any:
    """The expression with conditions decided and assigned names put in; asserts stay as they are."""

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


class _Attempt:
    """One attempt to match at one place; holds what was captured."""

    def __init__(self, scope: Mapping[str, object]) -> None:
        self._scope = scope
        self._captured: dict[str, object] = {}
        self._bound: dict[_Named, object] = {}

    def match(self, pattern: Any, found: object, path: tuple[str, ...]) -> Mismatch | None:
        """Match one expression with what stands in a place: a node, a literal, or nothing."""
        match pattern:
            case _Named(expression=expression):
                return self._match_named(pattern, expression, found, path)
            case Name(id) if id not in self._scope:
                return self._capture(id, found, path)
            case Call():
                return self._match_call(pattern, found, path)
            case Sequence(_, items):
                return self._match_items(items, found, path)
            case _:
                return self._match_value(pattern, found, path)

    def check(self, conditions: list[Expression]) -> Mismatch | None:
        """The first condition over the captures that does not hold."""
        for condition in conditions:
            try:
                holds = self._value(condition)
            except EvaluationError as error:
                return Mismatch(("assert",), f"{_text(condition)} cannot be told: {error}")
            if not holds:
                values = {name: self._shown(name) for name in sorted(_names(condition))}
                told = ", ".join(f"{name} is {value}" for name, value in values.items() if value is not None)
                return Mismatch(("assert",), f"{_text(condition)} does not hold: {told}")
        return None

    def _match_named(self, named: _Named, expression: Any, found: object, path: tuple[str, ...]) -> Mismatch | None:
        if named in self._bound:
            return self._same(named.name, self._bound[named], found, path)
        failed = self.match(expression, found, path)
        if failed is None:
            self._bound[named] = found
            self._captured[named.name] = found
        return failed

    def _capture(self, name: str, found: object, path: tuple[str, ...]) -> Mismatch | None:
        if name == ANYTHING:
            return None
        if name in self._captured:
            return self._same(name, self._captured[name], found, path)
        self._captured[name] = found
        return None

    def _same(self, name: str, known: object, found: object, path: tuple[str, ...]) -> Mismatch | None:
        if known is found or (not isinstance(known, fx.Node) and known == found):
            return None
        return Mismatch(path, f"expected '{name}', which is {_describe(known)}, found {_describe(found)}")

    def _match_call(self, call: Call, found: object, path: tuple[str, ...]) -> Mismatch | None:
        node = _past_selection(found)
        if not isinstance(node, fx.Node) or call.function not in names_of(node):
            return Mismatch(path, f"expected {call.function}(…), found {_describe(node)}")
        here = (*path, call.function)
        for position, part in enumerate(call.args):
            failed = self.match(part, operand(node, position), here)
            if failed is not None:
                return failed
        for name, part in call.kwargs:
            failed = self._match_argument(node, name, part, here)
            if failed is not None:
                return failed
        return None

    def _match_argument(self, node: fx.Node, name: str, part: Any, path: tuple[str, ...]) -> Mismatch | None:
        try:
            found = _plain(argument(node, name))
        except KeyError:
            return Mismatch((*path, name), f"{_describe(node)} has no such argument or attribute")
        return self.match(part, found, (*path, name))

    def _match_items(self, items: tuple[Any, ...], found: object, path: tuple[str, ...]) -> Mismatch | None:
        if not isinstance(found, (tuple, list)) or len(found) != len(items):
            return Mismatch(path, f"expected {len(items)} items, found {_describe(found)}")
        for number, (part, item) in enumerate(zip(items, found)):
            failed = self.match(part, item, (*path, f"[{number}]"))
            if failed is not None:
                return failed
        return None

    def _match_value(self, pattern: Expression, found: object, path: tuple[str, ...]) -> Mismatch | None:
        try:
            expected = evaluate(pattern, self._scope, _VALUE_FUNCTIONS)
        except EvaluationError as error:
            return Mismatch(path, str(error))
        if _equal(expected, _plain(found)):
            return None
        return Mismatch(path, f"expected {expected!r}, found {_describe(found)}")

    def _value(self, condition: Expression) -> object:
        captured = {name: _number(value) for name, value in self._captured.items()}
        return evaluate(condition, {**captured, **self._scope}, _ASSERT_FUNCTIONS)

    def _shown(self, name: str) -> str | None:
        return _describe(_number(self._captured[name])) if name in self._captured else None


def _past_selection(found: object) -> object:
    """The node behind `getitem(node, 0)`: older releases give batch norm three outputs."""
    while isinstance(found, fx.Node) and op_name(found) == "getitem" and found.args[1] == 0:
        found = found.args[0]
    return found


def _output(graph: fx.Graph) -> object:
    """What the graph returns; the first tensor where it returns several."""
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    leaves = pytree.tree_leaves(output.args[0])
    return leaves[0] if leaves else None


def _equal(expected: object, found: object) -> bool:
    """Equality of literals; 2 equals [2, 2], 1 is not True, and 0.03 is what float32 makes of it."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(found, (tuple, list)) and not isinstance(expected, (tuple, list)):
        return bool(found) and all(_equal(expected, item) for item in found)
    if isinstance(expected, (tuple, list)) and isinstance(found, (tuple, list)):
        return len(expected) == len(found) and all(map(_equal, expected, found))
    if isinstance(expected, float) and isinstance(found, float):
        return _in_float32(expected) == _in_float32(found)
    return expected == found


def _in_float32(value: float) -> float:
    """The number nearest to it that float32 has, as scales and zero points are computed."""
    return float(torch.tensor(value, dtype=torch.float32))


def _plain(value: object) -> object:
    """torch's dtypes and schemes as text: int8 for torch.int8 and for torch.qint8."""
    if isinstance(value, (torch.dtype, torch.qscheme)):
        name = str(value).removeprefix("torch.")
        return name[1:] if name.startswith(("qint", "quint")) else name
    return value


def _number(value: object) -> object:
    """A captured constant's tensor as a value, where it has one element; anything else as it is."""
    if isinstance(value, fx.Node) and value.op == "get_attr":
        tensor = constant_value(value)
        if isinstance(tensor, torch.Tensor) and tensor.numel() == 1:
            return _Constant(value, float(tensor))
    return value


class _Constant(float):
    """A one-element constant: a number in arithmetic, and still the node that holds it."""

    node: fx.Node

    def __new__(cls, node: fx.Node, value: float) -> _Constant:
        made = super().__new__(cls, value)
        made.node = node
        return made


def _source_fn(node: object) -> object:
    node = getattr(node, "node", node)
    stack = node.meta.get("source_fn_stack") if isinstance(node, fx.Node) else None
    if not stack:
        msg = f"{_describe(node)} has no source_fn_stack"
        raise TypeError(msg)
    return stack[0][0]


def _isclose(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=_FLOAT32_EPS)


def _distinct(*values: object) -> bool:
    return all(one != other for place, one in enumerate(values) for other in values[:place])


def _is_constant(node: object) -> bool:
    node = getattr(node, "node", node)
    return isinstance(node, fx.Node) and node.op == "get_attr"


_VALUE_FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {}
_ASSERT_FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "isclose": _isclose,
    "source_fn": _source_fn,
    "distinct": _distinct,
    "is_constant": _is_constant,
}


def _names(expression: object) -> frozenset[str]:
    match expression:
        case Name(id):
            return frozenset({id})
        case Operation(_, operands):
            return frozenset().union(*map(_names, operands))
        case Call(_, args, _):
            return frozenset().union(*map(_names, args))
    return frozenset()


def _text(expression: object) -> str:
    """An expression as it was written, or nearly so."""
    match expression:
        case Literal(value):
            return repr(value)
        case Name(id):
            return id
        case Operation(symbol, (operand,)):
            return f"{symbol} {_text(operand)}"
        case Operation(symbol, (left, right)):
            return f"{_text(left)} {symbol} {_text(right)}"
        case Call(function, args, _):
            return f"{function}({', '.join(map(_text, args))})"
    return str(expression)


def _describe(found: object) -> str:
    if isinstance(found, fx.Node):
        return f"{op_name(found)} ({node_words(found)})"
    return "nothing" if found is None else repr(found)
