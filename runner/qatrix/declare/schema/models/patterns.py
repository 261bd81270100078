"""The keys of patterns, with their inputs, and of kinds of convolution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictInt

from qatrix.declare.schema.models.declaration import Count, Declaration
from qatrix.declare.schema.values import Argument, DeclaredValue, Filling, Finite, IntegerPair, Name, Pair, Size, Text

MemoryFormat = Literal["contiguous", "channels_last", "channels_last_3d"]
Dtype = Literal["bfloat16", "bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint8"]


class Outlier(Declaration):
    """A channel whose values are unlike those of the others."""

    channel: Count = Field(description="the channel's index, from 0")
    axis: StrictInt = Field(default=1, description="the channels' axis")
    factor: Finite = Field(default=1, description="what the channel's values are multiplied by")
    offset: Finite = Field(default=0, description="what is added to them then")


class InputValues(Declaration):
    """What the values of an input are drawn from, by the case's seed; one of the first four."""

    normal: Pair | None = Field(default=None, description="[mean, standard deviation] of a normal distribution")
    uniform: Pair | None = Field(default=None, description="[low, high] of a uniform distribution")
    integers: IntegerPair | None = Field(default=None, description="[low, high]: integers from low to high - 1")
    constant: Finite | None = Field(default=None, description="the number that every value is")
    outlier: Outlier | None = Field(default=None, description="a channel unlike the others")


class Input(Declaration):
    """One input: batch, channels and spatial, or shape; or what is in a file; or several under one name.

    Values that nothing else says are random, made from the case's seed.
    """

    batch: Size = Field(default=None, description="length of the first axis: an integer or an expression")
    channels: Size = Field(default=None, description="length of the second axis")
    spatial: Size = Field(default=None, description="length of each further axis, of which there are dim")
    shape: list[Size] | None = Field(default=None, description="all lengths, instead of batch, channels and spatial")
    dtype: Dtype = Field(default="float32", description="the input's dtype")
    values: InputValues | None = Field(default=None, description="what the values are drawn from")
    memory_format: MemoryFormat = Field(default="contiguous", description="how the values lie in memory")
    by: Literal["position", "keyword"] = Field(default="position", description="how the model is given the input")
    from_: Text | None = Field(
        default=None, alias="from", description="a file of values, or a folder of files, as seen from this file"
    )
    key: Text | None = Field(default=None, description="the name of the values in that file")
    tuple_: list[Input] = Field(default=[], alias="tuple", description="the inputs that one tuple holds")
    dict_: dict[Text, Input] = Field(default={}, alias="dict", description="the inputs that one dict holds, by key")


class OwnTensor(Declaration):
    """A parameter or a buffer of the model itself, beside those of its layers."""

    shape: list[Size] = Field(description="all lengths; [] for a single number")
    dtype: Dtype = Field(default="float32", description="the dtype")
    values: InputValues | None = Field(default=None, description="what the values are drawn from")


class Pattern(Declaration):
    """A model to quantize: layers and forward, or a factory in model."""

    about: Text = Field(default="", description="what it is, in a few words")
    params: dict[Name, DeclaredValue] = Field(
        default={}, description="parameters with their defaults; axes may set them"
    )
    layers: dict[Name, Text] = Field(default={}, description="name → a call: torch.nn class, conv, or a pattern")
    parameters: dict[Name, OwnTensor] = Field(default={}, description="parameters of the model itself")
    buffers: dict[Name, OwnTensor] = Field(default={}, description="buffers of the model itself")
    forward: list[Text] = Field(default=[], description="the lines of the forward pass, the last one return …")
    model: Text | None = Field(
        default=None, description="dotted path of a factory, such as torchvision.models.resnet18"
    )
    args: dict[Name, Argument] = Field(default={}, description="the factory's keyword arguments")
    weights: Text | None = Field(
        default=None, description="a file of the model's parameters and buffers, as seen from this file"
    )
    init: dict[Text, Filling] = Field(
        default={}, description="parameter or buffer, such as bn.weight → the number that fills it"
    )
    inputs: dict[Name, Input] = Field(description="the forward's arguments, in order")
    dynamic: dict[Name, dict[Text, Name]] = Field(
        default={}, description="input → axis, from 0 → the name of its size, which PT2E captures free"
    )


class ConvKind(Declaration):
    """What conv(…) stands for in a pattern."""

    about: Text = Field(default="", description="what it is, in a few words")
    module: Literal["ConvNd", "ConvTransposeNd"] = Field(description="the class of torch.nn; Nd is the case's dim")
    args: dict[Name, DeclaredValue] = Field(
        default={}, description="arguments added to every conv(…), as expressions over it"
    )
