"""The verb that lists causes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qatrix.cli import LOOK, app
from qatrix.cli.newest import run_store
from qatrix.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from qatrix.report.findings import Page


@app.command(rich_help_panel=LOOK)
def findings(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="The folders of runs, or their run.sqlite; the first has the figures."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the page goes, with a folder of scripts beside it. Default: standard output, without scripts.",
        ),
    ] = None,
) -> int:
    """List the causes of expected differences as Markdown.

    Each has its reason, cases, figures, releases and a script.

    Expectations with the same `because` are one cause; only cases that ended as expected
    count. The scripts go to a folder named like the page without its ending;
    scripts of an earlier page that are no longer needed are removed, and nothing else.

    \b
      qatrix findings reports/latest
      qatrix findings torch215/latest torch29/latest torch25/latest --out docs/findings.md
    """
    from qatrix.console import Console
    from qatrix.report.findings import findings as found
    from qatrix.report.findings import findings_page, read_runs

    folder = None if out is None else _folder_beside(out)
    causes = found(read_runs([run_store(path) for path in runs]))
    page = findings_page(causes, scripts=None if folder is None else folder.name)
    console = Console()
    if out is None or folder is None:
        console.text(page.text)
    else:
        _write(page, out, folder)
        console.line(str(out))
    return EXIT_OK


def _folder_beside(page: Path) -> Path:
    """Where the scripts of a page go. Raises UsageError where the page itself has that name."""
    if not page.suffix:
        msg = f"{page} needs an ending, such as {page}.md: the folder of its scripts has its name without one"
        raise UsageError(msg)
    return page.with_suffix("")


def _write(page: Page, out: Path, folder: Path) -> None:
    """Write the scripts, then the page that links to them, then remove those to which it no longer links.

    Raises OutputError, and UsageError where a script would replace a file that is not of this command.
    """
    from qatrix.report.files import make_folder, make_own_folder, write_file

    earlier = set() if folder.is_symlink() else {path for path in folder.glob("*.py") if _is_own(path)}
    scripts = {folder / name: text for name, text in page.scripts.items()}
    _refuse_others(scripts.keys() - earlier)
    make_folder(out.parent)
    if scripts:
        make_own_folder(folder)
    for path, text in {**scripts, out: page.text}.items():
        write_file(path, text)
    for path in earlier - scripts.keys():
        path.unlink(missing_ok=True)


def _is_own(path: Path) -> bool:
    """Whether a file is a script that this command wrote: it begins as they all do."""
    from qatrix.report.findings import MARK

    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()


def _refuse_others(paths: Iterable[Path]) -> None:
    """Raises UsageError where there is something already."""
    for path in sorted(paths):
        if path.is_symlink() or path.exists():
            msg = f"{path} is not a script that qatrix findings wrote; move it, or name another page with --out"
            raise UsageError(msg)
