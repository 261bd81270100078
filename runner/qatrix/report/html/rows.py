"""What the page's script filters, pivots and sorts: one column per fact, values as codes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from qatrix.expressions import Value
from qatrix.outcomes import NOT_RUN, Comparison, Record
from qatrix.report import figures
from qatrix.report.again import base as again_base
from qatrix.report.causes import cause_key
from qatrix.report.frames import ReportData
from qatrix.report.frames.matrix import GROUP, ROW_AXIS, column_axes, group_of
from qatrix.report.vocabulary import VERDICTS, tone_of
from qatrix.text import visible

Json = object
# What is cut off in the table is whole on the case's own page.
NAME_LENGTH: Final = 300
_LINE_LENGTH: Final = 200
# Axes that come first wherever axes are listed.
_LEADING: Final = (ROW_AXIS, "quantizer", "conv", "dim")
# More digits than any display shows.
_DIGITS: Final = 4


def rows_json(data: ReportData, *, sides: bool, block: int) -> str:
    """All cases as JSON that can stand in a script element; `sides` says that details lie beside the page.

    Columns have one entry per case, in declared order. Axes and texts are indices into
    lists of their distinct values, -1 where a case has none; null is "not measured", and
    numbers that JSON lacks are "nan", "inf" and "-inf".
    """
    return embeddable(
        {
            "verdicts": [[name, words.glyph, words.word] for name, words in VERDICTS.items()],
            "not_run": [code for code, name in enumerate(VERDICTS) if name in NOT_RUN],
            "points": data.points,
            "pipelines": data.pipelines,
            "rows": [GROUP, ROW_AXIS],
            "columns": list(column_axes(data.records)),
            "run": data.run.id,
            "again": list(again_base(data.run.command)),
            "sides": sides,
            "block": block,
            "axes": _axes(data.records),
            **_facts(data.records),
            **_causes(data),
            **_figures(data),
        }
    )


def embeddable(content: Json) -> str:
    """Strictly valid JSON in ASCII in which nothing ends a script element or begins a comment."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def comparison_at(record: Record, point: str) -> Comparison | None:
    """The comparison at the point that says most: of several pairs, the one furthest apart."""
    found = [item for item in record.comparisons if item.at == point]
    return max(found, key=lambda item: math.inf if item.max_abs is None else item.max_abs, default=None)


def most_steps(record: Record, point: str) -> float | None:
    """The most steps of the comparisons at the point; the pair furthest apart may have none, or fewer."""
    steps = [item.max_steps for item in record.comparisons if item.at == point and item.max_steps is not None]
    return max(steps, key=lambda count: math.inf if math.isnan(count) else count, default=None)


def main_line(record: Record) -> str:
    """Why the case is as it is, in one line: the cause or the first layer that differs, else its summary."""
    dull = record.verdict == "exact" or record.summary == VERDICTS[record.verdict].word
    words = "" if dull else record.summary
    because = _because(record)
    return figures.clipped(": ".join(part for part in (words, because) if part) or record.reason or "", _LINE_LENGTH)


def _because(record: Record) -> str:
    """The cause, else the first difference, of the pipelines, else of a runtime."""
    lowerings = (outcome.lowering for outcome in record.pipelines.values())
    for item in (record.diagnosis, *lowerings):
        if item is not None and item.causes:
            return item.causes[0].sentence
        if item is not None and item.first is not None:
            return item.first.sentence
    return ""


def _errors(record: Record) -> str:
    """What was raised, to be searched for: types and the beginnings of the messages."""
    raised = (record.error, *(outcome.error for outcome in record.pipelines.values()))
    return figures.clipped("; ".join(f"{item.type}: {item.message}" for item in raised if item), _LINE_LENGTH)


def _facts(records: Sequence[Record]) -> dict[str, Json]:
    verdicts = {name: code for code, name in enumerate(VERDICTS)}
    names = [figures.clipped(visible(record.case_id), NAME_LENGTH) for record in records]
    anchors = (figures.anchor(record.case_id) for record in records)
    lines, line = _coded(visible(main_line(record)) for record in records)
    errors, error = _coded(visible(_errors(record)) for record in records)
    return {
        "id": names,
        # Almost always the id itself.
        "anchors": {place: anchor for place, anchor in enumerate(anchors) if anchor != names[place]},
        "verdict": [verdicts[record.verdict] for record in records],
        "unexpected": [int(record.unexpected) for record in records],
        "known": [int(tone_of(record.verdict, unexpected=record.unexpected) == "known") for record in records],
        "tone": [tone_of(record.verdict, unexpected=record.unexpected)[0] for record in records],
        "lines": lines,
        "line": line,
        "errors": errors,
        "error": error,
        "reused": [int(record.reused_from is not None) for record in records],
    }


def _causes(data: ReportData) -> dict[str, Json]:
    """The causes as [key, title, impact or null], and which of them each case has."""
    codes = {cause.key: code for code, cause in enumerate(data.causes)}
    shown = [[cause.key, figures.clipped(visible(cause.title), _LINE_LENGTH), cause.impact] for cause in data.causes]
    return {"causes": shown, "cause": [codes.get(cause_key(record) or "", -1) for record in data.records]}


def _figures(data: ReportData) -> dict[str, Json]:
    records = data.records

    def each(fact: Callable[[Record], float | None]) -> list[Json]:
        return [_number(fact(record)) for record in records]

    def sqnr(name: str) -> Callable[[Record], float | None]:
        return lambda record: record.pipelines[name].sqnr_db if name in record.pipelines else None

    at = [[comparison_at(record, point) for record in records] for point in data.points]
    return {
        "max_abs": [[_number(item.max_abs if item else None) for item in items] for items in at],
        "steps": [[_number(most_steps(record, point)) for record in records] for point in data.points],
        "sqnr": [each(sqnr(name)) for name in data.pipelines],
        "seconds": each(lambda record: record.seconds),
    }


def _axes(records: Sequence[Record]) -> list[Json]:
    names = dict.fromkeys(name for record in records for name in record.axes)
    leading = [name for name in _LEADING if name in names]
    ordered = dict.fromkeys([*leading, *names])
    # A case of a user may have an axis of these names.
    own = {GROUP: [group_of(record) for record in records], "suite": [record.suite for record in records]}
    derived = [_axis(name, values) for name, values in own.items() if name not in names]
    return [*derived, *(_values(name, records) for name in ordered)]


def _values(name: str, records: Sequence[Record]) -> Mapping[str, Json]:
    return _axis(name, [_axis_text(record.axes, name) for record in records])


def _axis_text(axes: Mapping[str, Value], name: str) -> str | None:
    return figures.axis_value(axes[name]) if name in axes and axes[name] is not None else None


def _axis(name: str, given: Sequence[str | None]) -> Mapping[str, Json]:
    texts = [None if text is None else shown_value(text) for text in given]
    distinct = dict.fromkeys(text for text in texts if text is not None)
    values = sorted(distinct, key=float) if all(text.isdecimal() for text in distinct) else list(distinct)
    codes = {text: code for code, text in enumerate(values)}
    return {
        "name": figures.clipped(visible(name), NAME_LENGTH),
        "values": values,
        "codes": [-1 if text is None else codes[text] for text in texts],
    }


def shown_value(text: str) -> str:
    """An axis value as the page knows it, by which it filters."""
    return figures.clipped(visible(text), NAME_LENGTH)


def _coded(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    codes: dict[str, int] = {}
    places = [codes.setdefault(text, len(codes)) for text in texts]
    return list(codes), places


def _number(value: float | None) -> Json:
    if value is None:
        return None
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else str(value)
