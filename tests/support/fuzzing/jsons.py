"""Mutations of JSON: a value at any depth is dropped, renamed, or becomes what a stranger could write."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, Final

# Stands in the JSON for text that Python's writer could not make.
_RAW: Final = "\u0001raw\u0001"
_DEEP: Final = "[" * 100_000 + "]" * 100_000

VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    1e308,
    -0.5,
    "nan",
    {"float": "nan"},
    {"float": "inf"},
    {"float": {}},
    "",
    " ",
    "x" * 100_000,
    "1/99999999999",
    "0/0",
    "2/1",
    "1/2/3",
    "-1/-1",
    "²/²",
    "../../etc/passwd",
    "a\x00b",
    "\x1b[31mred",
    "one\n::error::planted",
    "##[error]planted",
    "\u202eesrever",
    "\ud800",
    "=cmd|calc",
    "<script>alert(1)</script>",
    "exact",
    "crashed",
    "9999-99-99T99:99:99",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": {"a": {"a": {}}}},
)
_TEXTS: Final = (_DEEP, '{"a":' * 50_000 + "0" + "}" * 50_000, "9" * 5000, "NaN", "-Infinity", "1e999", '"\ud83d"')


def changed_json(text: str, at: int, other: int) -> str:
    """The text with one of its values changed; a text that is no JSON becomes another one that is none, either."""
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return text[: at % (len(text) + 1)]
    if other % 23 == 0:
        return str(_TEXTS[at % len(_TEXTS)])
    places = list(_places(root))
    if not places:
        return json.dumps(_value(other))
    holder, key = places[at % len(places)]
    _change(holder, key, other)
    return json.dumps(root).replace(json.dumps(_RAW), _TEXTS[other % len(_TEXTS)])


def _places(root: Any) -> Iterator[tuple[Any, Any]]:
    """Every place below a value: what holds it, and its key or number there."""
    keys = list(root) if isinstance(root, dict) else range(len(root)) if isinstance(root, list) else ()
    for key in keys:
        yield root, key
        yield from _places(root[key])


def _change(holder: Any, key: Any, other: int) -> None:
    """Drop, rename, repeat or replace one value, by far the most often the last."""
    way = other % 8
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif way == 1:
        holder.append(copy.deepcopy(holder[key]))
    elif way == 2:
        holder[key] = _RAW
    else:
        holder[key] = _value(other // 8)


def _value(number: int) -> object:
    return copy.deepcopy(VALUES[number % len(VALUES)])
