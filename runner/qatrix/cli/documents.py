"""The verbs about runs that are done: show, report."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qatrix.cli import LOOK, app
from qatrix.cli.baselines import wanted_baseline
from qatrix.cli.drawings import Drawing, drawing_of, drawn_here, kept_of
from qatrix.cli.folders import writing
from qatrix.cli.newest import run_store
from qatrix.cli.options import LATEST_RUN, AllowModules, Baseline, NoBaseline, Paths
from qatrix.cli.repros import tell_missing
from qatrix.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from qatrix.cli.collaborators import Collaborators
    from qatrix.console import Console
    from qatrix.diagnoses import Diagnosis
    from qatrix.outcomes import Record, Run
    from qatrix.report.changes import Since
    from qatrix.report.writing import KeptSince

RunFolder = Annotated[
    Path, typer.Option("--run", metavar="RUN", help="The folder of a run, or its run.sqlite. Default: reports/latest.")
]


@app.command(rich_help_panel=LOOK)
def show(
    context: typer.Context,
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case id, or a glob that fits one.")],
    paths: Paths = None,
    run: RunFolder = LATEST_RUN,
    as_json: Annotated[bool, typer.Option("--json", help="The whole record as JSON.")] = False,
    graphs: Annotated[
        bool,
        typer.Option(
            "--graphs", help="Also the pipelines' graphs, node by node; a case without a diagnosis runs here for them."
        ),
    ] = False,
    model_explorer: Annotated[
        Path | None,
        typer.Option(
            "--model-explorer",
            metavar="FILE",
            help="Write the pipelines' graphs to FILE, in the JSON of Model Explorer; a case without graphs runs here.",
        ),
    ] = None,
    allow_module: AllowModules = None,
) -> int:
    """Show one case: what differs, why, and which is closer.

    It prints everything that a run knows about the case. For an unexpected case, it also says
    how to run it again and how to declare it.

    Only --graphs and --model-explorer read the declarations, and only if the record has no graphs.

    \b
      qatrix show 'conv_transpose_numerics/conv_bn/*dim=1*per_channel*'
      qatrix show --json CASE | jq .comparisons
      qatrix show --graphs CASE
      qatrix show --model-explorer graphs.json CASE
    """
    from qatrix import codec
    from qatrix.console import Console

    record, note, ran = _the_record(case, run)
    console = Console()
    if as_json:
        console.json(codec.to_jsonable(record), indent=2)
        return EXIT_OK
    tell_record(console, record, note, ran=ran)
    if graphs or model_explorer is not None:
        # Only --graphs needs those after prepare, too.
        drawing = drawing_of(record) or (None if graphs else kept_of(record))
        if drawing is None:
            drawing = drawn_here(context, console, record, run=run, paths=paths, allow_module=allow_module)
            console.line()
            console.line("The record has no graphs, so the case ran again for those below.")
        if graphs:
            _draw(console, drawing)
        if model_explorer is not None:
            _export(console, record, drawing, model_explorer)
    return EXIT_OK


def _export(console: Console, record: Record, drawing: Drawing, path: Path) -> None:
    """Write the graphs for Model Explorer. Raises OutputError where the file cannot be written."""
    from qatrix.report.files import write_file
    from qatrix.report.modelexplorer import model_explorer_json

    write_file(path, model_explorer_json(record.case_id, drawing.points))
    console.line(f"\n{path}: the graphs for Model Explorer")


def tell_record(console: Console, record: Record, note: str | None = None, *, ran: Run | None = None) -> None:
    """Print a record without its graphs, what is asked first before all else.

    `note` is a line on where it is from, and `ran` the run that it is of.
    """
    from qatrix.report.casepage import lead_lines
    from qatrix.report.sentences import case_lines

    console.record(record, alone=True)
    for line in lead_lines(record):
        console.paragraph(f"  {line}")
    if record.expected is not None and record.expected.advice is not None:
        console.paragraph(f"  what to do: {record.expected.advice}")
    if record.unexpected and ran is not None:
        _advise(console, record, ran)
    console.line()
    for line in case_lines(record):
        console.paragraph(f"  {line}")
    for outcome in record.pipelines.values():
        for stage in outcome.stages:
            console.line(f"  {outcome.pipeline:>8} {stage.name:<18} {stage.seconds:8.3f} s", style="dim")
        if outcome.error is not None:
            console.line(outcome.error.traceback, style="dim")
    if note is not None:
        console.paragraph(f"  {note}")
    if record.diagnosis is not None:
        _explain(console, record.diagnosis)
    _tell_runtimes(console, record)


def _advise(console: Console, record: Record, run: Run) -> None:
    """What to do about an unexpected case: run it again, or declare it."""
    from qatrix.report.again import again
    from qatrix.report.declaring import declaring_hint, expectation_yaml

    console.line(f"  run it again: {again(run.command, record.case_id)}")
    entry = expectation_yaml(record, run.environment)
    if entry is not None:
        console.paragraph(f"  {declaring_hint(record)}")
        for line in entry.splitlines():
            console.line(line)


def _explain(console: Console, diagnosis: Diagnosis) -> None:
    from qatrix.report.explanation import explanation_tables

    for note in diagnosis.notes:
        console.paragraph(f"  note: {note}")
    console.line()
    for table in explanation_tables(diagnosis):
        console.table(table)


def _tell_runtimes(console: Console, record: Record) -> None:
    """For each model in its runtime: where it first leaves its reference, why, what runs in float, and the kernels."""
    from qatrix.report.lowered import departure_lines, lowered_models, lowered_tables

    for model in lowered_models(record):
        lines, tables = departure_lines(model), lowered_tables(model)
        if lines or tables:
            console.line(f"\n{model.deployed}", style="bold")
        for line in lines:
            console.paragraph(line)
        for table in tables:
            console.table(table)


def _draw(console: Console, drawing: Drawing) -> None:
    for note in drawing.notes:
        console.line(f"Note: {note}.")
    for point in drawing.points:
        for graph in point.graphs:
            console.line(f"\n{graph.pipeline} after {point.at}", style="bold")
            for place, node in enumerate(graph.lines):
                mark = "→" if place == graph.first_differing else " "
                layer = "" if node.layer is None else f"  # {node.layer}"
                console.line(f"{mark} {node.text}{layer}", style="bold" if place == graph.first_differing else "")


@app.command(rich_help_panel=LOOK)
def report(
    context: typer.Context,
    run: Annotated[
        Path, typer.Argument(metavar="[RUN]", help="The folder of a run, or its run.sqlite. Default: reports/latest.")
    ] = LATEST_RUN,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to write. Default: beside the store.")
    ] = None,
    baseline: Baseline = None,
    no_baseline: NoBaseline = False,
) -> int:
    """Write the report files of a run again, from its run.sqlite.

    They say what changed since the baseline that the run was compared with when it ended.
    With --baseline, these files compare it with another one; the run does not change.

    \b
      qatrix report
      qatrix report --baseline reports/20260827-101500
      qatrix report reports/20260827-101500 --out public
    """
    from qatrix.console import Console
    from qatrix.report.baselines import changes_since
    from qatrix.report.writing import RENDERERS, write_reports

    tools: Collaborators = context.obj
    console, store = Console(), run_store(run)
    folder = out or store.parent
    held_against = wanted_baseline(baseline, no_baseline=no_baseline)
    since: Since | KeptSince = "kept"
    if held_against != "newest":
        since = None if held_against is None else changes_since(held_against, store)
    beside = store.exists() and folder.resolve() == store.parent.resolve()
    with writing(folder, tools.now(), console) if beside else nullcontext():
        data = write_reports(store, folder, since)
    for name in RENDERERS:
        console.line(str(folder / name))
    tell_missing(console, data.scripts, data.script_notes)
    return EXIT_OK


def _the_record(selector: str, run: Path) -> tuple[Record, str | None, Run]:
    """The one record that a selector fits, why it has no script if so, and its run.

    Raises UsageError for none or several.
    """
    import difflib
    from fnmatch import fnmatchcase

    from qatrix.report.store import Store

    with Store.reading(run_store(run)) as store:
        records, notes, ran = store.records(), store.script_notes(), store.run()
    found = [record for record in records if record.case_id == selector or fnmatchcase(record.case_id, selector)]
    if len(found) == 1:
        return found[0], notes.get(found[0].case_id), ran
    ids = [record.case_id for record in found or records]
    if found:
        msg = f"{selector} fits {len(found)} cases; name one of them:\n" + "\n".join(ids[:20])
    else:
        close = difflib.get_close_matches(selector, ids, n=3, cutoff=0.3) or ids[:3]
        told = "nearest are:\n" + "\n".join(close) if close else "it has no record of any case"
        msg = f"no case of {run} is {selector}; {told}"
    raise UsageError(msg)
