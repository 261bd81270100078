"""The keys of single ops of a quantizer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StrictBool, Tag

from qatrix.declare.schema.models.declaration import Declaration
from qatrix.declare.schema.models.tensors import SharedSpec, TensorSpec
from qatrix.declare.schema.values import AtenOp, Name


def _op_tensor_tag(found: object) -> str:
    if isinstance(found, dict):
        return "<shared>" if "shared_with" in found else "<spec>"
    return "<name>"


# How one tensor of an op is quantized: as the quantizer's own specs say, with an input, or by a spec of its own.
_OpTensor = Annotated[
    Annotated[Literal["activation", "weight", "float"], Tag("<name>")]
    | Annotated[SharedSpec, Tag("<shared>")]
    | Annotated[TensorSpec, Tag("<spec>")],
    Discriminator(_op_tensor_tag),
]


class OpAnnotation(Declaration):
    """One op of the exported program, and how its inputs and its output are quantized."""

    op: AtenOp = Field(description="an op of aten with its overload, such as aten.silu.default")
    inputs: dict[Name, _OpTensor] | None = Field(
        default=None,
        description="input → activation, weight, float, {shared_with: input}, or a spec of its own; "
        "default: weight as weight, bias in float, others as activation",
    )
    output: _OpTensor | None = Field(default=None, description="the same for the output; default: as activation")
    implicit_sharing: StrictBool = Field(
        default=True, description="whether equal specs of one tensor may share an observer"
    )
