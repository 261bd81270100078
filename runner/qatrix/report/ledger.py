"""The tolerances of two runs: one that was loosened, or is being used up, must not go unseen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from qatrix.report.figures import counted, number

# What is worth a word: a case that uses half of its tolerance, and half as much again as before.
_MUCH: Final = 0.5
_GROWTH: Final = 1.5
_NAMED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Line:
    """One comparison's tolerance, and the share of it that is used."""

    rtol: float
    atol: float
    used: float | None


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The lines of one run, by "case id, after point"."""

    run_id: str
    lines: Mapping[str, Line]


def ledger_warnings(before: Ledger, after: Ledger) -> tuple[str, ...]:
    """What has changed for the worse between two runs, as sentences."""
    shared = [(name, before.lines[name], line) for name, line in after.lines.items() if name in before.lines]
    loosened = [f"{name}, {_loosening(old, new)}" for name, old, new in shared if _is_looser(old, new)]
    used = [
        f"{name}, {number(_percent(old))} % of it then and {number(_percent(new))} % now"
        for name, old, new in shared
        if not _is_looser(old, new) and _erodes(old, new)
    ]
    return tuple(_sentences(before.run_id, loosened, used))


def _sentences(run_id: str, loosened: list[str], used: list[str]) -> Iterator[str]:
    if loosened:
        verb = "was" if len(loosened) == 1 else "were"
        yield f"{counted(len(loosened), 'tolerance')} {verb} loosened since run {run_id}: {_some(loosened)}"
    if used:
        verb = "uses" if len(used) == 1 else "use"
        told = f"{counted(len(used), 'comparison')} {verb} much more of the tolerance than in run {run_id}"
        yield f"{told}: {_some(used)}"


def _some(items: list[str]) -> str:
    more = f"; and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return "; ".join(items[:_NAMED]) + more


def _is_looser(old: Line, new: Line) -> bool:
    return new.rtol > old.rtol or new.atol > old.atol


def _loosening(old: Line, new: Line) -> str:
    parts = (("rtol", old.rtol, new.rtol), ("atol", old.atol, new.atol))
    return " and ".join(f"{name} {number(one)} → {number(other)}" for name, one, other in parts if one != other)


def _erodes(old: Line, new: Line) -> bool:
    if old.used is None or new.used is None:
        return False
    return new.used >= _MUCH and new.used >= _GROWTH * old.used


def _percent(line: Line) -> float:
    return 100 * (line.used or 0.0)
