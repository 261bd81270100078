"""The support table: a row per pattern, a column per quantizer and per pipeline on its runtime."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qatrix.outcomes import Record
from qatrix.report.figures import counted, decibels, number
from qatrix.report.support.entries import Column, Deployments, Entry, deployments, entries_of, runtime_names
from qatrix.report.support.states import RANKS, STATES, State, StateWords
from qatrix.report.vocabulary import Tone


@dataclass(frozen=True, kw_only=True)
class SupportCell:
    """The cases of one pattern in one column, of which the worst counts.

    `state` is the worst of any, `detail` says where that case fails, or why it did not run; `sqnr_db` is the least
    and `steps` the most of all. `alike` counts the cases of this state, `off` those that are further from their
    reference than the tolerance allows. `case_ids` begin with the worst; `declared` are the names of the runtime in
    YAML.
    """

    state: State
    detail: str | None
    sqnr_db: float | None
    steps: float | None
    alike: int
    off: int
    case_ids: tuple[str, ...]
    declared: tuple[str, ...]

    @property
    def words(self) -> StateWords:
        """How the state is shown."""
        return STATES[self.state]

    @property
    def glyph(self) -> str:
        """That of the state, or "≠" where a case runs and is further off than the tolerance allows."""
        return "≠" if self.off and self.state != "fails" else self.words.glyph

    @property
    def tone(self) -> Tone:
        """That of the state; what computes something else is bad in whatever it computes."""
        return "bad" if self.off else self.words.tone

    @property
    def told(self) -> str:
        """The state in words: "integers", "fails at lower", "fails: crashed"."""
        if self.state != "fails" or not self.detail:
            return self.words.word
        return f"{self.words.word}{'' if self.detail.startswith('at ') else ':'} {self.detail}"

    @property
    def figures(self) -> str:
        """Decibels and steps: "36.2 dB, 1 step off"."""
        quality = [] if self.sqnr_db is None else [f"{decibels(self.sqnr_db)} dB"]
        steps = number(self.steps)
        distance = [] if self.steps is None else [f"{steps} step{'' if steps == '1' else 's'} off"]
        return ", ".join([*quality, *distance])

    @property
    def sentence(self) -> str:
        """All that on one line: "✓ integers, 36.2 dB, 1 step off"."""
        return f"{self.glyph} {', '.join(filter(None, (self.told, self.figures)))}"

    @property
    def counts(self) -> str:
        """How many cases it is of, where there are several: "3 cases", "1 of 3 cases"."""
        total = len(self.case_ids)
        if total == 1:
            return ""
        return counted(total, "case") if self.alike == total else f"{self.alike} of {counted(total, 'case')}"


@dataclass(frozen=True, kw_only=True)
class SupportRow:
    """A pattern, what it computes, and a cell per column; None is no case."""

    pattern: str
    about: str | None
    cells: tuple[SupportCell | None, ...]


@dataclass(frozen=True, kw_only=True)
class SupportTable:
    """Rows and columns in the order of the cases, the columns of one quantizer together."""

    columns: tuple[Column, ...] = ()
    rows: tuple[SupportRow, ...] = ()
    states: tuple[State, ...] = ()

    def __bool__(self) -> bool:
        """Whether any case has a runtime."""
        return bool(self.rows)

    @property
    def quantizers(self) -> tuple[tuple[str, int], ...]:
        """The quantizers, each with its number of columns."""
        names = [column.quantizer for column in self.columns]
        return tuple((name, names.count(name)) for name in dict.fromkeys(names))

    def of(self, quantizer: str) -> SupportTable:
        """The columns of one quantizer, and the rows that have something in them."""
        places = [place for place, column in enumerate(self.columns) if column.quantizer == quantizer]
        rows = [
            SupportRow(pattern=row.pattern, about=row.about, cells=tuple(row.cells[place] for place in places))
            for row in self.rows
            if any(row.cells[place] for place in places)
        ]
        return SupportTable(columns=tuple(self.columns[place] for place in places), rows=tuple(rows))

    def cells(self) -> Mapping[tuple[str, Column], SupportCell]:
        """All cells, by pattern and column."""
        return {
            (row.pattern, column): cell
            for row in self.rows
            for column, cell in zip(self.columns, row.cells)
            if cell is not None
        }


def support_table(
    records: Sequence[Record],
    *,
    about: Mapping[str, str] | None = None,
    runtimes: Collection[str] = (),
    quantizers: Collection[str] = (),
    known: Deployments | None = None,
) -> SupportTable:
    """The table of all cases that have a runtime, or of those that are chosen by name.

    `about` says what patterns compute. `known` tells where pipelines run; without it the records themselves do.
    """
    groups: dict[tuple[str, Column], list[Entry]] = {}
    for entry in entries_of(records, deployments(records) if known is None else known):
        if _is_wanted(entry, runtimes, quantizers):
            groups.setdefault((entry.pattern, entry.column), []).append(entry)
    cells = {key: _folded(entries) for key, entries in groups.items()}
    columns = _together(column for _, column in cells)
    rows = [
        SupportRow(
            pattern=pattern,
            about=(about or {}).get(pattern),
            cells=tuple(cells.get((pattern, column)) for column in columns),
        )
        for pattern in dict.fromkeys(pattern for pattern, _ in cells)
    ]
    occurring = {cell.state for cell in cells.values()}
    return SupportTable(
        columns=columns, rows=tuple(rows), states=tuple(state for state in reversed([*STATES]) if state in occurring)
    )


def _is_wanted(entry: Entry, runtimes: Collection[str], quantizers: Collection[str]) -> bool:
    named = not runtimes or any(name in runtimes for name in runtime_names(entry))
    return named and (not quantizers or entry.column.quantizer in quantizers)


def _together(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Each column once, those of one quantizer beside one another."""
    distinct = dict.fromkeys(columns)
    order = {name: place for place, name in enumerate(dict.fromkeys(column.quantizer for column in distinct))}
    return tuple(sorted(distinct, key=lambda column: order[column.quantizer]))


def _folded(entries: Sequence[Entry]) -> SupportCell:
    ordered = sorted(entries, key=lambda entry: (RANKS[entry.state], not entry.is_off, _quality(entry.sqnr_db)))
    worst = ordered[0]
    measured = [entry.sqnr_db for entry in entries if entry.sqnr_db is not None]
    steps = [entry.steps for entry in entries if entry.steps is not None]
    return SupportCell(
        state=worst.state,
        detail=worst.detail,
        sqnr_db=min(measured, key=_quality, default=None),
        steps=max(steps, key=lambda value: math.inf if math.isnan(value) else value, default=None),
        alike=sum(entry.state == worst.state for entry in entries),
        off=sum(entry.is_off for entry in entries),
        case_ids=tuple(entry.case_id for entry in ordered),
        declared=tuple(dict.fromkeys(entry.declared for entry in entries)),
    )


def _quality(sqnr_db: float | None) -> float:
    """Decibels to be ordered by: what is no number is the worst, what was not measured the best."""
    if sqnr_db is None:
        return math.inf
    return -math.inf if math.isnan(sqnr_db) else sqnr_db
