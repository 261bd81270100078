"""What a record depends on besides its case, told without importing torch, which takes seconds."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qatrix.contents import code_digest

# What computes.
WATCHED: Final = ("torch", "torchao", "torchvision", "numpy", "executorch", "onnx", "onnxscript", "onnxruntime")
# The files of accelerators: of NVIDIA, of those behind a graphics driver, which are AMD's and Intel's, and others.
_DEVICE_FILES: Final = ("nvidia*", "kfd", "dri/render*", "accel/*")
# Variables that choose kernels, devices or numbers of threads.
_VARIABLES: Final = (
    *("ATEN_", "CUBLAS", "CUDA", "CUDNN", "DNNL", "GOMP", "KMP_", "MKL", "NVIDIA_", "OMP_", "ONEDNN", "OPENBLAS"),
    *("HIP_", "LD_LIBRARY_PATH", "PYTORCH", "ROCR_", "TORCH"),
)


def fingerprint() -> str:
    """A SHA-256, in hex, that changes with the environment, its devices, its packages and this program's code."""
    digest = hashlib.sha256()
    for fact in (*_machine(), *_variables(), *_installed(), code_digest(("qatrix", *WATCHED))):
        digest.update(f"{fact}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _machine() -> Iterator[str]:
    yield sys.version
    yield sys.implementation.name
    yield platform.platform()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield f"{cores} cores"
    yield from _processor()
    for pattern in _DEVICE_FILES:
        yield from sorted(map(str, Path("/dev").glob(pattern)))
    yield _text(Path("/proc/driver/nvidia/version"))


def _processor() -> Iterator[str]:
    """The processor's model and what it can do; the rest of the file changes by the second."""
    lines = _text(Path("/proc/cpuinfo")).splitlines() or [platform.processor()]
    kinds = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    yield from sorted({line for line in lines if line.startswith(kinds) or ":" not in line})


def _variables() -> Iterator[str]:
    for name, value in sorted(os.environ.items()):
        if name.startswith(_VARIABLES):
            yield f"{name}={value}"


def _installed() -> Iterator[str]:
    """Every installed distribution with its version, as the folders of their metadata are named."""
    for place in dict.fromkeys(sys.path):
        folder = Path(place or ".")
        if folder.is_dir():
            yield from sorted(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info")))  # noqa: PTH208 - names are all that is needed


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
