"""One pipeline's SQNR against another's, a point per case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.outcomes import Record
from qatrix.report.figures import decibels
from qatrix.report.vocabulary import Tone, tone_of

# Eight bits give about 50 dB; what is above, up to "no noise at all", is drawn at the edge.
CEILING_DB: Final = 60.0
# Closer cases are one point: they could not be told apart.
_GRID_DB: Final = 0.5
# Decibels within which a pair counts as being on the diagonal: nobody would see more.
ON_DIAGONAL_DB: Final = 1.0
MOST_POINTS: Final = 600


@dataclass(frozen=True, kw_only=True)
class Point:
    """Cases at one place, `x` and `y` in percent of the canvas from its lower left corner.

    `case_id` is that of one of them, the one to open.
    """

    x: float
    y: float
    count: int
    tone: Tone
    off: bool
    title: str
    case_id: str


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Points of all cases that have both SQNRs; `off` counts those off the diagonal."""

    left: str
    right: str
    points: tuple[Point, ...]
    total: int
    off: int
    left_worse: int


def scatter(records: Sequence[Record], names: tuple[str, str], *, most: int = MOST_POINTS) -> Scatter | None:
    """The plot of two pipelines; None where no case has the SQNR of both."""
    cells: dict[tuple[float, float], list[Record]] = {}
    total = off = left_worse = 0
    for record in records:
        pair = _pair(record, names)
        if pair is None:
            continue
        x, y = pair
        total += 1
        off += abs(x - y) > ON_DIAGONAL_DB
        left_worse += y - x > ON_DIAGONAL_DB
        cells.setdefault((_snapped(x), _snapped(y)), []).append(record)
    if not total:
        return None
    # The ones off the diagonal are the story, so they are drawn last, and never left out first.
    places = sorted(cells, key=lambda place: abs(place[0] - place[1]))[-most:]
    points = tuple(_point(place, cells[place], names) for place in places)
    return Scatter(left=names[0], right=names[1], points=points, total=total, off=off, left_worse=left_worse)


def _pair(record: Record, names: tuple[str, str]) -> tuple[float, float] | None:
    found = [record.pipelines[name].sqnr_db for name in names if name in record.pipelines]
    numbers = [_within(value) for value in found if value is not None and not math.isnan(value)]
    return (numbers[0], numbers[1]) if len(numbers) == len(names) else None


def _within(value: float) -> float:
    return min(max(value, 0.0), CEILING_DB)


def _snapped(value: float) -> float:
    return round(value / _GRID_DB) * _GRID_DB


def _point(place: tuple[float, float], records: Sequence[Record], names: tuple[str, str]) -> Point:
    worst = next((record for record in records if record.unexpected), records[0])
    told = ", ".join(f"{name} {decibels(worst.pipelines[name].sqnr_db)} dB" for name in names)
    more = f" and {len(records) - 1} more" if len(records) > 1 else ""
    return Point(
        x=round(100 * place[0] / CEILING_DB, 1),
        y=round(100 * place[1] / CEILING_DB, 1),
        count=len(records),
        tone=tone_of(worst.verdict, unexpected=worst.unexpected),
        off=abs(place[0] - place[1]) > ON_DIAGONAL_DB,
        title=f"{told}: {worst.case_id[:160]}{more}",
        case_id=worst.case_id,
    )
