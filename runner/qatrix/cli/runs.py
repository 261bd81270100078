"""The verb that runs the matrix."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qatrix.cli import app
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.conduct import Conduct
from qatrix.cli.folders import conducted, newly_conducted
from qatrix.cli.matrices import load_matrix, selected_cases, wanted_cases
from qatrix.cli.newest import STORE, newest_run
from qatrix.cli.options import (
    LATEST_RUN,
    REPORTS,
    Address,
    AllowModules,
    CaseGlobs,
    DiagnoseWhen,
    Durations,
    Engine,
    FailOn,
    Fresh,
    MemoryLimit,
    Only,
    OutFolder,
    Pairwise,
    Paths,
    PatternCache,
    Quiet,
    ReferenceFile,
    Resume,
    ShardBy,
    ShardText,
    Strength,
    Tags,
    Timeout,
    Verbose,
    Workers,
)
from qatrix.cli.plans import Plan, new_plan, resumed_plan
from qatrix.cli.recall import recalling
from qatrix.cli.repros import add_scripts
from qatrix.cli.shards import wanted_shard
from qatrix.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, EnvironmentUnusable, UsageError
from qatrix.execute.options import Execution, default_workers
from qatrix.outcomes import UNREMARKABLE, Record

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.declare.spec import Case
    from qatrix.report.frames import ReportData


@app.command()
def run(
    context: typer.Context,
    paths: Paths = None,
    case: CaseGlobs = None,
    only: Only = None,
    tag: Tags = None,
    pairwise: Pairwise = False,
    strength: Strength = None,
    shard: ShardText = None,
    shard_by: ShardBy = "hash",
    durations: Durations = LATEST_RUN,
    out: OutFolder = REPORTS,
    fail_on: FailOn = "unexpected",
    pattern_cache: PatternCache = True,
    diagnose: DiagnoseWhen = "differences",
    reference: ReferenceFile = None,
    workers: Workers = None,
    engine: Engine = "workers",
    address: Address = None,
    timeout: Timeout = 600.0,
    memory_limit: MemoryLimit = None,
    resume: Resume = False,
    fresh: Fresh = False,
    allow_module: AllowModules = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Run the cases through every pipeline and write the report.

    Cases run in worker processes; one that hangs, crashes or eats memory becomes a record,
    and the rest goes on. A record is kept as each case ends. The report is in DIR/latest:
    index.html, results.json, results.csv, junit.xml, summary.md, and run.sqlite, which they
    are made of. Ctrl-C, SIGTERM and SIGHUP keep what is done and report it; --resume goes on
    from there.
    A case is not run again while its declaration, torch and everything else that it depends
    on are unchanged; --fresh runs it.

    \b
      qatrix run
      qatrix run --case 'conv_bn_fusion/*' --only dim=2
      qatrix run my_matrix --out /tmp/reports --fail-on never
      qatrix run --reference fx-2.5.safetensors
    """
    from qatrix.console import Console
    from qatrix.report.writing import write_results

    tools: Collaborators = context.obj
    console = Console(quiet=quiet, verbose=verbose)
    if address is not None and engine != "ray":
        msg = "--address: it names a Ray cluster; give --engine ray, too"
        raise UsageError(msg)
    cut = wanted_shard(shard, shard_by, durations)
    selection = wanted_cases(case, only, tag, pairwise=pairwise, strength=strength)
    selected = selected_cases(matrix := load_matrix(paths, allow_module), selection, cut)
    if selected.covering is not None:
        console.note(selected.covering.sentence)
    options = Execution(
        workers=default_workers() if workers is None else workers,
        timeout=timeout,
        memory_limit=None if memory_limit is None else memory_limit * 2**20,
        pattern_cache=pattern_cache,
        diagnose=diagnose,
        engine=engine,
        address=address,
        reference=None if reference is None else str(reference.resolve()),
    )
    origin = None if reference is None else tools.reference(reference)
    started = tools.now()
    # The folder is made, and given up again, whole.
    tools.interruption.hold()
    # Until the command ends; where it ends without a plan, for want of torch say, no folder is left.
    folder = context.with_resource(
        conducted(newest_run(out), started, console) if resume else newly_conducted(out, started, console)
    )
    tools.interruption.heed()
    with recalling(tools, options, fresh=fresh, reference=origin) as recall:
        if fresh or not recall.knows_environment:
            # Torch is imported there while this process does something else.
            tools.warm_up(options)
        environment = recall.environment()
        tools.interruption.hold()
        plan = (
            resumed_plan(matrix, selected, folder, environment, reference=origin)
            if resume
            else new_plan(tools, matrix, selected, folder, environment, started=started, reference=origin)
        )
        began = time.monotonic()
        finished = Conduct(tools=tools, console=console, plan=plan, options=options, recall=recall).go()
    _close(plan, seconds=time.monotonic() - began, finished=finished)
    data = write_results(plan.folder / STORE, plan.folder)
    conclude(console, data, plan.folder)
    interrupted = not finished or tools.interruption.asked
    if reference is None and not interrupted:
        # A script runs both pipelines.
        interrupted = not _scripted(tools, console, plan, data, selected.cases)
    if interrupted:
        console.line(f"interrupted: {_done(len(data.records), plan.run.declared)} done and kept", style="bold")
        console.line(f"go on with: {shlex.join(['qatrix', *tools.argv, *([] if resume else ['--resume'])])}")
        return EXIT_INTERRUPTED
    return exit_code(data.records, fail_on)


