"""In which order cases run: the longest first, and the cases of one model one after another."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from qatrix.declare.expand import model_key
from qatrix.declare.spec import Case

# What a small case takes once its process is warm (2.15 / 0.18, two cores); only its place
# among known durations matters.
_UNKNOWN_SECONDS = 0.5


def longest_first(cases: Sequence[Case], seconds: Mapping[str, float]) -> tuple[Case, ...]:
    """The cases by falling duration, as recorded by case id in an earlier run, so that all workers finish together.

    Whole models (patterns with a factory) that were never timed come first of all; equal
    durations keep their order.
    """

    def expected(case: Case) -> float:
        unknown = math.inf if case.pattern.factory is not None else _UNKNOWN_SECONDS
        return seconds.get(case.case_id, unknown)

    return tuple(sorted(cases, key=expected, reverse=True))


class Waiting:
    """Cases that wait for a worker, in order, by the model that they quantize.

    Cases of one model share its capture, if the same worker runs them one after another.
    """

    def __init__(self, cases: Iterable[Case]) -> None:
        self._models: dict[str, deque[Case]] = {}
        for case in cases:
            self._models.setdefault(_model(case), deque()).append(case)

    def __len__(self) -> int:
        return sum(map(len, self._models.values()))

    def take(self, after: Case | None = None, running: Collection[Case] = ()) -> Case | None:
        """The next case of the model that the worker had before; else of a model that no other worker has.

        None where no case waits.
        """
        if not self._models:
            return None
        model = _model(after) if after is not None else None
        if model not in self._models:
            taken = {_model(case) for case in running}
            model = next((known for known in self._models if known not in taken), next(iter(self._models)))
        cases = self._models[model]
        case = cases.popleft()
        if not cases:
            del self._models[model]
        return case


def _model(case: Case) -> str:
    return f"{case.device.torch} {model_key(case)}"
