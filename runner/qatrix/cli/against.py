"""The verb for whoever changes a package: the same cases with it as it was, and as it is now."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix.cli import COMPARE, app
from qatrix.cli.comparing import tell_comparison
from qatrix.cli.options import REPORTS, AllowModules, CaseGlobs, Only, Paths, Tags, Workers
from qatrix.cli.sides import Side, installed, overlay, own_qatrix, packages_in, place_of, same_code
from qatrix.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, EnvironmentUnusable, UsageError

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.report.compare import RunComparison

# Causes that the terminal names.
_TOLD: Final = 5
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
    base, so a second call runs only the head. If the two differ only in
    comments and docstrings, nothing runs. DIR/compare.md fits into a comment on a pull request. The exit code is 1 if
    a case is newly unexpected or got worse.

    \b
      qatrix against --head ../ao
      qatrix against --head ../ao --package torchao==0.17.0 --case 'conv_bn*'
      qatrix against --base-python old/bin/python --tag full
    """
    from qatrix.console import Console

    console = Console()
    if head is None and package is None and base_python is None and head_python is None:
        msg = "both sides would be the same; name --head FOLDER, --package NAME==VERSION, or another Python"
        raise UsageError(msg)
    sides = _sides(out.resolve(), head=head, package=package, base_python=base_python, head_python=head_python)
    base, changed = sides
    if head is not None and base.python == changed.python and _is_same_code(head, base):
        console.line("nothing changed: the code of both sides is the same, comments and docstrings apart")
        return EXIT_OK
    arguments = [
        *map(str, paths or ()),
        *_repeated("--case", case),
        *_repeated("--only", only),
        *_repeated("--tag", tag),
        *_repeated("--allow-module", allow_module),
        *(["--workers", str(workers)] if workers is not None else []),
    ]
    for side in sides:
        _demand_run(console, side, [*arguments, "--fail-on", "never", "--out", str(out / side.name)])
    return _compared(console, out)


def _sides(
    out: Path, *, head: Path | None, package: str | None, base_python: Path | None, head_python: Path | None
) -> tuple[Side, Side]:
    folder = out / "packages"
    alone = own_qatrix(folder)
    older = () if package is None else (installed(folder, package),)
    newer = () if head is None else (overlay(folder, packages_in(head), name="head"),)
    return (
        Side(name="base", python=str(base_python or sys.executable), folders=(alone, *older)),
        Side(name="head", python=str(head_python or sys.executable), folders=(alone, *newer)),
    )


def _is_same_code(head: Path, base: Side) -> bool:
    """Whether a checkout has no other code than the base, so that no case can differ."""
    places = {name: (path, place_of(name, base.folders)) for name, path in packages_in(head).items()}
    return all(other is not None and same_code(path, other) for path, other in places.values())


def _repeated(option: str, values: list[str] | None) -> list[str]:
    return [text for value in values or () for text in (option, value)]


def _demand_run(console: Console, side: Side, arguments: list[str]) -> None:
    console.line(f"{side.name}:", style="bold")
    console.flush()
    code = side.run(["run", *arguments])
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code not in _ENDED:
        msg = f"the run of the {side.name} ended with exit code {code}; its messages above say why"
        raise EnvironmentUnusable(msg)


def _compared(console: Console, out: Path) -> int:
    from qatrix.cli.newest import run_store
    from qatrix.report.compare import REGRESSIONS, compare, read_sides, write_comparison
    from qatrix.report.figures import counted

    comparison: RunComparison = compare(
        read_sides([run_store(out / name / "latest") for name in ("base", "head")], ("base", "head"))
    )
    if not comparison.remarkable:
        console.line("nothing changed: every verdict and every figure is the same", style="bold green")
    else:
        tell_comparison(console, comparison)
        for sentence, count in _causes(comparison).most_common(_TOLD):
            console.line(f"  {counted(count, 'case')}: {sentence}")
    paths = write_comparison(comparison, out)
    console.line(f"\n{paths[0]}")
    return EXIT_UNEXPECTED if comparison.has(*REGRESSIONS) else EXIT_OK


def _causes(comparison: RunComparison) -> Counter[str]:
    """Why the head's pipelines differ in cases that changed, with the number of these; only causes that are known."""
    records = (row.records[-1] for row in comparison.remarkable)
    diagnoses = (record.diagnosis for record in records if record is not None and record.diagnosis is not None)
    return Counter(
        sentence
        for diagnosis in diagnoses
        for sentence in {
            item.sentence for item in diagnosis.causes if item.explains_first and item.kind != "unexplained"
        }
    )
