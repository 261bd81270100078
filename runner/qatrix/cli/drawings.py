"""The graphs of a case's pipelines: those that its record has, or those of a run here and now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qatrix.cli.again import run_here, scratch
from qatrix.cli.matrices import load_matrix, selected_cases
from qatrix.cli.newest import run_store
from qatrix.cli.recall import recalling
from qatrix.errors import UsageError
from qatrix.execute.options import Execution
from qatrix.outcomes import Record

if TYPE_CHECKING:
    import typer

    from qatrix.cli.collaborators import Collaborators
    from qatrix.console import Console
    from qatrix.declare.spec import Case, Matrix
    from qatrix.diagnoses import PointDiagnosis
    from qatrix.outcomes import Run


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Graphs by point, and what is to be said of them, in words."""

    points: tuple[PointDiagnosis, ...]
    notes: tuple[str, ...] = ()


def drawing_of(record: Record) -> Drawing | None:
    """The graphs that a record has with its diagnosis, None where it has none."""
    points = () if record.diagnosis is None else record.diagnosis.points
    return Drawing(points=points) if any(point.graphs for point in points) else None


def kept_of(record: Record) -> Drawing | None:
    """The converted programs that a record without a diagnosis keeps, None where it has none."""
    from qatrix.diagnoses import PointDiagnosis

    return Drawing(points=(PointDiagnosis(at="convert", graphs=record.graphs),)) if record.graphs else None


def drawn_here(
    context: typer.Context,
    console: Console,
    record: Record,
    *,
    run: Path,
    paths: Sequence[Path] | None,
    allow_module: Sequence[str] | None,
) -> Drawing:
    """The graphs of the case of a record, run here as it is declared now. Raises UsageError where it no longer is."""
    tools: Collaborators = context.obj
    matrix = load_matrix(paths, allow_module)
    case = _declared(record, matrix)
    notes = [*_differences(tools, matrix, _run(run))]
    tools.interruption.hold()
    context.with_resource(scratch(tools, console))
    tools.interruption.heed()
    found = run_here(tools, case, diagnose="graphs")
    if found.verdict != record.verdict:
        notes.append(f"the case was {record.verdict} in the run, and is {found.verdict} here: {found.summary}")
    told = () if found.diagnosis is None else found.diagnosis.notes
    points = () if found.diagnosis is None else found.diagnosis.points
    return Drawing(points=points, notes=(*notes, *told, *(() if points else ("no pipeline got as far as a graph",))))


def _declared(record: Record, matrix: Matrix) -> Case:
    """The declared case of a record."""
    from qatrix.declare.selection import Selection

    told = (
        f"the record of {record.case_id} has no graphs, so that the case has to run again, "
        "and the matrix does not declare it any more\n"
        "name the files that declare it: qatrix show --graphs CASE PATH"
    )
    try:
        cases = selected_cases(matrix, Selection.parse([record.case_id])).cases
    except UsageError as error:
        raise UsageError(told) from error
    case = next((case for case in cases if case.case_id == record.case_id), None)
    if case is None:
        raise UsageError(told)
    return case


def _run(path: Path) -> Run:
    from qatrix.report.store import Store

    with Store.reading(run_store(path)) as store:
        return store.run()


def _differences(tools: Collaborators, matrix: Matrix, run: Run) -> Iterator[str]:
    """What may make the graphs others than those that the record was made of."""
    from qatrix.declare.digest import matrix_digest

    if run.matrix_digest != matrix_digest(matrix):
        yield "the matrix has changed since the run, and the graphs are of what it declares now"
    with recalling(tools, Execution(), fresh=True) as recall:
        here = recall.environment().packages
    others = [
        name for name in {**run.environment.packages, **here} if run.environment.packages.get(name) != here.get(name)
    ]
    if others:
        told = (
            f"{name} {run.environment.packages.get(name, 'missing')} there and {here.get(name, 'missing')} here"
            for name in others
        )
        yield f"the run was made in another environment: {', '.join(told)}"
