"""What a matrix declares, parsed once and frozen; nothing here refers to torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from qatrix.claims import ComparisonPoint, Expectation, GraphCheck, Quantizes, Tolerance
from qatrix.declare.inputs import DataFile, InputSpec
from qatrix.declare.registered import MODELS
from qatrix.errors import Source
from qatrix.expressions import Call, Expression, Statement, Value
from qatrix.quantizers import BUILT_IN, BuiltIn

Mode = Literal["qat", "ptq", "dynamic"]
# What configures a part of a model: arguments of a configuration function, or a qconfig.
Setting = TypeVar("Setting")
# A suite without tags has the first; the second takes every suite.
DEFAULT_TAG = "default"
FULL_TAG = "full"
# What is done between prepare and convert; only cases that train take these axes.
TRAINING_AXES = ("train_steps", "observer_state", "batch_norm")
# Axes with a meaning of their own; any other axis is a parameter of the pattern.
RESERVED_AXES = (
    "pattern",
    "conv",
    "dim",
    "dtype",
    "dynamic_batch",
    "capture",
    "lifecycle",
    "quantizer",
    "device",
    "calibration_batches",
    *TRAINING_AXES,
)
# What the parameters and floating inputs of a model may be.
FloatDtype = Literal["float32", "float64", "float16", "bfloat16"]
# How PT2E exports a model: traced by dynamo, or by running it.
CaptureMode = Literal["strict", "non_strict"]
# What users do with programs on their way, beside quantizing them.
Lifecycle = Literal["none", "save_load", "checkpoint", "state_dict", "deepcopy", "average", "eval_and_train", "repeat"]
# Those of a program that takes optimizer steps.
TRAINING_LIFECYCLES: Final = ("average", "eval_and_train")
ObserverState = Literal["enabled", "disabled"]
BatchNormState = Literal["training", "frozen"]


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

    `params` are its parameters with their defaults; `takes_conv` and `takes_dim` say whether
    any layer, of this pattern or of one it is composed of, depends on the case's conv kind
    or dim (an input of declared spatial size depends on dim too).
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

    @property
    def runs_own_code(self) -> bool:
        """Whether the model is made by code that qatrix does not know, which can do anything to its process."""
        return self.factory is not None and self.factory not in MODELS


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


@dataclass(frozen=True, kw_only=True)
class DeviceSpec:
    """A device by name, and torch's name for it ("cpu", "cuda")."""

    name: str
    torch: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """How one kind of tensor is quantized: dtype, range, scheme, axis, observer, fake quantize.

    `observer` and `fake_quantize` are names of the tables in `schema.py`; None takes the
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


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Something that an installed distribution registers under a name: an attribute of one of its modules."""

    name: str
    module: str
    attribute: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Part(Generic[Setting]):
    """A part of a model that a preset treats unlike the rest.

    `name` is a glob over the paths of modules, or a class of `torch.nn`. `setting` configures it, None leaves it in
    float. `paths` are those of the modules that it stands for, None as long as the model is not known.
    """

    name: str
    setting: Setting | None
    paths: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Pt2ePreset:
    """A quantizer that there is already, and how it is configured.

    `quantizer` names one that is built in, one that a distribution registers, which is then in
    `registration`, or the dotted path of a class or function of the user's own. `config` are the
    arguments of its configuration function: the one that a built-in has, or the dotted path in
    `config_from`. Where there is neither, the class itself takes them. `modules` and `types` have other arguments
    of that function, by module and by class of module.
    """

    quantizer: str
    config: Mapping[str, Value]
    config_from: str | None = None
    registration: Registration | None = None
    modules: tuple[Part[Mapping[str, Value]], ...] = ()
    types: tuple[Part[Mapping[str, Value]], ...] = ()

    @property
    def built_in(self) -> BuiltIn | None:
        """What is known of the class, None where it is none of qatrix's own table."""
        return BUILT_IN.get(self.quantizer)

    @property
    def runs_own_code(self) -> bool:
        """Whether it is made by code that qatrix does not know, which can do anything to its process."""
        return self.built_in is None or self.config_from is not None

    @property
    def place(self) -> tuple[str, str]:
        """The module and the attribute of a class that is not built in."""
        if self.registration is not None:
            return self.registration.module, self.registration.attribute
        module, _, attribute = self.quantizer.rpartition(".")
        return module, attribute

    @property
    def per_channel(self) -> bool:
        """Whether weights have a scale per channel, as far as it says so."""
        if self.built_in is not None and self.built_in.per_channel is not None:
            return self.built_in.per_channel
        return bool(self.config.get("is_per_channel", False))

    @property
    def is_dynamic(self) -> bool:
        """Whether activations are quantized as they come, as far as it says so."""
        return bool(self.config.get("is_dynamic", False))

    def claims(self, mode: Mode) -> tuple[str, ...]:
        """The families of ops with weights that it quantizes wherever they stand; none where that is not known."""
        if self.built_in is None or self.config_from:
            return ()
        # What is trained by the range of what comes is quantized where it would be without training.
        return self.built_in.claims.get("dynamic" if self.is_dynamic else mode, ())


