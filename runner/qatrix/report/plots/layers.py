"""Small plots as points on a canvas; the templates draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.diagnoses import PointDiagnosis

WIDTH: Final = 720.0
HEIGHT: Final = 150.0
# Room for the axis labels: left, top, right, bottom.
_LEFT, _TOP, _RIGHT, _BOTTOM = 34.0, 8.0, 8.0, 18.0
# Eight bits give about 50 dB; what is above, up to "no noise at all", is drawn at the top.
_CEILING_DB: Final = 60.0
_FEWEST: Final = 3


@dataclass(frozen=True, kw_only=True)
class Line:
    """One pipeline's values: the points of an SVG polyline ("10.0,20.0 …"), and each as (x, y, title)."""

    name: str
    points: str
    marks: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, kw_only=True)
class SqnrPlot:
    """SQNR against the float model along the layers; `ticks` are (y, text), `first` the x of the first divergence."""

    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    first: float | None
    first_layer: str | None
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = HEIGHT - _BOTTOM


def sqnr_plot(point: PointDiagnosis, names: tuple[str, str]) -> SqnrPlot | None:
    """The SQNR of both pipelines layer by layer; None where fewer than three layers have one."""
    rows = [row for row in point.layers if row.left_sqnr_db is not None or row.right_sqnr_db is not None]
    if len(rows) < _FEWEST:
        return None
    first = point.first
    at = next(
        (x for x, row in enumerate(rows) if first is not None and (row.layer, row.value) == (first.layer, first.value)),
        None,
    )
    labels = [f"{row.layer}, {row.value}" for row in rows]
    values = (
        [(row.left_sqnr_db, row.left_variation_db) for row in rows],
        [(row.right_sqnr_db, row.right_variation_db) for row in rows],
    )
    return SqnrPlot(
        lines=tuple(_line(name, labels, side) for name, side in zip(names, values)),
        ticks=tuple((_y(db), f"{db:g}") for db in (0.0, 20.0, 40.0, 60.0)),
        first=None if at is None else _x(at, len(rows)),
        first_layer=None if first is None else first.layer,
    )


def _line(name: str, labels: Sequence[str], values: Sequence[tuple[float | None, float | None]]) -> Line:
    marks = tuple(
        (_x(place, len(values)), _y(value), f"{name} at {label}: {_told(value, varying)}")
        for place, (label, (value, varying)) in enumerate(zip(labels, values))
        if value is not None
    )
    return Line(name=name, points=" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in marks), marks=marks)


def _told(value: float, varying: float | None) -> str:
    if not math.isfinite(value):
        return "equal to the float model"
    return f"{value:.1f} dB" if varying is None else f"{value:.1f} dB, of what varies {varying:.1f} dB"


def _x(place: int, count: int) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * place / (count - 1), 1)


def _y(decibels: float) -> float:
    share = 0.0 if math.isnan(decibels) else min(max(decibels, 0.0), _CEILING_DB) / _CEILING_DB
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
