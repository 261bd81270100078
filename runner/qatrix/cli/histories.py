"""The verb that looks back over many runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from qatrix.cli import app
from qatrix.cli.options import REPORTS
from qatrix.errors import EXIT_OK, EXIT_UNEXPECTED

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.report.history import History

# Cases that the terminal names of each kind, and runs that it shows of each; the page has all.
_NAMED: Final = 20
_RUNS: Final = 40


@app.command()
def history(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A folder that holds runs, at any depth. Default: reports.")
    ] = REPORTS,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where history.html and history.json go. Default: DIR/history."),
    ] = None,
    fail_on: Annotated[
        Literal["flaky", "changed", "never"],
        typer.Option("--fail-on", help="What gives exit code 1: a case that wavers, any that changed, or nothing."),
    ] = "flaky",
) -> int:
    """Show every case's verdicts over many runs, those first that change without a reason.

    A case wavers when its verdict is another one although neither the environment nor the
    matrix has changed since the run before.

    \b
      qatrix history
      qatrix history nightly --out public/history --fail-on never
    """
    from qatrix.console import Console
    from qatrix.report.history import history as looked_back
    from qatrix.report.history import read_runs, write_history

    found = looked_back(*read_runs(folder))
    console = Console()
    _tell(console, found)
    paths = write_history(found, folder / "history" if out is None else out)
    console.line(f"\n{paths[0]}")
    failing = {"flaky": ("flaky",), "changed": ("flaky", "changed"), "never": ()}[fail_on]
    return EXIT_UNEXPECTED if any(case.steadiness in failing for case in found.cases) else EXIT_OK


def _tell(console: Console, found: History) -> None:
    from qatrix.report.figures import counted
    from qatrix.report.history.data import told
    from qatrix.report.vocabulary import VERDICTS

    for sentence in found.left_out:
        console.note(f"left out: {sentence}", style="yellow")
    first, last = found.runs[0].run.started, found.runs[-1].run.started
    console.line(f"{counted(len(found.runs), 'run')} from {first} to {last}", style="bold")
    counts = ", ".join(f"{len(found.of(kind))} {kind}" for kind in ("flaky", "changed", "steady"))
    console.line(f"{counted(len(found.cases), 'case')}: {counts}")
    for kind in ("flaky", "changed"):
        cases = found.of(kind)
        if cases:
            console.line(f"\n{kind}:", style="bold red" if kind == "flaky" else "bold")
        for case in cases[:_NAMED]:
            strip = "".join(VERDICTS[stop.verdict].glyph if stop else "·" for stop in case.stops[-_RUNS:])
            console.line(f"  {strip}  {case.case_id}")
            change = next(item for item in reversed(case.changes) if item.is_flaky or kind == "changed")
            words = f"{VERDICTS[change.before].word} → {VERDICTS[change.after].word}"
            console.line(f"      {words} {told(change, found.runs)}", style="dim")
        if len(cases) > _NAMED:
            console.line(f"  … and {len(cases) - _NAMED} more")
