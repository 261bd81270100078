"""The operators of the small language on plain values, with limits, so that no expression hangs or fills the memory.

Sizes and indices of models are what is computed here: 64 bits, some hundred items and a few levels
are far more than they need.
"""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeGuard

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
# Of a tuple, list or dict, all that is nested in it counted.
MAX_ITEMS: Final = 1_000
MAX_NESTING: Final = 20

_Number: TypeAlias = int | float
_ARITHMETIC: Final[Mapping[str, Callable[[_Number, _Number], object]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_ORDER: Final[Mapping[str, Callable[..., bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class EvaluationError(ValueError):
    """An expression names something unknown or asks for something that is not arithmetic."""


class OutOfBounds(EvaluationError):
    """An expression asks for what the language never does: numbers or lists without end, arithmetic on text."""


def apply(symbol: str, *operands: object) -> object:
    """What an operator makes of plain values; takes microseconds.

    Raises OutOfBounds for arithmetic on text and for results beyond the limits, EvaluationError for
    what the operator does not know.
    """
    if len(operands) == 1:
        return _unary(symbol, operands[0])
    left, right = operands
    if symbol in ("and", "or"):
        return right if truth(left) == (symbol == "and") else left
    if symbol in ("==", "!="):
        return _equal(left, right) == (symbol == "==")
    if symbol in _ORDER:
        return _ordered(symbol, left, right)
    return _arithmetic(symbol, left, right)


def truth(value: object) -> bool:
    """Whether a plain value counts as true; raises EvaluationError for anything that is not plain."""
    if value is None or isinstance(value, (bool, int, float, str, tuple, list, dict)):
        return bool(value)
    msg = f"{_shown(value)} is neither true nor false"
    raise EvaluationError(msg)


def bounded(value: object) -> object:
    """The value; raises OutOfBounds where a tuple, list or dict holds too many items or nests too deep."""
    _count(value, 0, 0)
    return value


def within_bounds(number: object) -> bool:
    """Whether a number is no integer of more than 64 bits."""
    return not isinstance(number, int) or INT_MIN <= number <= INT_MAX


def _unary(symbol: str, operand: object) -> object:
    if symbol == "not":
        return not truth(operand)
    if not _is_number(operand):
        raise _unknown(symbol, operand)
    return _checked(-operand if symbol == "-" else +operand)


def _equal(left: object, right: object) -> bool:
    found = left == right
    if not isinstance(found, bool):
        # Tensors compare item by item.
        msg = f"{_shown(left)} and {_shown(right)} are not compared as one"
        raise EvaluationError(msg)
    return found


def _ordered(symbol: str, left: object, right: object) -> bool:
    if (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return _ORDER[symbol](left, right)
    raise _unknown(symbol, left, right)


def _arithmetic(symbol: str, left: object, right: object) -> object:
    if _is_number(left) and _is_number(right):
        return _computed(symbol, left, right)
    if symbol == "+" and ((one := isinstance(left, tuple)) or isinstance(left, list)):
        if isinstance(right, tuple if one else list):
            return bounded(operator.add(bounded(left), bounded(right)))
    elif symbol == "*" and isinstance(left, (tuple, list)) and isinstance(right, int):
        return _repeated(left, right)
    elif symbol == "*" and isinstance(right, (tuple, list)) and isinstance(left, int):
        return _repeated(right, left)
    raise _unknown(symbol, left, right)


def _repeated(items: tuple[object, ...] | list[object], times: int) -> object:
    if times > 0 and _count(items, 0, 0) * times > MAX_ITEMS:
        msg = f"a list of more than {MAX_ITEMS:,} items"
        raise OutOfBounds(msg)
    return operator.mul(items, times)


def _computed(symbol: str, left: _Number, right: _Number) -> object:
    if symbol not in _ARITHMETIC:
        raise _unknown(symbol, left, right)
    written = f"{_checked(left)} {symbol} {_checked(right)}"
    too_large = OutOfBounds(f"{written} is too large")
    # An integer's power is exact, and may have more digits than the memory.
    exact = symbol == "**" and isinstance(left, int) and isinstance(right, int)
    if exact and abs(left) > 1 and right > INT_MAX.bit_length():
        raise too_large
    try:
        found = _ARITHMETIC[symbol](left, right)
    except OverflowError as error:
        raise too_large from error
    except ZeroDivisionError as error:
        msg = f"{written}: {error}"
        raise EvaluationError(msg) from error
    if not isinstance(found, (int, float)):
        msg = f"{written} is no real number"
        raise EvaluationError(msg)
    endless = isinstance(found, float) and not math.isfinite(found)
    if not within_bounds(found) or (endless and math.isfinite(left) and math.isfinite(right)):
        raise too_large
    return found


def _checked(number: _Number) -> _Number:
    if not within_bounds(number):
        # Its digits may be more than Python writes.
        msg = "an integer of more than 64 bits"
        raise OutOfBounds(msg)
    return number


def _unknown(symbol: str, *operands: object) -> EvaluationError:
    if symbol not in _ORDER and any(isinstance(operand, str) for operand in operands):
        return OutOfBounds(f"arithmetic on text: {symbol} with {' and '.join(map(_shown, operands))}")
    return EvaluationError(f"no arithmetic: {symbol} with {' and '.join(map(_shown, operands))}")


def _is_number(value: object) -> TypeGuard[_Number]:
    return isinstance(value, (int, float))


def _shown(value: object) -> str:
    if isinstance(value, int) and not within_bounds(value):
        return "an integer of more than 64 bits"
    return reprlib.repr(value) if isinstance(value, (int, float, str, tuple, list)) else f"a {type(value).__name__}"


def _count(value: object, before: int, level: int) -> int:
    """How many items a value has, with the items before it."""
    if not isinstance(value, (tuple, list, dict)):
        return before + 1
    if level >= MAX_NESTING:
        msg = f"lists that nest more than {MAX_NESTING} levels deep"
        raise OutOfBounds(msg)
    count = before + 1
    for item in value.values() if isinstance(value, dict) else value:
        count = _count(item, count, level + 1)
        if count > MAX_ITEMS:
            msg = f"a list of more than {MAX_ITEMS:,} items"
            raise OutOfBounds(msg)
    return count
