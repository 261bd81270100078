"""How Python searches for cycles while cases run, and that it goes on as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from qatrix.cycles import few_searches_for_cycles
from qatrix.declare.spec import Case
from qatrix.execute.options import Execution
from qatrix.execute.workers import execute
from qatrix.outcomes import Record
from support import specs
from support.waiting import waiting


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    frozen, before = gc.get_freeze_count(), gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)
    if frozen:
        gc.freeze()


def test_inside_the_block_searches_are_few_and_leave_out_what_was_here() -> None:
    before = gc.get_threshold()
    with few_searches_for_cycles():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == 10_000

    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


def test_where_somebody_has_seen_to_that_nothing_changes() -> None:
    gc.freeze()
    frozen, before = gc.get_freeze_count(), gc.get_threshold()
    with few_searches_for_cycles():
        assert gc.get_threshold() == before

    assert gc.get_freeze_count() == frozen


def test_cases_of_this_process_run_inside_of_it() -> None:
    seen: list[int] = []

    def run(case: Case) -> Record:
        seen.append(gc.get_threshold()[0])
        return waiting(case)

    records = list(execute([specs.case("s/a/n=1")], options=Execution(workers=0), on_start=lambda _: None, run=run))

    assert [record.verdict for record in records] == ["close"]
    assert seen == [10_000]
    assert gc.get_threshold()[0] == 700