@dataclass(frozen=True, kw_only=True)
class Composition:
    """PT2E's side of several quantizers, which annotate a program one after the other, as its ComposableQuantizer does.

    None of the `members` is composed itself.
    """

    members: tuple[QuantizerSpec, ...]

    @property
    def per_channel(self) -> bool:
        """Whether weights of convolutions or linear layers have a scale per channel."""
        return any(member.per_channel for member in self.members if member.may_take_weights)


@dataclass(frozen=True, kw_only=True)
class QConfigSpec:
    """A QConfig of FX graph mode's, spelled out; what is None is left in float."""

    activation: TensorSpec | None
    weight: TensorSpec | None

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """What is quantized."""
        return tuple(spec for spec in (self.activation, self.weight) if spec is not None)


@dataclass(frozen=True, kw_only=True)
class FxPreset:
    """A backend config that FX already has, by name, and one qconfig for all ops, by name or spelled out, or the
    default mapping of qconfigs of a backend. `modules` and `types` have other qconfigs, by module and
    by class of module.
    """

    backend_config: str
    qconfig: str | QConfigSpec | None = None
    qconfig_mapping: str | None = None
    modules: tuple[Part[str | QConfigSpec], ...] = ()
    types: tuple[Part[str | QConfigSpec], ...] = ()

    @property
    def is_dynamic(self) -> bool:
        """Whether activations are quantized as they come, by what the QConfig for all ops says."""
        if isinstance(self.qconfig, QConfigSpec):
            return self.qconfig.activation is not None and self.qconfig.activation.dynamic
        return self.qconfig is not None and "dynamic" in self.qconfig

    @property
    def activations(self) -> tuple[TensorSpec, ...]:
        """The specs of activations of all QConfigs that are spelled out."""
        return tuple(item.activation for item in self._spelled_out if item.activation is not None)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The tensor specs of all QConfigs that are spelled out."""
        return tuple(spec for item in self._spelled_out for spec in item.specs)

    @property
    def _spelled_out(self) -> tuple[QConfigSpec, ...]:
        settings = (self.qconfig, *(part.setting for part in (*self.modules, *self.types)))
        return tuple(setting for setting in settings if isinstance(setting, QConfigSpec))


@dataclass(frozen=True, kw_only=True)
class ConvertSpec:
    """How PT2E writes a converted program, by the arguments of convert_pt2e.

    Without `fold_quantize` weights stay in float, and are quantized in the graph. With
    `use_reference_representation` integer arithmetic stands in the place of quantize and dequantize ops.
    """

    fold_quantize: bool = True
    use_reference_representation: bool = False

    @property
    def arguments(self) -> dict[str, bool]:
        """The arguments that are not as convert_pt2e has them by itself."""
        default = ConvertSpec()
        return {name: value for name, value in vars(self).items() if value != getattr(default, name)}


@dataclass(frozen=True, kw_only=True)
class PhaseSpec:
    """One round of capture, prepare, forward and convert.

    `submodules` names the submodules it works on (empty: the whole model); `dynamic_batch`
    captures them with a dynamic first dimension; `skip_modules` lists `torch.nn` classes
    that this round leaves alone.
    """

    quantizer: QuantizerSpec
    submodules: tuple[str, ...]
    dynamic_batch: bool
    skip_modules: tuple[str, ...]
    source: Source


@dataclass(frozen=True, kw_only=True)
class QuantizerSpec:
    """How a model is quantized: a preset per pipeline, or declared tensor specs, or phases.

    Declared specs annotate the op chains named in `annotate` ("conv_bn": a convolution
    followed by a batch norm); ops in `shared` share one set of quantization parameters
    between their inputs and their output. `ops` are annotated one by one. `convert` is for PT2E.
    """

    name: str
    about: str
    mode: Mode
    pt2e: Pt2ePreset | Composition | None
    fx: FxPreset | None
    annotate: tuple[str, ...]
    activation: TensorSpec | None
    weight: TensorSpec | None
    bias: DerivedSpec | None
    shared: tuple[str, ...]
    phases: tuple[PhaseSpec, ...]
    source: Source
    convert: ConvertSpec = ConvertSpec()
    ops: tuple[OpSpec, ...] = ()

    @property
    def per_channel(self) -> bool:
        """Whether weights have a scale per channel."""
        if self.weight is not None:
            return self.weight.qscheme.startswith("per_channel")
        return self.pt2e is not None and self.pt2e.per_channel

    @property
    def is_declared(self) -> bool:
        """Whether it declares what to annotate, instead of naming what there is."""
        return bool(self.annotate or self.ops)

    @property
    def is_dynamic(self) -> bool:
        """Whether declared activations are quantized as they come."""
        return self.mode == "dynamic" or (self.activation is not None and self.activation.dynamic)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The declared specs of activations and weights, of all ops and of FX graph mode's QConfigs."""
        own = tuple(spec for op in self.ops for spec in op.own)
        known = tuple(spec for spec in (self.activation, self.weight) if spec is not None)
        return (*known, *own, *(() if self.fx is None else self.fx.specs))

    @property
    def rounds(self) -> tuple[QuantizerSpec, ...]:
        """The quantizers of its phases; itself where it has none."""
        return tuple(phase.quantizer for phase in self.phases) or (self,)

    @property
    def members(self) -> tuple[QuantizerSpec, ...]:
        """The quantizers that PT2E makes: of its phases, of what they compose; itself where it has neither."""
        composed = (item.pt2e.members if isinstance(item.pt2e, Composition) else (item,) for item in self.rounds)
        return tuple(member for members in composed for member in members)

    @property
    def computes_in_integers(self) -> bool:
        """Whether PT2E writes integer arithmetic in the place of quantize and dequantize ops."""
        return any(item.convert.use_reference_representation for item in self.rounds)

    @property
    def presets(self) -> tuple[Pt2ePreset, ...]:
        """The quantizer classes of PT2E that it takes, with what they are told."""
        return tuple(item.pt2e for item in self.members if isinstance(item.pt2e, Pt2ePreset))

    @property
    def runs_own_code(self) -> bool:
        """Whether it takes any quantizer whose code qatrix does not know."""
        return any(preset.runs_own_code for preset in self.presets)

    @property
    def may_take_weights(self) -> bool:
        """Whether PT2E may quantize convolutions or linear layers with it, as far as it says so."""
        known = any(preset.runs_own_code or preset.claims(self.mode) for preset in self.presets)
        names = (*self.annotate, *(op.op.removeprefix("aten.") for op in self.ops))
        return known or any(name.startswith(("conv", "linear", "addmm")) for name in names)

    def mode_of(self, tensor: TensorSpec) -> Mode:
        """How a declared tensor is observed: where activations are quantized as they come, weights are known before."""
        if self.mode != "dynamic":
            return self.mode
        activations = (self.activation, *(() if self.fx is None else self.fx.activations))
        return "dynamic" if any(tensor is activation for activation in activations) else "ptq"

    @property
    def trainable(self) -> bool:
        """Whether a case may take optimizer steps with it: quantization-aware training of the whole model."""
        return self.mode == "qat" and not self.phases


