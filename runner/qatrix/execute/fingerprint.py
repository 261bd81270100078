"""What a record depends on besides its case, told without importing torch, which takes seconds."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import qatrix

# What computes; that a file of these changed is seen by its size and time, as `make` does.
WATCHED: Final = ("torch", "torchao", "torchvision", "numpy", "executorch", "onnx", "onnxscript", "onnxruntime")
_CODE: Final = (".py", ".so", ".pyd", ".dll", ".dylib")
# The files of accelerators: of NVIDIA, of those behind a graphics driver, which are AMD's and Intel's, and others.
_DEVICE_FILES: Final = ("nvidia*", "kfd", "dri/render*", "accel/*")
# Headers and shared data: thousands of files that nothing here runs.
_NO_CODE: Final = frozenset({"__pycache__", "include", "share"})
# Variables that choose kernels, devices or numbers of threads.
_VARIABLES: Final = (
    *("ATEN_", "CUBLAS", "CUDA", "CUDNN", "DNNL", "GOMP", "KMP_", "MKL", "NVIDIA_", "OMP_", "ONEDNN", "OPENBLAS"),
    *("HIP_", "LD_LIBRARY_PATH", "PYTORCH", "ROCR_", "TORCH"),
)


def fingerprint() -> str:
    """A SHA-256, in hex, that changes with the environment, its devices, its packages and this program's code."""
    digest = hashlib.sha256()
    for fact in (*_machine(), *_variables(), *_installed(), *_sources()):
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


def _sources() -> Iterator[str]:
    for path in sorted(Path(qatrix.__file__).parent.rglob("*.py")):
        yield f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    for package in WATCHED:
        found = importlib.util.find_spec(package)
        yield package
        # Where it is, also of one without an __init__.py; plain names are four times as fast for thousands of files.
        for folder in found.submodule_search_locations or () if found is not None else ():
            yield from _files(folder)


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NO_CODE:
                    yield from _files(entry.path)
            elif entry.name.endswith(_CODE) or ".so." in entry.name:
                facts = entry.stat()
                yield f"{entry.path} {facts.st_size} {facts.st_mtime_ns}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
