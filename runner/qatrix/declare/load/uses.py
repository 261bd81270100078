"""A suite's uses of checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from qatrix.claims import GraphCheck
from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.axes import AxisReader
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import CheckUse


def read_uses(
    registry: Registry,
    reader: AxisReader,
    suite: Cursor,
    model: models.Suite,
    *,
    checks: Mapping[str, GraphCheck],
    axes: Collection[str],
    pipelines: Collection[str],
) -> tuple[CheckUse, ...]:
    """The checks of a suite that has those axes and pipelines, in order; those with a problem may be left out."""
    found = []
    for at, item in zip(suite.items_of("checks"), model.checks):
        use = models.CheckUse.model_validate({"check": item}) if isinstance(item, str) else item
        name = at if isinstance(item, str) else at.down("check")
        if not registry.knows("checks", use.check, name) or use.check not in checks:
            continue
        check = checks[use.check]
        _check_pipelines(registry, name, check, pipelines)
        where = reader.read(at.down("where")) if at.has("where") else {}
        reader.check_known(where, at.down("where"), axes)
        _check_parameters(registry, at, check, use)
        found.append(CheckUse(check=check, where=where, with_=use.with_, source=at.source))
    return tuple(found)


def _check_pipelines(registry: Registry, at: Cursor, check: GraphCheck, pipelines: Collection[str]) -> None:
    if not set(check.pipelines) & set(pipelines):
        message = f"check '{check.name}' looks at {listed(check.pipelines)}, which this suite does not run"
        registry.note(at.problem(message, expected=f"a check on {listed(pipelines)}"))


def _check_parameters(registry: Registry, at: Cursor, check: GraphCheck, use: models.CheckUse) -> None:
    for name in use.with_:
        if name not in check.scope:
            message = f"check '{check.name}' has no parameter '{name}'"
            hint = nearest(name, check.scope)
            registry.note(at.down("with").key(name).problem(message, expected=listed(check.scope), hint=hint))
