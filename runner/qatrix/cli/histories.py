"""The verb that looks back over many runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from qatrix.cli import COMPARE, app
from qatrix.cli.options import REPORTS
from qatrix.errors import EXIT_OK, EXIT_UNEXPECTED

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.report.history import CaseHistory, History

# Cases that the terminal names of each kind, and runs that it shows of each; the page has all.
_NAMED: Final = 20
_RUNS: Final = 40
_WORDS: Final = {"flaky": "flaky", "changed": "changed", "steady": "steady", "once": "seen once"}


@app.command(rich_help_panel=COMPARE)
def history(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A folder that holds runs, at any depth. Default: reports.")
    ] = REPORTS,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where history.html and history.json go. Default: DIR/history."),
    ] = None,
    fail_on: Annotated[
        Literal["worse", "flaky", "changed", "never"],
        typer.Option(
            "--fail-on",
            help="What gives exit code 1: a case that got worse or is flaky, a flaky one, also any that changed, or "
            "nothing.",
        ),
    ] = "worse",
) -> int:
    """Show every case's verdicts over many runs.

    A case is flaky when its verdict changes although neither the environment nor the matrix
    has changed since the previous run. It got worse if it is unexpected now and was not
    earlier, or if its verdict got worse with the last run.

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
    return EXIT_UNEXPECTED if any(_fails(case, fail_on) for case in found.cases) else EXIT_OK


def _fails(case: CaseHistory, fail_on: Literal["worse", "flaky", "changed", "never"]) -> bool:
    if fail_on == "never":
        return False
    wavers = case.steadiness == "flaky"
    return wavers or (fail_on == "worse" and case.is_worse) or (fail_on == "changed" and bool(case.changes))


def _tell(console: Console, found: History) -> None:
    from qatrix.report.figures import counted
    from qatrix.report.history.data import STEADINESS, told, way
    from qatrix.report.vocabulary import VERDICTS

    for sentence in found.left_out:
        console.note(f"left out: {sentence}", style="yellow")
    first, last = found.runs[0].run.started, found.runs[-1].run.started
    console.line(f"{counted(len(found.runs), 'run')} from {first} to {last}", style="bold")
    counts = [f"{len(found.worse)} worse", *(f"{len(found.of(kind))} {_WORDS[kind]}" for kind in STEADINESS)]
    console.line(f"{counted(len(found.cases), 'case')}: {', '.join(counts)}")
    # Each case is named once, in the first group that it is in.
    groups = {"worse": found.worse} | {
        kind: tuple(case for case in found.of(kind) if not case.is_worse) for kind in ("flaky", "changed")
    }
    for kind, cases in groups.items():
        if cases:
            console.line(f"\n{kind}:", style="bold" if kind == "changed" else "bold red")
        for case in cases[:_NAMED]:
            strip = "".join(VERDICTS[stop.verdict].glyph if stop else "·" for stop in case.stops[-_RUNS:])
            console.line(f"  {strip}  {case.case_id}")
            change = next(item for item in reversed(case.changes) if item.is_flaky or kind != "flaky")
            console.line(f"      {way(change)} {told(change, found.runs)}", style="dim")
        if len(cases) > _NAMED:
            console.line(f"  … and {len(cases) - _NAMED} more")
