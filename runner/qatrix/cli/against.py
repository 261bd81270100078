"""The verb for whoever changes a package: the same cases with it as it was, and as it is now."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix.cli import COMPARE, app
from qatrix.cli.comparing import tell_comparison
from qatrix.cli.options import REPORTS, AllowModules, CaseGlobs, Only, Paths, Tags, Workers
from qatrix.cli.scope import Change, Wanted, changed
from qatrix.cli.sides import Side, installed, overlay, own_qatrix, packages_in
from qatrix.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, EnvironmentUnusable, UsageError

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.report.compare import RunComparison

# What either side ends with where its run came to its end; what is unexpected on both is no news.
_ENDED: Final = frozenset({EXIT_OK, EXIT_UNEXPECTED})


@app.command(rich_help_panel=COMPARE)
def against(
    paths: Paths = None,
    head: Annotated[
        Path | None,
        typer.Option(
            "--head", metavar="FOLDER", help="A checkout with the changed package, such as ../ao. It is not installed."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", metavar="FOLDER", help="A checkout with the package as it was. Default: the installed package."
        ),
    ] = None,
    package: Annotated[
        str | None,
        typer.Option(
            "--package", metavar="NAME==VERSION", help="The release that the base has in place of the installed one."
        ),
    ] = None,
    base_python: Annotated[
        Path | None, typer.Option("--base-python", metavar="PATH", help="The Python of the base. Default: this one.")
    ] = None,
    head_python: Annotated[
        Path | None, typer.Option("--head-python", metavar="PATH", help="The Python of the head. Default: this one.")
    ] = None,
    case: CaseGlobs = None,
    only: Only = None,
    tag: Tags = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where both runs and their comparison go.")
    ] = REPORTS / "against",
    workers: Workers = None,
    allow_module: AllowModules = None,
) -> int:
    """Run cases with a package as it was and as you changed it.

    It says what your change altered. This qatrix judges both sides. It keeps the results of the
    base, so a second call runs only the head. Cases that load none of the changed code do not
    run, and comments and docstrings are no code. DIR/compare.md fits into a comment on a pull
    request. The exit code is 1 if a case is newly unexpected or got worse.

    \b
      qatrix against --head ../ao
      qatrix against --base ../ao-main --head ../ao
      qatrix against --head ../ao --package torchao==0.17.0 --case 'conv_bn*'
      qatrix against --base-python old/bin/python --tag full
    """
    from qatrix.console import Console

    console = Console()
    pythons = (str(base_python or sys.executable), str(head_python or sys.executable))
    if head is None and base is None and package is None and pythons[0] == pythons[1]:
        msg = "both sides would be the same; name --head FOLDER, --package NAME==VERSION, or another Python"
        raise UsageError(msg)
    sides = _sides(out.resolve(), base=base, head=head, package=package, pythons=pythons)
    wanted = Wanted(
        paths=tuple(map(str, paths or ())),
        cases=tuple(case or ()),
        only=tuple(only or ()),
        tags=tuple(tag or ()),
        allowed=tuple(allow_module or ()),
    )
    change = changed(sides, wanted) if head is not None and set(pythons) == {sys.executable} else Change(wanted=wanted)
    for note in change.notes:
        console.line(note)
    if change.wanted is None:
        return EXIT_OK
    arguments = [*change.wanted.arguments, *(["--workers", str(workers)] if workers is not None else [])]
    for side in sides:
        _demand_run(console, side, [*arguments, "--fail-on", "never", "--out", str(out / side.name)])
    return _compared(console, out, change.notes)


def _sides(
    out: Path, *, base: Path | None, head: Path | None, package: str | None, pythons: tuple[str, str]
) -> tuple[Side, Side]:
    folder = out / "packages"
    alone = own_qatrix(folder)
    older = () if package is None else (installed(folder, package),)
    was = () if base is None else (overlay(folder, packages_in(base, "--base"), name="base"),)
    newer = () if head is None else (overlay(folder, packages_in(head), name="head"),)
    return (
        Side(name="base", python=pythons[0], folders=(alone, *was, *older)),
        Side(name="head", python=pythons[1], folders=(alone, *newer)),
    )


def _demand_run(console: Console, side: Side, arguments: list[str]) -> None:
    console.line(f"{side.name}:", style="bold")
    console.flush()
    code = side.run(["run", *arguments])
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code not in _ENDED:
        msg = f"the run of the {side.name} ended with exit code {code}; its messages above say why"
        raise EnvironmentUnusable(msg)


def _compared(console: Console, out: Path, notes: tuple[str, ...]) -> int:
    from qatrix.cli.newest import run_store
    from qatrix.report.compare import REGRESSIONS, cause_lines, compare, read_sides, write_comparison

    comparison: RunComparison = compare(
        read_sides([run_store(out / name / "latest") for name in ("base", "head")], ("base", "head"))
    )
    causes = cause_lines(comparison.remarkable)
    comparison = replace(comparison, notes=(*notes, *causes))
    if not comparison.remarkable:
        console.line("nothing changed: every verdict and every figure is the same", style="bold green")
    else:
        tell_comparison(console, comparison)
        for cause in causes:
            console.line(f"  {cause}")
    paths = write_comparison(comparison, out)
    console.line(f"\n{paths[0]}")
    return EXIT_UNEXPECTED if comparison.has(*REGRESSIONS) else EXIT_OK