@dataclass(frozen=True, kw_only=True)
class CheckUse:
    """A suite's use of a named check: for the cases that have all values of `where`, with
    the parameters of `with_`.
    """

    check: GraphCheck
    where: Mapping[str, tuple[Value, ...]]
    with_: Mapping[str, Value]
    source: Source


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An entry of `include`, `exclude` or `nothing`: values per axis, a reason, a place."""

    values: Mapping[str, tuple[Value, ...]]
    because: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class SuiteSpec:
    """A product of axes, what it adds and leaves out, and the checks to make.

    `axes` keeps the order of the file. `pipelines` lists who runs; where it is not all of
    them `pipelines_because` says why. `convert_in` is the mode the prepared model is in when
    it is converted. `nothing` says for which cases nothing is to be quantized. `skip` is a reason
    not to run the suite's cases, None to run them. `tags` say in which selections the suite is.
    """

    name: str
    about: str
    axes: Mapping[str, tuple[Value, ...]]
    include: tuple[Rule, ...]
    exclude: tuple[Rule, ...]
    pipelines: tuple[str, ...]
    pipelines_because: str | None
    compare: tuple[ComparisonPoint, ...]
    checks: tuple[CheckUse, ...]
    tolerance: Tolerance
    convert_in: Literal["eval", "train"]
    skip: str | None
    source: Source
    tags: tuple[str, ...] = (DEFAULT_TAG,)
    nothing: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Everything that a set of YAML files declares."""

    patterns: Mapping[str, PatternSpec]
    conv_kinds: Mapping[str, ConvKind]
    devices: Mapping[str, DeviceSpec]
    quantizers: Mapping[str, QuantizerSpec]
    tolerances: Mapping[str, Tolerance]
    checks: Mapping[str, GraphCheck]
    suites: Mapping[str, SuiteSpec]
    expectations: tuple[Expectation, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Optimizer steps between prepare and convert, at least one.

    `observers` and `batch_norms` say in which state observers and batch norms are in these
    steps; in the forward before them, which prepares the program, they are on.
    """

    steps: int
    observers: ObserverState = "enabled"
    batch_norms: BatchNormState = "training"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One point of a product, with everything that is needed to run it.

    `params` are the pattern's parameters with the axes' values in them. `seed` makes the
    weights and inputs: a hash of what the float model is (pattern, conv kind, dim,
    parameters), so that it does not depend on suite, quantizer, training, pipeline, device or order.
    `training` is None where no step is made. `dtype` is that of parameters and floating inputs,
    which are made in float32 and cast. With `dynamic_batch` the first axis of every input is
    captured free, and the converted model runs on another batch, too. Where it `quantizes` nothing, a pipeline
    that quantizes is at fault instead of one that does not. `calibration_batches` is how many batches run
    before the program is converted, None for all that there are. `capture` is how PT2E exports the model,
    `lifecycle` what else is done with its programs, which must change nothing.
    """

    case_id: str
    suite: str
    axes: Mapping[str, Value]
    pattern: PatternSpec
    params: Mapping[str, Value]
    conv_kind: ConvKind | None
    dim: int | None
    quantizer: QuantizerSpec
    device: DeviceSpec
    pipelines: tuple[str, ...]
    pipelines_because: str | None
    compare: tuple[ComparisonPoint, ...]
    tolerance: Tolerance
    checks: tuple[GraphCheck, ...]
    convert_in: Literal["eval", "train"]
    skip: str | None
    seed: int
    source: Source
    training: Training | None = None
    dtype: str = "float32"
    dynamic_batch: bool = False
    quantizes: Quantizes = "something"
    calibration_batches: int | None = None
    capture: CaptureMode = "strict"
    lifecycle: Lifecycle = "none"

    @property
    def runs_own_code(self) -> bool:
        """Whether its model or its quantizer is made by code that qatrix does not know."""
        return self.pattern.runs_own_code or self.quantizer.runs_own_code
