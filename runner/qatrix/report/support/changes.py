"""What a later run gained and lost in the support table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from qatrix.outcomes import Record
from qatrix.report.support.entries import Column, deployments
from qatrix.report.support.states import RANKS, State
from qatrix.report.support.table import SupportCell, support_table
from qatrix.report.vocabulary import Tone

Change = Literal["lost", "gained", "changed"]
# In the order in which they are listed; glyphs and tones are those of cases that got worse, better, or other.
CHANGES: Final[Mapping[Change, tuple[str, Tone]]] = {
    "lost": ("▼", "bad"),
    "changed": ("◆", "known"),
    "gained": ("▲", "good"),
}
# The states that are better or worse than one another; the others say too little for that.
_ORDERED: Final[frozenset[State]] = frozenset({"fails", "float", "partly", "integers"})
# Decibels that a cell may move without being listed.
_NOTED_DB: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class SupportChange:
    """A cell of the support table that is not the same in a later run."""

    pattern: str
    column: Column
    kind: Change
    before: SupportCell
    after: SupportCell

    @property
    def glyph(self) -> str:
        """The sign of its kind."""
        return CHANGES[self.kind][0]

    @property
    def tone(self) -> Tone:
        """The tone of its kind."""
        return CHANGES[self.kind][1]

    @property
    def where(self) -> str:
        """For instance "relu6 with xnnpack_ptq, fx on native (engine qnnpack)"."""
        return f"{self.pattern} with {self.column.quantizer}, {self.column.deployed}"

    @property
    def says(self) -> str:
        """For instance "◌ float, 38.1 dB → ✓ integers, 36.2 dB, 1 step off"."""
        return f"{self.before.sentence} → {self.after.sentence}"


def support_changes(before: Mapping[str, Record], after: Mapping[str, Record]) -> tuple[SupportChange, ...]:
    """The cells that differ, of the cases that both runs have, what was lost first.

    Others would make a cell worse or better by being there.
    """
    common = [case_id for case_id in after if case_id in before]
    both = [[run[case_id] for case_id in common] for run in (before, after)]
    # A runtime that nothing reached in one run is known from the other.
    known = deployments([*both[0], *both[1]])
    earlier, later = (support_table(records, known=known).cells() for records in both)
    found = [
        SupportChange(pattern=pattern, column=column, kind=kind, before=one, after=later[pattern, column])
        for (pattern, column), one in earlier.items()
        if (pattern, column) in later and (kind := _kind(one, later[pattern, column])) is not None
    ]
    order = [*CHANGES]
    return tuple(sorted(found, key=lambda change: order.index(change.kind)))


def _kind(before: SupportCell, after: SupportCell) -> Change | None:
    """What computes something else now is lost, whatever it computes in; then the state decides, then decibels."""
    ran = {before.state, after.state}.isdisjoint({"fails", "unavailable"})
    if ran and bool(before.off) != bool(after.off):
        return "lost" if after.off else "gained"
    if before.state != after.state:
        if not {before.state, after.state} <= _ORDERED:
            return "changed"
        return "lost" if RANKS[after.state] < RANKS[before.state] else "gained"
    moved = _moved(before.sqnr_db, after.sqnr_db)
    if abs(moved) <= _NOTED_DB:
        return None
    return "lost" if moved < 0 else "gained"


def _moved(before: float | None, after: float | None) -> float:
    """How many decibels a cell gained; none where that cannot be told."""
    if before is None or after is None or before == after or math.isnan(after - before):
        return 0.0
    return after - before
