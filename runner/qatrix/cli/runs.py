"""The verb that runs the matrix."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qatrix import __version__
from qatrix.cli import app
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.matrices import AllowModules, CaseGlobs, Only, Paths, load_matrix, selected_cases
from qatrix.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, OutputError, Problem
from qatrix.outcomes import UNREMARKABLE, Record, Run

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.declare.expected import ExpectationTable
    from qatrix.declare.spec import Case

FailOn = Literal["unexpected", "diverged", "never"]
STORE = "run.sqlite"


@app.command()
def run(
    context: typer.Context,
    paths: Paths = None,
    case: CaseGlobs = None,
    only: Only = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where runs are kept, each in a folder.")] = Path(
        "reports"
    ),
    fail_on: Annotated[
        FailOn,
        typer.Option(
            "--fail-on",
            help="What gives exit code 1: anything unexpected, any difference even if expected, or nothing.",
        ),
    ] = "unexpected",
    pattern_cache: Annotated[
        bool,
        typer.Option(
            "--pattern-cache/--no-pattern-cache",
            help="Export each conv-bn pattern of PT2E once, or on every call as torchao does: slower, the same bits.",
        ),
    ] = True,
    allow_module: AllowModules = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for every case.")] = False,
) -> int:
    """Run the cases through every pipeline and write the report.

    A record is kept as each case ends. The report is in DIR/latest: index.html,
    results.json, results.csv, junit.xml, summary.md, and run.sqlite, which they are made of.
    Ctrl-C keeps what is done and reports it.

    \b
      qatrix run
      qatrix run --case 'conv_bn_fusion/*' --only dim=2
      qatrix run my_matrix --out /tmp/reports --fail-on never
    """
    from qatrix.console import Console
    from qatrix.report.writing import write_reports

    tools: Collaborators = context.obj
    console = Console(quiet=quiet, verbose=verbose)
    plan = _plan(tools, load_matrix(paths, allow_module), case, only, out)
    _announce(console, plan)
    began = time.monotonic()
    finished = _execute(tools, console, plan, pattern_cache=pattern_cache)
    records = _close(plan, seconds=time.monotonic() - began, finished=finished)
    write_reports(plan.folder / STORE, plan.folder)
    _point_latest(out, plan.folder)
    _conclude(console, plan, records)
    if not finished:
        console.line(f"interrupted: {len(records)} of {len(plan.cases)} cases are done and kept", style="bold")
        return EXIT_INTERRUPTED
    return EXIT_UNEXPECTED if any(_counts_as_failure(record, fail_on) for record in records) else EXIT_OK


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """All that is settled before the first case runs."""

    cases: tuple[Case, ...]
    expectations: ExpectationTable
    run: Run
    folder: Path


def _plan(
    tools: Collaborators, matrix: object, case: Sequence[str] | None, only: Sequence[str] | None, out: Path
) -> _Plan:
    from qatrix.declare.expected import ExpectationTable
    from qatrix.declare.spec import Matrix

    assert isinstance(matrix, Matrix)
    selected = selected_cases(matrix, case, only)
    started = tools.now()
    run_folder = _new_folder(out, f"{started:%Y%m%d-%H%M%S}")
    environment = tools.environment()
    table = ExpectationTable(matrix.expectations, environment.packages)
    warnings = (*selected.problems, *table.stale(selected.declared))
    return _Plan(
        cases=selected.cases,
        expectations=table,
        folder=run_folder,
        run=Run(
            id=run_folder.name,
            started=started.isoformat(timespec="seconds"),
            seconds=0.0,
            command=_command(case, only),
            environment=environment,
            declared=len(selected.cases),
            dropped=selected.dropped,
            warnings=tuple(map(_sentence, warnings)),
        ),
    )


def _announce(console: Console, plan: _Plan) -> None:
    packages = plan.run.environment.packages
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in packages.items())
    console.note(f"qatrix {__version__}: {len(plan.cases)} cases; {versions}")


def _execute(tools: Collaborators, console: Console, plan: _Plan, *, pattern_cache: bool) -> bool:
    """Run all cases and keep each record as it comes; whether the run came to its end."""
    from qatrix.judge.verdict import with_expectation
    from qatrix.report.store import Store

    devices = {case.case_id: case.device.name for case in plan.cases}
    with Store.create(plan.folder / STORE, plan.run) as store, console.progress(len(plan.cases)) as progress:
        store.plan(devices)

        def on_start(case: Case) -> None:
            store.start(case.case_id)
            progress.started(case.case_id)

        try:
            for record in tools.execute(plan.cases, pattern_cache=pattern_cache, on_start=on_start):
                expectation = plan.expectations.for_case(record.case_id, devices[record.case_id])
                judged = with_expectation(record, expectation)
                store.finish(judged)
                progress.finished(judged)
        except KeyboardInterrupt:
            return False
    return True


def _close(plan: _Plan, *, seconds: float, finished: bool) -> tuple[Record, ...]:
    """End the run in its store; its records. Every declared case must have ended in exactly one verdict."""
    from qatrix.report.store import Store

    with Store.open(plan.folder / STORE) as store:
        store.end(replace(plan.run, seconds=seconds, finished=finished))
        records = store.records()
        unfinished = len(store.unfinished())
    if len(records) + unfinished != plan.run.declared or (finished and unfinished):
        msg = f"{plan.run.declared} cases were declared, but {len(records)} ended and {unfinished} did not"
        raise RuntimeError(msg)
    return records


def _conclude(console: Console, plan: _Plan, records: Sequence[Record]) -> None:
    """Warnings, what is unexpected, and the sum of all verdicts, each with its number."""
    from qatrix.console import counts_line

    for warning in plan.run.warnings:
        console.note(f"warning: {warning}", style="yellow")
    unexpected = [record for record in records if record.unexpected]
    if unexpected:
        console.line(f"{len(unexpected)} unexpected:", style="bold red")
        for record in unexpected:
            console.record(record)
    left = plan.run.declared - len(records)
    rest = f" + {left} not run" if left else ""
    console.line(f"declared {plan.run.declared} = {counts_line(records).replace(', ', ' + ')}{rest}")
    known = Counter(record.verdict for record in records if record.expected and not record.unexpected)
    differing = sum(count for verdict, count in known.items() if verdict not in UNREMARKABLE)
    as_expected = f"; {differing} differ as expected, with their reasons in the report" if differing else ""
    verdict = f"{len(unexpected)} unexpected" if unexpected else "nothing unexpected"
    console.line(f"{verdict}{as_expected}", style="bold red" if unexpected else "bold green")
    console.line(f"report: {plan.folder / 'index.html'}")


def _counts_as_failure(record: Record, fail_on: FailOn) -> bool:
    if fail_on == "never":
        return False
    return record.unexpected or (fail_on == "diverged" and record.verdict not in UNREMARKABLE)


def _new_folder(out: Path, name: str) -> Path:
    """A folder for this run that nothing else has; made before anything runs, so that a full disk costs no work."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            made = out / (name if number == 1 else f"{name}-{number}")
            try:
                made.mkdir()
            except FileExistsError:
                continue
            return made
    except OSError as error:
        msg = f"cannot write to {out}: {error.strerror or error}; name another folder with --out"
        raise OutputError(msg) from error
    msg = f"{out} holds a thousand runs of this second; name another folder with --out"
    raise OutputError(msg)


def _point_latest(out: Path, run_folder: Path) -> None:
    """Make out/latest point at the run: a link, or where links cannot be made a file that names it."""
    latest, fresh = out / "latest", out / f".latest-{os.getpid()}"
    try:
        fresh.symlink_to(run_folder.name, target_is_directory=True)
        fresh.replace(latest)
    except OSError:
        (out / "latest.txt").write_text(f"{run_folder.name}\n", encoding="utf-8")


def _command(case: Sequence[str] | None, only: Sequence[str] | None) -> tuple[str, ...]:
    """The command line that makes the same selection."""
    selectors = [text for glob in case or () for text in ("--case", shlex.quote(glob))]
    selectors += [text for value in only or () for text in ("--only", shlex.quote(value))]
    return ("qatrix", "run", *selectors)


def _sentence(problem: Problem) -> str:
    return f"{problem.source}: {problem.message}" if problem.source else problem.message
