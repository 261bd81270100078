"""Quantizers of PT2E that are composed of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import Composition, Mode, QuantizerSpec

_OF_ONE: Final = ("quantizer", "config", "config_from", "modules", "types")


def read_composition(
    registry: Registry,
    cursor: Cursor,
    model: models.Pt2ePreset,
    mode: Mode | None,
    single: Mapping[str, QuantizerSpec],
) -> Composition:
    """What a preset of PT2E composes of `single` quantizers; what is wrong with it is noted."""
    for key in _OF_ONE:
        if cursor.has(key):
            expected = "the quantizers that it composes say it"
            registry.note(cursor.key(key).problem(f"'{key}' stands beside 'compose'", expected=expected))
    items = zip(cursor.items_of("compose"), model.compose)
    members = (_member(registry, at, name, mode, single) for at, name in items)
    return Composition(members=tuple(member for member in members if member is not None))


def _member(
    registry: Registry, at: Cursor, name: str, mode: Mode | None, single: Mapping[str, QuantizerSpec]
) -> QuantizerSpec | None:
    if not registry.knows("quantizers", name, at):
        return None
    found = single.get(name)
    if found is None:
        if _is_made_of_others(registry, name):
            message = f"quantizer '{name}' has phases, or is composed itself"
            registry.note(at.problem(message, expected="a quantizer of its own"))
        return None
    if found.pt2e is None and not found.is_declared:
        expected = "quantizers with pt2e, annotate or ops"
        registry.note(at.problem(f"quantizer '{name}' says nothing about PT2E", expected=expected))
    elif found.convert.arguments:
        message = f"quantizer '{name}' has 'convert', and a program is converted once"
        registry.note(at.problem(message, expected="convert beside what composes it"))
    elif mode is not None and found.mode != mode:
        message = f"quantizer '{name}' is of mode {found.mode}, and what composes it of mode {mode}"
        registry.note(at.problem(message, expected=f"quantizers of mode {mode}"))
    return found


def _is_made_of_others(registry: Registry, name: str) -> bool:
    return any(
        declared.cursor.has("phases") or declared.cursor.down("pt2e").has("compose")
        for declared in registry.declared("quantizers")
        if declared.name == name
    )
