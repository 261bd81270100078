"""The keys of every declaration, with what they mean; this is the reference of the YAML."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StrictFloat, StrictInt, Tag

from qatrix.claims import CheckPoint, ComparisonPoint, PipelineName, Quantizes, Verdict
from qatrix.declare.schema.values import (
    Argument,
    AtenOp,
    DeclaredValue,
    Filling,
    Finite,
    IntegerPair,
    Name,
    Pair,
    QuantizerName,
    Size,
    Text,
    Values,
)
from qatrix.declare.spec import Mode

Stage = Literal[
    "build",
    "capture",
    "prepare",
    "forward",
    "train",
    "convert",
    "quantized_forward",
    "save_load",
    "checkpoint",
    "state_dict",
    "deepcopy",
    "average",
    "eval_and_train",
    "repeat",
]
MemoryFormat = Literal["contiguous", "channels_last", "channels_last_3d"]
Dtype = Literal["bfloat16", "bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint8"]
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
Backend = Literal["executorch", "fbgemm", "native", "onednn", "qnnpack", "tensorrt", "x86"]
MappingBackend = Literal["fbgemm", "onednn", "qnnpack", "x86"]
Op = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]
Count = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
Number = Annotated[StrictFloat, Field(ge=0, allow_inf_nan=False)]


class Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


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


class Pattern(Declaration):
    """A model to quantize: layers and forward, or a factory in model."""

    about: Text = Field(default="", description="what it is, in a few words")
    params: dict[Name, DeclaredValue] = Field(
        default={}, description="parameters with their defaults; axes may set them"
    )
    layers: dict[Name, Text] = Field(default={}, description="name → a call: torch.nn class, conv, or a pattern")
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


class ConvKind(Declaration):
    """What conv(…) stands for in a pattern."""

    about: Text = Field(default="", description="what it is, in a few words")
    module: Literal["ConvNd", "ConvTransposeNd"] = Field(description="the class of torch.nn; Nd is the case's dim")
    args: dict[Name, DeclaredValue] = Field(
        default={}, description="arguments added to every conv(…), as expressions over it"
    )


class Device(Declaration):
    """A device by name."""

    torch: Text = Field(description="torch's name for it: cpu, cuda, …")


class Tolerance(Declaration):
    """How far two tensors may be apart: |left - right| <= atol + rtol * |right|."""

    about: Text = Field(default="", description="where it comes from")
    rtol: Number = Field(description="relative tolerance")
    atol: Number = Field(description="absolute tolerance")


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


class Phase(Declaration):
    """One round of capture, prepare, forward and convert."""

    quantizer: Name = Field(description="the quantizer of this round, itself without phases")
    submodules: list[Text] = Field(default=[], description="submodules to quantize; none means the whole model")
    dynamic_batch: StrictBool = Field(default=False, description="capture with a dynamic first axis")
    skip_modules: list[Text] = Field(default=[], description="torch.nn classes that this round leaves alone")


class SharedSpec(Declaration):
    """The quantization parameters of an input of the same op."""

    shared_with: Text = Field(description="the name of an input of the op, as its schema has it, such as other")


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


class ConvertOptions(Declaration):
    """What PT2E's convert_pt2e is told."""

    fold_quantize: StrictBool = Field(
        default=True, description="false: weights stay in float, and are quantized in the graph"
    )
    use_reference_representation: StrictBool = Field(
        default=False, description="true: integer arithmetic in the place of quantize and dequantize ops"
    )


def _bias_tag(found: object) -> str:
    return "<derived>" if isinstance(found, dict) else "<float>"


class Quantizer(Declaration):
    """How a model is quantized: presets (pt2e, fx), or declared specs (annotate), or phases."""

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


class Check(Declaration):
    """An assertion on one pipeline's graph."""

    about: Text = Field(default="", description="what it claims, in a few words")
    at: CheckPoint = Field(description="the graph after prepare, after convert, or exported again")
    pipelines: list[PipelineName] = Field(default=["pt2e"], min_length=1, description="whose graph")
    params: dict[Name, DeclaredValue] = Field(default={}, description="values that graph may use, with their defaults")
    graph: list[Text] = Field(default=[], description="the lines of the expected graph")
    counts: dict[Op, Count] = Field(default={}, description="op → how often it occurs")
    order: list[Op] = Field(default=[], description="ops that occur in this order, others may stand between")
    absent: list[Op] = Field(default=[], description="ops that do not occur")
    annotations: Literal["live"] | None = Field(
        default=None, description="live: no annotation refers to a node that is gone"
    )


