"""The tree of the small language in which layers, forward passes and expected graphs are written.

`declare.language` builds it from text, `pipelines.models` turns it into a module and
`judge.graphs` matches it against a graph. Nothing here runs Python code from YAML:
`evaluate` knows arithmetic, comparisons and the names it is given, and nothing else, within the
limits of `arithmetic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from qatrix.arithmetic import EvaluationError, OutOfBounds, apply, bounded, truth
from qatrix.errors import Source

Scalar: TypeAlias = bool | int | float | str | None
Value: TypeAlias = Scalar | tuple["Value", ...]


@dataclass(frozen=True)
class Literal:
    """A number, a string, a boolean or None."""

    value: Scalar


@dataclass(frozen=True)
class Name:
    """A parameter, an input, an earlier assignment; in an expected graph also a capture."""

    id: str


@dataclass(frozen=True)
class Sequence:
    """A tuple or list display; `kind` is "tuple" or "list"."""

    kind: str
    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Dictionary:
    """A dict display with string keys."""

    items: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class Operation:
    """An operator applied to one operand (unary) or two (binary): "+", "@", "==", "not", …"""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True)
class Call:
    """A call by (dotted) name: a layer, `torch.cat`, `F.relu`, a conv kind, an op of a graph."""

    function: str
    args: tuple[Expression, ...] = ()
    kwargs: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True)
class MethodCall:
    """A call of a tensor method: `x.relu()`."""

    value: Expression
    method: str
    args: tuple[Expression, ...] = ()
    kwargs: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True)
class Slice:
    """`start:stop:step` inside an index; a missing part is None."""

    start: Expression | None
    stop: Expression | None
    step: Expression | None


@dataclass(frozen=True)
class Index:
    """`value[index]`; several indices are a tuple Sequence, `…` is Literal("...")."""

    value: Expression
    index: Expression


@dataclass(frozen=True)
class Conditional:
    """`then if condition else otherwise`; only in expected graphs."""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True)
class Loop:
    """`for target in source if condition`: the source is an op by its name, `_` for any, an op's call, or a list."""

    target: str
    source: Expression
    conditions: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class Comprehension:
    """`item for y in conv if …`, over the nodes of a graph; only in assertions, as what a function is given."""

    item: Expression
    loops: tuple[Loop, ...]


Expression: TypeAlias = (
    Literal | Name | Sequence | Dictionary | Operation | Call | MethodCall | Slice | Index | Conditional | Comprehension
)


@dataclass(frozen=True, kw_only=True)
class Assign:
    """`a = …`, `a, b = …` (several targets) or, with an operator, `a += …` (in place)."""

    targets: tuple[str, ...]
    value: Expression
    operator: str | None
    source: Source


@dataclass(frozen=True, kw_only=True)
class Return:
    """`return …`, the last statement of a forward pass; in an expected graph the graph's output."""

    value: Expression
    source: Source


@dataclass(frozen=True, kw_only=True)
class Assert:
    """`assert …`; only in expected graphs, about captured nodes and literals."""

    condition: Expression
    source: Source


Statement: TypeAlias = Assign | Return | Assert

# Expressions are read from texts that nest less deep.
_MAX_DEPTH: Final = 200
_MOST_LISTED: Final = 50


def evaluate(expression: Expression, scope: Mapping[str, object]) -> object:
    """The value of an expression over the names of `scope`, in less than a millisecond.

    Nothing is called; tuples and lists come back as tuples and lists.
    Raises EvaluationError for an unknown name or function, or when the arithmetic fails, and of
    it OutOfBounds for what is too large.
    """

    def value_of(part: Expression, depth: int) -> object:
        if depth > _MAX_DEPTH:
            msg = f"an expression that nests more than {_MAX_DEPTH} levels deep"
            raise OutOfBounds(msg)

        def inner(item: Expression) -> object:
            return value_of(item, depth + 1)

        match part:
            case Literal(value):
                return value
            case Name(id):
                if id not in scope:
                    raise EvaluationError(_unknown(id, scope))
                return scope[id]
            case Sequence(kind, items):
                values = list(map(inner, items))
                return bounded(tuple(values) if kind == "tuple" else values)
            case Dictionary(items):
                return bounded({key: inner(item) for key, item in items})
            case Operation(symbol, operands):
                return apply(symbol, *map(inner, operands))
            case Conditional(condition, then, otherwise):
                return inner(then) if truth(inner(condition)) else inner(otherwise)
            case _:
                msg = f"not a value: {part}"
                raise EvaluationError(msg)

    try:
        return value_of(expression, 0)
    except (TypeError, ArithmeticError, KeyError) as error:
        raise EvaluationError(str(error)) from error


def _unknown(name: str, scope: Mapping[str, object]) -> str:
    """That a name is not known, and what is; of very many names how many there are."""
    known = ", ".join(sorted(scope)) if len(scope) <= _MOST_LISTED else f"{len(scope):,} others"
    return f"unknown name '{name}'; known are {known or 'none'}"
