"""The verb that freezes one pipeline's side of a run, so that it can be compared with later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix import __version__
from qatrix.cli import COMPARE, app
from qatrix.cli.matrices import load_matrix, selected_cases
from qatrix.cli.newest import run_store
from qatrix.cli.options import LATEST_RUN, AllowModules, Quiet
from qatrix.errors import EXIT_OK, EXIT_UNEXPECTED, UsageError
from qatrix.execute.options import Execution

if TYPE_CHECKING:
    from qatrix.cli.collaborators import Collaborators
    from qatrix.console import Console
    from qatrix.declare.spec import Case, Matrix
    from qatrix.execute.reference import ReferenceWriter
    from qatrix.outcomes import Environment, Record, Run

PIPELINE: Final = "fx"


@app.command(rich_help_panel=COMPARE)
def freeze(
    context: typer.Context,
    run: Annotated[
        Path, typer.Argument(metavar="[RUN]", help="The folder of a run, or its run.sqlite. Default: reports/latest.")
    ] = LATEST_RUN,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")] = Path("fx.safetensors"),
    matrix: Annotated[
        list[Path] | None,
        typer.Option("--matrix", metavar="PATH", help="The YAML of that run, as qatrix run was given it. Repeatable."),
    ] = None,
    allow_module: AllowModules = None,
    quiet: Quiet = False,
) -> int:
    """Keep FX graph mode's side of a run in a file.

    Later runs can be compared with it after FX is removed.

    FX runs again on every case, in the environment of the run, and must give what the run
    recorded. `qatrix run --reference FILE` then compares PT2E with it, on another torch
    release or after FX is removed. The exit code is 1 if a case did not give what was recorded.

    \b
      qatrix freeze reports/latest --out fx-2.5.safetensors
      qatrix run --reference fx-2.5.safetensors
    """
    from qatrix.console import Console
    from qatrix.declare.selection import Selection
    from qatrix.declare.spec import FULL_TAG
    from qatrix.report.store import Store

    tools: Collaborators = context.obj
    console = Console(quiet=quiet)
    with Store.reading(run_store(run)) as store:
        recorded, records = store.run(), store.records()
    environment = tools.environment()
    _demand_environment(recorded, environment)
    declared = load_matrix(matrix, allow_module)
    _demand_matrix(recorded, declared)
    cases = {case.case_id: case for case in selected_cases(declared, Selection(tags=(FULL_TAG,))).cases}
    writer, left_out, differing = _frozen(console, cases, records)
    frozen = _Frozen(
        run=recorded, environment=environment, left_out=left_out, now=tools.now().isoformat("T", "seconds")
    )
    frozen.write(writer, out)
    _tell(console, frozen, writer, out)
    return EXIT_UNEXPECTED if differing else EXIT_OK


@dataclass(frozen=True, kw_only=True)
class _Frozen:
    """What the file says about itself."""

    run: Run
    environment: Environment
    left_out: dict[str, str]
    now: str

    def write(self, writer: ReferenceWriter, out: Path) -> None:
        from qatrix.execute.reference import Manifest

        manifest = Manifest(
            pipeline=PIPELINE,
            run_id=self.run.id,
            frozen=self.now,
            qatrix=__version__,
            environment=self.environment,
            matrix_digest=self.run.matrix_digest,
            cases=tuple(writer.cases),
            left_out=self.left_out,
        )
        writer.write(out, manifest)


def _frozen(
    console: Console, cases: dict[str, Case], records: tuple[Record, ...]
) -> tuple[ReferenceWriter, dict[str, str], bool]:
    """What could be frozen, why the rest could not, and whether a case did not give what was recorded."""
    from qatrix.execute.reference import Differs, ReferenceWriter, Unfrozen, freeze_case
    from qatrix.execute.workers import torch_ready

    writer, left_out, differing = ReferenceWriter(), {}, False
    # Cases run in this process: they ran before, and FX forks nothing.
    with console.progress(len(records)) as progress, torch_ready(Execution(pattern_cache=False)):
        for record in records:
            progress.started(record.case_id)
            try:
                writer.add(*freeze_case(cases[record.case_id], record, PIPELINE))
            except Unfrozen as reason:
                left_out[record.case_id] = str(reason)
                differing |= isinstance(reason, Differs)
            progress.finished(record)
    return writer, left_out, differing


def _demand_environment(run: Run, environment: Environment) -> None:
    """Raise UsageError where this is not the environment of the run: results of two would be mixed."""
    from qatrix.report.compare.data import environment_facts

    now = dict(environment_facts(environment))
    others = [
        f"{name} {value}, here {now.get(name)}"
        for name, value in environment_facts(run.environment)
        if now.get(name) != value
    ]
    if others:
        msg = f"the run was made in another environment ({'; '.join(others)}); freeze it there"
        raise UsageError(msg)
    if run.reference is not None:
        msg = f"the run was itself compared with a reference ({run.reference}); freeze one in which FX ran"
        raise UsageError(msg)


def _demand_matrix(run: Run, matrix: Matrix) -> None:
    from qatrix.declare.digest import matrix_digest

    if run.matrix_digest != matrix_digest(matrix):
        msg = "the matrix is not the one of the run; name the YAML of the run with --matrix, or run again"
        raise UsageError(msg)


def _tell(console: Console, frozen: _Frozen, writer: ReferenceWriter, out: Path) -> None:
    from collections import Counter

    from qatrix.report.figures import counted

    for reason, count in Counter(frozen.left_out.values()).most_common():
        console.note(f"left out, {count}: {reason}", style="yellow")
    kept, left = len(writer.cases), len(frozen.left_out)
    console.line(f"{counted(kept + left, 'case')} = {kept} frozen + {left} left out")
    console.line(f"{out}: {counted(len(writer.tensors), 'tensor')}, {out.stat().st_size / 2**20:.1f} MiB")
