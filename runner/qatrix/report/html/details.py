"""Every fact of each case: which stand in the page as they are, and how the others are packed."""

from __future__ import annotations

import base64
import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from qatrix.outcomes import UNREMARKABLE, Record
from qatrix.report.frames import ReportData
from qatrix.report.html.rows import embeddable, rows_json

# Up to this many cases a report is one file.
ONE_FILE: Final = 2000
# Cases whose facts are packed together: what one click has to unpack.
BLOCK: Final = 250
# What the files beside a page are known by: their names, and how they begin.
SIDE_NAMED: Final = re.compile(r"(?:rows|cases-\d{3,})\.js")
SIDE_MARKED: Final = re.compile(rb"\A\(globalThis\.qatrixParts \?\?= ")
# What stands in the page without a script, in characters.
_SMALLEST: Final = 3000
_STATIC: Final = {False: 700_000, True: 300_000}

Render = Callable[[Record], str]


def is_large(data: ReportData) -> bool:
    """Whether the report keeps its rows and facts in files beside the page."""
    return len(data.records) > ONE_FILE


def remarkable(data: ReportData) -> tuple[Record, ...]:
    """The cases that someone will look at, unexpected ones first."""
    known = (record for record in data.records if not record.unexpected and record.verdict not in UNREMARKABLE)
    return (*data.unexpected, *known)


def static_facts(data: ReportData, render: Render) -> dict[str, str]:
    """The facts of remarkable cases by case id, as many as keep the page small."""
    room, facts = _STATIC[is_large(data)], {}
    for record in remarkable(data):
        text = render(record)
        if len(text) <= room:
            room -= len(text)
            facts[record.case_id] = text
        # What little may be left is not worth rendering thousands of cases that do not fit.
        if room < _SMALLEST:
            break
    return facts


def blocks(records: Sequence[Record], render: Render) -> Iterator[tuple[str, str]]:
    """Name and packed text of each block of facts."""
    for number, start in enumerate(range(0, len(records), BLOCK)):
        part = itertools.islice(records, start, start + BLOCK)
        yield f"cases-{number:03}", packed(embeddable([render(record) for record in part]))


def side_files(data: ReportData) -> Iterator[tuple[str, str]]:
    """Name and text of the files in `data/` beside a page of very many cases; none for others.

    They are scripts since a page that is opened from a folder may read nothing else.
    """
    from qatrix.report.html.page import case_facts

    if not is_large(data):
        return
    yield "rows.js", _script("rows", packed(rows_json(data, sides=True, block=BLOCK)))
    for name, text in blocks(data.records, case_facts(data)):
        yield f"{name}.js", _script(name, text)


def packed(text: str) -> str:
    """The text, compressed, as letters."""
    return base64.b64encode(zlib.compress(text.encode("utf-8", "backslashreplace"), 6)).decode("ascii")


def _script(name: str, text: str) -> str:
    return f'(globalThis.qatrixParts ??= {{}})["{name}"] = "{text}";\n'
