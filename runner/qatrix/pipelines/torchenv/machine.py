"""Where this process runs: versions, devices, engines, threads."""

from __future__ import annotations

import functools
import os
import platform
import random
import sys
from typing import Any, Final

import torch

from qatrix import __version__
from qatrix.outcomes import Environment
from qatrix.pipelines.torchenv.importing import PACKAGES, package_version
from qatrix.pipelines.torchenv.patterns import pattern_functions
from qatrix.pipelines.torchenv.processor import cpu_features

# What the report names; None where a package is not installed.
# Cases run on one thread, so that sums are added up in one order whatever the machine.
THREADS: Final = 1


# What stands for the accelerator that torch finds, whichever that is.
ACCELERATOR: Final = "accelerator"


def device_missing(name: str) -> str | None:
    """Why a device of torch's is not here, None where it is."""
    kind, _, index = name.partition(":")
    if kind == "cpu":
        return None
    if kind == ACCELERATOR:
        return None if _accelerator() is not None else f"no accelerator here: {_how_asked()}"
    backend, way = _backend(kind)
    if backend is None:
        return f"this torch knows no device '{kind}'"
    if not backend.is_available():
        return f"no {kind.upper()} device here: {way}.is_available() is False"
    count = backend.device_count() if hasattr(backend, "device_count") else 1
    if index and int(index) >= count:
        return f"no device {name} here: {way}.device_count() is {count}"
    return None


def device_called(name: str) -> str:
    """What torch calls a device that is here: "cuda" for the accelerator, where that is one."""
    kind, colon, index = name.partition(":")
    found = _accelerator() if kind == ACCELERATOR else None
    return name if found is None else f"{found}{colon}{index}"


def accelerators() -> dict[str, str]:
    """The accelerators of this machine by torch's names for them, and what is known of each."""
    found = (kind for kind in _KINDS if device_missing(kind) is None)
    return {kind: _described(kind) for kind in found}


# The kinds that have an `is_available` in one release or another, those that most people have first.
_KINDS: Final = ("cuda", "xpu", "mps", "hpu", "mtia", "npu")


def _backend(kind: str) -> tuple[Any, str]:
    """The module that tells whether there is such a device, None where there is none; and its name."""
    for owner, way in ((torch, f"torch.{kind}"), (torch.backends, f"torch.backends.{kind}")):
        # torch.mps has had no is_available for long, torch.backends.mps always.
        found = getattr(owner, kind, None)
        if hasattr(found, "is_available"):
            return found, way
    return None, ""


def _accelerator() -> str | None:
    """The accelerator that torch finds by itself, None where there is none; torch before 2.6 has no way to ask."""
    accelerator = getattr(torch, ACCELERATOR, None)
    if accelerator is None:
        return next((kind for kind in _KINDS if device_missing(kind) is None), None)
    if not accelerator.is_available():
        return None
    return str(accelerator.current_accelerator().type)


def _how_asked() -> str:
    if hasattr(torch, ACCELERATOR):
        return "torch.accelerator.is_available() is False"
    return f"none of {', '.join(_KINDS)} is available"


def _described(kind: str) -> str:
    name = getattr(getattr(torch, kind, None), "get_device_name", None)
    return kind if name is None else str(name())


# It takes seeds of 32 bits.
_NUMPY_SEEDS: Final = 2**32


def seed_generators(seed: int) -> None:
    """Seed all that a model may draw from: the generators of torch, of Python and of numpy where that is imported.

    `torch.manual_seed` keeps, where there is no accelerator, every call and its traceback until one
    comes: 2 % of a case's time (torch 2.15).
    """
    random.seed(seed)
    # Torch imports it where it is installed.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % _NUMPY_SEEDS)
    if _accelerated():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@functools.cache
def _accelerated() -> bool:
    """Whether there is an accelerator, or may be one: torch before 2.6 cannot tell of all kinds."""
    accelerator = getattr(torch, "accelerator", None)
    return accelerator is None or bool(accelerator.is_available())


def environment() -> Environment:
    """Where this process runs: versions, platform, devices, threads, what its processor has."""
    devices = {"cpu": _processor()} | accelerators()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        packages={name: package_version(name) for name in PACKAGES} | {"qatrix": __version__},
        devices=devices,
        threads=THREADS,
        cpu=cpu_features(),
        notes=() if (reason := pattern_functions()[0]) is None else (reason,),
    )


def engines() -> tuple[str, ...]:
    """The quantized engines of this build of torch, for `doctor`."""
    return tuple(torch.backends.quantized.supported_engines)


def _processor() -> str:
    """The CPU's name and the number of cores that this process may use."""
    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()} {capability}, {cores} cores".replace(" ,", ",")
