"""How tensors are quantized, by themselves and as what an op takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qatrix.errors import Source


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """How one kind of tensor is quantized: dtype, range, scheme, axis, observer, fake quantize.

    `observer` and `fake_quantize` are names out of the lists in `schema.models`; None takes the
    default of the case's mode. `eps` is the observer's smallest scale, `averaging_constant` the part of the way
    that it goes to each new range, and with `reduce_range` it leaves out one bit. With `group_size` so many values
    along the last axis have a scale of their own. Where `scale` is given, it and
    `zero_point` are fixed, and nothing is observed. In quantization-aware training `dynamic` activations are fake
    quantized by the range of what comes, and once they are converted quantized by it.
    """

    dtype: str
    quant_min: int
    quant_max: int
    qscheme: str
    ch_axis: int | None
    observer: str | None
    fake_quantize: str | None
    eps: float | None
    source: Source
    scale: float | None = None
    zero_point: int | None = None
    averaging_constant: float | None = None
    reduce_range: bool = False
    dynamic: bool = False
    group_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class SharedSpec:
    """The quantization parameters of an input of the same op, by its name in the op's schema."""

    shared_with: str


# How one tensor of an op is quantized: as the quantizer's own specs say, with an input, or by a spec of its own.
OpTensor = Literal["activation", "weight", "float"] | SharedSpec | TensorSpec


@dataclass(frozen=True, kw_only=True)
class OpSpec:
    """An op of aten by name and overload, and how the tensors that it takes and gives are quantized.

    `inputs` is None where they are quantized by their names: weight as weight, bias in float, others as
    activation. Without `implicit_sharing` no observer of its tensors is shared unless it says so.
    """

    op: str
    inputs: Mapping[str, OpTensor] | None
    output: OpTensor | None
    implicit_sharing: bool
    source: Source

    @property
    def own(self) -> tuple[TensorSpec, ...]:
        """The specs that no other op has."""
        tensors = (*(self.inputs or {}).values(), self.output)
        return tuple(tensor for tensor in tensors if isinstance(tensor, TensorSpec))


@dataclass(frozen=True, kw_only=True)
class DerivedSpec:
    """A bias whose scale is the product of the scales it is derived from, zero point 0."""

    derived_from: tuple[str, ...]
    dtype: str
    quant_min: int
    quant_max: int
    qscheme: str
    ch_axis: int | None
    source: Source
