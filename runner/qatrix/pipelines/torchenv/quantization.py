"""Where PT2E and FX quantization live in the installed release, and whose PT2E it is."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from qatrix.pipelines.torchenv.importing import RELEASE, PackageMissing, imported
from qatrix.quantizers import BUILT_IN, BuiltIn, Home

# Until then torch.ao's PT2E is the only one: torchao's does not import, or has no QAT.
TORCHAO_SINCE = (2, 8)
# Measured on 2.6 to 2.9 (`KeyError: source_fn_stack`); earlier releases have one capture alone.
_STRICT_ALONE: Final = (
    "torch.ao's PT2E cannot quantize what is captured non-strict, because its convert reads source_fn_stack, "
    "which only a strict capture writes; torchao's PT2E can, on torch 2.8 and later"
)
# What some release imports only as it first traces or exports. Importing it sets an environment variable,
# TORCHINDUCTOR_CACHE_DIR, or asks for the folder of temporary files, of which Python then keeps the name.
_IMPORTED_BY_EXPORT: Final = ("torch._inductor.compiler_bisector", "torch._dynamo.package", "torch.export._trace")


@dataclass(frozen=True, kw_only=True)
class Pt2eApi:
    """The functions of PT2E quantization in this release; `home` is the package that has them.

    `spaces` are the modules that are searched, in order, for observers, fake quantizes and
    quantization specs by their class names.
    """

    home: Home
    prepare: Callable[[nn.Module, Any], nn.Module]
    prepare_qat: Callable[[nn.Module, Any], nn.Module]
    convert: Callable[..., nn.Module]
    to_eval: Callable[[nn.Module], object]
    to_train: Callable[[nn.Module], object]
    disable_observer: Callable[[nn.Module], None]
    enable_observer: Callable[[nn.Module], None]
    spaces: tuple[types.ModuleType, ...]

    def find(self, name: str) -> Any:
        """The class or function of that name; raises PackageMissing where this release has none."""
        for space in self.spaces:
            if hasattr(space, name):
                return getattr(space, name)
        msg = f"this release of PT2E quantization has no {name}"
        raise PackageMissing(msg)

    def require_non_strict(self) -> None:
        """Raise PackageMissing where this PT2E cannot take a program that is captured non-strict."""
        if self.home == "torch.ao":
            raise PackageMissing(_STRICT_ALONE)

    def quantizer_module(self, known: BuiltIn) -> types.ModuleType:
        """The module of a built-in quantizer; raises PackageMissing where this release or environment has none."""
        if self.home not in known.modules:
            msg = f"{self.home}'s PT2E has no {known.class_name}"
            raise PackageMissing(msg)
        module = imported(known.modules[self.home])
        if not issubclass(getattr(module, known.class_name, object), self.find("Quantizer")):
            msg = f"{module.__name__} has no {known.class_name} for {self.home}'s PT2E"
            raise PackageMissing(msg)
        return module


@functools.cache
def pt2e_api() -> Pt2eApi:
    """The PT2E that users of this release should use: torchao's, or torch.ao's before torch 2.8.

    Raises PackageMissing where it cannot be imported: one never stands in for the other unasked.
    """
    return _torch_ao() if RELEASE < TORCHAO_SINCE else _torchao()


@functools.cache
def second_pt2e_api() -> Pt2eApi:
    """torch.ao's PT2E where `pt2e_api` is torchao's; raises PackageMissing where it is not, or is gone."""
    if RELEASE < TORCHAO_SINCE:
        msg = f"on torch {torch.__version__} torch.ao's PT2E is the only one, which pipeline pt2e runs"
        raise PackageMissing(msg)
    try:
        return _torch_ao()
    except PackageMissing as error:
        msg = f"torch.ao's PT2E is gone from torch {torch.__version__}; the last releases that have it are 2.8 and 2.9"
        raise PackageMissing(msg) from error


def import_quantizers() -> None:
    """Import the quantizer classes that this release has, those that need no other package."""
    for known in BUILT_IN.values():
        if known.package is None:
            with contextlib.suppress(PackageMissing):
                pt2e_api().quantizer_module(known)


@functools.cache
def fx_api() -> types.ModuleType:
    """FX graph mode quantization; raises PackageMissing where this release has none."""
    return imported("torch.ao.quantization.quantize_fx")


def histogram_observers() -> tuple[type[nn.Module], ...]:
    """The classes of that name: FX graph mode's, and those of every PT2E that has its own."""
    name = "HistogramObserver"
    classes = [getattr(imported("torch.ao.quantization"), name)]
    for api in (pt2e_api, second_pt2e_api):
        with contextlib.suppress(PackageMissing):
            classes.append(api().find(name))
    return tuple(dict.fromkeys(classes))


def _torchao() -> Pt2eApi:
    public = imported("torchao.quantization.pt2e")
    spaces = (public, imported("torchao.quantization.pt2e.quantizer"), *_affine())
    return _api("torchao", imported("torchao.quantization.pt2e.quantize_pt2e"), spaces)


def _affine() -> tuple[types.ModuleType, ...]:
    """The modules of torchao's observers of blocks, which are not public, and which not every release has."""
    found = []
    for name in ("torchao.quantization.pt2e.observer", "torchao.quantization.pt2e._affine_quantization"):
        with contextlib.suppress(PackageMissing):
            found.append(imported(name))
    return tuple(found)


def _torch_ao() -> Pt2eApi:
    public = imported("torch.ao.quantization")
    spaces = (public, imported("torch.ao.quantization.quantizer"))
    return _api("torch.ao", imported("torch.ao.quantization.quantize_pt2e"), spaces)


def _api(home: Home, quantize: types.ModuleType, spaces: tuple[types.ModuleType, ...]) -> Pt2eApi:
    public = spaces[0]
    for name in _IMPORTED_BY_EXPORT:
        with contextlib.suppress(PackageMissing):
            imported(name)
    return Pt2eApi(
        home=home,
        prepare=quantize.prepare_pt2e,
        prepare_qat=quantize.prepare_qat_pt2e,
        convert=quantize.convert_pt2e,
        to_eval=public.move_exported_model_to_eval,
        to_train=public.move_exported_model_to_train,
        disable_observer=public.disable_observer,
        enable_observer=public.enable_observer,
        spaces=spaces,
    )
