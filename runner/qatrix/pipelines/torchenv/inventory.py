"""What this environment has and lacks, package by package, for who has to bring the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from qatrix.pipelines.torchenv.importing import (
    ONNX,
    PACKAGES,
    RELEASE,
    PackageMissing,
    imported,
    package_version,
    requirement,
)
from qatrix.pipelines.torchenv.quantization import TORCHAO_SINCE

# What is imported to see whether a package works: a version says that it is installed, no more.
_TRIED: Final = {
    "torchao": "torchao.quantization.pt2e",
    "executorch": "executorch.backends.xnnpack.quantizer.xnnpack_quantizer",
}
# Earlier ones pin a torchao that is older than the one that qatrix needs.
_EXECUTORCH_SINCE: Final = (2, 11)


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package: its version, None where it is not installed, what is to be said of it, and what brings it.

    `command` is None where nothing has to be done.
    """

    name: str
    version: str | None
    note: str | None = None
    command: str | None = None


def packages() -> tuple[Package, ...]:
    """torch and the packages beside it, tried out."""
    return tuple(_package(name) for name in PACKAGES)


def _package(name: str) -> Package:
    version = package_version(name)
    if name == "torchao" and RELEASE < TORCHAO_SINCE:
        return Package(name=name, version=version, note=f"not used: torch {torch.__version__} has PT2E in torch.ao")
    if name == "executorch" and RELEASE < _EXECUTORCH_SINCE:
        return Package(name=name, version=version, note="not used: it goes with torch 2.11 and later")
    if name == "executorch" and version is None:
        # Nothing is missing that a case needs: those that name its class are unavailable, and say the same.
        copy = "so that XNNPACKQuantizer is the copy that torchao keeps for its tests"
        return Package(name=name, version=None, note=f"{copy}; pip install {requirement(name)} brings ExecuTorch's")
    if name in ONNX:
        # Whether it works, the line of the runtime says.
        needed = f"only the runtime onnxruntime needs it: pip install {requirement(name)}"
        return Package(name=name, version=version, note=None if version else needed)
    try:
        imported(_TRIED.get(name, name))
    except PackageMissing as error:
        note = None if version is None else f"cannot be used: {error.__cause__}"
        return Package(name=name, version=version, note=note, command=f"pip install {requirement(name)}")
    return Package(name=name, version=version)
