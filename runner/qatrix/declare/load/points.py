"""How many points a matrix has, counted before any is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from qatrix.claims import Expectation
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor
from qatrix.declare.spec import SuiteSpec
from qatrix.expressions import Value

# Of all suites together: enumerating them takes minutes, and no machine runs as many cases.
MOST_POINTS: Final = 10_000_000
# Points times the rules that each is compared with: some ten seconds. A few rules are fine with any number of points.
MOST_COMPARED: Final = 20_000_000
_FEW_RULES: Final = 100
# A check is bound to each case; an exclude is one bit of a comparison.
_COST_OF_CHECK: Final = 10
_FEWER: Final = f"numbers whose product is at most {MOST_COMPARED:,}"


def check_points(registry: Registry, suites: Mapping[str, SuiteSpec]) -> None:
    """Note the first suite with which all of them have too many points, and those with too many rules for theirs."""
    total = 0
    for declared in registry.declared("suites"):
        suite = suites.get(declared.name)
        if suite is None:
            continue
        at = declared.cursor
        for size, place in _products(suite, at):
            total += size
            if total > MOST_POINTS:
                which = "this product has" if size > MOST_POINTS else "with this product the suites have"
                message = f"{which} more than {MOST_POINTS:,} points"
                registry.note(place.problem(message, expected="fewer axes, or fewer values of an axis"))
                return
        compared = len(suite.exclude) + len(suite.nothing)
        if _too_many(_points(suite), compared + _COST_OF_CHECK * len(suite.checks)):
            rules = compared + len(suite.checks)
            which = "excludes, checks and entries of quantizes" if suite.nothing else "excludes and checks"
            message = f"the suite has {_points(suite):,} points and {rules:,} {which}"
            registry.note(at.problem(message, expected=_FEWER))


def check_expectations(
    registry: Registry, suites: Mapping[str, SuiteSpec], expectations: Sequence[Expectation]
) -> None:
    """Note that there are too many expectations for so many points."""
    points = sum(_points(suite) for suite in suites.values())
    if _too_many(points, len(expectations)):
        message = f"there are {points:,} points and {len(expectations):,} expectations"
        registry.note(registry.expectations[0].problem(message, expected=_FEWER))


def _too_many(points: int, rules: int) -> bool:
    return rules > _FEW_RULES and points * rules > MOST_COMPARED


def _points(suite: SuiteSpec) -> int:
    return (_size(suite.axes) if suite.axes else 0) + sum(_size(rule.values) for rule in suite.include)


def _products(suite: SuiteSpec, at: Cursor) -> Iterator[tuple[int, Cursor]]:
    """The size of each product of a suite, with its place."""
    if suite.axes:
        yield _size(suite.axes), at.down("axes")
    for rule, place in zip(suite.include, at.items_of("include")):
        yield _size(rule.values), place


def _size(axes: Mapping[str, Sequence[Value]]) -> int:
    """How many points a product has; beyond the limit some number beyond it, since its digits may be too many."""
    size = 1
    for values in axes.values():
        size *= len(values)
        if size > MOST_POINTS:
            break
    return size
