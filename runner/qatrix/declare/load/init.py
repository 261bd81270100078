"""What fills parameters and buffers of a pattern in the place of their random or usual values."""

from __future__ import annotations

import re
from typing import Final

from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import Registry
from qatrix.declare.load.tables import read_size
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import InitSpec

_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


def read_init(registry: Registry, cursor: Cursor, model: models.Pattern) -> tuple[InitSpec, ...]:
    """The pattern's `init` in order; entries with a problem are left out."""
    names = [*model.params, "dim"]
    found = (_entry(registry, cursor.down("init"), at, path, model, names) for path, at in cursor.members_of("init"))
    return tuple(item for item in found if item is not None)


def _entry(
    registry: Registry, top: Cursor, at: Cursor, path: str, model: models.Pattern, names: list[str]
) -> InitSpec | None:
    layer = path.partition(".")[0]
    if not _PATH.fullmatch(path):
        expected = "layer.parameter, such as bn.weight"
        registry.note(top.key(path).problem(f"'{path}' names no parameter of a layer", expected=expected))
        return None
    if layer not in model.layers:
        hint = nearest(layer, model.layers)
        registry.note(top.key(path).problem(f"no layer '{layer}'", expected=listed(model.layers), hint=hint))
        return None
    value = read_size(registry, at, model.init[path], names=names)
    return None if value is None else InitSpec(path=path, value=value, source=at.source)
