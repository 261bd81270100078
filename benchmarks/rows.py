"""A row of the table, and how figures are written in it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

_MINUTE: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement: what, the figure in words, the reach in words, whether it is reached (None: no reach is set)."""

    what: str
    figure: str
    reach: str = ""
    reached: bool | None = None
    how: str = ""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A function that measures some rows; `slow` ones take minutes and are left out by --quick."""

    name: str
    measure: Callable[[], Iterator[Row]]
    slow: bool = False


def measured(benchmark: Benchmark) -> Iterator[Row]:
    """The rows of a benchmark; one that fails is a row that says so, and the others go on."""
    try:
        yield from benchmark.measure()
    except Exception as error:  # noqa: BLE001 - the table is worth having without one of its rows
        yield Row(what=benchmark.name, figure=f"failed: {type(error).__name__}: {error}", reached=False)


def seconds(value: float) -> str:
    """Seconds as people write them: "12 ms", "3.4 s", "14 min 5 s"."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < _MINUTE:
        return f"{value:.1f} s"
    return f"{value // _MINUTE:.0f} min {value % _MINUTE:.0f} s"


def ratio(slow: float, fast: float) -> str:
    """How many times as fast, with both figures: "140 times (16.8 s, 120 ms)"."""
    times = slow / fast
    return f"{times:.3g} times ({seconds(slow)}, {seconds(fast)})"


def machine(versions: Sequence[str]) -> str:
    """Where this was measured, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([f"{cores} cores", platform.machine(), f"Python {platform.python_version()}", *versions])


def markdown(rows: Sequence[Row], place: str) -> str:
    """The table as Markdown."""
    lines = [
        f"Measured by `tox -e bench` on {place}.",
        "",
        "| what | measured | reach | |",
        "| --- | --- | --- | --- |",
    ]
    marks = {True: "✓", False: "✗", None: ""}
    lines += [f"| {row.what} | {row.figure} | {row.reach} | {marks[row.reached]} |" for row in rows]
    lines += ["", "How each was measured:", "", *(f"- {row.what}: {row.how}" for row in rows if row.how)]
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[Row], place: str) -> str:
    """The table for programs."""
    return json.dumps({"machine": place, "rows": [asdict(row) for row in rows]}, indent=1)
