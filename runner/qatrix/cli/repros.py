"""The verb that writes a script of one case, which shows without qatrix what the case shows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix.cli import LOOK, app
from qatrix.cli.again import PATIENCE, run_here, scratch, the_case
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.newest import STORE, run_store
from qatrix.cli.options import LATEST_RUN, AllowModules, Paths
from qatrix.errors import EXIT_OK, EXIT_UNEXPECTED, QatrixError, UsageError
from qatrix.execute.options import Execution
from qatrix.outcomes import NOT_RUN

if TYPE_CHECKING:
    from qatrix.cli.recall import Recall
    from qatrix.cli.scripting import Subject
    from qatrix.console import Console
    from qatrix.declare.spec import Case
    from qatrix.outcomes import Environment, Record
    from qatrix.report.frames import ReportData

_STANDARD_OUTPUT: Final = Path("-")
# A script takes about 10 ms; of a run with more that fail, `qatrix repro` makes the others when they are wanted.
_MOST_SCRIPTS: Final = 1000


@app.command(rich_help_panel=LOOK)
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
        bool, typer.Option("--check/--no-check", help="Run the script, and check that it prints what the record says.")
    ] = True,
    allow_module: AllowModules = None,
) -> int:
    """Write one Python file that reproduces a case.

    It needs only torch, torchvision and torchao.

    It makes the same model, weights and inputs, takes them through the same pipelines, and
    prints the same figures, bit for bit. If the run has no record of the case, or was made
    in another environment, the case runs here first. The exit code is 1 if the script does
    not print what the record says.

    \b
      qatrix repro 'conv_transpose_numerics/conv_bn/*dim=1*per_channel*'
      qatrix repro --minimize --issue CASE --out issue.md
    """
    from qatrix.console import Console

    tools: Collaborators = context.obj
    console = Console()
    found = the_case(case, paths, allow_module)
    store = run_store(run)
    tools.interruption.hold()
    context.with_resource(scratch(tools, console))
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
        text = _script(replace(subject, checked="it was run, and printed the lines below"))
    _publish(console, subject, text, issue=issue, out=out, store=store)
    return EXIT_OK


def add_scripts(
    console: Console, folder: Path, data: ReportData, cases: Iterable[Case], recall: Recall | None = None
) -> bool:
    """Make the scripts of a run, show them in its report, and say how many could not be made; whether it has all.

    The report is there already, so that nothing that happens here costs the run anything. `recall` keeps them for
    later runs.
    """
    from qatrix.report.store import Store
    from qatrix.report.writing import write_scripted

    try:
        scripts, notes = keep_scripts(folder / STORE, data, cases)
        if recall is not None:
            recall.keep_scripts(_subjects(data, cases), scripts)
        if not scripts and not notes:
            return True
        told = write_scripted(replace(data, scripts=scripts, script_notes=notes), folder, anew=True)
        with Store.open(folder / STORE) as store:
            store.keep_script_notes(told.script_notes)
    except Exception as error:  # noqa: BLE001 - the run has its report, and its exit code is its verdicts' alone
        words = str(error) if isinstance(error, QatrixError) else f"{type(error).__name__}: {error}"
        console.note(f"the report has no scripts: {words}", style="yellow")
        return False
    tell_missing(console, scripts, notes)
    return not told.script_notes


def known_scripts(store_path: Path, data: ReportData, cases: Iterable[Case], recall: Recall) -> dict[str, str]:
    """The scripts of a run's cases, as an earlier run made them and as they are kept in its store now.

    There are none unless all are known: what is missing has to be made, and the page be written with it.
    """
    from qatrix.report.store import Store

    try:
        subjects = _subjects(data, cases)
        known = recall.scripts(subjects)
        if len(known) < len(subjects):
            return {}
        with Store.open(store_path) as store:
            store.keep_scripts(known)
    except Exception:  # noqa: BLE001 - whatever is wrong, they are made anew once the report is there
        return {}
    return known


def keep_scripts(store_path: Path, data: ReportData, cases: Iterable[Case]) -> tuple[dict[str, str], dict[str, str]]:
    """The scripts of a run's cases, and why others have none, by case id, as they were made and kept in its store."""
    from qatrix.cli.scripting import made_scripts
    from qatrix.report.store import Store

    made = dict(made_scripts(_subjects(data, cases)))
    scripts = {case_id: item.text for case_id, item in made.items() if item.text is not None}
    notes = {case_id: f"no script: {item.reason}" for case_id, item in made.items() if item.text is None}
    with Store.open(store_path) as store:
        store.keep_scripts(scripts)
        store.keep_script_notes(notes)
    return scripts, notes


