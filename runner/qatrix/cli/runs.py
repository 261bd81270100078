"""The verb that runs the matrix."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from qatrix.cli import RUN, app
from qatrix.cli.baselines import wanted_baseline
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.matrices import load_matrix, selected_cases, wanted_cases
from qatrix.cli.options import (
    LATEST_RUN,
    REPORTS,
    Address,
    AllowModules,
    Baseline,
    CaseGlobs,
    DiagnoseWhen,
    Durations,
    Engine,
    FailOn,
    Fresh,
    MemoryLimit,
    NoBaseline,
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
from qatrix.cli.performing import Performed, Wanted, hindrance_of, perform
from qatrix.cli.shards import wanted_shard
from qatrix.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, EnvironmentUnusable, UsageError
from qatrix.execute.options import limits
from qatrix.outcomes import UNREMARKABLE, Record

if TYPE_CHECKING:
    from qatrix.console import Console


@app.command(rich_help_panel=RUN)
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
    baseline: Baseline = None,
    no_baseline: NoBaseline = False,
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
    and the run continues. A record is kept as each case ends. The report is in DIR/latest:
    index.html, results.json, results.csv, junit.xml, summary.md, and run.sqlite, which they
    are made from. Ctrl-C, SIGTERM and SIGHUP keep and report what is done; --resume continues
    from there.
    A case does not run again while its declaration, torch and everything else that it depends
    on are unchanged, and where nothing has changed, the newest report stands; --fresh runs all.
    The report says what changed since the newest earlier run in DIR with the same selection;
    --baseline names another one.

    \b
      qatrix run
      qatrix run --case 'conv_bn_fusion/*' --only dim=2
      qatrix run my_matrix --out ../reports --fail-on never
      qatrix run --reference fx-2.5.safetensors
    """
    from qatrix.console import Console

    tools: Collaborators = context.obj
    console = Console(quiet=quiet, verbose=verbose)
    if address is not None and engine != "ray":
        msg = "--address names a Ray cluster; give --engine ray, too"
        raise UsageError(msg)
    held_against = wanted_baseline(baseline, no_baseline=no_baseline)
    cut = wanted_shard(shard, shard_by, durations)
    selection = wanted_cases(case, only, tag, pairwise=pairwise, strength=strength)
    selected = selected_cases(matrix := load_matrix(paths, allow_module, cached=pattern_cache), selection, cut)
    if selected.covering is not None:
        console.note(selected.covering.sentence)
    options = replace(
        limits(workers, timeout, memory_limit),
        pattern_cache=pattern_cache,
        diagnose=diagnose,
        engine=engine,
        address=address,
        reference=None if reference is None else str(reference.resolve()),
    )
    performed = perform(
        context,
        console,
        Wanted(
            matrix=matrix,
            selected=selected,
            options=options,
            out=out,
            fresh=fresh,
            resume=resume,
            reference=None if reference is None else tools.reference(reference),
            baseline=held_against,
        ),
    )
    return ended(tools, console, performed, fail_on)


def ended(tools: Collaborators, console: Console, performed: Performed, fail_on: FailOn) -> int:
    """Say how an interrupted run goes on; the exit code of the command."""
    if not performed.interrupted:
        return exit_code(performed.data.records, fail_on)
    done = _done(len(performed.data.records), performed.data.run.declared)
    again = [] if "--resume" in tools.argv else ["--resume"]
    console.line(f"interrupted: {done} done and kept", style="bold")
    console.line(f"continue with: {shlex.join(['qatrix', *tools.argv, *again])}")
    return EXIT_INTERRUPTED


def _done(count: int, total: int) -> str:
    from qatrix.report.figures import counted

    return f"{count} of {counted(total, 'case')} {'is' if count == 1 else 'are'}"


def exit_code(records: Sequence[Record], fail_on: FailOn) -> int:
    """The exit code of a run that came to its end."""
    if hindrance_of(records) is not None:
        return EnvironmentUnusable.exit_code
    return EXIT_UNEXPECTED if any(_counts_as_failure(record, fail_on) for record in records) else EXIT_OK


def _counts_as_failure(record: Record, fail_on: FailOn) -> bool:
    if fail_on == "never":
        return False
    return record.unexpected or (fail_on == "diverged" and record.verdict not in UNREMARKABLE)
