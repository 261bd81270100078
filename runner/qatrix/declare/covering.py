"""A few cases of many, in which every combination of some axis values that occurs at all still occurs.

Two values at a time find most faults of configurations, since few take three to show
(Kuhn, Wallace, Gallo: Software fault interactions, IEEE TSE 30(6), 2004). Libraries for it make
rows of their own from the axes' values and would name combinations that no case has: what may
be chosen from here are the declared cases, so that it is a set cover, taken greedily.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from qatrix.declare.expand import value_text
from qatrix.expressions import Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.integer]

Combination = tuple[tuple[str, str], ...]
_BLOCK: Final = 2**14


class Combined(Protocol):
    """What of a case is combined."""

    @property
    def suite(self) -> str:
        """The name of its suite, which counts as an axis."""

    @property
    def axes(self) -> Mapping[str, Value]:
        """The values of its axes."""


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


def cover(cases: Sequence[Combined], strength: int) -> Covering:
    """A subset of the cases with every combination of `strength` values that any case has.

    The suite counts as an axis. Greedy: each choice has most of what is still missing, of
    equals the first; so the subset depends on the cases and their order alone.
    """
    holders = _Holders(cases, strength)
    chosen = sorted(_chosen(holders))
    return Covering(
        strength=strength,
        places=tuple(chosen),
        total=len(cases),
        occurring=holders.count,
        covered=_count([cases[place] for place in chosen], strength),
    )


def combinations_of(case: Combined, strength: int) -> Iterator[Combination]:
    """Every combination of so many of a case's values; of a case with fewer axes all of its values together."""
    values = [("suite", case.suite), *((axis, value_text(value)) for axis, value in case.axes.items())]
    return itertools.combinations(sorted(values), min(strength, len(values)))


def _count(cases: Iterable[Combined], strength: int) -> int:
    """How many different combinations the cases have."""
    found: set[Combination] = set()
    for case in cases:
        found.update(combinations_of(case, strength))
    return len(found)


def _chosen(holders: _Holders) -> Iterator[int]:
    """The places of the cases in the order in which they are chosen.

    What each case would add is kept up to date: a combination that is chosen takes one from all cases that have it,
    once. It only shrinks, so that for each gain, from the greatest down, one look over all cases is enough.
    """
    gains = holders.gains
    for gain in range(int(gains.max(initial=0)), 0, -1):
        start = 0
        while (best := _first(gains, gain, start)) is not None:
            yield best
            start = best + 1
            holders.take(best)


def _first(gains: Numbers, gain: int, start: int) -> int | None:
    """The first place from there on that has this gain, looked for block by block."""
    for begin in range(start, len(gains), _BLOCK):
        found = (gains[begin : begin + _BLOCK] == gain).argmax()
        if gains[begin + found] == gain:
            return begin + int(found)
    return None


class _Holders:
    """Which combinations each case has, and which cases each combination.

    By whole columns of numbers: a million cases of six values have 15 million pairs.
    """

    def __init__(self, cases: Sequence[Combined], strength: int) -> None:
        # A tenth of a second that whoever takes all cases need not wait for.
        import numpy as np

        self.gains: Numbers = np.zeros(len(cases), dtype=np.int32)
        # The places of cases that have the same axes, and their combinations.
        self._tables: list[tuple[Numbers, list[_Column]]] = []
        self._places: defaultdict[int, list[Numbers]] = defaultdict(list)
        self._numbers: dict[tuple[int, ...], int] = {}
        for places, values in _tables(cases):
            width = min(strength, len(values))
            self.gains[places] = math.comb(len(values), width)
            columns = [self._column(places, parts) for parts in itertools.combinations(values, width)]
            self._tables.append((places, columns))

    @property
    def count(self) -> int:
        """How many combinations occur."""
        return len(self._numbers)

    def take(self, place: int) -> None:
        """Nobody gains the combinations of this case from now on."""
        for places, columns in self._tables:
            row = places.searchsorted(place)
            if row < len(places) and places[row] == place:
                for column in columns:
                    for held in self._places.pop(column.numbers[column.groups[row]], ()):
                        self.gains[held] -= 1

    def _column(self, places: Numbers, parts: Sequence[Numbers]) -> _Column:
        """The combinations of some values of cases, which are at these places."""
        import numpy as np

        first, groups = _grouped(parts)
        found = [tuple(int(part[row]) for part in parts) for row in first]
        numbers = [self._numbers.setdefault(values, len(self._numbers)) for values in found]
        order = np.argsort(groups, kind="stable")
        ends = np.cumsum(np.bincount(groups))[:-1]
        for number, part in zip(numbers, np.split(places[order], ends), strict=True):
            self._places[number].append(part)
        return _Column(numbers=numbers, groups=groups)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A combination of every case of a table: the group of each row, and each group's number."""

    numbers: list[int]
    groups: Numbers


def _tables(cases: Sequence[Combined]) -> Iterator[tuple[Numbers, Numbers]]:
    """Cases that have the same axes: their places, and the numbers of their values, smaller numbers first."""
    import numpy as np

    found: defaultdict[tuple[str, ...], _Rows] = defaultdict(_Rows)
    for place, case in enumerate(cases):
        axes = case.axes
        rows = found[tuple(axes)]
        rows.places.append(place)
        rows.values.append((case.suite, *axes.values()))
    known: dict[tuple[str, str], int] = {}
    for names, rows in found.items():
        columns = [_numbered(name, column, known) for name, column in zip(("suite", *names), zip(*rows.values))]
        yield np.array(rows.places, dtype=np.int32), np.sort(np.array(columns, dtype=np.int32), axis=0)


class _Rows:
    """The cases that have the same axes: their places, and of each its suite and the values of its axes."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.values: list[tuple[Value, ...]] = []


def _numbered(axis: str, values: Sequence[Value], known: dict[tuple[str, str], int]) -> list[int]:
    """The numbers of values of an axis; equal texts have one."""
    # Most values are one object of the declaration.
    objects = {id(value): value for value in values}
    numbers = {key: known.setdefault((axis, value_text(value)), len(known)) for key, value in objects.items()}
    return [numbers[id(value)] for value in values]


def _grouped(parts: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """Rows of equal values: the first row of each group, and each row's group."""
    import numpy as np

    groups = np.zeros(len(parts[0]) if parts else 1, dtype=np.int64)
    first = groups[:1]
    for part in parts:
        _, first, groups = np.unique(groups * (int(part.max()) + 1) + part, return_index=True, return_inverse=True)
    return first, groups.astype(np.min_scalar_type(len(first)))
