"""The table of rows: for a terminal, as Markdown, and for programs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks.rows import Row

_MARKS: Final = {True: "✓", False: "✗", None: ""}
_STYLES: Final = {True: "green", False: "bold red", None: ""}


def machine(versions: Sequence[str]) -> str:
    """Where this was measured, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Then every process compiles what it imports anew, which takes seconds.
    bytecode = ["no bytecode kept"] if sys.dont_write_bytecode else []
    return ", ".join([f"{cores} cores of {_processor()}", f"Python {platform.python_version()}", *versions, *bytecode])


def _processor() -> str:
    """The processor's name where the system tells (Linux on x86), else its kind."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def terminal(rows: Sequence[Row], place: str) -> Group:
    """The table for a terminal."""
    table = Table("name", "what", "measured", "reach", "")
    for row in rows:
        mark = Text(_MARKS[row.reached], style=_STYLES[row.reached])
        table.add_row(*map(Text, (row.name, row.what, row.figure, row.reach)), mark)
    return Group(table, Text(f"Measured on {place}."))


def markdown(rows: Sequence[Row], place: str) -> str:
    """The table as Markdown, and below it how each row was measured."""
    lines = [
        f"Measured by `tox -e bench` on {place}.",
        "",
        "| what | measured | reach | |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = (_cell(row.what), _cell(row.figure), _cell(row.reach), _MARKS[row.reached])
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "How each was measured:", "", *(f"- {row.what}: {row.how}" for row in rows if row.how)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A text that stays within its cell: what a failed process printed has lines and bars."""
    return " ".join(text.split()).replace("|", "\\|")


def as_json(rows: Sequence[Row], place: str) -> str:
    """The table for programs."""
    return json.dumps({"machine": place, "rows": [asdict(row) for row in rows]}, indent=1)
