"""The derived files of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from qatrix.cycles import no_search_for_cycles
from qatrix.errors import OutputError
from qatrix.report.changes import Since
from qatrix.report.files import make_folder, make_own_folder, own_files, remove_files, write_file
from qatrix.report.frames import ReportData, read_store
from qatrix.report.html import NEWS, SIDE_MARKED, SIDE_NAMED, index_html, news_js, side_files
from qatrix.report.junit import junit_pieces
from qatrix.report.links import report_page
from qatrix.report.markdown import summary_md
from qatrix.report.past import read_past
from qatrix.report.repro import FOLDER, write_scripts
from qatrix.report.tables import csv_pieces, json_pieces

# Take the difference that the run's store has kept, or none.
KeptSince = Literal["kept"] | None
# The page last: it is the one that has most to draw.
RENDERERS: Final[Mapping[str, Callable[[ReportData], str | Iterable[str]]]] = {
    "results.json": json_pieces,
    "results.csv": csv_pieces,
    "junit.xml": junit_pieces,
    "summary.md": summary_md,
    "index.html": index_html,
}


def write_reports(store_path: Path, out: Path, since: Since | KeptSince = "kept") -> ReportData:
    """Write every report of the run in the store into the folder `out`; returns what they show.

    What changed is told since the baseline that the store has kept, unless `since` is another or None. A run that
    was interrupted is reported as far as it got. Raises StoreError where the store cannot be read and OutputError
    where a file cannot be written; a file is then either the old one or the new one, never a half.
    """
    data = write_results(store_path, out, since)
    return write_scripted(data, out)


def write_results(
    store_path: Path,
    out: Path,
    since: Since | KeptSince = "kept",
    *,
    live: bool = False,
    scripts: Callable[[ReportData], Mapping[str, str]] | None = None,
) -> ReportData:
    """Write the reports alone, without the files of scripts that they link to. Raises StoreError and OutputError.

    A page that is `live` shows the reports that are written in its place after it, as soon as they are. Where
    `scripts` are known already for this data, their files are written, too, before the page that links to them.
    """
    with no_search_for_cycles():
        data = replace(_beside(read_store(store_path), store_path, out, since), live=live)
        make_folder(out)
        if scripts is not None and (known := scripts(data)):
            # Where they cannot be written, the report is whole without them.
            with contextlib.suppress(OutputError):
                data = write_scripted(replace(data, scripts=known), out)
        _write_sides(out / "data", data)
        for name, render in RENDERERS.items():
            write_file(out / name, render(data))
        if live:
            # Pages that are open look for it, and find all else in place then.
            write_file(out / NEWS, news_js(data.run.id))
    return data


def write_scripted(data: ReportData, out: Path, *, anew: bool = False) -> ReportData:
    """Write the scripts and bug reports; the page once more where it lacks a note on them, or `anew`.

    What comes back has the notes on bug reports that could not be made. Raises OutputError.
    """
    with no_search_for_cycles():
        records = {record.case_id: record for record in data.records}
        environment, command = data.run.environment, data.run.command
        failed = write_scripts(out / FOLDER, data.scripts, records=records, environment=environment, command=command)
        told = replace(data, script_notes={**data.script_notes, **failed})
        if anew or told.script_notes != data.script_notes:
            _write_sides(out / "data", told)
            write_file(out / "index.html", index_html(told))
    return told


def _beside(data: ReportData, store: Path, out: Path, since: Since | KeptSince) -> ReportData:
    """The data with what the runs before this one had, and where their reports are."""
    told = data.since if since == "kept" else since
    page = None if told is None else report_page(store.parent / told.folder, out)
    past = read_past(store, data.run, data.records, data.pipelines, out)
    return replace(data, since=told, since_page=page, past=past)


def _write_sides(folder: Path, data: ReportData) -> None:
    """The files beside the page, where a report is large; those of an earlier one go, and no others."""
    stale = own_files(folder, named=SIDE_NAMED, marked=SIDE_MARKED)
    for name, text in side_files(data):
        make_own_folder(folder)
        path = folder / name
        write_file(path, text)
        stale.discard(path)
    remove_files(stale)
