"""How models are quantized: quantizers, their phases, and several of them as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qatrix.declare.spec.presets import FxPreset, Mode, Pt2ePreset
from qatrix.declare.spec.registrations import Settings
from qatrix.declare.spec.tensors import DerivedSpec, OpSpec, TensorSpec
from qatrix.errors import Source


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
    between their inputs and their output. `ops` are annotated one by one. `convert` is for PT2E. `settings`
    has what pipelines that are not built in are told, by their names.
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
    settings: Mapping[str, Settings] = field(default_factory=dict)
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
