"""The verb that writes a script of one case, which shows without qatrix what the case shows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix.arithmetic import EvaluationError
from qatrix.cli import app
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.folders import newly_conducted
from qatrix.cli.matrices import load_matrix, selected_cases
from qatrix.cli.newest import STORE, run_store
from qatrix.cli.options import LATEST_RUN, AllowModules, Paths
from qatrix.errors import EXIT_OK, EXIT_UNEXPECTED, OutputError, UsageError
from qatrix.execute.options import Execution
from qatrix.resources import cache_folder

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.declare.spec import Case
    from qatrix.outcomes import Environment, Record

# A script takes the plain path, without a pattern cache: 10 to 30 s for a small model.
_PATIENCE: Final = 900
_STANDARD_OUTPUT: Final = Path("-")
# A script takes about 10 ms; of a run with more that fail, `qatrix repro` makes the others when they are wanted.
_MOST_SCRIPTS: Final = 1000
# What makes no script of a case: sizes that cannot be worked out, and what the language of scripts lacks.
_NO_SOURCE = (EvaluationError, ValueError, KeyError)


@app.command()
def repro(
    context: typer.Context,
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case id, or a glob that fits one.")],
    paths: Paths = None,
    run: Annotated[
        Path,
        typer.Option(
            "--run", metavar="RUN", help="The run whose record the script must show. Default: reports/latest."
        ),
    ] = LATEST_RUN,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write; - prints it. Default: repro/ of the run."),
    ] = None,
    minimize: Annotated[
        bool,
        typer.Option("--minimize", help="First take away layers, channels and pixels, as long as the symptom stays."),
    ] = False,
    issue: Annotated[
        bool, typer.Option("--issue", help="A bug report in Markdown instead, with the script in it.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run the script, and see that it prints what the record says.")
    ] = True,
    allow_module: AllowModules = None,
) -> int:
    """Write one Python file that shows what a case shows, with torch, torchvision and torchao alone.

    It makes the same model, weights and inputs, takes them through the same pipelines, and
    prints the same figures, to the bit. Where the run has no record of the case, or was made
    in another environment, the case is run here first. Exit code 1 when the script does not
    show what the record says.

    \b
      qatrix repro 'conv_transpose_numerics/conv_bn/*dim=1*per_channel*'
      qatrix repro --minimize --issue CASE --out issue.md
    """
    from qatrix.console import Console

    tools: Collaborators = context.obj
    console = Console()
    found = _the_case(case, paths, allow_module)
    store = run_store(run)
    tools.interruption.hold()
    context.with_resource(_scratch(tools, console))
    tools.interruption.heed()
    subject = _subject(tools, found, store)
    if minimize:
        subject = _minimized(tools, console, subject)
    text = _script(subject)
    if check:
        differences = _differences(text, subject.record)
        if differences:
            console.note("the script does not show what the record says:", style="bold red")
            for line in differences:
                console.note(f"  {line}")
            return EXIT_UNEXPECTED
        text = _script(subject, checked="it was run, and printed the lines below")
    _publish(console, subject, text, issue=issue, out=out, store=store)
    return EXIT_OK


@contextmanager
def _scratch(tools: Collaborators, console: Console) -> Iterator[None]:
    """Within it, temporary files lie among what may be lost, so that the next `qatrix repro` finds those of a dead one.

    Where that folder cannot be written, they lie where the system has them.
    """
    with ExitStack() as stack:
        with suppress(OutputError, RuntimeError):
            stack.enter_context(newly_conducted(cache_folder() / "repro", tools.now(), console))
        yield


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A case with its record, where that was made, and what is to be said of it in the script."""

    case: Case
    record: Record
    environment: Environment
    notes: tuple[str, ...] = ()


def keep_scripts(store_path: Path, cases: Iterable[Case]) -> None:
    """Keep, in a run's store, the scripts of its cases that fail or differ, as many as are worth it; none is run."""
    from qatrix.report.repro import wants_script
    from qatrix.report.store import Store

    by_id = {case.case_id: case for case in cases}
    with Store.open(store_path) as store:
        environment = store.run().environment
        records = [record for record in store.records() if wants_script(record) and record.case_id in by_id]
        # What nobody expected is what someone will look at.
        records = sorted(records, key=lambda record: not record.unexpected)[:_MOST_SCRIPTS]
        subjects = (_Subject(case=by_id[item.case_id], record=item, environment=environment) for item in records)
        written = ((subject.case.case_id, _script_or_none(subject)) for subject in subjects)
        store.keep_scripts({case_id: text for case_id, text in written if text is not None})


def _script_or_none(subject: _Subject) -> str | None:
    try:
        return _script(subject)
    except UsageError:
        return None


