"""The keys that say how tensors are quantized."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from qatrix.declare.schema.models.declaration import Count, Declaration, Number, Positive
from qatrix.declare.schema.values import Text

QuantizedDtype = Literal["int8", "uint8", "int16", "int32"]
QScheme = Literal[
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
]
Observer = Literal[
    "min_max",
    "moving_average_min_max",
    "per_channel_min_max",
    "moving_average_per_channel_min_max",
    "histogram",
    "placeholder",
]


class TensorSpec(Declaration):
    """How one kind of tensor is quantized."""

    dtype: QuantizedDtype = Field(description="the integer type")
    quant_min: StrictInt = Field(description="the smallest integer that is used")
    quant_max: StrictInt = Field(description="the greatest integer that is used")
    qscheme: QScheme = Field(description="one scale or one per channel, with or without a zero point")
    ch_axis: Count | None = Field(default=None, description="the channels' axis; for per_channel schemes")
    observer: Observer | None = Field(default=None, description="what finds the range; default: what the mode has")
    fake_quantize: Literal["default", "fused_moving_average"] | None = Field(default=None, description="for mode qat")
    eps: Number | None = Field(default=None, description="the smallest scale")
    averaging_constant: Positive | None = Field(default=None, description="the part of the way that an average goes")
    reduce_range: StrictBool = Field(default=False, description="whether the observer leaves out one bit")
    group_size: Annotated[StrictInt, Field(ge=1)] | None = Field(
        default=None, description="how many values along the last axis have a scale of their own; for weights in PT2E"
    )
    dynamic: StrictBool = Field(default=False, description="in mode qat: activations are quantized as they come")
    scale: Positive | None = Field(default=None, description="the scale, where it is fixed and nothing is observed")
    zero_point: StrictInt | None = Field(default=None, description="the zero point beside scale; default 0")


class DerivedSpec(Declaration):
    """A bias whose scale is the product of the scales that it is derived from."""

    derived_from: list[Literal["activation", "weight"]] = Field(min_length=1, description="[activation, weight]")
    dtype: QuantizedDtype = Field(description="the integer type")
    quant_min: StrictInt = Field(description="the smallest integer that is used")
    quant_max: StrictInt = Field(description="the greatest integer that is used")
    qscheme: QScheme = Field(description="one scale or one per channel")
    ch_axis: Count | None = Field(default=None, description="the channels' axis; for per_channel schemes")


class SharedSpec(Declaration):
    """The quantization parameters of an input of the same op."""

    shared_with: Text = Field(description="the name of an input of the op, as its schema has it, such as other")
