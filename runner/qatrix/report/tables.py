"""The run as data for programs: results.json and results.csv."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from qatrix import codec
from qatrix.outcomes import Environment, Run
from qatrix.report.frames import ReportData
from qatrix.report.frames.flat import flat_frames
from qatrix.report.spreadsheets import csv_text
from qatrix.text import printed_json

# Rows that are made at a time.
_CHUNK: Final = 5000


def results_json(data: ReportData) -> str:
    """Every fact of the run as strictly valid JSON; equal runs give equal texts.

    Beside the keys of `outcomes.Record` and `outcomes.Run` it has `unfinished`: the ids of
    the cases without a verdict; and `since`: what changed since the run's baseline.
    """
    return "".join(json_pieces(data))


def json_pieces(data: ReportData) -> Iterator[str]:
    """The text of `results_json` in pieces, a line per case, so that nobody has to hold all of it."""
    yield f'{{"run": {_dumped(_run(data.run), indent=1)},\n"cases": ['
    for place, record in enumerate(data.records):
        yield f"{',' if place else ''}\n{_dumped(codec.to_jsonable(record))}"
    since = None if data.since is None else codec.to_jsonable(data.since)
    yield f'],\n"unfinished": {_dumped(list(data.unfinished))},\n"since": {_dumped(since)}}}\n'


def results_csv(data: ReportData) -> str:
    """One row per case, one column per fact; an empty cell is "not measured"."""
    return "".join(csv_pieces(data))


def csv_pieces(data: ReportData) -> Iterator[str]:
    """The text of `results_csv` in pieces of many rows."""
    for number, frame in enumerate(flat_frames(data.records, size=_CHUNK)):
        yield csv_text(frame, header=number == 0)


def _dumped(content: object, indent: int | None = None) -> str:
    return printed_json(json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False))


def _run(run: Run) -> dict[str, Any]:
    return {**codec.to_jsonable(run), "environment": _environment(run.environment)}


def _environment(environment: Environment) -> dict[str, Any]:
    """Package versions beside python, platform and devices: one flat object to read and compare."""
    fields = codec.to_jsonable(environment)
    packages: dict[str, str | None] = fields.pop("packages")
    return {**packages, **fields}