def _the_case(selector: str, paths: list[Path] | None, allow_module: list[str] | None) -> Case:
    """The one declared case that a selector fits; raises UsageError for several."""
    from qatrix.declare.selection import Selection

    matrix = load_matrix(paths, allow_module)
    cases = selected_cases(matrix, Selection.parse([selector])).cases
    exact = [case for case in cases if case.case_id == selector]
    if len(exact or cases) != 1:
        ids = "\n".join(case.case_id for case in cases[:20])
        msg = f"{selector} fits {len(cases)} cases; name one of them:\n{ids}"
        raise UsageError(msg)
    return (exact or list(cases))[0]


def _subject(tools: Collaborators, case: Case, store: Path) -> _Subject:
    """The case with the record of the run, where that was made in this environment, else of a run here and now."""
    environment = tools.environment()
    kept = _kept(case, store)
    if kept is not None and kept[1].packages == environment.packages:
        return _Subject(case=case, record=kept[0], environment=environment)
    return _Subject(case=case, record=_run_here(tools, case), environment=environment)


def _kept(case: Case, path: Path) -> tuple[Record, Environment] | None:
    """The record of a case in a store; None where there is no newest run, it lacks the case, or FX was not run."""
    from qatrix.report.store import Store

    if path == LATEST_RUN / STORE and not path.exists():
        return None
    with Store.reading(path) as store:
        if store.run().reference is not None:
            return None
        environment = store.run().environment
        records = (record for record in store.records() if record.case_id == case.case_id and record.seed == case.seed)
        record = next(records, None)
    return None if record is None else (record, environment)


def _run_here(tools: Collaborators, case: Case) -> Record:
    """The case, run in a process of its own."""
    options = Execution(workers=1, timeout=_PATIENCE)
    (record,) = tools.execute([case], options=options, on_start=lambda _: None)
    return record


def _minimized(tools: Collaborators, console: Console, subject: _Subject) -> _Subject:
    from qatrix.execute.minimizing import minimize

    options = Execution(workers=0 if subject.record.verdict not in {"crashed", "timed_out"} else 1, timeout=_PATIENCE)

    def evaluate(case: Case) -> Record:
        (record,) = tools.execute([case], options=options, on_start=lambda _: None)
        return record

    smallest = minimize(subject.case, subject.record, evaluate)
    console.note(f"{smallest.runs} smaller cases were run; taken away: {', '.join(smallest.changes) or 'nothing'}")
    if not smallest.changes:
        return subject
    note = f"made smaller while verdict, errors and cause stayed: {', '.join(smallest.changes)}"
    return _Subject(
        case=smallest.case, record=smallest.record, environment=subject.environment, notes=(*subject.notes, note)
    )


def _script(subject: _Subject, *, checked: str | None = None) -> str:
    from qatrix.declare.source import case_source
    from qatrix.outcomes import NOT_RUN
    from qatrix.report.repro import script_text

    if subject.record.verdict in NOT_RUN:
        msg = f"{subject.case.case_id} cannot be shown here: {subject.record.reason or subject.record.summary}"
        raise UsageError(msg)
    try:
        source = case_source(subject.case)
        return script_text(
            source, environment=subject.environment, record=subject.record, checked=checked, notes=subject.notes
        )
    except _NO_SOURCE as error:
        msg = f"{subject.case.case_id} cannot be written as a script: {error}"
        raise UsageError(msg) from error


def _differences(script: str, record: Record) -> list[str]:
    """What a script prints other than the record says, as a diff; nothing where it shows the same."""
    from qatrix.report.repro import expected_lines, figure_lines, same_lines

    expected = expected_lines(record)
    if record.verdict in {"crashed", "timed_out"}:
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repro.py"
        path.write_text(script, encoding="utf-8")
        try:
            ended = subprocess.run(  # noqa: S603 - the script was written just now, from a checked declaration
                [sys.executable, "-I", str(path)],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
                cwd=folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            )
        except subprocess.TimeoutExpired:
            return [f"it did not end within {_PATIENCE} s"]
    found = figure_lines(ended.stdout)
    if ended.returncode == 0 and same_lines(found, expected):
        return []
    lines = [f"- {line}" for line in expected if line not in found] + [
        f"+ {line}" for line in found if line not in expected
    ]
    return [*lines, *ended.stderr.strip().splitlines()[-5:]]


def _publish(console: Console, subject: _Subject, script: str, *, issue: bool, out: Path | None, store: Path) -> None:
    from qatrix.report.files import make_folder, write_file
    from qatrix.report.repro import FOLDER, issue_md, script_name

    text = issue_md(script, record=subject.record, environment=subject.environment) if issue else script
    if out == _STANDARD_OUTPUT:
        console.text(text)
        return
    if out is None:
        home = store.parent if store.exists() else Path()
        smaller = "-smaller" if subject.notes else ""
        out = home / FOLDER / f"{script_name(subject.case.case_id)}{smaller}{'.md' if issue else '.py'}"
    make_folder(out.parent)
    write_file(out, text)
    console.line(str(out))
