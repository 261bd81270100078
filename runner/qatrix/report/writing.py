"""The derived files of a run, written whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from qatrix.errors import OutputError
from qatrix.report.frames import ReportData, read_store
from qatrix.report.html import index_html, side_files
from qatrix.report.junit import junit_xml
from qatrix.report.markdown import summary_md
from qatrix.report.tables import csv_pieces, json_pieces

RENDERERS: Final[Mapping[str, Callable[[ReportData], str | Iterable[str]]]] = {
    "index.html": index_html,
    "results.json": json_pieces,
    "results.csv": csv_pieces,
    "junit.xml": junit_xml,
    "summary.md": summary_md,
}


def write_reports(store_path: Path, out: Path) -> ReportData:
    """Write every report of the run in the store into the folder `out`; returns what they show.

    A run that was interrupted is reported as far as it got. Raises StoreError where the
    store cannot be read and OutputError where a file cannot be written; a file is then
    either the old one or the new one, never a half.
    """
    with _no_search_for_cycles():
        data = read_store(store_path)
        _make(out)
        _write_sides(out / "data", data)
        for name, render in RENDERERS.items():
            _write(out / name, render(data))
    return data


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Records have no cycles, and of many millions of objects the search for some takes a quarter of the time."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder} cannot be made: {error.strerror}; name another folder with --out"
        raise OutputError(msg) from error


def _write_sides(folder: Path, data: ReportData) -> None:
    """The files beside the page, where a report is large; those of an earlier one go."""
    stale = set(folder.glob("rows.js")) | set(folder.glob("cases-*.js"))
    for name, text in side_files(data):
        _make(folder)
        path = folder / name
        _write(path, text)
        stale.discard(path)
    for path in stale:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str | Iterable[str]) -> None:
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        # In JSON and in text alike, backslashes keep what UTF-8 cannot hold: lone surrogates.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.writelines((text,) if isinstance(text, str) else text)
        # mkstemp makes files for their owner only; a report is for everyone.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}; check that the disk has room and the folder is writable"
        raise OutputError(msg) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