def tell_missing(console: Console, scripts: Collection[str], notes: Collection[str]) -> None:
    """Say how many scripts could not be made, by the ids of the cases that have one and of those with a note."""
    from qatrix.report.sentences import missing_scripts_sentence

    if sentence := missing_scripts_sentence(scripts, notes):
        console.line(sentence, style="yellow")


def _subjects(data: ReportData, cases: Iterable[Case]) -> list[Subject]:
    """The cases of a run that fail or differ and can be shown, unexpected ones first, as many as are worth it."""
    from qatrix.cli.scripting import Subject
    from qatrix.report.repro import wants_script

    by_id = {case.case_id: case for case in cases}
    wanting = (record for record in data.records if wants_script(record) and record.verdict not in NOT_RUN)
    records = [record for record in wanting if record.case_id in by_id]
    # What nobody expected is what someone will look at.
    records = sorted(records, key=lambda record: not record.unexpected)[:_MOST_SCRIPTS]
    return [Subject(case=by_id[record.case_id], record=record, environment=data.run.environment) for record in records]


def _subject(tools: Collaborators, case: Case, store: Path) -> Subject:
    """The case with the record of the run, where that was made in this environment, else of a run here and now."""
    from qatrix.cli.scripting import Subject

    environment = tools.environment()
    kept = _kept(case, store)
    if kept is not None and kept[1].packages == environment.packages:
        return Subject(case=case, record=kept[0], environment=environment)
    return Subject(case=case, record=run_here(tools, case), environment=environment)


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


def _minimized(tools: Collaborators, console: Console, subject: Subject) -> Subject:
    from qatrix.execute.minimizing import minimize
    from qatrix.report.figures import counted

    options = Execution(workers=0 if subject.record.verdict not in {"crashed", "timed_out"} else 1, timeout=PATIENCE)

    def evaluate(case: Case) -> Record:
        (record,) = tools.execute([case], options=options, on_start=lambda _: None)
        return record

    smallest = minimize(subject.case, subject.record, evaluate)
    runs = f"{counted(smallest.runs, 'smaller case')} {'was' if smallest.runs == 1 else 'were'} run"
    console.note(f"{runs}; taken away: {', '.join(smallest.changes) or 'nothing'}")
    if not smallest.changes:
        return subject
    note = f"made smaller while verdict, errors and cause stayed: {', '.join(smallest.changes)}"
    return replace(subject, case=smallest.case, record=smallest.record, notes=(*subject.notes, note))


def _script(subject: Subject) -> str:
    from qatrix.cli.scripting import script_or_refusal

    if subject.record.verdict in NOT_RUN:
        msg = f"{subject.case.case_id} cannot be shown here: {subject.record.reason or subject.record.summary}"
        raise UsageError(msg)
    return script_or_refusal(subject)


def _differences(script: str, record: Record) -> list[str]:
    """What a script prints other than the record says, as a diff; nothing where it shows the same."""
    from qatrix.report.repro import expected_lines, figure_lines, same_lines

    expected = expected_lines(record)
    if record.verdict in {"crashed", "timed_out"}:
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repro.py"
        path.write_text(script, encoding="utf-8")
        options, place, environment = _surroundings(script, folder)
        try:
            ended = subprocess.run(  # noqa: S603 - the script was written just now, from a checked declaration
                [sys.executable, *options, str(path)],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
                cwd=place,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return [f"it did not end within {PATIENCE} s"]
    found = figure_lines(ended.stdout)
    if ended.returncode == 0 and same_lines(found, expected):
        return []
    lines = [f"- {line}" for line in expected if line not in found] + [
        f"+ {line}" for line in found if line not in expected
    ]
    return [*lines, *ended.stderr.strip().splitlines()[-5:]]


def _surroundings(script: str, folder: str) -> tuple[list[str], str, dict[str, str]]:
    """Python's options, the current folder and the environment of a script that is checked.

    It has nothing but the installed packages, so that it shows what it shows anywhere; one that
    needs a package of the user's has all that a run has, since that is where the package was found.
    """
    from qatrix.report.repro import needed_package

    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if needed_package(script) is None:
        return ["-I"], folder, plain
    here = str(Path.cwd())
    return [], here, {**plain, "PYTHONPATH": os.pathsep.join(path or here for path in sys.path)}


def _publish(console: Console, subject: Subject, script: str, *, issue: bool, out: Path | None, store: Path) -> None:
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
