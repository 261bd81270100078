"""Importing code that qatrix does not know: factories of models, quantizers, functions that configure them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from qatrix.declare.spec import Case


def import_own_code(case: Case) -> None:
    """Import every module of that kind that a case names; where that fails, whoever needs it says why."""
    for name in _modules(case):
        _try(name)


def own_module(name: str) -> ModuleType:
    """A module. Raises ModuleNotFoundError with what to do where its package is not found."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        msg = f"{error.msg}; {_remedy()}"
        raise ModuleNotFoundError(msg, name=error.name) from error


def own_object(path: str) -> Any:
    """What a dotted path names: an attribute of a module, or of a class in one.

    Raises what importing raises, and AttributeError where there is no such attribute.
    """
    above, _, attribute = path.rpartition(".")
    try:
        holder = own_module(above)
    except ModuleNotFoundError as error:
        if error.name != above or "." not in above:
            raise
        holder = own_object(above)
    return getattr(holder, attribute)


def _try(name: str) -> None:
    try:
        importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a module can raise anything, and does so again where it is told
        return


def _modules(case: Case) -> Iterator[str]:
    if case.pattern.runs_own_code and case.pattern.factory is not None:
        yield case.pattern.factory.rpartition(".")[0]
    for preset in case.quantizer.presets:
        if preset.built_in is None:
            yield preset.place[0]
        if preset.config_from is not None:
            yield preset.config_from.rpartition(".")[0]


def _remedy() -> str:
    """What makes a package known; the current folder is on the path of `python -m qatrix` alone."""
    if {"", str(Path.cwd())} & set(sys.path):
        return "install it, or change to the folder that has it"
    return "install it, or run with PYTHONPATH=. because the current folder is not searched"
