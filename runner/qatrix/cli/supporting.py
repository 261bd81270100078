"""The verb that prints what runs in integers where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from qatrix.cli import LOOK, app
from qatrix.cli.newest import run_store
from qatrix.cli.options import LATEST_RUN
from qatrix.errors import EXIT_OK, UsageError


@app.command(rich_help_panel=LOOK)
def support(
    run: Annotated[
        Path, typer.Argument(metavar="[RUN]", help="The folder of a run, or its run.sqlite. Default: reports/latest.")
    ] = LATEST_RUN,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where the Markdown goes. Default: standard output."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write a CSV file, with a row for each cell.")
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="Take only this runtime, by its name in YAML or its own, e.g. executorch. Repeatable.",
        ),
    ] = None,
    quantizer: Annotated[
        list[str] | None,
        typer.Option("--quantizer", metavar="NAME", help="Take only this quantizer. Repeatable."),
    ] = None,
) -> int:
    """Print a table of what runs in integers where.

    It has a row for each pattern, and a column for each quantizer and each pipeline on its
    runtime. It is made from the cases of a run that have a runtime. A cell says what its worst
    case is computed in (integers, partly, float, or that it fails), the lowest SQNR in the
    runtime against the float model, and by how many quantization steps the runtime differs
    from its reference at most.

    \b
      qatrix support
      qatrix support reports/latest --runtime executorch --quantizer xnnpack_int8_per_channel_ptq
      qatrix support --out support.md --csv support.csv
    """
    from qatrix.console import Console
    from qatrix.report.files import make_folder, write_file
    from qatrix.report.frames import patterns_about, read_store
    from qatrix.report.support import known_names, support_csv, support_page, support_table

    data = read_store(run_store(run))
    names = known_names(data.records)
    if not data.support:
        msg = f"no case of {run} has a runtime; run a suite with the axis runtime, such as qatrix run --tag full"
        raise UsageError(msg)
    _demand(runtime or (), names.runtimes, "runtime")
    _demand(quantizer or (), names.quantizers, "quantizer")
    table = support_table(
        data.records, about=patterns_about(data.excerpts), runtimes=runtime or (), quantizers=quantizer or ()
    )
    if not table:
        msg = f"no case of {run} has any of these quantizers with any of these runtimes; leave one of the options out"
        raise UsageError(msg)
    console, page = Console(), support_page(table, data.run)
    if out is None:
        console.text(page.rstrip())
    for path, text in ((out, page), (csv, support_csv(table))):
        if path is not None:
            make_folder(path.parent)
            write_file(path, text)
            # Beside the page on standard output, a path would be a part of it.
            console.note(str(path)) if out is None else console.line(str(path))
    return EXIT_OK


def _demand(chosen: Sequence[str], known: Sequence[str], noun: str) -> None:
    """Raises UsageError for a name that the run does not have."""
    import difflib

    from qatrix.report.figures import listed

    for name in chosen:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            nearest = f"; did you mean {close[0]}?" if close else ""
            msg = f"no case of this run has the {noun} {name}; it has {listed(known)}{nearest}"
            raise UsageError(msg)
