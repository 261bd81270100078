"""The parameters and buffers that a pattern has of its own, beside those of its layers."""

from __future__ import annotations

from typing import Final, NamedTuple

from qatrix.declare.inputs import InputSpec
from qatrix.declare.load.inputs import read_own_tensors
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models

# The dtypes that have gradients.
_TRAINABLE: Final = ("bfloat16", "float16", "float32", "float64")


class OwnTensors(NamedTuple):
    """The tensors of the model itself."""

    parameters: tuple[InputSpec, ...] = ()
    buffers: tuple[InputSpec, ...] = ()


def read_own(registry: Registry, cursor: Cursor, model: models.Pattern) -> OwnTensors:
    """The pattern's parameters and buffers in order; what is wrong is noted."""
    names = [*model.params, "dim"]
    for name, item in model.parameters.items():
        if item.dtype not in _TRAINABLE:
            at = cursor.down("parameters", name, "dtype")
            message = f"the parameter '{name}' is of dtype {item.dtype}, which has no gradient"
            registry.note(at.problem(message, expected=f"one of {', '.join(_TRAINABLE)}, or a buffer"))
    return OwnTensors(
        read_own_tensors(registry, cursor.down("parameters"), model.parameters, names=names),
        read_own_tensors(registry, cursor.down("buffers"), model.buffers, names=names),
    )
