"""Slices of a selection, so that several machines share a run."""

from __future__ import annotations

import hashlib
import heapq
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qatrix.declare.expand import model_key
from qatrix.declare.spec import Case
from qatrix.errors import UsageError
from qatrix.outcomes import MOST_SHARDS


@dataclass(frozen=True)
class Costs:
    """How long cases took, in seconds by case id, in the run by which shards are balanced."""

    seconds: Mapping[str, float]

    def __str__(self) -> str:
        """A name by which shards tell that they were cut by the same run: "cost 1f6a09c2"."""
        told = "\n".join(f"{case_id} {seconds!r}" for case_id, seconds in sorted(self.seconds.items()))
        return f"cost {hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def of(self, cases: Sequence[Case]) -> list[float]:
        """The cost of each case; an unknown one costs what is usual, and an unknown whole model the most known."""
        known = list(self.seconds.values()) or [1.0]
        usual, most = statistics.median(known), max(known)
        return [self.seconds.get(case.case_id, usual if case.pattern.factory is None else most) for case in cases]


@dataclass(frozen=True)
class Shard:
    """One of `count` slices, counted from 1; written "3/8".

    Without `costs` a hash of its id alone puts a case into a slice: no case moves when others
    are added, and no machine has to know what the others run. With them the slices take
    about equally long; then all machines must cut the same cases by the same costs.
    """

    index: int
    count: int
    costs: Costs | None = None

    @classmethod
    def parse(cls, text: str, costs: Costs | None = None) -> Shard:
        """Read "I/N"; raises UsageError for anything but whole numbers with 1 <= I <= N, and N at most MOST_SHARDS."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST_SHARDS:
            msg = (
                f"--shard {text}: expected I/N with 1 <= I <= N, for instance --shard 3/8 for the third of eight;"
                f" there are at most {MOST_SHARDS}"
            )
            raise UsageError(msg)
        return cls(int(found[1]), int(found[2]), costs)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def cut_by(self) -> str:
        """What decides which case is in which slice: "hash", or the name of the costs."""
        return "hash" if self.costs is None else str(self.costs)

    def places(self, cases: Sequence[Case]) -> list[int]:
        """The places, from 0, of the cases of this slice."""
        if self.costs is None:
            return [place for place, case in enumerate(cases) if self.holds(case.case_id)]
        return sorted(_balanced(cases, self.costs.of(cases), self.count)[self.index - 1])

    def holds(self, case_id: str) -> bool:
        """Whether a case is of this slice, where its id alone decides."""
        digest = hashlib.sha256(case_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


def _balanced(cases: Sequence[Case], costs: Sequence[float], count: int) -> list[list[int]]:
    """The places of the cases in `count` slices that cost about the same; the cases of one model stay together.

    The costliest goes first, each to the slice that has least so far, which leaves no slice
    a third over the best there is (R. L. Graham, Bounds on multiprocessing timing anomalies, 1969).
    """
    models: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        models.setdefault(model_key(case), []).append(place)
    totals = [(sum(costs[place] for place in places), places) for places in models.values()]
    slices: list[list[int]] = [[] for _ in range(count)]
    loads = [(0.0, number) for number in range(count)]
    for cost, places in sorted(totals, key=lambda total: (-total[0], total[1][0])):
        load, number = heapq.heappop(loads)
        slices[number] += places
        heapq.heappush(loads, (load + cost, number))
    return slices
