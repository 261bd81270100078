"""Processes of a worker: a forked one, and one that is started afresh for cases that train."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.declare.spec import Case
from qatrix.execute.options import Execution
from qatrix.execute.processes import ENDING, Processes, start_method
from qatrix.execute.workers import PRELOAD, RunCase, execute
from qatrix.outcomes import Record
from support import specs
from support.whereabouts import MODULE, numbered, run_backward, run_telling, trained

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("workers")]


def executed(cases: list[Case], run: RunCase, *, preload: tuple[str, ...] = (), workers: int = 1) -> list[Record]:
    options = Execution(workers=workers, timeout=60.0)
    return list(execute(cases, options=options, on_start=lambda _: None, run=run, preload=preload))


def told(record: Record) -> tuple[int, int, bool]:
    """What `run_telling` says: the process, its parent, and whether the module was imported."""
    process, parent, imported = record.summary.split()
    return int(process), int(parent), imported == "True"


def test_only_a_case_that_trains_needs_a_process_of_its_own_kind() -> None:
    assert start_method(specs.case()) == "forkserver"
    assert start_method(trained(specs.case())) == "spawn"


def test_a_case_that_trains_runs_in_a_process_that_was_not_forked() -> None:
    still, training = numbered(2)
    records = executed([still, trained(training)], run_telling)
    parents = {record.case_id: told(record)[1] for record in records}

    # Forked processes are children of the forkserver, which is a child of this one.
    assert parents[still.case_id] != os.getpid()
    assert parents[training.case_id] == os.getpid()


def test_both_processes_of_a_worker_are_kept() -> None:
    cases = [trained(case) if number % 2 else case for number, case in enumerate(numbered(6))]
    processes = [told(record)[0] for record in executed(cases, run_telling)]

    assert processes == [processes[0]] * 3 + [processes[-1]] * 3
    assert len(set(processes)) == 2


@pytest.mark.parametrize(
    ("count", "training", "trainers"),
    [
        pytest.param(8, 0, 0, id="none trains"),
        pytest.param(8, 1, 1, id="one trains"),
        pytest.param(8, 4, 1, id="half of them train"),
        pytest.param(8, 5, 2, id="more than half"),
        pytest.param(8, 8, 2, id="all train"),
    ],
)
def test_as_many_workers_start_afresh_as_is_the_share_of_the_cases_that_train(
    count: int, training: int, trainers: int
) -> None:
    cases = [trained(case) if number < training else case for number, case in enumerate(numbered(count))]
    records = executed(cases, run_telling, workers=2)
    afresh = {told(record)[0] for record in records if told(record)[1] == os.getpid()}

    assert len(records) == count
    assert len(afresh) == trainers


def test_cases_that_train_run_first() -> None:
    cases = [trained(case) if number % 2 else case for number, case in enumerate(numbered(6))]
    records = executed(cases, run_telling)

    assert [record.case_id for record in records] == [case.case_id for case in (*cases[1::2], *cases[::2])]


def test_a_process_started_afresh_has_imported_what_the_others_are_forked_with() -> None:
    (record,) = executed([trained(case) for case in numbered(1)], run_telling, preload=(MODULE, "no.such"))

    assert told(record)[2]


def test_a_pool_that_has_ended_by_itself_is_replaced(tmp_path: Path) -> None:
    processes = Processes(str(tmp_path), memory_limit=None, timeout=60.0, preload=())
    try:
        for case in numbered(2):
            assert processes.schedule(case, run_telling).result().case_id == case.case_id
            processes.stop()
    finally:
        processes.stop()
        processes.join()


def test_a_case_that_trains_and_dies_takes_no_other_along() -> None:
    cases = [*numbered(1, "segfault"), *numbered(1, "kill"), *numbered(2)]
    records = executed([trained(case) for case in cases], run_telling)

    assert [record.verdict for record in records] == ["crashed", "crashed", "exact", "exact"]
    assert records[0].summary == "the case's process died by signal SIGSEGV"


@pytest.mark.torch
def test_forty_backward_passes_end_without_an_abort() -> None:
    cases = [trained(case) for case in numbered(40)]
    records = executed(cases, run_backward, preload=("qatrix.execute.preload",))

    assert Counter(record.verdict for record in records) == {"exact": 40}, [record.summary for record in records]


@pytest.mark.torch
def test_a_process_that_imported_what_workers_need_ends_without_a_word_as_does_one_that_frees_nothing() -> None:
    # The fork is the one that frees nothing, so that torch is imported once for both.
    program = (
        f"import os, {', '.join(PRELOAD)}\n"
        f"if pid := os.fork(): assert os.waitpid(pid, 0) == (pid, 0)\n"
        f"else: import {ENDING}"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.parametrize(("modules", "freed"), [("sys", "freed\n"), (ENDING, "")])
def test_the_process_that_workers_are_forked_from_frees_nothing_at_its_end(modules: str, freed: str) -> None:
    program = f"import {modules}\nclass Held:\n    def __del__(self): print('freed', flush=True)\nheld = Held()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == freed


def own(case: Case) -> Case:
    """The same case with a model that the user's own code makes."""
    return replace(case, pattern=replace(case.pattern, factory="of_their_own.model"))


@pytest.mark.parametrize("training", [False, True], ids=["forked", "afresh"])
def test_a_case_with_code_of_its_own_has_a_process_to_itself(training: bool) -> None:
    cases = [own(trained(case)) if training else own(case) for case in numbered(3)]
    processes = [told(record)[0] for record in executed(cases, run_telling)]

    assert len(set(processes)) == 3


def test_cases_with_code_of_their_own_do_not_end_the_process_of_the_others() -> None:
    cases = [own(case) if number % 2 else case for number, case in enumerate(numbered(6))]
    processes = {record.case_id: told(record)[0] for record in executed(cases, run_telling)}

    assert len({processes[case.case_id] for case in cases if not case.pattern.runs_own_code}) == 1
    assert len(set(processes.values())) == 4


def run_leaving_a_trace(case: Case) -> Record:
    """A record that tells the process, and in every other case that it has changed something."""
    traces = ("the locale was C and is tlh",) if int(case.case_id[-1]) % 2 else ()
    return replace(run_telling(case), traces=traces)


def test_a_process_that_a_case_has_changed_takes_no_other_case() -> None:
    processes = [told(record)[0] for record in executed(numbered(6), run_leaving_a_trace)]

    assert processes[::2] == processes[1::2]
    assert len(set(processes)) == 3
