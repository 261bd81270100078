"""The compatibility matrix: which pattern, on which dim, quantizer and device, came out how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from qatrix.claims import Verdict
from qatrix.outcomes import Record
from qatrix.report.figures import NOT_MEASURED, axis_value
from qatrix.report.vocabulary import SEVERITY, VERDICTS, Tone, tone_of

ROW_AXES: Final = ("pattern", "conv")
COLUMN_AXES: Final = ("quantizer", "device", "dim")


@dataclass(frozen=True, kw_only=True)
class MatrixColumn:
    """A column: quantizer, device and dim, "–" where its cases have no such axis."""

    quantizer: str
    device: str
    dim: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All cases of one row and column.

    `worst` is the verdict shown, an unexpected one before any other; `case_id` is a case
    with it; `text` counts all of them ("3 exact, 1 failed").
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
    def word(self) -> str:
        """The word of the worst verdict."""
        return VERDICTS[self.worst].word


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """A row: suite, pattern and conv kind ("–" where its cases have none); None is no case."""

    suite: str
    pattern: str
    conv: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, kw_only=True)
class CompatibilityMatrix:
    """Rows and columns in declared order; the columns of one quantizer, and within it of one device, together."""

    columns: tuple[MatrixColumn, ...]
    rows: tuple[MatrixRow, ...]

    def spans(self, *axes: str) -> tuple[tuple[str, int], ...]:
        """The header cells of the last of `axes`: its value and how many columns share all of them."""
        spans: list[tuple[str, int]] = []
        previous: tuple[str, ...] | None = None
        for column in self.columns:
            key = tuple(getattr(column, axis) for axis in axes)
            if key == previous:
                spans[-1] = (key[-1], spans[-1][1] + 1)
            else:
                spans.append((key[-1], 1))
            previous = key
        return tuple(spans)


def compatibility_matrix(records: Sequence[Record]) -> CompatibilityMatrix:
    """The matrix of all records."""
    if not records:
        return CompatibilityMatrix(columns=(), rows=())
    frame = pd.DataFrame([_keys(record) for record in records])
    column_keys = _in_order(frame, COLUMN_AXES)
    row_keys = _in_order(frame, ("suite", *ROW_AXES))
    cells = {
        key: _cell([records[place] for place in places])
        for key, places in frame.groupby(["suite", *ROW_AXES, *COLUMN_AXES], sort=False).indices.items()
    }
    return CompatibilityMatrix(
        columns=tuple(MatrixColumn(quantizer=key[0], device=key[1], dim=key[2]) for key in column_keys),
        rows=tuple(
            MatrixRow(
                suite=row[0], pattern=row[1], conv=row[2], cells=tuple(cells.get((*row, *key)) for key in column_keys)
            )
            for row in row_keys
        ),
    )


def _keys(record: Record) -> dict[str, str]:
    axes = {name: axis_value(record.axes.get(name)) for name in (*ROW_AXES, *COLUMN_AXES)}
    return {"suite": record.suite, **axes}


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


def _cell(records: Sequence[Record]) -> Cell:
    worst = min(records, key=lambda record: (not record.unexpected, SEVERITY[record.verdict]))
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
