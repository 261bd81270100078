"""Where this process runs: versions, devices, engines, threads."""

from __future__ import annotations

import functools
import os
import platform
import random
import sys
from typing import Final

import torch

from qatrix import __version__
from qatrix.outcomes import Environment
from qatrix.pipelines.torchenv.importing import PACKAGES, package_version
from qatrix.pipelines.torchenv.patterns import pattern_functions

# What the report names; None where a package is not installed.
# Cases run on one thread, so that sums are added up in one order whatever the machine.
THREADS: Final = 1


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
    """Where this process runs: versions, platform, devices, threads."""
    devices = {"cpu": _processor()}
    if torch.cuda.is_available():
        devices["cuda"] = torch.cuda.get_device_name()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        packages={name: package_version(name) for name in PACKAGES} | {"qatrix": __version__},
        devices=devices,
        threads=THREADS,
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
