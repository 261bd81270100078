"""The keys of presets: quantizers of PT2E, and qconfigs of FX graph mode."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from qatrix.declare.schema.models.declaration import Declaration
from qatrix.declare.schema.models.tensors import TensorSpec
from qatrix.declare.schema.values import Argument, Name, QuantizerName, Text

Backend = Literal["executorch", "fbgemm", "native", "onednn", "qnnpack", "tensorrt", "x86"]
MappingBackend = Literal["fbgemm", "onednn", "qnnpack", "x86"]


def _part_tag(found: object) -> str:
    return "<config>" if isinstance(found, dict) else "<float>"


# How a part of a model is configured in PT2E: not at all, or by arguments of the configuration function.
_Part = Annotated[
    Annotated[Literal["float"], Tag("<float>")] | Annotated[dict[Name, Argument], Tag("<config>")],
    Discriminator(_part_tag),
]


class Pt2ePreset(Declaration):
    """A quantizer that there is already: a built-in, one that a distribution registers, one of your own; or several."""

    quantizer: QuantizerName | None = Field(
        default=None,
        description="a built-in, a name that an installed distribution registers, or a dotted path that you allow",
    )
    compose: list[Name] = Field(
        default=[], description="the names of quantizers that annotate one after the other, instead of quantizer"
    )
    config_from: Text | None = Field(
        default=None, description="dotted path of a function that is called with config; a built-in has its own"
    )
    config: dict[Name, Argument] = Field(
        default={}, description="the arguments of the configuration function; without one, of the class"
    )
    modules: dict[Text, _Part] = Field(
        default={}, description="glob over the model's modules → float, or a config for them"
    )
    types: dict[Text, _Part] = Field(default={}, description="class of torch.nn → float, or a config for its modules")


class QConfigSpecs(Declaration):
    """A QConfig of FX graph mode's, spelled out."""

    activation: TensorSpec | None = Field(default=None, description="how activations are quantized")
    weight: TensorSpec | None = Field(default=None, description="how weights are quantized")


def _qconfig_tag(found: object) -> str:
    return "<specs>" if isinstance(found, dict) else "<name>"


# A QConfig by its name, or spelled out.
_QConfig = Annotated[
    Annotated[Text, Tag("<name>")] | Annotated[QConfigSpecs, Tag("<specs>")], Discriminator(_qconfig_tag)
]


class FxPreset(Declaration):
    """A backend config that FX graph mode has, and a qconfig, or a backend's default mapping of qconfigs."""

    backend_config: Backend = Field(description="the backend config's name")
    qconfig: _QConfig | None = Field(
        default=None,
        description="the qconfig's name, such as default_symmetric_qnnpack_qat_qconfig, or its activation and weight",
    )
    qconfig_mapping: MappingBackend | None = Field(
        default=None, description="the backend whose default mapping is taken, instead of a qconfig for all"
    )
    modules: dict[Text, _QConfig] = Field(
        default={}, description="glob over the model's modules → float, or their qconfig"
    )
    types: dict[Text, _QConfig] = Field(default={}, description="class of torch.nn → float, or its modules' qconfig")
