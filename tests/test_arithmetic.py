from __future__ import annotations

import math
import operator
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix.arithmetic import INT_MAX, INT_MIN, MAX_ITEMS, EvaluationError, OutOfBounds, apply, bounded, truth

# Far more than an operator takes, and far less than an operator without limits does.
_SECONDS = 0.5


@contextmanager
def at_once() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < _SECONDS


@pytest.mark.parametrize(
    ("operands", "symbol", "found"),
    [
        ((7, 2), "//", 3),
        ((7, 2), "%", 1),
        ((7, 2), "/", 3.5),
        ((2, 62), "**", 2**62),
        ((-2, 63), "**", INT_MIN),
        ((1, INT_MAX), "**", 1),
        ((-1, INT_MAX), "**", -1),
        ((9, -99_999_999), "**", 0.0),
        ((2, 0.5), "**", math.sqrt(2)),
        ((True, 1), "+", 2),
        (((1, 2), (3,)), "+", (1, 2, 3)),
        (([1], [2]), "+", [1, 2]),
        (((0,), 3), "*", (0, 0, 0)),
        ((2, [1, 2]), "*", [1, 2, 1, 2]),
        (((1,), -5), "*", ()),
        ((2, 2.0), "==", True),
        (("a", None), "==", False),
        (("a", "b"), "<", True),
        ((1, 2), ">=", False),
        ((0, "x"), "and", 0),
        (((), "x"), "or", "x"),
        ((3,), "-", -3),
        (("",), "not", True),
        ((-math.inf, 1), "+", -math.inf),
    ],
)
def test_operators_mean_what_they_mean_in_python(operands: tuple[Any, ...], symbol: str, found: object) -> None:
    assert apply(symbol, *operands) == found


@pytest.mark.parametrize(
    ("symbol", "operands"),
    [
        pytest.param("**", (9, 99_999_999), id="a power"),
        pytest.param("**", (9, 9_999_999_999), id="a greater power"),
        pytest.param("**", (2, 63), id="65 bits"),
        pytest.param("**", (INT_MIN, 63), id="the greatest power that is computed"),
        pytest.param("**", (10.0, 400), id="a power of a float"),
        pytest.param("*", (1e308, 10.0), id="an infinite float"),
        pytest.param("*", (INT_MAX, INT_MAX), id="a product"),
        pytest.param("+", (INT_MAX, 1), id="a sum"),
        pytest.param("-", (INT_MIN,), id="a negation"),
        pytest.param("+", (1 << 20_000, 1), id="an operand whose digits Python does not write"),
        pytest.param("+", (1.5, 1 << 20_000), id="an operand that is no float"),
        pytest.param("/", (1 << 20_000, 3), id="a quotient"),
        pytest.param("*", ("aaaa", 99_999_999_999), id="a text many times"),
        pytest.param("*", (2, "a"), id="a text twice"),
        pytest.param("+", ("a", "b"), id="a longer text"),
        pytest.param("%", ("%99999999d", 5), id="a text with a number in it"),
        pytest.param("*", ((0,), 99_999_999_999), id="a tuple many times"),
        pytest.param("*", (99_999_999_999, [[1, 2]]), id="a list many times"),
        pytest.param("*", (((0,) * 500, (0,) * 400), 2), id="a nested list twice"),
        pytest.param("+", ((0,) * MAX_ITEMS, (0,) * MAX_ITEMS), id="a long tuple"),
    ],
)
def test_what_is_too_large_or_arithmetic_on_text_is_out_of_bounds(symbol: str, operands: tuple[Any, ...]) -> None:
    with at_once(), pytest.raises(OutOfBounds):
        apply(symbol, *operands)


@pytest.mark.parametrize(
    ("symbol", "operands"),
    [
        ("+", (None, 1)),
        ("-", ((1,), (2,))),
        ("+", ((1,), [2])),
        ("*", ((1,), 1.5)),
        ("@", (2, 3)),
        ("@", ((1,), (2,))),
        ("<", ((1,), (2,))),
        ("<", ("a", 1)),
        (">=", (None, None)),
        ("-", (None,)),
        ("-", ([1],)),
        ("/", (1, 0)),
        ("%", (1, 0)),
        ("**", (0, -1)),
        ("**", (-8, 0.5)),
        ("+", (object(), 1)),
        ("not", (object(),)),
        ("and", (object(), True)),
        ("<<", (1, 99_999_999_999)),
    ],
)
def test_what_is_no_arithmetic_is_an_error_of_evaluation(symbol: str, operands: tuple[Any, ...]) -> None:
    with pytest.raises(EvaluationError):
        apply(symbol, *operands)


class Itemwise:
    """Compares as tensors do."""

    def __eq__(self, other: object) -> Any:
        return [other]

    __hash__ = None  # type: ignore[assignment]  # as tensors with such an equality


def test_what_compares_item_by_item_is_refused() -> None:
    with pytest.raises(EvaluationError, match="are not compared as one"):
        apply("==", Itemwise(), 1)


@pytest.mark.parametrize("value", [(1, [2, {"a": 3}]), {"a": None}, "text", 1.5, None, (0,) * (MAX_ITEMS - 1)])
def test_what_is_small_stays(value: object) -> None:
    assert bounded(value) is value


def nested(levels: int) -> tuple[object, ...]:
    found: tuple[object, ...] = ()
    for _ in range(levels):
        found = (found,)
    return found


def shared(levels: int) -> list[object]:
    found: list[object] = [0]
    for _ in range(levels):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    "value", [(0,) * (MAX_ITEMS + 1), nested(30), nested(5_000), shared(18), {"a": [0] * MAX_ITEMS}]
)
def test_what_is_long_or_deep_is_out_of_bounds(value: object) -> None:
    with at_once(), pytest.raises(OutOfBounds):
        bounded(value)


def test_the_truth_of_what_is_not_plain_is_an_error() -> None:
    assert truth("x")
    with pytest.raises(EvaluationError, match="a object is neither true nor false"):
        truth(object())


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, 63, 99_999_999_999])
    | st.floats() | st.text(max_size=5)
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple))
SYMBOLS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "@", "==", "!=", "<", "<=", ">", ">=", "and", "or"])


@given(SYMBOLS, VALUES, VALUES)
def test_any_operator_of_any_plain_values_ends_at_once(symbol: str, left: object, right: object) -> None:
    with at_once():
        try:
            found = apply(symbol, left, right)
        except EvaluationError:
            return
    if symbol not in ("and", "or"):
        assert not isinstance(found, int) or INT_MIN <= found <= INT_MAX
        assert not isinstance(found, str)


SMALL = st.integers(-1000, 1000) | st.floats(-1000, 1000)
EXACT = {"+": operator.add, "-": operator.sub, "*": operator.mul, "<": operator.lt, "==": operator.eq}


@given(st.sampled_from(sorted(EXACT)), SMALL, SMALL)
def test_small_numbers_are_computed_as_python_computes_them(symbol: str, left: float, right: float) -> None:
    assert apply(symbol, left, right) == EXACT[symbol](left, right)
