"""The keys of quantizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, StrictBool, Tag

from qatrix.declare.schema.models.declaration import Declaration
from qatrix.declare.schema.models.ops import OpAnnotation
from qatrix.declare.schema.models.presets import FxPreset, Pt2ePreset
from qatrix.declare.schema.models.tensors import DerivedSpec, TensorSpec
from qatrix.declare.schema.values import Name, Text
from qatrix.declare.spec import Mode

Chain = Literal[
    "conv",
    "conv_relu",
    "conv_bn",
    "conv_bn_relu",
    "linear",
    "linear_relu",
    "linear_bn",
    "linear_bn_relu",
    "add",
    "add_relu",
    "mul",
    "mul_relu",
    "cat",
]


class Phase(Declaration):
    """One round of capture, prepare, forward and convert."""

    quantizer: Name = Field(description="the quantizer of this round, itself without phases")
    submodules: list[Text] = Field(default=[], description="submodules to quantize; none means the whole model")
    dynamic_batch: StrictBool = Field(default=False, description="capture with a dynamic first axis")
    skip_modules: list[Text] = Field(default=[], description="torch.nn classes that this round leaves alone")


class ConvertOptions(Declaration):
    """What PT2E's convert_pt2e is told."""

    fold_quantize: StrictBool = Field(
        default=True, description="false: weights stay in float, and are quantized in the graph"
    )
    use_reference_representation: StrictBool = Field(
        default=False, description="true: integer arithmetic instead of quantize and dequantize ops"
    )


def _bias_tag(found: object) -> str:
    return "<derived>" if isinstance(found, dict) else "<float>"


class Quantizer(Declaration):
    """How a model is quantized: presets (pt2e, fx), or declared specs (annotate), or phases.

    What a pipeline that is not built in is told stands under that pipeline's name.
    """

    # Which names these are, and what is no name at all, is for who has the installed distributions to say.
    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    about: Text = Field(default="", description="what it is, in a few words")
    mode: Mode | None = Field(default=None, description="qat, ptq or dynamic; not with phases, whose last one says it")
    pt2e: Pt2ePreset | None = Field(default=None, description="the preset of PT2E")
    fx: FxPreset | None = Field(default=None, description="the preset of FX graph mode")
    annotate: list[Chain] = Field(default=[], description="the op chains to quantize, for declared specs")
    activation: TensorSpec | None = Field(default=None, description="how activations are quantized")
    weight: TensorSpec | None = Field(default=None, description="how weights are quantized")
    bias: Annotated[
        Annotated[Literal["float"], Tag("<float>")] | Annotated[DerivedSpec, Tag("<derived>")],
        Discriminator(_bias_tag),
    ] = Field(default="float", description="float, or how it derives from activation and weight")
    shared: list[Chain] = Field(
        default=[], description="chains out of annotate whose inputs and output share parameters"
    )
    ops: list[OpAnnotation] = Field(default=[], description="ops of aten to quantize, for declared specs")
    convert: ConvertOptions | None = Field(default=None, description="how PT2E writes the converted program")
    phases: list[Phase] = Field(default=[], description="rounds, one after the other")
