"""In which batches cases go to the cluster, and what becomes of those that came back without a record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from qatrix.declare.spec import Case
from qatrix.execute.order import Waiting

# A batch's worker gets ready in about the time of eight small cases; among 64 that hardly counts.
_LARGEST: Final = 64
_SMALLEST: Final = 8
# A whole model takes about as long as so many small cases.
_WHOLE_MODEL: Final = 16
# The share of what waits that all slots together take at once; the rest evens out how they end.
_SHARE: Final = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a Ray task needs of a node."""

    cpus: int = 1
    gpus: int = 0


@dataclass
class Lane:
    """The cases that need the same of a node, in the order in which they were given."""

    needs: Needs
    _waiting: Waiting
    _again: deque[list[Case]] = field(default_factory=deque)

    @classmethod
    def of(cls, cases: Sequence[Case], needs: Needs) -> Lane:
        """A lane in which all these cases wait."""
        return cls(needs=needs, _waiting=Waiting(cases))

    def __bool__(self) -> bool:
        return bool(self._again or len(self._waiting))

    def take(self, slots: int) -> list[Case]:
        """The next batch for a cluster that runs `slots` at a time: smaller towards the end, so that all end together.

        Cases of one model stay together, because a worker captures a model once.
        """
        if self._again:
            return self._again.popleft()
        room = min(_LARGEST, max(_SMALLEST, int(_SHARE * len(self._waiting) / max(1, slots))))
        batch: list[Case] = []
        case = None
        while room > 0 and (case := self._waiting.take(after=case)) is not None:
            batch.append(case)
            room -= _WHOLE_MODEL if case.pattern.factory is not None else 1
        return batch

    def give_back(self, suspects: Iterable[Case], others: Iterable[Case]) -> None:
        """Run these again: each suspect by itself, so that it takes no other case along."""
        self._again.extend([case] for case in suspects)
        if rest := list(others):
            self._again.append(rest)


def lanes(cases: Sequence[Case], *, gpus: float) -> tuple[Lane, ...]:
    """The cases by what they need; where no node has a GPU, all go anywhere, and say themselves what is missing."""
    by_needs: dict[Needs, list[Case]] = {}
    for case in cases:
        by_needs.setdefault(_needs(case, gpus), []).append(case)
    return tuple(Lane.of(group, needs) for needs, group in by_needs.items())


def _needs(case: Case, gpus: float) -> Needs:
    kind, _, index = case.device.torch.partition(":")
    wanted = 0 if kind == "cpu" else int(index or 0) + 1
    return Needs(gpus=wanted if wanted <= gpus else 0)
