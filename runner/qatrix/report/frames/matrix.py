"""The compatibility matrix: which pattern came out how with which quantizer, and in which runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import pandas as pd

from qatrix.claims import Verdict
from qatrix.outcomes import NOT_RUN, Record
from qatrix.report.figures import NOT_MEASURED, axis_value
from qatrix.report.vocabulary import SEVERITY, VERDICTS, Tone, tone_of

# Not an axis of any case: the file that declares it.
GROUP: Final = "file"
ROW_AXIS: Final = "pattern"
COLUMN_AXIS: Final = "quantizer"
# A second axis of columns, where a run's cases differ in it.
RUNTIME_AXIS: Final = "runtime"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All cases of one row and column.

    `worst` is the verdict shown, an unexpected one before any other, and one of a case that ran before
    those that did not; `case_id` is a case with it; `text` counts all of them ("3 exact, 1 failed").
    """

    worst: Verdict
    tone: Tone
    unexpected: int
    expected: int
    total: int
    text: str
    case_id: str

    @property
    def glyph(self) -> str:
        """The glyph of the worst verdict."""
        return VERDICTS[self.worst].glyph

    @property
    def told(self) -> str:
        """The counts in words, with how many were unexpected, or as expected."""
        unexpected = f"; {self.unexpected} unexpected" if self.unexpected else ""
        return f"{self.text}{unexpected}{f'; {self.expected} as expected' if self.expected else ''}"


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """A row: a pattern in the file that declares its cases; None is no case."""

    group: str
    pattern: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, kw_only=True)
class CompatibilityMatrix:
    """Rows and columns in declared order; a column has a value for each of `axes`, "–" where its cases have none."""

    axes: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    rows: tuple[MatrixRow, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """What the columns are called."""
        return tuple(
            " · ".join(value for value in key if value != NOT_MEASURED) or NOT_MEASURED for key in self.columns
        )


def column_axes(records: Sequence[Record]) -> tuple[str, ...]:
    """The quantizer, and the runtime where the cases differ in it."""
    runtimes = {axis_value(record.axes.get(RUNTIME_AXIS)) for record in records}
    return (COLUMN_AXIS, RUNTIME_AXIS) if len(runtimes) > 1 else (COLUMN_AXIS,)


def group_of(record: Record) -> str:
    """The name of the file that declares a case."""
    return PurePath(record.source.file).name or NOT_MEASURED


def compatibility_matrix(records: Sequence[Record]) -> CompatibilityMatrix:
    """The matrix of all records."""
    axes = column_axes(records)
    if not records:
        return CompatibilityMatrix(axes=axes, columns=(), rows=())
    frame = pd.DataFrame([_keys(record, axes) for record in records])
    column_keys = _in_order(frame, axes)
    row_keys = _in_order(frame, (GROUP, ROW_AXIS))
    cells = {
        key: _cell([records[place] for place in places])
        for key, places in frame.groupby([GROUP, ROW_AXIS, *axes], sort=False).indices.items()
    }
    return CompatibilityMatrix(
        axes=axes,
        columns=tuple(column_keys),
        rows=tuple(
            MatrixRow(group=row[0], pattern=row[1], cells=tuple(cells.get((*row, *key)) for key in column_keys))
            for row in row_keys
        ),
    )


def _keys(record: Record, axes: Sequence[str]) -> dict[str, str]:
    return {GROUP: group_of(record), **{name: axis_value(record.axes.get(name)) for name in (ROW_AXIS, *axes)}}


def _in_order(frame: pd.DataFrame, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The distinct keys: each level in the order of its first case, or by size where all its values are numbers."""
    distinct = frame[list(names)].drop_duplicates()
    keys = [tuple(map(str, row)) for row in distinct.itertuples(index=False, name=None)]
    first: list[dict[str, int]] = [{} for _ in names]
    for key in keys:
        for level, value in zip(first, key, strict=True):
            level.setdefault(value, len(level))
    return sorted(keys, key=lambda key: tuple(_rank(value, level) for value, level in zip(key, first, strict=True)))


def _rank(value: str, level: Mapping[str, int]) -> tuple[int, int]:
    """Numbers by size, "–" after them; anything else in order of appearance."""
    if all(item.isdecimal() or item == NOT_MEASURED for item in level):
        return (0, int(value)) if value.isdecimal() else (1, 0)
    return (0, level[value])


def _rank_in_cell(record: Record) -> tuple[bool, bool, int]:
    """What is unexpected first, and what did not run last: it says less than any case that did."""
    return not record.unexpected, record.verdict in NOT_RUN, SEVERITY[record.verdict]


def _cell(records: Sequence[Record]) -> Cell:
    worst = min(records, key=_rank_in_cell)
    counts = pd.Series([record.verdict for record in records]).value_counts()
    ordered = sorted(counts.items(), key=lambda item: SEVERITY[item[0]])  # type: ignore[index]  # labels are verdicts
    return Cell(
        worst=worst.verdict,
        tone=tone_of(worst.verdict, unexpected=worst.unexpected),
        unexpected=sum(record.unexpected for record in records),
        expected=sum(record.expected is not None and not record.unexpected for record in records),
        total=len(records),
        text=", ".join(f"{count} {VERDICTS[verdict].word}" for verdict, count in ordered),  # type: ignore[index]
        case_id=worst.case_id,
    )
