"""The kinds of value that a declaration's keys take, with their JSON Schemas."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainValidator, StrictStr, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from qatrix.expressions import Value
from qatrix.quantizers import BUILT_IN
from qatrix.runtimes import BUILT_IN as RUNTIMES
from qatrix.ways import BUILT_IN as PIPELINES

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
ATEN_PATTERN = r"^aten\.[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$"
_DAY_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_SCALAR_SCHEMA: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
_INTEGERS_SCHEMA: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}
_VALUE_SCHEMA: dict[str, Any] = {"anyOf": [_SCALAR_SCHEMA, _INTEGERS_SCHEMA]}
_A_SIZE = "an integer, or an expression over the parameters and dim"
_A_PAIR = "a list of two numbers"
_INTEGER_PAIR = "a list of two integers"
_A_FILLING = "a number, or an expression over the parameters and dim"
_AN_ATEN_OP = "an op of aten with its overload, such as aten.silu.default or aten.add.Tensor"
_A_LINE = "one line of at most 80 characters"
_A_DAY = "a date as year-month-day, such as 2026-11-30"
_LONGEST_LINE = 80
_A_VALUE = "a number, text, true, false, null, or a list of integers"


def _error(expected: str) -> PydanticCustomError:
    # Pydantic reads braces in a message as places to fill in; the context does not.
    return PydanticCustomError("expected", "{expected}", {"expected": expected})


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def value_of(found: object) -> Value:
    """A declared value: a scalar as it is, a list of integers as a tuple."""
    if found is None or isinstance(found, (bool, int, float, str)):
        return found
    if isinstance(found, list) and found and all(map(_is_integer, found)):
        return tuple(found)
    raise _error(_A_VALUE)


def _argument(found: object) -> Value:
    if isinstance(found, list):
        return tuple(map(_argument, found))
    return value_of(found)


def _as_list(found: object) -> object:
    return found if isinstance(found, list) else [found]


def _size(found: object) -> int | str:
    if _is_integer(found) or isinstance(found, str):
        return found  # type: ignore[return-value]  # _is_integer has narrowed it
    raise _error(_A_SIZE)


def _pair(found: object) -> tuple[float, float]:
    if isinstance(found, list) and len(found) == 2 and all(map(_is_finite, found)):  # noqa: PLR2004 - a pair
        return (found[0], found[1])
    raise _error(_A_PAIR)


def _integer_pair(found: object) -> tuple[int, int]:
    if isinstance(found, list) and len(found) == 2 and all(map(_is_integer, found)):  # noqa: PLR2004 - a pair
        return (found[0], found[1])
    raise _error(_INTEGER_PAIR)


def _is_finite(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _finite(found: object) -> object:
    if _is_finite(found):
        return found
    msg = "a finite number"
    raise _error(msg)


def _aten_op(found: object) -> str:
    if isinstance(found, str) and re.fullmatch(ATEN_PATTERN, found):
        return found
    raise _error(_AN_ATEN_OP)


def _line(found: object) -> str:
    if isinstance(found, str) and found.strip() and len(found) <= _LONGEST_LINE and len(found.splitlines()) == 1:
        return found
    raise _error(_A_LINE)


def _day(found: object) -> str:
    if isinstance(found, str) and re.fullmatch(_DAY_PATTERN, found):
        try:
            return date.fromisoformat(found).isoformat()
        except ValueError:
            pass
    raise _error(_A_DAY)


def _filling(found: object) -> float | str:
    if isinstance(found, (int, float, str)) and not isinstance(found, bool):
        return found
    raise _error(_A_FILLING)


Name: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=NAME_PATTERN)]
Text: TypeAlias = Annotated[StrictStr, StringConstraints(min_length=1)]
# A title: one line that fits where titles are listed.
Line: TypeAlias = Annotated[
    Any, PlainValidator(_line), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _LONGEST_LINE})
]
Day: TypeAlias = Annotated[
    Any, PlainValidator(_day), WithJsonSchema({"type": "string", "format": "date", "pattern": _DAY_PATTERN})
]
# A name of the table, which editors complete, or any other text.
QuantizerName: TypeAlias = Annotated[
    Text, WithJsonSchema({"anyOf": [{"enum": [*BUILT_IN]}, {"type": "string", "minLength": 1}]})
]
PipelineName: TypeAlias = Annotated[
    Text, WithJsonSchema({"anyOf": [{"enum": [*PIPELINES]}, {"type": "string", "minLength": 1}]})
]
RuntimeName: TypeAlias = Annotated[
    Text, WithJsonSchema({"anyOf": [{"enum": [*RUNTIMES]}, {"type": "string", "minLength": 1}]})
]
DeclaredValue: TypeAlias = Annotated[Any, PlainValidator(value_of), WithJsonSchema(_VALUE_SCHEMA)]
# What a factory is called with: lists may nest.
Argument: TypeAlias = Annotated[
    Any, PlainValidator(_argument), WithJsonSchema({"anyOf": [_SCALAR_SCHEMA, {"type": "array"}]})
]
# A list of values, or one, which counts as a list of one.
Values: TypeAlias = Annotated[
    list[DeclaredValue],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _VALUE_SCHEMA}]}),
]
AtenOp: TypeAlias = Annotated[
    Any, PlainValidator(_aten_op), WithJsonSchema({"type": "string", "pattern": ATEN_PATTERN})
]
Size: TypeAlias = Annotated[Any, PlainValidator(_size), WithJsonSchema({"type": ["integer", "string"]})]
# Two numbers that say what values are drawn from, and a number as it is written: 1 stays an integer.
Pair: TypeAlias = Annotated[
    Any,
    PlainValidator(_pair),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
IntegerPair: TypeAlias = Annotated[
    Any, PlainValidator(_integer_pair), WithJsonSchema({**_INTEGERS_SCHEMA, "minItems": 2, "maxItems": 2})
]
Finite: TypeAlias = Annotated[Any, PlainValidator(_finite), WithJsonSchema({"type": "number"})]
# What fills a parameter or buffer.
Filling: TypeAlias = Annotated[Any, PlainValidator(_filling), WithJsonSchema({"type": ["number", "string"]})]
