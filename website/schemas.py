"""Reference pages out of JSON schemas: every key of the YAML, and every field of results.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qatrix.declare.schema import json_schema
from qatrix.report.resultschema import results_schema
from website.generated import Generated, rendered

_REF: Final = "#/$defs/"


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of an object: what it takes, and what it is without it; `required` where it must be there."""

    name: str
    takes: str
    default: str | None
    required: bool
    about: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """An object of a schema."""

    name: str
    about: str
    keys: tuple[Key, ...]


def pages() -> tuple[Generated, ...]:
    """Both pages."""
    return (
        _page(
            "reference/yaml.md",
            "Every YAML key",
            "Generated from `qatrix schema`. [The YAML](../yaml.md) explains the keys and has examples.",
            json_schema(),
        ),
        _page(
            "reference/record.md",
            "Every field of results.json",
            "Generated from `qatrix schema results`. [The record](../record.md) explains the fields.",
            results_schema(),
        ),
    )


def _page(path: str, title: str, about: str, schema: Mapping[str, Any]) -> Generated:
    objects = {name: item for name, item in schema["$defs"].items() if "properties" in item}
    sections = [_section("A file", schema), *(_section(name, item) for name, item in sorted(objects.items()))]
    return Generated(path=path, text=rendered("schema.md.j2", title=title, about=about, sections=sections))


def _section(name: str, schema: Mapping[str, Any]) -> Section:
    required = schema.get("required", ())
    keys = tuple(
        Key(
            name=key,
            takes=taken(item),
            default=json.dumps(item["default"]) if "default" in item else None,
            required=key in required,
            about=str(item.get("description", "")),
        )
        for key, item in schema.get("properties", {}).items()
    )
    return Section(name=name, about=str(schema.get("description", "")), keys=keys)


def taken(schema: Mapping[str, Any]) -> str:
    """What fits a schema, in words: "text", "list of Check", "`prepare` or `convert`"."""
    return " or ".join(dict.fromkeys(_taken(schema)))


def _taken(schema: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].removeprefix(_REF)
    elif "enum" in schema or "const" in schema:
        yield from (json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    elif "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from _taken(part)
    else:
        kinds = schema.get("type", "anything")
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            yield _of_kind(kind, schema)


def _of_kind(kind: str, schema: Mapping[str, Any]) -> str:
    if kind == "array":
        items = schema.get("items")
        return f"list of {taken(items)}" if isinstance(items, Mapping) and items else "list"
    if kind == "object":
        values = _values(schema)
        return f"mapping to {' or '.join(dict.fromkeys(map(taken, values)))}" if values else "mapping"
    return {"string": "text", "integer": "whole number", "null": "null", "boolean": "true or false"}.get(kind, kind)


def _values(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The schemas of the values under names that nobody knows beforehand."""
    named = list(schema.get("patternProperties", {}).values())
    others = schema.get("additionalProperties")
    return [item for item in (*named, others) if isinstance(item, Mapping) and item]