def _scripted(tools: Collaborators, console: Console, plan: Plan, data: ReportData, cases: Sequence[Case]) -> bool:
    """Add the scripts to a report that is whole without them; whether that came to its end."""
    try:
        tools.interruption.heed()
        add_scripts(console, plan.folder, data, cases)
        tools.interruption.hold()
    except KeyboardInterrupt:
        tools.interruption.hold()
        return False
    return True


def _done(count: int, total: int) -> str:
    from qatrix.report.figures import counted

    return f"{count} of {counted(total, 'case')} {'is' if count == 1 else 'are'}"


def _close(plan: Plan, *, seconds: float, finished: bool) -> None:
    """End the run in its store. Every declared case must have ended in exactly one verdict."""
    from qatrix.report.ledger import ledger_warnings
    from qatrix.report.store import Store

    with Store.open(plan.folder / STORE) as store:
        changes = () if plan.before is None else ledger_warnings(plan.before, store.ledger())
        warnings = (*plan.run.warnings, *changes)
        store.end(replace(plan.run, seconds=plan.run.seconds + seconds, finished=finished, warnings=warnings))
        ended, unfinished = len(store.seconds()), len(store.unfinished())
    if ended + unfinished != plan.run.declared or (finished and unfinished):
        msg = f"{plan.run.declared} cases were declared, but {ended} ended and {unfinished} did not"
        raise RuntimeError(msg)


def conclude(console: Console, data: ReportData, folder: Path) -> None:
    """Print the warnings, what is unexpected, and the sum of all verdicts, each with its number."""
    from qatrix.console import counts_line
    from qatrix.report.annotations import annotation_lines

    run, records = data.run, data.records
    for warning in run.warnings:
        console.note(f"warning: {warning}", style="yellow")
    unexpected = [record for record in records if record.unexpected]
    if unexpected:
        console.line(f"{len(unexpected)} unexpected:", style="bold red")
        for record in unexpected:
            console.record(record)
    left = run.declared - len(records)
    counts = counts_line(records).split(", ") if records or not left else []
    console.line(f"declared {run.declared} = {' + '.join([*counts, *([f'{left} not run'] if left else [])])}")
    known = Counter(record.verdict for record in records if record.expected and not record.unexpected)
    differing = sum(count for verdict, count in known.items() if verdict not in UNREMARKABLE)
    as_expected = f"; {_differing(differing)} in the report" if differing else ""
    if hindrance := _hindrance(records):
        console.line(f"no case could run here: {hindrance}", style="bold red")
    else:
        verdict = f"{len(unexpected) or 'nothing'} unexpected{' so far' if left else ''}"
        console.line(f"{verdict}{as_expected}", style="bold red" if unexpected else "bold green")
    # What a shard finds is told once, where the shards are merged.
    if os.environ.get("GITHUB_ACTIONS") == "true" and run.shard is None:
        for annotation in annotation_lines(records):
            console.text(annotation)
    console.line(f"report: {folder / 'index.html'}")


def _differing(count: int) -> str:
    if count == 1:
        return "1 differs as expected, with its reason"
    return f"{count} differ as expected, with their reasons"


def exit_code(records: Sequence[Record], fail_on: FailOn) -> int:
    """The exit code of a run that came to its end."""
    if _hindrance(records) is not None:
        return EnvironmentUnusable.exit_code
    return EXIT_UNEXPECTED if any(_counts_as_failure(record, fail_on) for record in records) else EXIT_OK


def _hindrance(records: Sequence[Record]) -> str | None:
    """Why no case could run; None where one did, or where all were skipped or expected to be unavailable.

    A run in which nothing ran must not pass as one in which nothing was wrong.
    """
    if not all(record.verdict in {"unavailable", "skipped"} for record in records):
        return None
    unavailable = (record for record in records if record.verdict == "unavailable" and record.expected is None)
    return next((record.reason or record.summary for record in unavailable), None)


def _counts_as_failure(record: Record, fail_on: FailOn) -> bool:
    if fail_on == "never":
        return False
    return record.unexpected or (fail_on == "diverged" and record.verdict not in UNREMARKABLE)
