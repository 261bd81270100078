"""The axes of inputs that are captured without a length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from qatrix.declare.inputs import InputSpec
from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models
from qatrix.errors import Problem
from qatrix.expressions import Literal

# Where `shape` or batch and channels say all of them; of others the axes are counted when the values are there.
_MOST_AXES: Final = 64


def with_free_axes(
    registry: Registry, cursor: Cursor, model: models.Pattern, inputs: tuple[InputSpec, ...]
) -> tuple[InputSpec, ...]:
    """The inputs with the axes that `dynamic` names; what is wrong with it is noted."""
    if not model.dynamic:
        return inputs
    top = cursor.down("dynamic")
    specs = {item.name: item for item in inputs}
    for name in model.dynamic:
        if name not in model.inputs:
            expected, hint = listed(model.inputs), nearest(name, model.inputs)
            registry.note(top.key(name).problem(f"dynamic names no input: '{name}'", expected=expected, hint=hint))
    free = {
        name: tuple(_axes(registry, top.down(name), axes, specs[name]))
        for name, axes in model.dynamic.items()
        if name in specs
    }
    found = tuple(replace(item, free=free.get(item.name, ())) for item in inputs)
    registry.note(*_unequal(found, top))
    return found


def _axes(registry: Registry, at: Cursor, axes: Mapping[str, str], spec: InputSpec) -> Iterator[tuple[int, str]]:
    """The axes of one input with the names of their sizes."""
    if spec.holds != "tensor":
        message = f"the input '{spec.name}' is a {spec.holds}, whose tensors have axes of their own"
        registry.note(at.problem(message, expected="an input that is a tensor"))
        return
    if not axes:
        registry.note(at.problem(f"no axis of '{spec.name}' is named", expected="{0: batch}, or more axes"))
    known = spec.whole and spec.spatial is None
    rank = len(spec.shape) if known else _MOST_AXES
    for text, name in axes.items():
        if text.isdecimal() and int(text) < rank:
            yield int(text), name
            continue
        message = f"'{text}' is no axis of '{spec.name}'"
        registry.note(at.key(text).problem(message, expected=f"0 to {rank - 1}" if known else "0 or more"))


def _unequal(inputs: tuple[InputSpec, ...], top: Cursor) -> Iterator[Problem]:
    """Sizes of one name that are declared with different lengths."""
    lengths: dict[str, object] = {}
    for spec in inputs:
        for axis, name in spec.free:
            length = spec.shape[axis] if axis < len(spec.shape) else None
            if not isinstance(length, Literal):
                continue
            first = lengths.setdefault(name, length.value)
            if first != length.value:
                message = f"the size '{name}' is {first} and {length.value}"
                yield top.down(spec.name).key(str(axis)).problem(message, expected="one length for each name")
