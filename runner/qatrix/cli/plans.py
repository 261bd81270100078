"""What is settled before the first case runs: the cases, and the store of the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qatrix.cli.collaborators import Collaborators
from qatrix.cli.newest import STORE, newest_run, point_latest
from qatrix.errors import Problem, QatrixError, UsageError
from qatrix.execute.order import longest_first
from qatrix.outcomes import Environment, Run

if TYPE_CHECKING:
    from qatrix.declare.expected import ExpectationTable
    from qatrix.declare.selection import Selected
    from qatrix.declare.spec import Case, Matrix
    from qatrix.report.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cases that are to be run now, and the run that they belong to, whose store is open to them.

    `before` are the tolerances of the run before it.
    """

    cases: tuple[Case, ...]
    expectations: ExpectationTable
    run: Run
    folder: Path
    before: Ledger | None = None


def new_plan(
    tools: Collaborators,
    matrix: Matrix,
    selected: Selected,
    folder: Path,
    environment: Environment,
    *,
    started: datetime,
    reference: str | None = None,
) -> Plan:
    """A run of all selected cases in a folder of its own; `latest` beside it points at it from now on."""
    from qatrix.declare.digest import matrix_digest
    from qatrix.declare.excerpts import excerpts
    from qatrix.declare.expected import ExpectationTable
    from qatrix.report.store import Store

    durations, before = _run_before(folder.parent)
    table = ExpectationTable(matrix.expectations, environment.packages, environment.cpu)
    run = Run(
        id=folder.name,
        started=started.isoformat(timespec="seconds"),
        seconds=0.0,
        command=("qatrix", *tools.argv),
        environment=environment,
        declared=len(selected.cases),
        dropped=selected.dropped,
        warnings=tuple(map(_sentence, (*selected.problems, *table.stale(selected.declared)))),
        shard=None if selected.shard is None else str(selected.shard),
        shard_by=None if selected.shard is None else selected.shard.cut_by,
        matrix_digest=matrix_digest(matrix),
        selectors=selected.selectors,
        reference=reference,
    )
    with Store.create(folder / STORE, run) as store:
        store.plan_at({case.case_id: place for case, place in zip(selected.cases, selected.ordinals)})
        store.keep_excerpts(excerpts(matrix))
        taken = {case.case_id for case in selected.cases}
        store.keep_unselected(case_id for case_id in selected.declared if case_id not in taken)
    point_latest(folder)
    cases = longest_first(selected.cases, durations)
    return Plan(cases=cases, expectations=table, run=run, folder=folder, before=before)


def resumed_plan(
    matrix: Matrix, selected: Selected, folder: Path, environment: Environment, *, reference: str | None = None
) -> Plan:
    """What is left of the run in a folder; raises UsageError where that was a run of something else."""
    from qatrix.declare.digest import matrix_digest
    from qatrix.declare.expected import ExpectationTable
    from qatrix.report.store import Store

    with Store.open(folder / STORE) as store:
        run, left = store.run(), frozenset(store.unfinished())
        planned = left | {record.case_id for record in store.records()}
    ids = {case.case_id for case in selected.cases}
    if ids != planned:
        _refuse(
            folder, f"it has {len(planned)} cases, {len(planned & ids)} of which are among the {len(ids)} selected now"
        )
    if run.matrix_digest != matrix_digest(matrix):
        _refuse(folder, "the matrix has changed since")
    if environment != run.environment:
        _refuse(folder, "it was made in another environment")
    if reference != run.reference:
        _refuse(folder, f"it was compared with {run.reference or 'no reference'}")
    return Plan(
        cases=tuple(case for case in selected.cases if case.case_id in left),
        expectations=ExpectationTable(matrix.expectations, environment.packages, environment.cpu),
        run=run,
        folder=folder,
    )


def _run_before(out: Path) -> tuple[dict[str, float], Ledger | None]:
    """How long each case of the newest run took, in seconds, and its tolerances; nothing where none can be read."""
    from qatrix.report.store import Store

    try:
        with Store.reading(newest_run(out) / STORE) as store:
            return store.seconds(), store.ledger()
    except QatrixError:
        return {}, None


def _refuse(folder: Path, reason: str) -> None:
    msg = f"{folder} cannot be resumed: {reason}\nresume with the command that started it, or leave out --resume"
    raise UsageError(msg)


def _sentence(problem: Problem) -> str:
    return f"{problem.source}: {problem.message}" if problem.source else problem.message
