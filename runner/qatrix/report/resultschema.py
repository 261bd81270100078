"""The JSON Schema of results.json, made of the dataclasses that are written there."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from qatrix import __version__
from qatrix.outcomes import Environment, Record, Run
from qatrix.report.changes import Since

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: Final[Mapping[object, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    # JSON has no word for these three.
    float: {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]},
    type(None): {"type": "null"},
}
# What an axis or a parameter may be; where text is allowed, numbers that JSON cannot write are objects.
_VALUE: Final = {
    "description": "The value of an axis: a scalar, or a list of values.",
    "anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {
            "type": "object",
            "properties": {"float": {"enum": ["nan", "inf", "-inf"]}},
            "required": ["float"],
            "additionalProperties": False,
        },
        {"type": "array", "items": {"$ref": "#/$defs/Value"}},
    ],
}


def results_schema() -> dict[str, Any]:
    """The schema: `run`, `cases`, `unfinished` and `since`, a definition for each kind of object, and nothing else."""
    definitions: dict[str, Any] = {"Value": _VALUE}
    record = _reference(Record, definitions)
    run = _reference(Run, definitions)
    since = _reference(Since, definitions)
    # There the versions of packages stand beside the rest.
    definitions["Environment"] = _environment(definitions)
    return {
        "$schema": _DIALECT,
        "title": f"results.json of qatrix {__version__}",
        "description": "Every fact of one run. null is 'not measured'; units are in the names.",
        "type": "object",
        "properties": {
            "run": run,
            "cases": {
                "type": "array",
                "items": record,
                "description": "A record per finished case, in declared order.",
            },
            "unfinished": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The ids of the cases without a verdict, where the run was interrupted.",
            },
            "since": {
                "anyOf": [since, {"type": "null"}],
                "description": "What changed since the run's baseline; null where there is none.",
            },
        },
        "required": ["run", "cases", "unfinished", "since"],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _environment(definitions: dict[str, Any]) -> dict[str, Any]:
    found = _object(Environment, definitions)
    packages = found["properties"].pop("packages")
    found["required"].remove("packages")
    return {**found, "additionalProperties": packages["additionalProperties"]}


def _reference(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to the definition of a dataclass, which is made where there is none yet."""
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "properties": {name: _schema(hints[name], definitions) for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _reference(hint, definitions)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(args[1], definitions)}
    if origin in (Union, types.UnionType):
        return _union(args, definitions)
    msg = f"results.json holds no {hint}"
    raise TypeError(msg)


def _union(members: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    known = [item for item in members if item is not type(None)]
    if len(known) > 1:
        return {"$ref": "#/$defs/Value"}
    return {"anyOf": [_schema(known[0], definitions), {"type": "null"}]}
