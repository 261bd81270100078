"""The inputs of a pattern."""

from __future__ import annotations

from collections.abc import Sequence

from qatrix.declare.load.registry import Registry
from qatrix.declare.load.tables import read_size
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import InputSpec
from qatrix.expressions import Expression, Literal

_EXPECTED = "{batch, channels, spatial} or {shape: […]}"


def read_inputs(
    registry: Registry, top: Cursor, model: models.Pattern, *, names: Sequence[str]
) -> tuple[InputSpec, ...]:
    """The inputs in order; sizes are expressions over names. Those with a problem are left out."""
    if not model.inputs:
        registry.note(top.problem("the pattern has no inputs", expected=f"inputs: {{x: {_EXPECTED}}}"))
    found = [_input(registry, top.down(name), item, name, list(names)) for name, item in model.inputs.items()]
    return tuple(item for item in found if item is not None)


def _input(registry: Registry, at: Cursor, model: models.Input, name: str, names: list[str]) -> InputSpec | None:
    sizes = {"batch": model.batch, "channels": model.channels, "spatial": model.spatial}
    given = [key for key, size in sizes.items() if size is not None]
    if model.shape is not None:
        for key in given:
            registry.note(at.key(key).problem(f"'{key}' stands beside 'shape'", expected=_EXPECTED))
        shape = [_size(registry, cursor, size, names) for cursor, size in zip(at.items_of("shape"), model.shape)]
        spatial = None
    else:
        missing = [key for key in ("batch", "channels") if key not in given]
        if missing:
            message = f"the key '{missing[0]}' is missing" if given else "the input has no shape"
            registry.note(at.problem(message, expected=_EXPECTED))
            return None
        shape = [_size(registry, at.down(key), sizes[key], names) for key in ("batch", "channels")]
        spatial = None if model.spatial is None else _size(registry, at.down("spatial"), model.spatial, names)
    read = tuple(size for size in shape if size is not None)
    return InputSpec(name=name, shape=read, spatial=spatial, dtype=model.dtype, source=at.source)


def _size(registry: Registry, cursor: Cursor, size: object, names: list[str]) -> Expression | None:
    """One length; at least 1 where it is a plain number."""
    expression = read_size(registry, cursor, size, names=names)
    if isinstance(expression, Literal) and (not isinstance(expression.value, int) or expression.value < 1):
        registry.note(cursor.problem(f"the length is {cursor.found()}", expected="1 or more"))
    return expression
