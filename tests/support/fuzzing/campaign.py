"""Many mutants of one kind, drawn and shrunk by hypothesis, counted, from a seed that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from support.fuzzing import evidence

T = TypeVar("T")
# Begins the part of a campaign that a test stands for: of mutants of what, and `one_in` how many of the YAML's.
Begin: TypeAlias = Callable[..., "Campaign"]
# More than there are parts: no two parts of two seeds draw alike.
_PARTS_APART = 1000


@dataclass
class Campaign:
    """One part of the mutants of something; the same seed, part and number draw the same mutants."""

    of: str
    mutants: int
    seed: int
    part: int = 0
    done: int = field(default=0, init=False)

    def run(self, programs: st.SearchStrategy[T], judge: Callable[[T], str], write: Callable[[T, Path], None]) -> None:
        """Judge the mutants one by one, until one breaks a promise: then fail with the smallest program that does.

        `judge` gives a report, empty where all holds; `write` writes a mutant's files into a folder.
        """

        def holds(program: T) -> None:
            self.done += 1
            report = judge(program)
            if report:
                # The smallest is judged last, so that its files are the ones that stay.
                folder = evidence.keep(self._name, lambda at: write(program, at), program, report)
                pytest.fail(f"{report[:6000]}\n\nThe files and the whole report are in {folder}\n", pytrace=False)

        drawn: Any = seed(self.seed * _PARTS_APART + self.part)(given(programs)(holds))
        limits = settings(
            max_examples=self.mutants,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        limits(drawn)()
        assert self.done >= self.mutants

    @property
    def _name(self) -> str:
        return f"{self.of.replace(' ', '-')}-seed{self.seed}-part{self.part}"
