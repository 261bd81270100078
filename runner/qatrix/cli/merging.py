"""The verb that joins the shards of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qatrix.cli import RUN, app
from qatrix.cli.baselines import tell_changes
from qatrix.cli.folders import new_folder
from qatrix.cli.newest import STORE, point_latest, run_store
from qatrix.cli.options import REPORTS, FailOn, OutFolder, Quiet
from qatrix.cli.performing import conclude
from qatrix.cli.repros import tell_missing
from qatrix.cli.runs import exit_code

if TYPE_CHECKING:
    from qatrix.cli.collaborators import Collaborators


@app.command(rich_help_panel=RUN)
def merge(
    context: typer.Context,
    shards: Annotated[
        list[Path],
        typer.Argument(metavar="SHARD", help="The folders of the shards' runs, or their run.sqlite."),
    ],
    out: OutFolder = REPORTS,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Merge although a shard is missing or was interrupted; the report says so."
        ),
    ] = False,
    fail_on: FailOn = "unexpected",
    quiet: Quiet = False,
) -> int:
    """Join runs made with --shard I/N into one run.

    It has the reports of an unsharded run.

    All shards must have the same matrix, selection and environment, and each must be there once.
    Exit codes are those of `qatrix run`. If you interrupt it, it leaves nothing behind.

    \b
      qatrix run --shard 1/2 --out shards/1
      qatrix run --shard 2/2 --out shards/2
      qatrix merge shards/1/latest shards/2/latest
    """
    from qatrix.console import Console
    from qatrix.report.merging import demand_one_run, merged_run, read_parts, write_merged
    from qatrix.report.writing import write_reports

    tools: Collaborators = context.obj
    console = Console(quiet=quiet)
    parts = read_parts(run_store(path) for path in shards)
    demand_one_run(parts, allow_missing=allow_missing)
    with new_folder(out, tools.now(), console) as folder:
        try:
            write_merged(parts, merged_run(parts, folder.name), folder / STORE)
            tell_changes(folder / STORE, "newest")
            data = write_reports(folder / STORE, folder)
        except KeyboardInterrupt:
            # The shards are all there still, and a part of their sum is of no use.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        point_latest(folder)
        conclude(console, data, folder)
        tell_missing(console, data.scripts, data.script_notes)
    return exit_code(data.records, fail_on)
