"""The verb that puts runs beside one another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from qatrix.cli import COMPARE, app
from qatrix.cli.newest import run_store
from qatrix.cli.options import REPORTS
from qatrix.errors import EXIT_OK, EXIT_UNEXPECTED

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.report.compare import Kind, Pair, RunComparison

# Cases that the terminal names; the page has all.
_NAMED: Final = 20


@app.command(rich_help_panel=COMPARE)
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="The folders of two runs or more, or their run.sqlite; the baseline first."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where compare.html, compare.md and compare.json go.")
    ] = REPORTS / "compare",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="What to call a run, once for each. Default: its torch release."),
    ] = None,
    fail_on: Annotated[
        Literal["worse", "changed", "never"],
        typer.Option(
            "--fail-on",
            help="What gives exit code 1: a case that is newly unexpected or worse, any change beyond figures, "
            "or nothing.",
        ),
    ] = "worse",
) -> int:
    """Compare runs: what got better or worse, and why.

    Cases are matched by their id; each run is compared with the one before it. A case that is
    unexpected now, but was not before, is newly unexpected, whatever its verdict.

    \b
      qatrix compare reports/20260827-101500 reports/latest
      qatrix compare torch29 torch211 torch215 --out reports/releases
      qatrix compare main/run.sqlite reports/latest --label main --label branch
    """
    from qatrix.console import Console
    from qatrix.report.compare import compare as compared
    from qatrix.report.compare import read_sides, write_comparison

    stores = [run_store(path) for path in runs]
    comparison = compared(read_sides(stores, label or ()))
    console = Console()
    tell_comparison(console, comparison)
    paths = write_comparison(comparison, out)
    console.line(f"\n{paths[0]}")
    return EXIT_UNEXPECTED if comparison.has(*_failures(fail_on)) else EXIT_OK


# Cases that a run was not to look at say nothing about it.
_UNREMARKABLE: Final[frozenset[Kind]] = frozenset({"figures", "unselected", "selected", "same"})


def _failures(fail_on: Literal["worse", "changed", "never"]) -> tuple[Kind, ...]:
    from qatrix.report.compare import KINDS, REGRESSIONS

    if fail_on == "never":
        return ()
    return REGRESSIONS if fail_on == "worse" else tuple(kind for kind in KINDS if kind not in _UNREMARKABLE)


def tell_comparison(console: Console, comparison: RunComparison) -> None:
    """Say how many cases went which way, and which."""
    from qatrix.report.compare import KINDS
    from qatrix.report.figures import counted
    from qatrix.report.sentences import standing

    for pair in comparison.pairs:
        counts = ", ".join(f"{count} {KINDS[kind].word}" for kind, count in pair.counts.items())
        console.line(f"{pair.before} → {pair.after}: {counted(pair.total, 'case')}: {counts or 'none'}", style="bold")
    for item in comparison.processors:
        console.line(f"  {item.name}: {' → '.join(item.values)}")
    for pair in comparison.pairs:
        _tell_support(console, pair)
    rows = [row for row in comparison.remarkable if row.kind not in _UNREMARKABLE]
    for row in rows[:_NAMED]:
        verdicts = " → ".join(map(standing, row.records))
        console.line(f"  {KINDS[row.kind].glyph} {row.case_id}: {verdicts}")
    if len(rows) > _NAMED:
        console.line(f"  … and {len(rows) - _NAMED} more")


def _tell_support(console: Console, pair: Pair) -> None:
    """What the later of two runs gained and lost in what runs in integers where."""
    for change in pair.support[:_NAMED]:
        console.line(f"  {change.glyph} {change.where}: {change.says}")
    if len(pair.support) > _NAMED:
        console.line(f"  … and {len(pair.support) - _NAMED} more in the support table")
