"""What lives where in the installed torch, torchvision and torchao: the only place that knows.

Everything that a release moved, renamed or lacks is answered here, so that support for an
older release is an addition to this module and to nothing else.
"""

from __future__ import annotations

import copy
import functools
import importlib
import importlib.metadata
import logging
import os
import platform
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from qatrix import __version__
from qatrix.outcomes import Environment

# What the report names; None where a package is not installed.
PACKAGES: Final = ("torch", "torchao", "torchvision", "numpy")
# Cases run on one thread, so that sums are added up in one order whatever the machine.
THREADS: Final = 1


class PackageMissing(Exception):
    """This environment lacks a package, or a name that a pipeline needs; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Pt2eApi:
    """The functions of PT2E quantization in this release.

    `spaces` are the modules that are searched, in order, for observers, fake quantizes,
    quantization specs and quantizers by their class names.
    """

    capture: Callable[[nn.Module, tuple[Tensor, ...], bool], Callable[[], nn.Module]]
    prepare: Callable[[nn.Module, Any], nn.Module]
    prepare_qat: Callable[[nn.Module, Any], nn.Module]
    convert: Callable[[nn.Module], nn.Module]
    to_eval: Callable[[nn.Module], object]
    disable_observer: Callable[[nn.Module], None]
    spaces: tuple[types.ModuleType, ...]

    def find(self, name: str) -> Any:
        """The class or function of that name; raises PackageMissing where this release has none."""
        for space in self.spaces:
            if hasattr(space, name):
                return getattr(space, name)
        msg = f"this release of PT2E quantization has no {name}"
        raise PackageMissing(msg)


@functools.cache
def pt2e_api() -> Pt2eApi:
    """PT2E quantization as torchao has it; raises PackageMissing where it cannot be imported."""
    quantize = _import("torchao.quantization.pt2e.quantize_pt2e")
    public = _import("torchao.quantization.pt2e")
    return Pt2eApi(
        capture=_export_strict,
        prepare=quantize.prepare_pt2e,
        prepare_qat=quantize.prepare_qat_pt2e,
        convert=quantize.convert_pt2e,
        to_eval=public.move_exported_model_to_eval,
        disable_observer=public.disable_observer,
        spaces=(
            public,
            _import("torchao.quantization.pt2e.quantizer"),
            # XNNPACKQuantizer moved to ExecuTorch; torchao keeps this copy for its own tests.
            _import("torchao.testing.pt2e._xnnpack_quantizer"),
        ),
    )


@functools.cache
def fx_api() -> types.ModuleType:
    """FX graph mode quantization; raises PackageMissing where this release has none."""
    return _import("torch.ao.quantization.quantize_fx")


def pattern_functions() -> tuple[str | None, tuple[types.ModuleType, ...]]:
    """The modules in which that function can be stood in for; or why the pattern cache does not apply here."""
    try:
        bound = tuple(module for module in pattern_modules() if hasattr(module, PATTERN_FUNCTION))
    except PackageMissing as error:
        return f"the pattern cache does not apply, so that cases are slow: {error}", ()
    if not bound:
        return f"the pattern cache does not apply, so that cases are slow: torchao has no {PATTERN_FUNCTION}", ()
    return None, bound


def pattern_modules() -> tuple[types.ModuleType, ...]:
    """The modules that bind the function which exports the conv-bn patterns by name."""
    names = (
        "torchao.quantization.pt2e.utils",
        "torchao.quantization.pt2e.qat_utils",
        "torchao.quantization.pt2e.reference_representation_rewrite",
        "torchao.testing.pt2e._xnnpack_quantizer_utils",
    )
    return tuple(_import(name) for name in names)


PATTERN_FUNCTION: Final = "_get_aten_graph_module_for_pattern"


def reset_compiler() -> None:
    """Forget what torch.export's tracer remembers of earlier models.

    Without it, a process that captures many models hits dynamo's limit of recompilations.
    """
    dynamo: Any = torch._dynamo
    dynamo.reset()


def device_missing(name: str) -> str | None:
    """Why a device of torch's is not here, None where it is."""
    if name == "cpu":
        return None
    backend = getattr(torch, name.partition(":")[0], None)
    if backend is None or not hasattr(backend, "is_available"):
        return f"this torch knows no device '{name}'"
    if not backend.is_available():
        return f"no {name.upper()} device here: torch.{name}.is_available() is False"
    return None


def environment() -> Environment:
    """Where this process runs: versions, platform, devices, threads."""
    devices = {"cpu": _processor()}
    if torch.cuda.is_available():
        devices["cuda"] = torch.cuda.get_device_name()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        packages={name: _version(name) for name in PACKAGES} | {"qatrix": __version__},
        devices=devices,
        threads=THREADS,
        notes=() if (reason := pattern_functions()[0]) is None else (reason,),
    )


def engines() -> tuple[str, ...]:
    """The quantized engines of this build of torch, for `doctor`."""
    return tuple(torch.backends.quantized.supported_engines)


def _export_strict(  # one signature for all captures
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    dynamic_batch: bool,  # noqa: FBT001
) -> Callable[[], nn.Module]:
    """Capture into the same IR as torchao's own patterns; a non-strict capture is another one."""
    dynamic = {0: torch.export.Dim("batch")}
    shapes = tuple(dynamic for _ in inputs) if dynamic_batch else None
    program = torch.export.export(model, inputs, dynamic_shapes=shapes, strict=True)
    return functools.partial(_own_module, program)


def _own_module(program: torch.export.ExportedProgram) -> nn.Module:
    """A module of an exported program that shares no tensor with the program's other modules."""
    module = program.module()
    copies: dict[int, Any] = {}
    for part in module.modules():
        owners: tuple[dict[str, Any], ...] = (part._parameters, part._buffers, vars(part))
        for owner in owners:
            tensors = {name: value for name, value in owner.items() if isinstance(value, Tensor)}
            owner.update({name: copy.deepcopy(tensor, copies) for name, tensor in tensors.items()})
    return module


def _import(name: str) -> types.ModuleType:
    try:
        with warnings.catch_warnings(), _quiet_pytree():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:
        package = name.partition(".")[0]
        msg = f"{name} cannot be imported ({type(error).__name__}: {error}); try: pip install {package}"
        raise PackageMissing(msg) from error


class _quiet_pytree:  # noqa: N801 - a context manager, used like a function
    """torchao registers an Enum as a constant, which torch 2.15 logs as deprecated at every import."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("torch.utils._pytree")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The CPU's name and the number of cores that this process may use."""
    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()} {capability}, {cores} cores".replace(" ,", ",")
