"""The quantizer classes that qatrix knows by name: where they are, how they are configured, what they claim."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final, Literal

# Who has PT2E in a release: torchao since torch 2.8, torch.ao before, in 2.8 and 2.9 both.
Home = Literal["torchao", "torch.ao"]

_ALL: Final = ("linear", "conv")
_IN_ALL_MODES: Final = {"qat": _ALL, "ptq": _ALL, "dynamic": _ALL}
_FLAGS: Final = ("is_qat", "is_dynamic")
# Inductor's quantizers configure ops by the classes of modules, and know the ops of these.
_BY_TYPE: Final = "set_module_type_qconfig"
_BY_NAME: Final = "set_module_name_qconfig"
_TYPES: Final = ("AdaptiveAvgPool2d", "AvgPool2d", "Conv2d", "Linear", "MaxPool2d")


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A quantizer class of PT2E's that needs nobody's consent.

    `modules` has its module for each home that has the class, and `deployed` that of the package to which the class
    has moved for torchao's users: it is taken where that package is installed. `configuration` is the function beside
    it whose result goes to `set_global`, None where there is nothing to set, and `arguments` what
    that function takes, in the order in which they are written: booleans all. `by_type` and `by_name` are
    the methods that configure a class of modules and a module by its path, None where it has none; `types` are
    the only classes of `torch.nn` that the first one knows, None where it knows all. `names` is the mapping that the
    second one fills, where it must be filled by hand to leave a module in float. `per_channel` says
    whether weights have a scale per channel, None where the argument `is_per_channel` says it.
    `claims` has, for each mode that it knows, the families of ops with weights that it quantizes
    wherever they stand.
    """

    class_name: str
    modules: Mapping[Home, str]
    deployed: str | None = None
    configuration: str | None
    arguments: tuple[str, ...] = ()
    by_type: str | None = None
    by_name: str | None = None
    types: tuple[str, ...] | None = None
    names: str | None = None
    per_channel: bool | None
    claims: Mapping[str, tuple[str, ...]]

    @property
    def package(self) -> str | None:
        """The package that it needs beside PyTorch's, None where it needs none."""
        package = next(iter(self.modules.values())).partition(".")[0]
        return None if package in {"torch", "torchao"} else package

    def module(self, home: Home, installed: Container[str]) -> str:
        """Where the class is in an environment; raises KeyError where that home has none."""
        found = self.modules[home]
        if self.deployed is None or home != "torchao" or self.deployed.partition(".")[0] not in installed:
            return found
        return self.deployed


def _torchs(module: str) -> Mapping[Home, str]:
    """A module that torchao has under the name that torch.ao had it under."""
    return {
        "torchao": f"torchao.quantization.pt2e.quantizer.{module}",
        "torch.ao": f"torch.ao.quantization.quantizer.{module}",
    }


def _xnnpack(modules: Mapping[Home, str], *, deployed: str | None = None) -> BuiltIn:
    return BuiltIn(
        class_name="XNNPACKQuantizer",
        modules=modules,
        deployed=deployed,
        configuration="get_symmetric_quantization_config",
        arguments=("is_per_channel", *_FLAGS),
        by_type="set_module_type",
        by_name="set_module_name",
        # Its set_module_name refuses None, which what it fills may hold: such a module is left alone.
        names="module_name_config",
        per_channel=None,
        claims={"qat": _ALL, "ptq": _ALL, "dynamic": ("linear",)},
    )


_EXECUTORCH: Final = "executorch.backends.xnnpack.quantizer.xnnpack_quantizer"
_TORCHAO_COPY: Final = "torchao.testing.pt2e._xnnpack_quantizer"

BUILT_IN: Final[Mapping[str, BuiltIn]] = {
    # The class moved to ExecuTorch with torch 2.8; torchao keeps a copy for its own tests.
    "XNNPACKQuantizer": _xnnpack(
        {"torchao": _TORCHAO_COPY, "torch.ao": "torch.ao.quantization.quantizer.xnnpack_quantizer"},
        deployed=_EXECUTORCH,
    ),
    "executorch.XNNPACKQuantizer": _xnnpack({"torchao": _EXECUTORCH}),
    "torchao.XNNPACKQuantizer": _xnnpack({"torchao": _TORCHAO_COPY}),
    "X86InductorQuantizer": BuiltIn(
        class_name="X86InductorQuantizer",
        modules=_torchs("x86_inductor_quantizer"),
        configuration="get_default_x86_inductor_quantization_config",
        arguments=("reduce_range", *_FLAGS),
        by_type=_BY_TYPE,
        by_name=_BY_NAME,
        types=_TYPES,
        # It knows no other way.
        per_channel=True,
        claims=_IN_ALL_MODES,
    ),
    "ArmInductorQuantizer": BuiltIn(
        class_name="ArmInductorQuantizer",
        modules={"torchao": "torchao.quantization.pt2e.quantizer.arm_inductor_quantizer"},
        configuration="get_default_arm_inductor_quantization_config",
        arguments=_FLAGS,
        by_type=_BY_TYPE,
        by_name=_BY_NAME,
        types=("Conv2d", "Linear"),
        per_channel=False,
        claims=_IN_ALL_MODES,
    ),
    "XPUInductorQuantizer": BuiltIn(
        class_name="XPUInductorQuantizer",
        modules=_torchs("xpu_inductor_quantizer"),
        configuration="get_default_xpu_inductor_quantization_config",
        by_type=_BY_TYPE,
        by_name=_BY_NAME,
        types=_TYPES,
        per_channel=True,
        claims={"ptq": _ALL},
    ),
    "EmbeddingQuantizer": BuiltIn(
        class_name="EmbeddingQuantizer",
        modules=_torchs("embedding_quantizer"),
        configuration=None,
        per_channel=True,
        claims={"ptq": ()},
    ),
}


def homes(home: Home, *, installed: Container[str] = ()) -> dict[str, str]:
    """The module of each class and configuration function that goes by its own name alone.

    These are PyTorch's, and those that another package of the installed ones has them from.
    """
    return {
        name: known.module(home, installed)
        for key, known in BUILT_IN.items()
        if key == known.class_name and home in known.modules
        for name in (known.class_name, known.configuration)
        if name is not None
    }
