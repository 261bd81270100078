"""Expectations: known differences."""

from __future__ import annotations

from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from qatrix.claims import BUILT_IN_CHECKS, Expectation
from qatrix.declare.expected import ABSENT, PACKAGES
from qatrix.declare.globs import alternatives
from qatrix.declare.load.pipelines import Pipelines
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models, read
from qatrix.errors import UsageError

_VERSIONS: Final = "comparisons joined by commas, such as >=2.5,<2.9, or none where the package is not installed"


def read_expectations(registry: Registry, pipelines: Pipelines) -> tuple[Expectation, ...]:
    """Expectations in the order of the files."""
    found = []
    for cursor in registry.expectations:
        model, problems = read(models.Expectation, cursor)
        registry.note(*problems)
        if model is not None:
            _check(registry, cursor, model)
            pipeline = None if model.pipeline is None else pipelines.named(model.pipeline)
            # What is not named is neither there nor lacking.
            cpu = model.cpu.model_dump(exclude_unset=True)
            values = model.model_dump() | {"checks": tuple(model.checks), "pipeline": pipeline, "cpu": cpu}
            found.append(Expectation(**values, source=cursor.source))
    return tuple(found)


def _check(registry: Registry, cursor: Cursor, model: models.Expectation) -> None:
    try:
        alternatives(model.cases)
    except UsageError as error:
        expected = "a glob over case ids; `qatrix list` prints them"
        registry.note(cursor.down("cases").problem(str(error), expected=expected))
    for item, name in zip(cursor.items_of("checks"), model.checks):
        if name not in BUILT_IN_CHECKS:
            registry.knows("checks", name, item)
    if model.device is not None:
        registry.knows("devices", model.device, cursor.down("device"))
    if model.runtime is not None:
        registry.knows("runtimes", model.runtime, cursor.down("runtime"))
    for key in PACKAGES:
        specifier = getattr(model, key)
        if specifier in (None, ABSENT):
            continue
        try:
            SpecifierSet(specifier)
        except InvalidSpecifier:
            message = f"'{specifier}' is no range of versions"
            registry.note(cursor.down(key).problem(message, expected=_VERSIONS))
