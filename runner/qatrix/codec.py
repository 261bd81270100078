"""Frozen dataclasses to strictly valid JSON and back, by their type hints, without loss."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
# Longer texts are seldom the same.
_SHARED_LENGTH: Final = 120
# How deep lists of lists may lie; an axis has at most lists of numbers.
_DEEPEST: Final = 20


class CodecError(ValueError):
    """A text is not the JSON of the dataclass that was asked for."""


def dumps(instance: object) -> str:
    """The JSON text of a dataclass instance; plain ASCII, equal for equal instances."""
    return json.dumps(to_jsonable(instance), allow_nan=False, separators=(",", ":"))


def loads(kind: type[T], text: str) -> T:
    """The instance that `dumps` wrote. Raises CodecError where the text is not one of `kind`."""
    try:
        return from_jsonable(kind, _read(text))
    except RecursionError as error:
        msg = f"no {kind.__name__}: it is nested too deep"
        raise CodecError(msg) from error


def to_jsonable(instance: object) -> dict[str, Any]:
    """The fields of a dataclass instance as dicts, lists and scalars, in declared order.

    Tuples become lists. JSON has no NaN or infinity: in a float field they become "nan",
    "inf" and "-inf"; where text is allowed too (an axis value) `{"float": "nan"}`.
    """
    return {item.name: item.encode(getattr(instance, item.name)) for item in _fields(type(instance)).values()}


def from_jsonable(kind: type[T], data: object) -> T:
    """The instance whose `to_jsonable` is `data`.

    A field that is missing takes its default. Raises CodecError for anything that does not
    fit, an unknown field included: dropping it would lose a fact silently.
    """
    if not isinstance(data, dict):
        msg = f"{kind.__name__} must be an object, not {data!r:.80}"
        raise CodecError(msg)
    fields = _fields(kind)
    unknown = sorted(set(data) - set(fields))
    if unknown:
        msg = f"{kind.__name__} has no field {', '.join(unknown)}"
        raise CodecError(msg)
    try:
        return kind(**{name: fields[name].decode(value) for name, value in data.items()})
    except TypeError as error:
        raise CodecError(str(error)) from error


def _read(text: str) -> object:
    if not isinstance(text, str):
        msg = f"{text!r:.80} is no text"
        raise CodecError(msg)
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        msg = f"not JSON: {error}"
        raise CodecError(msg) from error


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


Convert = Callable[[Any], Any]


class _Field(NamedTuple):
    """How the values of one field are written and read."""

    name: str
    encode: Convert
    decode: Convert


def _read_fields(kind: type) -> dict[str, _Field]:
    hints = get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    return {
        name: _Field(name, _encoder(hints[name]), _decoder(hints[name], f"{kind.__name__}.{name}")) for name in names
    }


# Resolving hints is slow, and a thousand records ask for the same few.
_fields: Final[Callable[[type], dict[str, _Field]]] = cache(_read_fields)


def _alternatives(hint: object) -> tuple[Any, ...]:
    """The members of a union without None; the hint alone where it is no union."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(item for item in get_args(hint) if item is not type(None))
    return (hint,)


def _encoder(hint: object) -> Convert:
    """What writes the values of a hint; None stays None."""
    alternatives = _alternatives(hint)
    if len(alternatives) > 1:
        return _encode_free
    (single,) = alternatives
    origin, args = get_origin(single), get_args(single)
    if dataclasses.is_dataclass(single):
        return lambda value: None if value is None else to_jsonable(value)
    if origin is tuple:
        item = _encoder(args[0])
        return lambda value: None if value is None else [item(part) for part in value]
    if origin is Mapping:
        item = _encoder(args[1])
        return lambda value: None if value is None else {str(key): item(part) for key, part in value.items()}
    return _encode_float if single is float else lambda value: value


def _encode_float(value: float | None) -> object:
    return value if value is None or math.isfinite(value) else str(value)


def _encode_free(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_encode_free(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def _decoder(hint: object, at: str) -> Convert:
    """What reads the values of a hint; raises CodecError with the field's name for what does not fit."""
    alternatives = _alternatives(hint)
    if len(alternatives) > 1:
        return _decode_free
    (single,) = alternatives
    decode = _decoder_of(single, at)
    return decode if single is hint else lambda value: None if value is None else decode(value)


def _decoder_of(kind: Any, at: str) -> Convert:
    origin, args = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return lambda value: from_jsonable(kind, value)
    if origin is tuple:
        item = _decoder(args[0], at)
        return lambda value: tuple(map(item, value if type(value) is list else _misfit(value, at)))
    if origin is Mapping:
        item = _decoder(args[1], at)
        return lambda value: {
            sys.intern(key): item(part) for key, part in (value if type(value) is dict else _misfit(value, at)).items()
        }
    if origin is Literal:
        known = {value: value for value in args}
        return lambda value: known[value] if type(value) is str and value in known else _misfit(value, at)
    if kind is float:
        return lambda value: value if type(value) is float else _decode_float(value, at)
    if kind is str:
        return lambda value: _shared(value) if type(value) is str else _misfit(value, at, kind)
    if kind is int:
        return lambda value: value if type(value) is int and _fits(value) else _misfit(value, at, kind)
    return lambda value: value if type(value) is kind else _misfit(value, at, kind)


def _shared(text: str) -> str:
    """The text, or one that is equal and known: records of a run repeat names, statuses and paths."""
    return sys.intern(text) if len(text) <= _SHARED_LENGTH else text


def _decode_float(value: object, at: str) -> float:
    if type(value) is int or value in ("nan", "inf", "-inf"):
        return float(str(value))
    return _misfit(value, at, float)


def _misfit(value: object, at: str, kind: type | None = None) -> NoReturn:
    msg = f"{at} must be {kind.__name__}, not {value!r:.80}" if kind else f"{at} cannot be {value!r:.80}"
    raise CodecError(msg)


def _decode_free(value: object, depth: int = 0) -> object:
    if isinstance(value, list) and depth < _DEEPEST:
        return tuple(_decode_free(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return _decode_float(value.get("float"), "value")
    if isinstance(value, list) or (type(value) is int and not _fits(value)):
        _misfit(value, "value")
    return _shared(value) if type(value) is str else value


def _fits(value: int) -> bool:
    """Whether a whole number is one of 64 bits, as all that are written are: others break what counts with them."""
    return -(2**63) <= value < 2**63
