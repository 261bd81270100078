"""Outputs as nested tuples, lists and dicts: what a class of their own has is told by its fields."""

from __future__ import annotations

import dataclasses


def plain(value: object) -> object:
    """The output with a dict in the place of each dataclass and of each dict of a class of its own.

    So are the outputs of libraries compared by field: a pipeline may give back a plain dict of
    the same fields. Tuples with named fields stay, which torch takes apart by their names.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if type(value) is tuple:
        return tuple(map(plain, value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)._make(map(plain, value))  # type: ignore[attr-defined]  # a named tuple has it
    return list(map(plain, value)) if type(value) is list else value
