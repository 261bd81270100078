"""Workers: whatever a case does to its process, it becomes a record, and the rest goes on."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from dataclasses import replace

import pytest

from qatrix.declare.spec import Case
from qatrix.execute.options import Execution, default_workers
from qatrix.execute.workers import execute
from qatrix.outcomes import Record
from support import specs
from support.faults import FAULTS, run_faulty

# Workers may be forked from a process that an earlier test made import torch: about half a GiB.
LIMITS = Execution(workers=2, timeout=5.0, memory_limit=2**30)
ENDS = {
    "raise": ("crashed", "no record came back: RuntimeError: planted"),
    "hang": ("timed_out", "stopped after 5 seconds"),
    "segfault": ("crashed", "the case's process died by signal SIGSEGV"),
    "kill": ("crashed", "the case's process died by signal SIGKILL"),
    "leave": ("crashed", "the case's process left with exit code 3"),
    "recurse": ("crashed", "no record came back: RecursionError: maximum recursion depth exceeded"),
    "print_a_gigabyte": ("crashed", "no record came back: OSError: [Errno 27] File too large"),
    "eat_memory": ("crashed", "the case's process outgrew its memory limit of 1024 MiB"),
    "raise_a_foreign_one": ("crashed", "no record came back: _Foreign: of its own"),
    "exit": ("crashed", "no record came back: SystemExit: 0"),
    "interrupt": ("crashed", "no record came back: KeyboardInterrupt: "),
    "vanish": ("crashed", "the case's process left with exit code 0"),
}


def case_of(kind: str, number: int) -> Case:
    return replace(specs.case(f"suite/{kind}/n={number},device=cpu"), pattern=specs.pattern(kind))


def executed(cases: list[Case], options: Execution) -> tuple[dict[str, Record], list[str]]:
    started: list[str] = []
    records = execute(
        cases, options=options, on_start=lambda case: started.append(case.case_id), run=run_faulty, preload=()
    )
    return {record.case_id: record for record in records}, started


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.xdist_group("workers")
def test_two_hundred_cases_with_every_fault_give_two_hundred_records() -> None:
    assert set(ENDS) == set(FAULTS)
    faulty = dict(zip(range(5, 200, 8), 2 * list(FAULTS)))
    cases = [case_of(faulty.get(number, "good"), number) for number in range(200)]
    records, started = executed(cases, LIMITS)

    assert sorted(started) == sorted(case.case_id for case in cases)
    assert len(records) == 200
    for case in cases:
        record = records[case.case_id]
        verdict, summary = ENDS.get(case.pattern.name, ("exact", "equal to the bit"))
        assert record.verdict == verdict, record
        assert record.summary.startswith(summary), record
    assert Counter(record.verdict for record in records.values()) == {"exact": 176, "crashed": 22, "timed_out": 2}


@pytest.mark.processes
@pytest.mark.xdist_group("workers")
@pytest.mark.parametrize("kind", ["raise_a_foreign_one", "exit", "interrupt", "vanish"])
def test_a_case_that_ends_its_interpreter_ends_itself_alone(kind: str) -> None:
    records, _ = executed([case_of(kind, 0), case_of("good", 1)], replace(LIMITS, workers=1, timeout=60.0))
    lost, good = records[case_of(kind, 0).case_id], records[case_of("good", 1).case_id]

    assert lost.verdict == "crashed"
    assert lost.summary.startswith(ENDS[kind][1])
    assert good.verdict == "exact"


@pytest.mark.processes
@pytest.mark.xdist_group("workers")
def test_a_crash_keeps_the_end_of_what_the_case_printed() -> None:
    records, _ = executed([case_of("good", 0), case_of("leave", 1)], LIMITS)
    error = records["suite/leave/n=1,device=cpu"].error

    assert error is not None
    assert error.traceback == "about to leave"


@pytest.mark.processes
@pytest.mark.xdist_group("workers")
def test_no_worker_is_left_behind() -> None:
    def workers() -> int:
        """The workers of this process: children of the forkserver that is its child."""
        command = ["ps", "-eo", "pid=,ppid=,args="]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        rows = [line.split(maxsplit=2) for line in listed if "multiprocessing.forkserver" in line]
        servers = {pid for pid, parent, _ in rows if parent == str(os.getpid())}
        return sum(parent in servers for _, parent, _ in rows)

    executed([case_of("good", number) for number in range(3)], LIMITS)
    before = workers()
    executed([case_of("good", 0), case_of("hang", 1), case_of("kill", 2)], LIMITS)
    deadline = time.monotonic() + 5
    while workers() > before and time.monotonic() < deadline:
        time.sleep(0.1)

    assert workers() <= before


@pytest.mark.processes
@pytest.mark.xdist_group("workers")
def test_an_abandoned_run_stops_its_workers() -> None:
    records = execute(
        [case_of("good", 0), case_of("hang", 1)], options=LIMITS, on_start=lambda _: None, run=run_faulty, preload=()
    )
    began = time.monotonic()
    assert next(records).verdict == "exact"
    records.close()  # type: ignore[attr-defined]  # a generator

    assert time.monotonic() - began < 60


def test_without_workers_cases_run_here() -> None:
    records, _ = executed([case_of("good", 0)], Execution(workers=0))

    assert [record.verdict for record in records.values()] == ["exact"]


def test_there_is_at_least_one_worker_by_default() -> None:
    assert default_workers() >= 1
