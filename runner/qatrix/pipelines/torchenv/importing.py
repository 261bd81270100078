"""Importing what a release may lack, with a sentence on what to do."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
import sys
import types
import warnings
from typing import Final

import torch
from packaging.version import Version

# (2, 9) for 2.9.1 and its builds: what releases differ in goes by these two numbers.
RELEASE: Final = Version(torch.__version__).release[:2]
# The newest torchao that imports on these releases of torch; later ones take the newest there is.
_TORCHAO: Final[dict[tuple[int, ...], str]] = {(2, 8): "torchao==0.17.0", (2, 9): "torchao==0.17.0"}


# What a program goes through on its way to ONNX Runtime.
ONNX: Final = ("onnx", "onnxscript", "onnxruntime")
# What computes, or decides what is computed.
PACKAGES: Final = ("torch", "torchao", "torchvision", "numpy", "executorch", *ONNX)
# Packages that come as extras of qatrix, in the versions that go with it.
_EXTRAS: Final = {"executorch": '"qatrix[executorch]"'} | dict.fromkeys(ONNX, '"qatrix[onnx]"')


class PackageMissing(Exception):
    """This environment lacks a package, or a name that a pipeline needs; the message says which."""


def imported(name: str) -> types.ModuleType:
    """The module of that name; raises PackageMissing where it cannot be imported, for whatever reason."""
    # Seven times a case, of which all but a process's first are here: to quiet loggers empties all their caches.
    if (loaded := sys.modules.get(name)) is not None and not _is_being_imported(loaded):
        return loaded
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:
        package = name.partition(".")[0]
        why = f"{type(error).__name__}: {error}"
        if package == "torch":
            msg = f"torch {torch.__version__} has no {name} that can be imported ({why})"
        else:
            msg = f"{name} cannot be imported ({why}); try: pip install {requirement(package)}"
        raise PackageMissing(msg) from error


def imported_if_there(name: str) -> types.ModuleType | None:
    """The module of that name, None where this release has none that can be imported."""
    try:
        return imported(name)
    except PackageMissing:
        return None


def _is_being_imported(module: types.ModuleType) -> bool:
    return getattr(getattr(module, "__spec__", None), "_initializing", False)


def package_version(name: str) -> str | None:
    """The installed version of a package that may not import; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def installed() -> frozenset[str]:
    """The packages that are here, whether they import or not, so that a broken one is not passed over in silence."""
    return frozenset(name for name in PACKAGES if package_version(name) is not None)


def requirement(package: str) -> str:
    """What to install: the package, in the version that goes with this torch where not every one does."""
    return _TORCHAO.get(RELEASE, package) if package == "torchao" else _EXTRAS.get(package, package)


class _quiet:  # noqa: N801 - a context manager, used like a function
    """What torchao logs at every import: an Enum made a constant, extensions that this torch is too old for."""

    _NAMES: Final = ("torch.utils._pytree", "torchao")

    def __enter__(self) -> None:
        self._levels = {name: logging.getLogger(name).level for name in self._NAMES}
        for name in self._NAMES:
            logging.getLogger(name).setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
