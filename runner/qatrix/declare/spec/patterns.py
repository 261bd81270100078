"""Models to quantize, and the kinds of convolution that stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qatrix.declare.inputs import DataFile, InputSpec
from qatrix.declare.registered import MODELS
from qatrix.declare.spec.registrations import Registration, place_of
from qatrix.errors import Source
from qatrix.expressions import Call, Expression, Statement, Value


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer: a call of a `torch.nn` class ("BatchNormNd" takes the case's dim), of `conv`
    (the case's conv kind), or of another pattern, which is then in `pattern`.
    """

    name: str
    call: Call
    pattern: PatternSpec | None
    source: Source


@dataclass(frozen=True, kw_only=True)
class InitSpec:
    """A parameter or buffer by its path ("bn.weight"), and the number that fills it once the model is made."""

    path: str
    value: Expression
    source: Source


@dataclass(frozen=True, kw_only=True)
class PatternSpec:
    """A model to quantize: layers and the statements that call them, or a factory, whose `weights` may be in a file.

    `factory` is a dotted path, or a name that a distribution registers, which is then in `registration`.
    `params` are its parameters with their defaults; `takes_conv` and `takes_dim` say whether
    any layer, of this pattern or of one it is composed of, depends on the case's conv kind
    or dim (an input of declared spatial size depends on dim too). `parameters` and `buffers` are tensors
    of the model's own, beside those of its layers.
    """

    name: str
    about: str
    params: Mapping[str, Value]
    layers: tuple[LayerSpec, ...]
    forward: tuple[Statement, ...]
    factory: str | None
    factory_args: Mapping[str, Value]
    inputs: tuple[InputSpec, ...]
    takes_conv: bool
    takes_dim: bool
    source: Source
    init: tuple[InitSpec, ...] = ()
    weights: DataFile | None = None
    parameters: tuple[InputSpec, ...] = ()
    buffers: tuple[InputSpec, ...] = ()
    registration: Registration | None = None

    @property
    def runs_own_code(self) -> bool:
        """Whether the model is made by code that qatrix does not know, which can do anything to its process."""
        return self.factory is not None and (self.registration is not None or self.factory not in MODELS)

    @property
    def place(self) -> tuple[str, str]:
        """The module and the attribute of its factory; empty where it has none."""
        return place_of(self.factory or "", self.registration)


@dataclass(frozen=True, kw_only=True)
class ConvKind:
    """A kind of convolution: the `torch.nn` class ("ConvNd", "ConvTransposeNd") and the
    arguments it adds to every `conv(…)` call, expressions over that call's own arguments
    (`groups: in_channels`).
    """

    name: str
    about: str
    module: Literal["ConvNd", "ConvTransposeNd"]
    args: Mapping[str, Expression]
    source: Source
