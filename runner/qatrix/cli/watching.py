"""The verb that runs, after each edit, the cases that it touches."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix.cli import RUN, app, interruptible
from qatrix.cli.attempts import Running, Say, attempt
from qatrix.cli.changes import records_of, tell
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.consents import allowed_modules
from qatrix.cli.folders import SCRATCH, newly_conducted
from qatrix.cli.interruption import Interruption
from qatrix.cli.likeness import likeness, others
from qatrix.cli.matrices import load_matrix, matrix_paths, selected_cases, wanted_cases
from qatrix.cli.newest import LATEST, STORE, newest_run, point_latest
from qatrix.cli.options import (
    REPORTS,
    AllowModules,
    CaseGlobs,
    DiagnoseWhen,
    MemoryLimit,
    Only,
    OutFolder,
    Pairwise,
    Paths,
    Strength,
    Tags,
    Timeout,
)
from qatrix.cli.performing import Wanted, conclude, perform
from qatrix.cli.reception import Reception, listening
from qatrix.cli.runs import exit_code
from qatrix.cli.sight import Sight, declared_files, program_files
from qatrix.cli.vigil import OUTDATED, Patience, Vigil
from qatrix.errors import EXIT_OK, FolderInUse, QatrixError, StoreError, UsageError
from qatrix.execute.options import Execution, limits
from qatrix.execute.scratch import adopt_forking, hush_leaks
from qatrix.locks import locked
from qatrix.resources import cache_folder

if TYPE_CHECKING:
    from datetime import datetime

    from qatrix.console import Console
    from qatrix.declare.selection import Selected, Selection
    from qatrix.declare.spec import Case
    from qatrix.report.frames import ReportData

# What a run needs besides torch, loaded once: the forks have it.
_LOADED: Final = (
    *("qatrix.console", "qatrix.declare.load", "qatrix.declare.selection", "qatrix.declare.expected"),
    *("qatrix.declare.digest", "qatrix.declare.excerpts", "qatrix.execute.workers", "qatrix.judge.verdict"),
    *("qatrix.report.writing", "qatrix.report.store", "qatrix.report.annotations", "qatrix.report.resultcache"),
)
_NAMED_FILES: Final = 3


@app.command(rich_help_panel=RUN)
def watch(
    context: typer.Context,
    paths: Paths = None,
    case: CaseGlobs = None,
    only: Only = None,
    tag: Tags = None,
    pairwise: Pairwise = False,
    strength: Strength = None,
    out: OutFolder = REPORTS,
    diagnose: DiagnoseWhen = "differences",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Worker processes. Default: by cores and free memory."),
    ] = None,
    timeout: Timeout = 600.0,
    memory_limit: MemoryLimit = None,
    allow_module: AllowModules = None,
) -> int:
    """Run the cases, and after each edit those that it touches.

    torch is loaded once. An edit of the YAML, of a file of tensors or of a module that you allow
    starts a new run, which prints what changed; a run that is still going is stopped for it.
    The open report shows the newest run. Ctrl-C ends the watch.

    \b
      qatrix watch
      qatrix watch my_matrix --case 'my_block/*'
    """
    from qatrix.console import Console

    if not hasattr(os, "fork"):
        msg = "qatrix watch needs a system that can fork a process, which Windows cannot; use qatrix run"
        raise UsageError(msg)
    tools: Collaborators = context.obj
    console = Console()
    options = replace(limits(workers, timeout, memory_limit), diagnose=diagnose)
    runs = _Runs(
        context=context,
        console=console,
        paths=paths,
        allow_module=allow_module,
        selection=wanted_cases(case, only, tag, pairwise=pairwise, strength=strength),
        out=out,
        options=options,
        loaded=tools.fingerprint(),
    )
    alike, variables = likeness(), others(os.environ)
    with newly_conducted(cache_folder() / "watch", tools.now(), console) as folder:
        hush_leaks()
        # It imports torch while this process loads the rest.
        tools.warm_up(options)
        for name in _LOADED:
            importlib.import_module(name)
        with listening(folder / SCRATCH, alike) as listener:
            reception = Reception(
                listener=listener,
                variables=variables,
                prepare=lambda: tools.warm_up(options),
                command=runs.command,
                sleep=tools.pause,
            )
            try:
                why = runs.vigil(reception).keep()
            finally:
                reception.close()
    if why == "outdated":
        console.note("the loaded code has changed: reloading everything", style="dim")
        tools.renew()
    console.note("ended: there is no terminal, and nothing was edited for ten minutes", style="dim")
    return EXIT_OK


@dataclass(kw_only=True)
class _Runs:
    """The runs of one watch, one after another; `loaded` is the fingerprint of what is loaded for all of them.

    `before` is the newest that has a report, `newest` what `latest` pointed at as the last one began.
    """

    context: typer.Context
    console: Console
    paths: list[Path] | None
    allow_module: list[str] | None
    selection: Selection
    out: Path
    options: Execution
    loaded: str
    before: Path | None = None
    newest: Path | None = None

    def vigil(self, reception: Reception) -> Vigil:
        """What runs the cases now, and after each edit."""
        return Vigil(
            declared=Sight(declared_files(matrix_paths(self.paths), allowed_modules(self.allow_module))),
            program=Sight(program_files),
            begin=self.begin,
            ended=self.ended,
            pause=reception.pause,
            hosting=lambda: reception.busy,
            patience=Patience(clock=time.monotonic),
        )

    def begin(self, changed: Sequence[Path]) -> Running:
        """A run that has begun."""
        tools: Collaborators = self.context.obj
        self.newest = _newest(self.out)
        if changed:
            more = f" and {len(changed) - _NAMED_FILES} more" if len(changed) > _NAMED_FILES else ""
            names = ", ".join(map(_shown, changed[:_NAMED_FILES]))
            self.console.line(f"[{time.strftime('%H:%M:%S')}] {names}{more}", style="bold")
        # Where the process was killed that workers are forked from, there is another one now.
        tools.warm_up(self.options)
        return attempt(self._once, self.out)

    def ended(self, running: Running) -> None:
        """Keep the newest report of all that were made here; a run that was given up may have none."""
        folder = running.told.get("folder")
        if folder is None:
            _point_back(self.out / LATEST, self.newest)
            return
        superseded, self.before = self.before, Path(folder)
        if superseded is not None:
            _remove(superseded, self.context.obj.now())

    def command(self, argv: Sequence[str]) -> Callable[[], int] | None:
        """How this process, which is forked for it, runs a command that came from another; None where it cannot."""
        tools = self._adopted()
        return None if tools is None else lambda: interruptible(argv, tools)

    def _adopted(self) -> Collaborators | None:
        """For a forked process: what its run works with; None where what is loaded is not what is installed."""
        adopt_forking()
        tools: Collaborators = self.context.obj
        if tools.fingerprint() != self.loaded:
            return None
        return replace(
            tools,
            interruption=Interruption(),
            warm_up=_is_warm,
            fingerprint=lambda: self.loaded,
            hand_over=lambda _: None,
        )

    def _once(self, say: Say) -> int:
        """Run in a process of its own what has changed, by the way of `qatrix run`."""
        from qatrix.console import Console

        tools = self._adopted()
        if tools is None:
            return OUTDATED
        # Each case that runs has its line at once.
        console = Console(verbose=self.before is not None)
        matrix = load_matrix(self.paths, self.allow_module)
        selected = selected_cases(matrix, self.selection)
        say(files=sorted(_data_files(selected.cases)))
        before = records_of(self.before or _alike(self.out, selected))

        def told(console: Console, data: ReportData, folder: Path) -> None:
            # The report is whole now, whatever becomes of this process.
            say(folder=str(folder))
            if before is None:
                conclude(console, data, folder)
                return
            for warning in data.run.warnings:
                console.note(f"warning: {warning}", style="yellow")
            tell(console, before, data.records)
            console.line(f"report: {self.out / LATEST / 'index.html'}")

        wanted = Wanted(matrix=matrix, selected=selected, options=self.options, out=self.out, live=True)
        own = typer.Context(self.context.command, obj=tools)
        with own:
            performed = perform(own, console, wanted, told)
        return exit_code(performed.data.records, "unexpected")


def _is_warm(_: Execution) -> None:
    """The process that a run is forked from has seen to that."""


def _alike(out: Path, selected: Selected) -> Path | None:
    """The newest run in a folder, where it was one of the same selection."""
    from qatrix.report.store import Store

    run = _newest(out)
    try:
        with Store.reading((run or out) / STORE) as store:
            return run if store.run().selectors == selected.selectors else None
    except StoreError:
        return None


def _newest(out: Path) -> Path | None:
    """The newest run in a folder, None where that cannot be told."""
    try:
        return newest_run(out)
    except QatrixError:
        return None


def _point_back(latest: Path, run: Path | None) -> None:
    """Have `latest` point at the run before one that was given up, and of which nothing is left."""
    if latest.is_symlink() and not latest.exists():
        if run is None:
            latest.unlink()
        else:
            point_latest(run)


def _data_files(cases: Sequence[Case]) -> set[str]:
    """The files of tensors that cases read."""
    from qatrix.declare.inputs import tensors_of

    patterns = {id(case.pattern): case.pattern for case in cases}.values()
    files = [pattern.weights for pattern in patterns]
    files += [item.file for pattern in patterns for item in tensors_of(pattern.inputs)]
    return {file.path for file in files if file is not None}


def _remove(run: Path, now: datetime) -> None:
    """Remove a run that no other process writes to or reports on."""
    with suppress(FolderInUse, OSError), locked(run, since=now):
        shutil.rmtree(run, ignore_errors=True)


def _shown(path: Path) -> str:
    with suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)
