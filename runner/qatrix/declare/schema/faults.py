"""Pydantic's errors as problems: where, what was found, what was expected, the nearest name."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from qatrix.declare.language import nearest
from qatrix.declare.language.text import MOST_PROBLEMS
from qatrix.declare.schema.cursor import Cursor, quoting_hint
from qatrix.declare.schema.models import Declaration
from qatrix.declare.yamltext import ScalarNode, data
from qatrix.errors import Problem

_M = TypeVar("_M", bound=Declaration)

_TYPES: Final = {
    "string_type": "text",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_too_short": "text that is not empty",
    "string_pattern_mismatch": "a name: letters, digits and _, a letter first",
    "finite_number": "a finite number",
}
# Keys whose items have a name of their own.
_SUBJECTS: Final = {
    "at": "point",
    "annotate": "op chain",
    "shared": "op chain",
    "compare": "point",
    "only": "pipeline",
    "pipelines": "pipeline",
}
_OF_AN_OP: Final = "activation, weight, float, or a mapping: {shared_with: an input}, or a spec of its own"
# Keys that take a mapping besides their closed set of words.
_OPEN: Final = {"bias": "float, or a mapping: {derived_from: [activation, weight], dtype: …}", "output": _OF_AN_OP}
_A_SETTING: Final = ("setting", "float, or a mapping: the arguments of another config")
# Keys that take a mapping besides any text.
_TEXT_OR_MAPPING: Final = {"qconfig": "the name of a qconfig, or a mapping: activation, weight, or both"}
# Keys whose members, which have names of the user's, take a mapping besides their word, and what these are called.
_OPEN_MEMBERS: Final = {"modules": _A_SETTING, "types": _A_SETTING, "inputs": ("input", _OF_AN_OP)}


def read(model: type[_M], cursor: Cursor) -> tuple[_M | None, tuple[Problem, ...]]:
    """The declaration that a node holds, None where it is not one, and its problems."""
    try:
        return model.model_validate(data(cursor.node)), ()
    except ValidationError as error:
        return None, tuple(
            _problem(model, cursor, detail) for detail in error.errors(include_url=False)[:MOST_PROBLEMS]
        )


def _problem(model: type[Declaration], top: Cursor, detail: ErrorDetails) -> Problem:
    # Pydantic puts the tag of a union's branch and the word [key] into the path.
    path = [step for step in detail["loc"] if not (isinstance(step, str) and step[:1] in "<[" and step[-1:] in ">]")]
    about_key = detail["loc"][-1:] == ("[key]",)
    *above, last = path or [""]
    parent, cursor = top.down(*above), top.down(*path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(_model_at(model, above, detail["loc"]), parent, str(last))
    if kind == "missing":
        return _missing(_model_at(model, above, detail["loc"]), parent, str(last))
    if about_key:
        return parent.key(str(last)).problem(f"'{last}' is no name", expected=_TYPES["string_pattern_mismatch"])
    if kind == "literal_error":
        return _outside(cursor, str(detail["ctx"]["expected"]))
    return _wrong_value(cursor, detail)


def _unknown_key(model: type[BaseModel] | None, parent: Cursor, key: str) -> Problem:
    known = _keys(model)
    return parent.key(key).problem(
        f"unknown key '{key}'", expected=f"one of {', '.join(known)}", hint=nearest(key, known)
    )


def _missing(model: type[BaseModel] | None, parent: Cursor, key: str) -> Problem:
    fields = model.model_fields if model else {}
    description = next((field.description for name, field in fields.items() if (field.alias or name) == key), None)
    return parent.problem(f"the key '{key}' is missing", expected=f"{key}: {description}" if description else key)


def _outside(cursor: Cursor, expected: str) -> Problem:
    """A value that is none of a closed set."""
    names = [name.strip().strip("'") for name in expected.replace(" or ", ", ").split(",")]
    subject = _subject(cursor.path)
    allowed = _OPEN.get(subject, f"one of {', '.join(names)}")
    subject, allowed = _OPEN_MEMBERS.get(str(cursor.path[-2]) if cursor.path[1:] else "", (subject, allowed))
    if not isinstance(cursor.node, ScalarNode) or not isinstance(cursor.node.value, str):
        return cursor.problem(f"{subject} is {cursor.found()}", expected=allowed)
    word = cursor.node.value
    return cursor.problem(f"unknown {subject} '{word}'", expected=allowed, hint=nearest(word, names))


def _wrong_value(cursor: Cursor, detail: ErrorDetails) -> Problem:
    context = detail.get("ctx", {})
    kind = detail["type"]
    expected = _TYPES.get(kind) or context.get("expected") or detail["msg"]
    if kind == "greater_than_equal":
        expected = f"{context['ge']:g} or more"
    elif kind == "greater_than":
        expected = f"more than {context['gt']:g}"
    elif kind == "string_type":
        expected = _TEXT_OR_MAPPING.get(_subject(cursor.path), expected)
    elif kind == "too_short":
        expected = f"at least {context['min_length']} item"
    hint = quoting_hint(cursor.node) if kind in ("string_type", "string_pattern_mismatch") else None
    return cursor.problem(f"{_subject(cursor.path)} is {cursor.found()}", expected=str(expected), hint=hint)


def _subject(path: Iterable[str | int]) -> str:
    """What is wrong, by the innermost name on the way to it."""
    names = [step for step in path if isinstance(step, str)]
    if not names:
        return "this"
    # A key that is a number would read as the value.
    return f"the value of {names[-1]}" if names[-1].isdecimal() else _SUBJECTS.get(names[-1], names[-1])


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_at(model: type[BaseModel], path: Iterable[str | int], loc: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The model that describes what a path leads to, None where it is no mapping of known keys.

    Of a union it is the branch whose tag stands before the last step of `loc`, Pydantic's own path.
    """
    kind: Any = model
    for step in path:
        kind = _member(kind, step)
    return _as_model(_tagged(kind, loc[-2:-1]) or kind)


def _tagged(kind: Any, tags: tuple[str | int, ...]) -> Any:
    """The branch of a union that has one of the tags, None where there is none."""
    if typing.get_origin(kind) is typing.Annotated:
        branch, *marks = typing.get_args(kind)
        return branch if any(isinstance(mark, Tag) and mark.tag in tags for mark in marks) else _tagged(branch, tags)
    branches = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else ()
    return next((found for part in branches if (found := _tagged(part, tags)) is not None), None)


def _member(kind: Any, step: str | int) -> Any:
    model = _as_model(kind)
    if model is not None:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        return fields[str(step)].annotation if step in fields else None
    for part in _alternatives(kind):
        if typing.get_origin(part) in (dict, list):
            return typing.get_args(part)[-1]
    return None


def _as_model(kind: Any) -> type[BaseModel] | None:
    for part in _alternatives(kind):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _alternatives(kind: Any) -> list[Any]:
    """The parts of a union, without what is annotated around them."""
    if typing.get_origin(kind) is typing.Annotated:
        return _alternatives(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [inner for part in typing.get_args(kind) for inner in _alternatives(part)]
    return [kind]
