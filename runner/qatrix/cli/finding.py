"""The verb that lists causes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qatrix.cli import app
from qatrix.cli.plans import STORE
from qatrix.errors import EXIT_OK


@app.command()
def findings(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="The folders of runs, or their run.sqlite; the first has the figures."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the page goes. Default: standard output.")
    ] = None,
) -> int:
    """List the causes of expected differences as Markdown: why, cases, figures, releases, a script.

    A cause is what expectations with the same `because` have in common; only cases that ended
    as expected count.

    \b
      qatrix findings reports/latest
      qatrix findings torch215/latest torch29/latest torch25/latest --out docs/findings.md
    """
    from qatrix.console import Console
    from qatrix.report.files import make_folder, write_file
    from qatrix.report.findings import findings as found
    from qatrix.report.findings import findings_markdown, read_runs

    text = findings_markdown(found(read_runs([path / STORE if path.is_dir() else path for path in runs])))
    console = Console()
    if out is None:
        console.text(text)
    else:
        make_folder(out.parent)
        write_file(out, text)
        console.line(str(out))
    return EXIT_OK
