"""In which order cases run: the longest first, so that all workers finish together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qatrix.declare.spec import Case

# What a small case takes once its process is warm (2.15 / 0.18, two cores); only its place
# among known durations matters.
_UNKNOWN_SECONDS = 0.5


def longest_first(cases: Sequence[Case], seconds: Mapping[str, float]) -> tuple[Case, ...]:
    """The cases by falling duration, as recorded by case id in an earlier run.

    Whole models (patterns with a factory) that were never timed come first of all; equal
    durations keep their order.
    """

    def expected(case: Case) -> float:
        unknown = math.inf if case.pattern.factory is not None else _UNKNOWN_SECONDS
        return seconds.get(case.case_id, unknown)

    return tuple(sorted(cases, key=expected, reverse=True))
