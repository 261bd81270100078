"""Importing code that qatrix does not know: factories of models, quantizers and what configures them, pipelines,
runtimes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import operator
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from qatrix.declare.spec import Case, Registration
from qatrix.outcomes import Origin
from qatrix.pipelines.torchenv import PackageMissing
from qatrix.text import told


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

    Raises what importing raises, and AttributeError where a module or a class in one has no such attribute.
    """
    above, _, attribute = path.rpartition(".")
    try:
        holder = own_module(above)
    except ModuleNotFoundError as error:
        if error.name != above or "." not in above:
            raise
        try:
            holder = own_object(above)
        except AttributeError:
            # Below a package a name that is not there is a module, as in most paths; below a module it is a class.
            if hasattr(sys.modules.get(above.rpartition(".")[0]), "__path__"):
                raise error from None
            raise
    return getattr(holder, attribute)


def own_attribute(place: tuple[str, str], registration: Registration | None, word: str) -> Any:
    """The attribute of a module. Raises PackageMissing where it is registered and cannot be imported."""
    module, attribute = place
    if registration is None:
        return own_object(f"{module}.{attribute}")
    try:
        return operator.attrgetter(attribute)(own_module(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        whose = f"{registration.distribution} {registration.version}"
        msg = f"{module}:{attribute}, which {whose} registers as a {word}, cannot be imported ({told(error)})"
        raise PackageMissing(msg) from error


def origin_of(found: Any, registration: Registration | None) -> Origin:
    """Whose a class or function is. Raises what its own code does where it is asked for its name."""
    module, name = str(found.__module__), str(found.__qualname__)
    if registration is not None:
        whose, version = registration.distribution, registration.version
        return Origin(name=name, module=module, distribution=whose, version=version)
    distribution, release = _distribution(module.partition(".")[0])
    return Origin(name=name, module=module, distribution=distribution, version=release)


# The metadata of all distributions takes 50 ms to read, and a tenth of a run if every case did so.
@functools.cache
def _distribution(package: str) -> tuple[str | None, str | None]:
    """The distribution that a package comes from, and its version."""
    for name in (package, *importlib.metadata.packages_distributions().get(package, ())):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return name, importlib.metadata.version(name)
    return None, None


def _try(name: str) -> None:
    try:
        importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a module can raise anything, and does so again where it is told
        return


def _modules(case: Case) -> Iterator[str]:
    if case.pattern.runs_own_code:
        yield case.pattern.place[0]
    yield from (item.module for item in case.own_pipelines.values())
    for use in () if case.runtime is None else case.runtime.uses.values():
        if use.built_in is None:
            yield use.place[0]
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
