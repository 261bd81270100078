"""A few cases of many, in which every combination of some axis values that occurs at all still occurs.

Two values at a time find most faults of configurations, since few take three to show
(Kuhn, Wallace, Gallo: Software fault interactions, IEEE TSE 30(6), 2004). Libraries for it make
rows of their own from the axes' values and would name combinations that no case has: what may
be chosen from here are the declared cases, so that it is a set cover, taken greedily.
"""

from __future__ import annotations

import itertools
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qatrix.declare.expand import value_text
from qatrix.declare.spec import Case
from qatrix.expressions import Value

Combination = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Covering:
    """The places of the chosen cases, in their order, and how many combinations all cases and these have.

    Those of the chosen cases are counted after the choice, from these cases alone.
    """

    strength: int
    places: tuple[int, ...]
    total: int
    occurring: int
    covered: int

    @property
    def sentence(self) -> str:
        """For instance "84 of 612 cases have all 1,903 pairs of values that occur"."""
        what = "pairs" if self.strength == 2 else f"combinations of {self.strength}"  # noqa: PLR2004 - a pair
        covered = "all" if self.covered == self.occurring else f"{self.covered:,} of"
        chosen = f"{len(self.places):,} of {self.total:,} cases"
        return f"{chosen} have {covered} {self.occurring:,} {what} of values that occur"


def cover(cases: Sequence[Case], strength: int) -> Covering:
    """A subset of the cases with every combination of `strength` values that any case has.

    The suite counts as an axis. Greedy: each choice has most of what is still missing, of
    equals the first; so the subset depends on the cases and their order alone.
    """
    numbering = _Numbering(strength)
    chosen = sorted(_chosen(cases, numbering))
    return Covering(
        strength=strength,
        places=tuple(chosen),
        total=len(cases),
        occurring=numbering.count,
        covered=_count([cases[place] for place in chosen], strength),
    )


def combinations_of(case: Case, strength: int) -> Iterator[Combination]:
    """Every combination of so many of a case's values; of a case with fewer axes all of its values together."""
    values = [("suite", case.suite), *((axis, value_text(value)) for axis, value in case.axes.items())]
    return itertools.combinations(sorted(values), min(strength, len(values)))


def _count(cases: Iterable[Case], strength: int) -> int:
    """How many different combinations the cases have."""
    found: set[Combination] = set()
    for case in cases:
        found.update(combinations_of(case, strength))
    return len(found)


class _Numbering:
    """Numbers combinations of values as they occur."""

    def __init__(self, strength: int) -> None:
        self.count = 0
        self._strength = strength
        # A value's number, by its axis and itself; the value is kept, so that nothing else has its id.
        self._values: dict[tuple[str, int], tuple[int, Value]] = {}
        self._texts: dict[tuple[str, str], int] = {}
        # By its values' numbers, in each order in which a case has them, a combination's number.
        self._combinations: dict[tuple[int, ...], int] = {}

    def of(self, case: Case) -> list[int]:
        """The numbers of a case's combinations; where it has few values it is one, of all."""
        values = [self._value("suite", case.suite), *itertools.starmap(self._value, case.axes.items())]
        combinations = itertools.combinations(values, min(self._strength, len(values)))
        return list(map(self._number, combinations))

    def _number(self, values: tuple[int, ...]) -> int:
        number = self._combinations.get(values)
        if number is None:
            number = self._combinations.setdefault(tuple(sorted(values)), self.count)
            self.count += number == self.count
            self._combinations[values] = number
        return number

    def _value(self, axis: str, value: Value) -> int:
        known = self._values.get((axis, id(value)))
        if known is None:
            number = self._texts.setdefault((axis, value_text(value)), len(self._texts))
            known = self._values[axis, id(value)] = (number, value)
        return known[0]


def _chosen(cases: Sequence[Case], numbering: _Numbering) -> Iterator[int]:
    """The places of the cases in the order in which they are chosen.

    What each case would add is kept up to date: a combination that is chosen takes one from all cases that have it,
    once. It only shrinks, so that for each gain, from the greatest down, one look over all cases is enough.
    """
    holders: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
    gains: list[int] = []
    for place, case in enumerate(cases):
        combinations = numbering.of(case)
        gains.append(len(combinations))
        for number in combinations:
            holders[number].append(place)
    for gain in range(max(gains, default=0), 0, -1):
        start = 0
        while (best := _first(gains, gain, start)) is not None:
            yield best
            start = best + 1
            for number in numbering.of(cases[best]):
                for other in holders.pop(number, ()):
                    gains[other] -= 1


def _first(gains: list[int], gain: int, start: int) -> int | None:
    """The first place from there on that has this gain."""
    try:
        return gains.index(gain, start)
    except ValueError:
        return None
