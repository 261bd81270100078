"""Stages by name: how long each took, and which of them raised."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from qatrix.execute import isolation
from qatrix.outcomes import StageTime


class StageFailed(Exception):
    """A stage raised; carries its name and the original exception as `__cause__`."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


@dataclass
class StageClock:
    """Times stages by name; one that runs in several phases adds up, and one within another is not of that one."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started, within = time.perf_counter(), self._total()
        try:
            with warnings.catch_warnings():
                # Both pipelines and torch itself warn of deprecations at every call.
                warnings.simplefilter("ignore")
                yield
        except StageFailed:
            # Of a stage within this one, which is the one to blame.
            raise
        except BaseException as error:
            isolation.let_ctrl_c_through(error)
            raise StageFailed(stage) from error
        finally:
            taken = time.perf_counter() - started - (self._total() - within)
            self.seconds[stage] = self.seconds.get(stage, 0.0) + taken

    def _total(self) -> float:
        return sum(self.seconds.values())

    def times(self) -> tuple[StageTime, ...]:
        """The stages in the order in which they first ran."""
        return tuple(StageTime(name=name, seconds=seconds) for name, seconds in self.seconds.items())