class CheckUse(Declaration):
    """A check for some of a suite's cases, or with parameters of its own."""

    check: Name = Field(description="the check's name")
    where: dict[Name, Values] = Field(default={}, description="axis → the values of the cases that it is made on")
    with_: dict[Name, DeclaredValue] = Field(default={}, alias="with", description="the check's parameters")


class Pipelines(Declaration):
    """Which pipelines run, and why not all."""

    only: list[PipelineName] = Field(min_length=1, description="the pipelines that run and are compared, two by two")
    because: Text = Field(description="why these, and not pt2e and fx")


def _use_tag(found: object) -> str:
    return "<use>" if isinstance(found, dict) else "<name>"


_Use = Annotated[Annotated[Name, Tag("<name>")] | Annotated[CheckUse, Tag("<use>")], Discriminator(_use_tag)]


def _quantizes_tag(found: object) -> str:
    return "<cases>" if isinstance(found, dict) else "<word>"


class QuantizesNothing(Declaration):
    """The cases of a suite in which nothing is to be quantized."""

    nothing: list[dict[Name, Values]] = Field(
        min_length=1, description="axis → the values of the cases in which nothing is to be quantized; any of these"
    )


_Quantizes = Annotated[
    Annotated[Quantizes, Tag("<word>")] | Annotated[QuantizesNothing, Tag("<cases>")], Discriminator(_quantizes_tag)
]


class Suite(Declaration):
    """A product of axes, what is added and left out, and the checks to make."""

    about: Text = Field(default="", description="what it covers, in a few words")
    axes: dict[Name, Values] = Field(
        default={}, description="axis → its values: pattern, conv, dim, dtype, quantizer, device, …, a param"
    )
    include: list[dict[Name, Values]] = Field(
        default=[], description="cases to add: axis → values; because is optional"
    )
    exclude: list[dict[Name, Values]] = Field(default=[], description="cases to leave out: axis → values, and because")
    compare: list[ComparisonPoint] | None = Field(
        default=None, description="default: prepare and convert, where two run"
    )
    checks: list[_Use] = Field(default=[], description="checks by name, or {check, where, with}")
    pipelines: Pipelines | None = Field(default=None, description="default: pt2e and fx")
    tolerance: Name = Field(default="float32", description="the tolerance's name")
    convert_in: Literal["eval", "train"] = Field(default="eval", description="the mode in which the model is converted")
    quantizes: _Quantizes = Field(
        default="something", description="nothing, or {nothing: […]} for some cases: whatever is quantized is a fault"
    )
    skip: Text | None = Field(default=None, description="a reason not to run these cases")
    tags: list[Name] = Field(default=["default"], description="the selections that it is in: smoke, default, models, …")


class Expectation(Declaration):
    """A known difference: the verdict of the cases that a glob names, and why."""

    cases: Text = Field(description="glob over case ids")
    verdict: Verdict = Field(description="how these cases end")
    because: Text = Field(description="why; shown wherever the verdict is")
    title: Text | None = Field(default=None, description="the cause in a few words, its heading among the findings")
    pipeline: PipelineName | None = Field(default=None, description="the pipeline that fails")
    stage: Stage | None = Field(default=None, description="the stage that fails")
    error: Text | None = Field(default=None, description="the exception's type")
    message: Text | None = Field(default=None, description="a part of the exception's message")
    checks: list[Name] = Field(default=[], description="the checks that fail")
    torch: Text | None = Field(default=None, description="torch versions that it holds for, such as >=2.5,<2.9")
    torchao: Text | None = Field(default=None, description="torchao versions that it holds for")
    device: Name | None = Field(default=None, description="the device that it holds for")
    link: Text | None = Field(default=None, description="where to read on")


class File(Declaration):
    """A file of a matrix; every key may stand in any file."""

    patterns: dict[Name, Pattern] = Field(default={}, description="models to quantize")
    conv_kinds: dict[Name, ConvKind] = Field(default={}, description="kinds of convolution")
    devices: dict[Name, Device] = Field(default={}, description="devices")
    quantizers: dict[Name, Quantizer] = Field(default={}, description="ways to quantize")
    tolerances: dict[Name, Tolerance] = Field(default={}, description="tolerances of comparisons")
    checks: dict[Name, Check] = Field(default={}, description="assertions on graphs")
    suites: dict[Name, Suite] = Field(default={}, description="products of axes")
    expected: list[Expectation] = Field(default=[], description="known differences")


SECTIONS: Final[dict[str, type[Declaration]]] = {
    "patterns": Pattern,
    "conv_kinds": ConvKind,
    "devices": Device,
    "quantizers": Quantizer,
    "tolerances": Tolerance,
    "checks": Check,
    "suites": Suite,
    "expected": Expectation,
}
