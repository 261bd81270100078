from __future__ import annotations

import pytest

from qatrix.arithmetic import EvaluationError, OutOfBounds
from qatrix.expressions import (
    Call,
    Conditional,
    Dictionary,
    Expression,
    Index,
    Literal,
    MethodCall,
    Name,
    Operation,
    Sequence,
    evaluate,
)

SCOPE = {"n": 9_999_999_999, "s": "aaaa", "two": 2, "sizes": (1, 2), "nothing": None}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (Operation("*", (Name("two"), Literal(3))), 6),
        (Operation("-", (Name("two"),)), -2),
        (Sequence("tuple", (Literal(1), Name("two"))), (1, 2)),
        (Sequence("list", (Name("sizes"),)), [(1, 2)]),
        (Dictionary((("a", Name("two")),)), {"a": 2}),
        (Conditional(Operation("==", (Name("two"), Literal(2))), Literal("yes"), Literal("no")), "yes"),
    ],
)
def test_expressions_have_values(expression: Expression, value: object) -> None:
    assert evaluate(expression, SCOPE) == value


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(Operation("**", (Literal(9), Operation("+", (Literal(99_999_999),)))), id="a power with a sign"),
        pytest.param(Operation("**", (Literal(9), Name("n"))), id="a power by name"),
        pytest.param(Operation("*", (Name("s"), Literal(99_999_999_999))), id="a text many times"),
        pytest.param(Operation("*", (Name("sizes"), Name("n"))), id="a tuple many times"),
        pytest.param(Sequence("list", (Sequence("tuple", (Name("sizes"),) * 400),) * 3), id="a list of lists"),
    ],
)
def test_what_has_no_bounds_is_refused(expression: Expression) -> None:
    with pytest.raises(OutOfBounds):
        evaluate(expression, SCOPE)


@pytest.mark.parametrize(
    "expression",
    [
        Name("unknown"),
        Call("unknown"),
        MethodCall(Name("s"), "format"),
        Index(Name("sizes"), Literal(0)),
        Operation("+", (Name("nothing"), Literal(1))),
        Operation("/", (Name("two"), Literal(0))),
        Conditional(Name("thing"), Literal(1), Literal(2)),
    ],
)
def test_what_has_no_value_is_an_error(expression: Expression) -> None:
    with pytest.raises(EvaluationError):
        evaluate(expression, {**SCOPE, "thing": object()})


def test_a_tree_without_end_is_refused() -> None:
    expression: Expression = Literal(1)
    for _ in range(10_000):
        expression = Operation("-", (expression,))
    with pytest.raises(OutOfBounds, match="nests more than 200 levels deep"):
        evaluate(expression, {})
