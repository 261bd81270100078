"""Graph checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from qatrix.claims import BUILT_IN_CHECKS, GraphCheck
from qatrix.declare.language import parse_graph
from qatrix.declare.load.registry import Declared, Registry, text_at, unusable_name
from qatrix.declare.schema import models
from qatrix.facts import QUESTIONS

# The values that every expected graph may use.
_OF_EVERY_CASE = ("dim", "per_channel", "device")


def read_checks(registry: Registry) -> dict[str, GraphCheck]:
    """Checks by name, with their parameters' defaults as scope."""
    found = {}
    of_patterns = frozenset(_parameters(registry)) if registry.has_all("patterns") else None
    for declared, model in registry.read("checks", models.Check):
        check = _check(registry, declared, model, of_patterns)
        if check is not None:
            found[declared.name] = check
    return found


def _parameters(registry: Registry) -> Iterator[str]:
    """The names of all patterns' parameters."""
    for declared in registry.declared("patterns"):
        yield from (name for name, _ in declared.cursor.members_of("params"))


def _unanswered(model: models.Check) -> Mapping[str, tuple[str, str]]:
    """The functions that have no answer in the graphs that a check looks at: why, and what would be right."""
    reasons: dict[str, tuple[str, str]] = {}
    if "fx" in model.pipelines:
        reason = ("FX graph mode exports nothing, and annotates nothing", "pipelines without fx")
        reasons |= {name: reason for name, question in QUESTIONS.items() if question.exported}
    if model.at != "prepare":
        reason = ("a converted program has no observers any more", "at: prepare")
        reasons |= {name: reason for name, question in QUESTIONS.items() if question.observed}
    return reasons


def _check(
    registry: Registry, declared: Declared, model: models.Check, of_patterns: Collection[str] | None
) -> GraphCheck | None:
    cursor = declared.cursor
    if not (model.graph or model.counts or model.order or model.absent or model.annotations):
        expected = "at least one of graph, counts, order, absent, annotations"
        registry.note(cursor.problem("the check claims nothing", expected=expected))
    if declared.name in BUILT_IN_CHECKS:
        message = f"check '{declared.name}' is made for every case without being declared"
        registry.note(cursor.problem(message, expected="a name of its own"))
    for name in filter(unusable_name, model.params):
        key = cursor.down("params").key(name)
        registry.note(key.problem(f"'{name}' is a word of Python's syntax", expected="another name"))
    lines = cursor.items_of("graph")
    graph, problems = parse_graph(
        [text_at(line) for line in lines],
        values=None if of_patterns is None else {*_OF_EVERY_CASE, *model.params, *of_patterns},
        refused=_unanswered(model),
    )
    registry.note(*problems)
    if graph is None:
        return None
    return GraphCheck(
        name=declared.name,
        about=model.about,
        at=model.at,
        pipelines=tuple(model.pipelines),
        graph=graph,
        counts=model.counts,
        order=tuple(model.order),
        absent=tuple(model.absent),
        live_annotations=model.annotations == "live",
        scope=model.params,
        source=cursor.source,
    )
