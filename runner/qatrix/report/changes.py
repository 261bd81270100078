"""What changed since an earlier run, its baseline: kept in the run's store, so that its report stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qatrix.claims import Verdict
from qatrix.report.figures import day, listed, time_of_day
from qatrix.report.transitions import KINDS, Kind, KindWords


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A case that is not the same: its transition, its verdicts (None: no record), and in words what is different."""

    case_id: str
    kind: Kind
    before: Verdict | None
    after: Verdict | None
    says: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Since:
    """A run against its baseline.

    `run` and `started` are the baseline's, `folder` is its folder as seen from the run's ("../20261128-101500").
    `environment` says what else differs ("torch 2.14.0 → 2.15.0"). `counts` has every transition that occurs,
    `moves` the cases that moved, what may be trouble first, as many as a reader may look at.
    """

    run: str
    started: str
    folder: str
    environment: tuple[str, ...]
    counts: Mapping[str, int]
    moves: tuple[Move, ...]

    @property
    def groups(self) -> tuple[tuple[KindWords, Kind, int, tuple[Move, ...]], ...]:
        """Each transition that occurs, with how many cases went that way and those of them that are kept."""
        return tuple(
            (words, kind, self.counts[kind], tuple(move for move in self.moves if move.kind == kind))
            for kind, words in KINDS.items()
            if self.counts.get(kind)
        )

    @property
    def told(self) -> str:
        """The counts in words: "1 worse, 2 new, 506 the same"."""
        return ", ".join(f"{count} {words.word}" for words, _, count, _ in self.groups) or "no case in either"

    @property
    def elsewhere(self) -> str:
        """What else differs, to be put behind the counts; nothing where it is the same environment."""
        return f" (with {listed(self.environment)})" if self.environment else ""


def since_when(since: Since, started: str) -> str:
    """The baseline's day; its time where that is the day of the run itself."""
    return time_of_day(since.started) if day(since.started) == day(started) else day(since.started)


def since_line(since: Since, started: str) -> str:
    """The difference in a line: "28 Nov 2026: 1 worse, 2 new, 506 the same", to be put behind "since"."""
    return f"{since_when(since, started)}: {since.told}{since.elsewhere}"
