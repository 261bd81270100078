"""A diagnosis as sentences and tables, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from qatrix.diagnoses import Cause, CodeRow, Diagnosis, LayerRow, ParameterRow, Parameters, PointDiagnosis
from qatrix.digits import digits_apart
from qatrix.report.figures import NOT_MEASURED, counted, decibels, listed, number
from qatrix.report.vocabulary import Tone, status_words

_KINDS: Final = {
    "one_pipeline": "one pipeline only",
    "by_design": "different by design",
    "defect": "defect",
    "unexplained": "unexplained",
}
# What is not zero on average has a few decibels less in what varies: those of a ReLU three, of most layers none.
_TELLING_DB: Final = 10.0
# The words of an agreement of which one side is missing take the pipelines' names.
_ONE_SIDED: Final = {"left_only", "right_only"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A text in a table, and how it stands: numbers to the right, a tone beside its word."""

    text: str
    numeric: bool = False
    tone: Tone | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under a title; `marked` is the row of the first divergence."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marked: int | None = None


def explanation_lines(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Where the pipelines part, who is nearer to the float model, and what is known of why."""
    return tuple(_lines(diagnosis))


def cause_line(cause: Cause) -> str:
    """A cause in one line: "different by design: fx quantizes …"."""
    return f"{_KINDS[cause.kind]}: {cause.sentence}"


def explanation_tables(diagnosis: Diagnosis) -> tuple[Table, ...]:
    """The tables of all points: layers in the order of execution, parameters and codes, differing ones first."""
    return tuple(table for point in diagnosis.points for table in _tables(diagnosis, point) if table.rows)


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.first is not None:
        yield diagnosis.first.sentence
    elif diagnosis.points:
        yield f"Every layer of {diagnosis.left} and {diagnosis.right} that could be compared agrees."
    if diagnosis.nearer is not None:
        yield f"{diagnosis.nearer} is nearer to the float model: {diagnosis.nearer_because}."
    elif diagnosis.nearer_because is not None:
        yield f"The float model cannot decide who is right: {diagnosis.nearer_because}."
    for cause in diagnosis.causes:
        yield f"Cause, {cause_line(cause)}."
        yield from (f"  evidence: {text}" for text in cause.evidence)
    yield from (f"Note: {note}." for note in diagnosis.notes)


def _tables(diagnosis: Diagnosis, point: PointDiagnosis) -> Iterator[Table]:
    left, right = diagnosis.left, diagnosis.right
    first = point.first
    marked = next(
        (
            place
            for place, row in enumerate(point.layers)
            if first is not None and (row.layer, row.value) == (first.layer, first.value)
        ),
        None,
    )
    varies = any(map(_tells_more, point.layers))
    figures = [f"{left} dB", f"{right} dB", *([f"{left} varying dB", f"{right} varying dB"] if varies else [])]
    yield Table(
        title=f"Layers after {point.at}",
        columns=("layer", "op", "value", "", "max abs", "steps", *figures, "note"),
        rows=tuple(_layer_cells(diagnosis, row, varies=varies) for row in point.layers),
        marked=marked,
    )
    yield Table(
        title=f"Quantization parameters after {point.at}",
        columns=("tensor", "", "differs in", left, right),
        rows=tuple(_parameter_cells(diagnosis, row) for row in point.parameters),
    )
    yield Table(
        title=f"Integer codes after {point.at}",
        columns=("tensor", "codes", "different", "by at most", "because of"),
        rows=tuple(map(_code_cells, point.codes)),
    )


def _tells_more(row: LayerRow) -> bool:
    sides = ((row.left_sqnr_db, row.left_variation_db), (row.right_sqnr_db, row.right_variation_db))
    return any(tells_more(*side) for side in sides)


def tells_more(sqnr_db: float | None, variation_db: float | None) -> bool:
    """Whether what varies from sample to sample is further from the float model than the SQNR tells."""
    return sqnr_db is not None and variation_db is not None and sqnr_db - variation_db >= _TELLING_DB


def _layer_cells(diagnosis: Diagnosis, row: LayerRow, *, varies: bool) -> tuple[Cell, ...]:
    covered = f" (with {', '.join(row.covers)})" if row.covers else ""
    figures = [row.left_sqnr_db, row.right_sqnr_db]
    figures += [row.left_variation_db, row.right_variation_db] if varies else []
    return (
        Cell(text=row.layer + covered),
        Cell(text=row.op),
        Cell(text=row.value),
        _agreement(diagnosis, row.status),
        Cell(text=number(row.max_abs), numeric=True),
        Cell(text=number(row.max_steps), numeric=True),
        *(Cell(text=decibels(figure), numeric=True) for figure in figures),
        Cell(text=row.note or ""),
    )


def _agreement(diagnosis: Diagnosis, status: str) -> Cell:
    if status in _ONE_SIDED:
        name = diagnosis.left if status == "left_only" else diagnosis.right
        return Cell(text=f"◧ {name} only", tone="known")
    glyph, word, tone = status_words(status)
    return Cell(text=f"{glyph} {word}", tone=tone)


def _parameter_cells(diagnosis: Diagnosis, row: ParameterRow) -> tuple[Cell, ...]:
    channel = f" (most in channel {row.worst_channel})" if row.worst_channel is not None else ""
    return (
        Cell(text=row.tensor),
        _agreement(diagnosis, row.status),
        Cell(text=f"{listed(row.differing)}{channel}" if row.differing else ""),
        *(Cell(text=text) for text in _sides(row)),
    )


def _sides(row: ParameterRow) -> tuple[str, str]:
    """Both sides' parameters, with as many digits as tell their scales apart."""
    left, right = _scales(row.left, row.left_scale), _scales(row.right, row.right_scale)
    digits = digits_apart((*left, *right))
    return (
        _parameters(row.left, left, row.left_zero_point, digits=digits, differing=row.differing),
        _parameters(row.right, right, row.right_zero_point, digits=digits, differing=row.differing),
    )


def _scales(given: Parameters | None, worst: float | None) -> tuple[float, ...]:
    """The worst channel's scale, or the least and the greatest of all; empty where none is known."""
    if worst is not None:
        return (worst,)
    if given is None or given.scale_min is None or given.scale_max is None:
        return ()
    return tuple(sorted({given.scale_min, given.scale_max}))


def _parameters(
    given: Parameters | None,
    scales: tuple[float, ...],
    zero_point: int | None,
    *,
    digits: int,
    differing: tuple[str, ...],
) -> str:
    """One side's parameters in words, and those settings that few readers ask for where they differ."""
    if given is None:
        return "not quantized"
    zero = zero_point if zero_point is not None else given.zero_point_min
    scale = "…".join(number(value, digits) for value in scales) or NOT_MEASURED
    span = "" if given.quant_min is None else f" {given.quant_min}…{given.quant_max}"
    channels = given.channels > 1 or {"ch_axis", "channels"} & {*differing}
    parts = [f"scale {scale}", f"zero point {number(zero)}", f"{given.dtype or NOT_MEASURED}{span}", given.qscheme]
    parts += [f"axis {number(given.ch_axis)}, {counted(given.channels, 'channel')}"] if channels else []
    parts += [given.type] if "type" in differing else []
    parts += [f"eps {given.eps:g}"] if "eps" in differing and given.eps is not None else []
    return ", ".join(part for part in (*parts, given.observer) if part)


def code_reasons(row: CodeRow) -> str:
    """What makes integer codes differ, with how many each: "rounding ties 4, clamping 3"."""
    reasons = (
        ("other input values", row.from_inputs),
        ("other scale or zero point", row.from_parameters),
        ("clamping", row.from_clamping),
        ("rounding ties", row.from_ties),
        ("nothing known", row.unexplained),
    )
    return ", ".join(f"{name} {count}" for name, count in reasons if count)


def _code_cells(row: CodeRow) -> tuple[Cell, ...]:
    return (
        Cell(text=row.tensor),
        Cell(text=str(row.total), numeric=True),
        Cell(text=str(row.different), numeric=True),
        Cell(text=str(row.max_difference), numeric=True),
        Cell(text=code_reasons(row)),
    )
