"""Expectations: known differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from qatrix.claims import BUILT_IN_CHECKS, Expectation, Issue
from qatrix.declare.expected import ABSENT, PACKAGES
from qatrix.declare.globs import alternatives
from qatrix.declare.load.pipelines import Pipelines
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models, read
from qatrix.errors import UsageError

_VERSIONS: Final = "comparisons joined by commas, such as >=2.5,<2.9, or none where the package is not installed"
_WHY: Final = "because: why; shown wherever the verdict is, or cause: the key of a cause under causes"


def read_expectations(registry: Registry, pipelines: Pipelines) -> tuple[Expectation, ...]:
    """Expectations in the order of the files, each with what its cause says."""
    causes = {declared.name: model for declared, model in registry.read("causes", models.Cause)}
    found, named = [], set()
    for cursor in registry.expectations:
        model, problems = read(models.Expectation, cursor)
        registry.note(*problems)
        if model is not None:
            _check(registry, cursor, model)
            _check_cause(registry, cursor, model)
            named.add(model.cause)
            pipeline = None if model.pipeline is None else pipelines.named(model.pipeline)
            # What is not named is neither there nor lacking.
            cpu = model.cpu.model_dump(exclude_unset=True)
            values = model.model_dump() | {"checks": tuple(model.checks), "pipeline": pipeline, "cpu": cpu}
            found.append(Expectation(**(values | _explained(model, causes)), source=cursor.source))
    _check_unused(registry, named)
    return tuple(found)


def _explained(model: models.Expectation, causes: Mapping[str, models.Cause]) -> dict[str, Any]:
    """What is said of the cause: by its declaration, else by the expectation itself."""
    cause = causes.get(model.cause or "")
    if cause is None:
        return {"because": model.because or ""}
    issue = None if cause.issue is None else Issue(**cause.issue.model_dump())
    link = cause.link or (None if issue is None else issue.link)
    return cause.model_dump() | {"issue": issue, "link": link}


def _check_cause(registry: Registry, cursor: Cursor, model: models.Expectation) -> None:
    """That an expectation either names a cause that is declared or says why itself."""
    if model.cause is None:
        if model.because is None:
            registry.note(cursor.problem("the key 'because' is missing", expected=_WHY))
        return
    registry.knows("causes", model.cause, cursor.down("cause"))
    for key in models.SAID_BY_A_CAUSE:
        if cursor.has(key):
            message = f"{key} stands beside cause, which says it"
            registry.note(cursor.key(key).problem(message, expected=f"cause or {key}, not both"))


def _check_unused(registry: Registry, named: Collection[str | None]) -> None:
    """Warn of causes that no expectation names; where something is wrong, it may be what would name them."""
    if registry.failed or not registry.has_all("causes"):
        return
    for declared in registry.declared("causes"):
        if declared.name not in named:
            message = f"unused cause: no expectation names '{declared.name}'"
            registry.note(declared.cursor.warning(message, expected=f"an expectation with cause: {declared.name}"))


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
