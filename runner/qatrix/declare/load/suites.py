"""Suites: axes, what is added and left out, and the checks to make."""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from qatrix.claims import DEFAULT_PIPELINES, ComparisonPoint, GraphCheck, Tolerance
from qatrix.declare.load.axes import AxisReader
from qatrix.declare.load.pipelines import Pipelines
from qatrix.declare.load.points import check_points
from qatrix.declare.load.registry import Declared, Registry
from qatrix.declare.load.runtimes import strange_runtimes
from qatrix.declare.load.uses import read_uses
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import FULL_TAG, PatternSpec, QuantizerSpec, Rule, RuntimeSpec, SuiteSpec
from qatrix.expressions import Value
from qatrix.lowerings import REFERENCE
from qatrix.outcomes import LOWERED

COMPARISON_POINTS: Final[tuple[ComparisonPoint, ...]] = typing.get_args(ComparisonPoint)


def read_suites(
    registry: Registry,
    *,
    patterns: Mapping[str, PatternSpec],
    quantizers: Mapping[str, QuantizerSpec],
    checks: Mapping[str, GraphCheck],
    tolerances: Mapping[str, Tolerance],
    pipelines: Pipelines,
    runtimes: Mapping[str, RuntimeSpec],
) -> dict[str, SuiteSpec]:
    """Suites by name; those with a problem may be left out."""
    parts = _Parts(
        registry=registry,
        patterns=patterns,
        quantizers=quantizers,
        checks=checks,
        tolerances=tolerances,
        pipelines=pipelines,
        runtimes=runtimes,
    )
    found = {declared.name: _suite(parts, declared, model) for declared, model in registry.read("suites", models.Suite)}
    suites = {name: suite for name, suite in found.items() if suite is not None}
    check_points(registry, suites)
    return suites


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What suites refer to."""

    registry: Registry
    patterns: Mapping[str, PatternSpec]
    quantizers: Mapping[str, QuantizerSpec]
    checks: Mapping[str, GraphCheck]
    tolerances: Mapping[str, Tolerance]
    pipelines: Pipelines
    runtimes: Mapping[str, RuntimeSpec]


def _suite(parts: _Parts, declared: Declared, model: models.Suite) -> SuiteSpec | None:
    registry, cursor = parts.registry, declared.cursor
    reader = AxisReader(registry, parts.patterns, parts.quantizers)
    axes = reader.read(cursor.down("axes")) if cursor.has("axes") else {}
    include = _rules(registry, reader, cursor, "include")
    if axes:
        reader.check_product(axes, cursor.down("axes"), spelled_out=False)
    elif not include:
        registry.note(cursor.problem("the suite declares no case", expected="axes, or include"))
    for rule, at in zip(include, cursor.items_of("include")):
        reader.check_product(rule.values, at, spelled_out=True)
    known = dict.fromkeys([*axes, *(axis for rule in include for axis in rule.values), "conv", "device"])
    exclude = _rules(registry, reader, cursor, "exclude")
    for rule, at in zip(exclude, cursor.items_of("exclude")):
        reader.check_known(rule.values, at, known)
    pipelines = DEFAULT_PIPELINES
    if model.pipelines is not None:
        pipelines = parts.pipelines.all_named(model.pipelines.only)
        if not pipelines:
            return None
    registry.note(*strange_runtimes(cursor, parts.runtimes, pipelines))
    uses = read_uses(registry, reader, cursor, model, checks=parts.checks, axes=tuple(known), pipelines=pipelines)
    known_tolerance = not cursor.has("tolerance") or registry.knows(
        "tolerances", model.tolerance, cursor.down("tolerance")
    )
    if not known_tolerance or model.tolerance not in parts.tolerances:
        return None
    return SuiteSpec(
        name=declared.name,
        about=model.about,
        axes=axes,
        include=include,
        exclude=exclude,
        pipelines=pipelines,
        own_pipelines=parts.pipelines.own(pipelines),
        pipelines_because=model.pipelines.because if model.pipelines else None,
        compare=_compare(registry, cursor, model, pipelines, lowers=_lowers(axes, include)),
        checks=uses,
        tolerance=parts.tolerances[model.tolerance],
        convert_in=model.convert_in,
        within_steps=float(model.within_steps),
        nothing=_nothing(registry, reader, cursor, model, known),
        skip=model.skip,
        source=cursor.source,
        # Without any it would be in no selection but the full one.
        tags=tuple(dict.fromkeys(model.tags)) or (FULL_TAG,),
    )


def _compare(
    registry: Registry, cursor: Cursor, model: models.Suite, pipelines: tuple[str, ...], *, lowers: bool
) -> tuple[ComparisonPoint, ...]:
    """What a suite compares: all that there is, unless it says otherwise. `lowers` is whether it has a runtime."""
    if model.compare is None:
        points = COMPARISON_POINTS if lowers else tuple(at for at in COMPARISON_POINTS if at != LOWERED)
        return points if len(pipelines) > 1 else ()
    if model.compare and len(pipelines) == 1:
        message = f"only {pipelines[0]} runs, so there is nothing to compare"
        registry.note(cursor.key("compare").problem(message, expected="compare: [], or two pipelines"))
    elif LOWERED in model.compare and not lowers:
        message = "the suite has no runtime but the reference, so there is nothing to compare after lowering"
        at = cursor.down("compare", model.compare.index(LOWERED))
        registry.note(at.problem(message, expected="runtime: [reference, the name of a runtime] among the axes"))
    return tuple(dict.fromkeys(model.compare))


def _lowers(axes: Mapping[str, tuple[Value, ...]], include: tuple[Rule, ...]) -> bool:
    """Whether some case of a suite has a runtime other than the reference."""
    products = (axes, *(rule.values for rule in include))
    return any(runtime != REFERENCE for product in products for runtime in product.get("runtime", ()))


def _nothing(
    registry: Registry, reader: AxisReader, cursor: Cursor, model: models.Suite, axes: Collection[str]
) -> tuple[Rule, ...]:
    """The cases in which nothing is to be quantized: all, none, or those of some values."""
    at = cursor.down("quantizes")
    if isinstance(model.quantizes, str):
        return (Rule(values={}, because="", source=at.source),) if model.quantizes == "nothing" else ()
    found = []
    for item in at.items_of("nothing"):
        values = reader.read(item)
        reader.check_known(values, item, axes)
        if not values:
            expected = "axis: value, or quantizes: nothing for all cases"
            registry.note(item.problem("this names no axis", expected=expected))
        found.append(Rule(values=values, because="", source=item.source))
    return tuple(found)


def _rules(registry: Registry, reader: AxisReader, cursor: Cursor, key: str) -> tuple[Rule, ...]:
    """The entries of `include` or `exclude`, one rule for each."""
    return tuple(_rule(registry, reader, at, because_due=key == "exclude") for at in cursor.items_of(key))


def _rule(registry: Registry, reader: AxisReader, cursor: Cursor, *, because_due: bool) -> Rule:
    because: Value = ""
    if cursor.has("because"):
        because = getattr(cursor.down("because").node, "value", None)
        if not isinstance(because, str) or not because.strip():
            at = cursor.down("because")
            registry.note(at.problem(f"because is {at.found()}", expected="the reason, as text"))
    elif because_due:
        registry.note(cursor.problem("the key 'because' is missing", expected="because: why these cases are left out"))
    values = reader.read(cursor)
    if not values and because_due:
        registry.note(cursor.problem("the exclude names no axis", expected="axis: value, and because"))
    return Rule(values=values, because=str(because or ""), source=cursor.source)
