"""The names that expressions mention."""

from __future__ import annotations

import typing
from typing import Final

from qatrix.declare.inputs import InputSpec
from qatrix.declare.spec import InitSpec, LayerSpec
from qatrix.expressions import Expression, Name, Statement

_TREES: Final = frozenset((*typing.get_args(Expression), *typing.get_args(Statement), InitSpec, InputSpec))


def names_in(part: object) -> frozenset[str]:
    """Every name in expressions, statements, layers, inputs, or tuples of them; composed patterns have their own."""
    found: set[str] = set()
    rest = [part]
    while rest:
        item = rest.pop()
        if isinstance(item, Name):
            found.add(item.id)
        elif isinstance(item, tuple):
            rest.extend(item)
        elif isinstance(item, LayerSpec):
            rest.append(item.call)
        elif type(item) in _TREES:
            rest.extend(vars(item).values())
    return frozenset(found)
