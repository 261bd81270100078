"""A few cases of many, in which every combination of some axis values that occurs at all still occurs.

Two values at a time find most faults of configurations, since few take three to show
(Kuhn, Wallace, Gallo: Software fault interactions, IEEE TSE 30(6), 2004). Libraries for it make
rows of their own from the axes' values and would name combinations that no case has: what may
be chosen from here are the declared cases, so that it is a set cover, taken greedily.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qatrix.declare.expand import value_text
from qatrix.declare.spec import Case

Combination = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Covering:
    """The places of the chosen cases, in their order, and how many combinations all cases and these have.

    The two numbers are counted after the choice, from the cases alone.
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
    chosen = sorted(_chosen(_numbered(cases, strength)))
    return Covering(
        strength=strength,
        places=tuple(chosen),
        total=len(cases),
        occurring=_count(cases, strength),
        covered=_count([cases[place] for place in chosen], strength),
    )


def combinations_of(case: Case, strength: int) -> Iterator[Combination]:
    """Every combination of so many of a case's values; of a case with fewer axes all of its values together."""
    values = [("suite", case.suite), *((axis, value_text(value)) for axis, value in case.axes.items())]
    return itertools.combinations(sorted(values), min(strength, len(values)))


def _count(cases: Sequence[Case], strength: int) -> int:
    """How many different combinations the cases have."""
    found: set[Combination] = set()
    for case in cases:
        found.update(combinations_of(case, strength))
    return len(found)


def _numbered(cases: Sequence[Case], strength: int) -> list[list[int]]:
    """Each case's combinations by numbers."""
    numbers: dict[Combination, int] = {}
    return [[numbers.setdefault(item, len(numbers)) for item in combinations_of(case, strength)] for case in cases]


def _chosen(combinations: Sequence[Sequence[int]]) -> Iterator[int]:
    """The places of the cases in the order in which they are chosen.

    What a case would add only shrinks, so that a case whose gain is still the greatest after it
    was counted anew is the best of all (Minoux, Accelerated greedy algorithms, 1978).
    """
    missing = {number for numbers in combinations for number in numbers}
    heap = [(-len(numbers), place) for place, numbers in enumerate(combinations)]
    heapq.heapify(heap)
    while missing:
        _, place = heapq.heappop(heap)
        gain = sum(number in missing for number in combinations[place])
        if heap and (-gain, place) > heap[0]:
            heapq.heappush(heap, (-gain, place))
        elif gain:
            missing.difference_update(combinations[place])
            yield place
