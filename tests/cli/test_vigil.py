"""Every edit begins a run, whatever goes on meanwhile; no clock has a say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qatrix.cli.vigil import OUTDATED, Patience, Vigil

EDITED = (Path("matrix/a.yaml"),)


@dataclass
class Files:
    """Files that change at the looks that are named, the first being 1."""

    edits: dict[int, tuple[Path, ...]] = field(default_factory=dict)
    looks: int = 0
    more: set[Path] = field(default_factory=set)

    def also(self, paths: Iterable[Path]) -> None:
        self.more |= set(paths)

    def changes(self) -> tuple[Path, ...]:
        self.looks += 1
        return self.edits.get(self.looks, ())


@dataclass
class Run:
    """A run that ends with a code after it was asked so many times."""

    changed: tuple[Path, ...]
    ends_after: int
    exit_code: int
    told: dict[str, Any]
    asked: int = 0
    abandoned: bool = False

    def code(self) -> int | None:
        self.asked += 1
        return self.exit_code if self.asked > self.ends_after else None

    def abandon(self) -> None:
        self.abandoned = self.asked <= self.ends_after


@dataclass
class Watched:
    """A vigil that is kept for so many looks, and what came of it."""

    looks: int = 10
    ends_after: int = 0
    exit_code: int = 0
    hosting: bool = False
    declared: Files = field(default_factory=Files)
    program: Files = field(default_factory=Files)
    runs: list[Run] = field(default_factory=list)
    ended: list[Run] = field(default_factory=list)
    busy: list[bool] = field(default_factory=list)

    def begin(self, changed: Sequence[Path]) -> Run:
        self.runs.append(Run(tuple(changed), self.ends_after, self.exit_code, {"files": ["weights.pt"]}))
        return self.runs[-1]

    def lasts(self, *, busy: bool) -> bool:
        self.busy.append(busy)
        return len(self.busy) <= self.looks

    def keep(self) -> str:
        vigil = Vigil(
            declared=self.declared,
            program=self.program,
            begin=self.begin,
            ended=self.ended.append,  # type: ignore[arg-type]  # it is a Run
            pause=lambda _: None,
            hosting=lambda: self.hosting,
            patience=self,  # type: ignore[arg-type]  # that of a test
        )
        return vigil.keep()


def test_the_cases_run_once_where_nothing_is_edited() -> None:
    watched = Watched()

    assert watched.keep() == "idle"
    assert [run.changed for run in watched.runs] == [()]
    assert watched.ended == watched.runs


def test_an_edit_begins_a_run_that_is_told_what_was_edited() -> None:
    watched = Watched(declared=Files({4: EDITED}))
    watched.keep()

    assert [run.changed for run in watched.runs] == [(), EDITED]
    assert watched.ended == watched.runs


def test_files_that_are_written_one_after_another_give_one_run() -> None:
    other = (Path("matrix/b.yaml"),)
    watched = Watched(declared=Files({4: EDITED, 5: other, 6: EDITED}))
    watched.keep()

    assert [run.changed for run in watched.runs] == [(), (*EDITED, *other)]


def test_an_edit_while_a_run_goes_on_gives_that_one_up() -> None:
    watched = Watched(declared=Files({2: EDITED}), ends_after=4)
    watched.keep()

    first, second = watched.runs
    assert first.abandoned
    assert not second.abandoned
    assert watched.ended == [first, second]


def test_a_run_that_fails_does_not_end_the_watch() -> None:
    watched = Watched(declared=Files({4: EDITED}), exit_code=2)
    watched.keep()

    assert len(watched.runs) == 2


def test_an_edit_of_the_program_has_it_loaded_anew() -> None:
    watched = Watched(program=Files({3: (Path("torchao/quantizer.py"),)}), ends_after=5)

    assert watched.keep() == "outdated"
    assert watched.runs[0].abandoned


def test_a_run_that_finds_another_program_than_is_loaded_has_it_loaded_anew() -> None:
    watched = Watched(exit_code=OUTDATED)

    assert watched.keep() == "outdated"
    assert watched.ended == []


def test_the_files_that_a_run_reads_are_looked_at_too() -> None:
    watched = Watched()
    watched.keep()

    assert watched.declared.more == {Path("weights.pt")}


def test_a_run_is_given_up_where_the_watch_is_interrupted() -> None:
    watched = Watched(ends_after=10**6)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    vigil = Vigil(
        declared=watched.declared,
        program=watched.program,
        begin=watched.begin,
        ended=watched.ended.append,  # type: ignore[arg-type]  # it is a Run
        pause=interrupted,
        hosting=lambda: False,
        patience=watched,  # type: ignore[arg-type]  # that of a test
    )
    with pytest.raises(KeyboardInterrupt):
        vigil.keep()
    assert watched.runs[0].abandoned


def test_only_a_run_that_goes_on_counts_as_something_that_happens() -> None:
    watched = Watched(looks=5, ends_after=1)
    watched.keep()

    assert watched.busy == [True, True, False, False, False, False]


def test_a_command_of_another_process_counts_as_something_that_happens_too() -> None:
    watched = Watched(looks=2, hosting=True)
    watched.keep()

    assert watched.busy == [True, True, True]


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_it_ends_after_ten_minutes_in_which_nothing_happens() -> None:
    clock = Clock()
    patience = Patience(clock=clock, streams=())

    lasted = []
    for clock.now, busy in ((599.0, False), (599.5, True), (1199.0, False), (1199.6, False)):
        lasted.append(patience.lasts(busy=busy))
    assert lasted == [True, True, True, False]


def test_with_a_terminal_it_lasts() -> None:
    clock = Clock()
    terminal, other = os.openpty()
    patience = Patience(clock=clock, streams=(10**6, other))
    try:
        clock.now = 10**6
        assert patience.lasts(busy=False)
    finally:
        os.close(terminal)
    # A terminal that was closed is none.
    clock.now *= 2
    assert not patience.lasts(busy=False)
    os.close(other)
