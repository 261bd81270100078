"""The verb that lists causes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix.cli import LOOK, app
from qatrix.cli.newest import run_store
from qatrix.errors import EXIT_OK, UsageError
from qatrix.files import NotPlain, open_plain

if TYPE_CHECKING:
    from qatrix.report.findings import FindingsDocument, Page

_JSON: Final = ".json"
# 3,266 cases have findings of one megabyte.
_LARGEST: Final = 64 * 2**20


@app.command(rich_help_panel=LOOK)
def findings(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="The folders of runs, or their run.sqlite; the first has the figures. Or one FILE.json of --out.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the page goes, with a folder of scripts beside it; FILE.json gets all of it as data. "
            "Default: standard output, without scripts.",
        ),
    ] = None,
) -> int:
    """List the causes of expected differences as Markdown.

    Each comes with its impact, what to do, why, cases, figures, releases and a script.

    Expectations that name one cause, or have the same `because`, are one cause; only cases that
    ended as expected count. The scripts go into a folder named as the page without its ending;
    those of an earlier page that are no longer needed are removed from it, and nothing else.

    \b
      qatrix findings reports/latest
      qatrix findings torch215/latest torch29/latest torch25/latest --out findings.json
      qatrix findings findings.json --out findings.md
    """
    from qatrix.console import Console
    from qatrix.report.files import make_folder, write_file
    from qatrix.report.findings import as_json, document_page

    console = Console()
    if out is None:
        console.text(document_page(_document(runs)).text)
        return EXIT_OK
    if out.suffix == _JSON:
        text = as_json(_document(runs))
        make_folder(out.parent)
        write_file(out, text)
    else:
        folder = _folder_beside(out)
        _write(document_page(_document(runs), scripts=folder.name), out, folder)
    console.line(str(out))
    return EXIT_OK


def _document(runs: list[Path]) -> FindingsDocument:
    """The findings of the runs, or those of a file. Raises UsageError, and StoreError."""
    from qatrix.report.findings import document, findings, read_runs

    files = [path for path in runs if path.suffix == _JSON]
    if not files:
        return document(findings(read_runs([run_store(path) for path in runs])))
    if len(runs) > 1:
        msg = f"{files[0]} already has the findings of its runs; name it alone, or name runs"
        raise UsageError(msg)
    return _read(files[0])


def _read(path: Path) -> FindingsDocument:
    """The findings of a file. Raises UsageError where it is none that this command wrote."""
    from qatrix.report.findings import from_json

    try:
        with open_plain(path, largest=_LARGEST) as file:
            text = file.read(_LARGEST).decode("utf-8")
    except NotPlain as error:
        msg = f"{path} cannot be read: it {error}"
        raise UsageError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(msg) from error
    return from_json(text)


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
