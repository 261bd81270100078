"""What a pipeline quantizes by that there is already: quantizers of PT2E, and qconfigs of FX graph mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from qatrix.declare.spec.registrations import Registration, place_of
from qatrix.declare.spec.tensors import TensorSpec
from qatrix.expressions import Value
from qatrix.quantizers import BUILT_IN, BuiltIn

Mode = Literal["qat", "ptq", "dynamic"]
# What configures a part of a model: arguments of a configuration function, or a qconfig.
Setting = TypeVar("Setting")


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
        return place_of(self.quantizer, self.registration)

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
