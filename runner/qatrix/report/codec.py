"""Frozen dataclasses to strictly valid JSON and back, by their type hints, without loss."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class CodecError(ValueError):
    """A text is not the JSON of the dataclass that was asked for."""


def dumps(instance: object) -> str:
    """The JSON text of a dataclass instance; plain ASCII, equal for equal instances."""
    return json.dumps(to_jsonable(instance), allow_nan=False, separators=(",", ":"))


def loads(kind: type[T], text: str) -> T:
    """The instance that `dumps` wrote. Raises CodecError where the text is not one of `kind`."""
    try:
        data = json.loads(text)
    except ValueError as error:
        msg = f"not JSON: {error}"
        raise CodecError(msg) from error
    return from_jsonable(kind, data)


def to_jsonable(instance: object) -> dict[str, Any]:
    """The fields of a dataclass instance as dicts, lists and scalars, in declared order.

    Tuples become lists. JSON has no NaN or infinity: in a float field they become "nan",
    "inf" and "-inf"; where text is allowed too (an axis value) `{"float": "nan"}`.
    """
    return {name: _encode(getattr(instance, name), hint) for name, hint in _fields(type(instance)).items()}


def from_jsonable(kind: type[T], data: object) -> T:
    """The instance whose `to_jsonable` is `data`.

    A field that is missing takes its default. Raises CodecError for anything that does not
    fit, an unknown field included: dropping it would lose a fact silently.
    """
    if not isinstance(data, dict):
        msg = f"{kind.__name__} must be an object, not {data!r:.80}"
        raise CodecError(msg)
    hints = _fields(kind)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        msg = f"{kind.__name__} has no field {', '.join(unknown)}"
        raise CodecError(msg)
    values = {name: _decode(value, hints[name], f"{kind.__name__}.{name}") for name, value in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise CodecError(str(error)) from error


def _read_fields(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


# Resolving hints is slow, and every record asks for the same few.
_fields: Final[Callable[[type], dict[str, Any]]] = cache(_read_fields)


def _alternatives(hint: object) -> tuple[Any, ...]:
    """The members of a union without None; the hint alone where it is no union."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(item for item in get_args(hint) if item is not type(None))
    return (hint,)


def _encode(value: object, hint: object) -> object:
    if value is None:
        return None
    alternatives = _alternatives(hint)
    if len(alternatives) > 1:
        return _encode_free(value)
    (single,) = alternatives
    if dataclasses.is_dataclass(value):
        return to_jsonable(value)
    if isinstance(value, tuple):
        return [_encode(item, get_args(single)[0]) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _encode(item, get_args(single)[1]) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _encode_free(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_encode_free(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def _decode(value: object, hint: object, at: str) -> object:
    alternatives = _alternatives(hint)
    if len(alternatives) > 1:
        return _decode_free(value)
    (single,) = alternatives
    if value is None and single is not hint:
        return None
    if dataclasses.is_dataclass(single) and isinstance(single, type):
        return from_jsonable(single, value)
    origin, args = get_origin(single), get_args(single)
    if origin is tuple and isinstance(value, list):
        return tuple(_decode(item, args[0], at) for item in value)
    if origin is Mapping and isinstance(value, dict):
        return {key: _decode(item, args[1], at) for key, item in value.items()}
    if origin is Literal and value in args:
        return value
    if origin is None and isinstance(single, type):
        return _decode_scalar(value, single, at)
    msg = f"{at} cannot be {value!r:.80}"
    raise CodecError(msg)


def _decode_scalar(value: object, kind: type, at: str) -> object:
    if kind is float and (type(value) in (int, float) or value in ("nan", "inf", "-inf")):
        return float(value)  # type: ignore[arg-type]  # mypy does not narrow by `type(…) in`
    if type(value) is kind:
        return value
    msg = f"{at} must be {kind.__name__}, not {value!r:.80}"
    raise CodecError(msg)


def _decode_free(value: object) -> object:
    if isinstance(value, list):
        return tuple(_decode_free(item) for item in value)
    if isinstance(value, dict):
        return _decode_scalar(value.get("float"), float, "value")
    return value
