"""Where cases run: in forked workers that a bad case cannot hurt, or in this process.

Workers are forked from one process that has imported torch and torchao (a forkserver), so
that the driver never touches a GPU and a new worker costs milliseconds; cases that train
have a process of their worker's that is started afresh (see processes.py). The pools are
pebble's: they tell which task a dead worker had, and stop a task that hangs.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures import TimeoutError as TaskTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from pebble import ProcessExpired

from qatrix import codec
from qatrix.claims import Verdict
from qatrix.cycles import few_searches_for_cycles
from qatrix.declare.spec import Case
from qatrix.execute import isolation
from qatrix.execute.options import Execution
from qatrix.execute.order import Waiting
from qatrix.execute.processes import AFRESH, FORKED, Processes, forking, start_method
from qatrix.execute.scratch import without_interrupts
from qatrix.outcomes import ErrorReport, Record
from qatrix.text import clipped, told

RunCase = Callable[[Case], Record]
PRELOAD: Final = ("qatrix.execute.preload",)
# The exit codes of workers where `timeout` or CI stops all processes of a run. The first is that
# of one that was not set up yet; 255 stands for all whose parent, the process that they were forked from, died too.
_STOPPED_FROM_OUTSIDE: Final = frozenset({signal.SIGTERM, -signal.SIGTERM, 255})
# Within this time the driver has its own signal, which ends the run; no case is blamed then.
_OWN_SIGNAL_SECONDS: Final = 0.5
# pebble does not tell of a process that left with exit code 0: the driver looks for itself, so often, and gives
# a record that such a process sent at last so long to arrive.
_LOOK_SECONDS: Final = 0.5
_ARRIVAL_SECONDS: Final = 2.0
_LONGEST_FAULT: Final = 100_000


def execute(
    cases: Sequence[Case],
    *,
    options: Execution,
    on_start: Callable[[Case], None],
    run: RunCase | None = None,
    preload: Sequence[str] = PRELOAD,
) -> Iterator[Record]:
    """The cases' records as they end; `on_start` is called when a case is given to a worker.

    Every case ends in exactly one record: a worker that dies makes a `crashed` one, a case
    that runs longer than `options.timeout` a `timed_out` one, and the rest goes on.
    """
    if options.workers == 0:
        return _in_this_process(cases, options, on_start, run)
    return _in_workers(cases, options, on_start, run, preload)


def warm_up(options: Execution, preload: Sequence[str] = PRELOAD) -> None:
    """Start the process that workers are forked from, which imports torch while the driver goes on."""
    if options.workers:
        from multiprocessing import forkserver  # not on Windows

        forking(preload)
        with without_interrupts():
            forkserver.ensure_running()


def _in_this_process(
    cases: Sequence[Case], options: Execution, on_start: Callable[[Case], None], run: RunCase | None
) -> Iterator[Record]:
    with torch_ready(options) if run is None else nullcontext(run) as ready, few_searches_for_cycles():
        waiting, case = Waiting(cases), None
        while (case := waiting.take(after=case)) is not None:
            on_start(case)
            yield ready(case)


def _in_workers(
    cases: Sequence[Case],
    options: Execution,
    on_start: Callable[[Case], None],
    run: RunCase | None,
    preload: Sequence[str],
) -> Iterator[Record]:
    with tempfile.TemporaryDirectory(prefix="qatrix-") as folder:
        workers = [
            Processes(folder, memory_limit=options.memory_limit, timeout=options.timeout, preload=preload)
            for _ in range(min(options.workers, len(cases)))
        ]
        try:
            yield from _scheduled(workers, cases, options, on_start, run, folder)
        finally:
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.join()


def _scheduled(
    workers: Sequence[Processes],
    cases: Sequence[Case],
    options: Execution,
    on_start: Callable[[Case], None],
    run: RunCase | None,
    folder: str,
) -> Iterator[Record]:
    """Give every worker one case at a time, so that `on_start` names exactly what is in flight.

    A case goes to the worker that had its model last. Cases that train go to as many workers
    as are their share, and first: a process started afresh imports torch by itself, 7 s in
    which a worker waits (torch 2.15, two cores), and at first nothing else could run yet.
    """
    trained = Waiting(case for case in cases if start_method(case) == AFRESH)
    still = Waiting(case for case in cases if start_method(case) == FORKED)
    trainers = workers[: math.ceil(len(workers) * len(trained) / max(1, len(cases)))]
    flying: dict[Any, _Flight] = {}
    numbers = itertools.count()

    def give(worker: Processes, after: Case | None) -> None:
        running = [flight.case for flight in flying.values()]
        case = trained.take(after, running) if worker in trainers else None
        case = still.take(after, running) if case is None else case
        if case is not None:
            on_start(case)
            note = Path(folder) / f"{next(numbers)}.pid"
            future = worker.schedule(case, _one_case, options, run, note)
            flying[future] = _Flight(case, worker, time.perf_counter(), note)

    for worker in workers:
        give(worker, None)
    while flying:
        done, _ = wait(flying, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
        gone = [future for future, flight in flying.items() if future not in done and flight.has_left()]
        for landed in (*done, *gone):
            flight = flying.pop(landed)
            sent = _sent(landed, flight.note)
            record = sent if isinstance(sent, Record) else _lost(sent, flight, options, folder)
            flight.note.unlink(missing_ok=True)
            # Of a process that sent no record nobody knows in what state it is, if it lives.
            flight.worker.ended(flight.case, clean=sent is record and not record.traces)
            give(flight.worker, flight.case)
            yield record


@dataclass
class _Flight:
    """A case that a worker has, since when on the clock of time.perf_counter, and where its process notes its id."""

    case: Case
    worker: Processes
    started: float
    note: Path
    _missed: float | None = None

    def has_left(self) -> bool:
        """Whether the process has been gone for so long that nothing of it can arrive any more."""
        now = time.perf_counter()
        if self._missed is None and _is_gone(_noted(self.note)):
            self._missed = now
        return self._missed is not None and now - self._missed > _ARRIVAL_SECONDS


class _Told(NamedTuple):
    """What a worker sends, as text, so that no code of a case gets to the driver: a record, or why there is none."""

    record: str | None
    fault: str | None


def _noted(note: Path) -> int | None:
    """The id of the process that has a case, None where it has not got to it."""
    with suppress(OSError, ValueError):
        return int(note.read_text(encoding="ascii"))
    return None


def _is_gone(pid: int | None) -> bool:
    try:
        if pid is not None:
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _sent(future: Any, note: Path) -> Record | BaseException:
    """The record that came back, or what came in its place; nothing that a case raised is raised here."""
    if not future.done():
        return ProcessExpired("ended without a message", code=0, pid=_noted(note) or 0)
    # Not `result`, which would raise it.
    error: BaseException | None = future.exception()
    if error is not None:
        return error
    sent: _Told = future.result()
    try:
        return codec.loads(Record, sent.record) if sent.record is not None else _NoRecord(sent.fault)
    except codec.CodecError as fault:
        return fault


class _NoRecord(Exception):
    """A worker has no record to send; the message says why."""


def _lost(why: BaseException, flight: _Flight, options: Execution, folder: str) -> Record:
    """The record of a case that did not come back."""
    case, seconds = flight.case, time.perf_counter() - flight.started
    if isinstance(why, ProcessExpired):
        if why.exitcode in _STOPPED_FROM_OUTSIDE:
            time.sleep(_OWN_SIGNAL_SECONDS)
        output = isolation.output_tail(folder, why.pid)
        return lost_case(case, "crashed", _manner(why.exitcode, options), seconds, output)
    if isinstance(why, TaskTimeout):
        return lost_case(case, "timed_out", f"stopped after {options.timeout:g} seconds", seconds, None)
    if isinstance(why, BrokenProcessPool):
        time.sleep(_OWN_SIGNAL_SECONDS)
        return lost_case(case, "crashed", f"its process could not be started: {why}", seconds, None)
    words = str(why) if isinstance(why, _NoRecord) else told(why)
    return lost_case(case, "crashed", f"no record came back: {words}", seconds, None)


def lost_case(case: Case, verdict: Verdict, reason: str, seconds: float, output: str | None) -> Record:
    """The record of a case whose process did not live to tell."""
    return Record(
        case_id=case.case_id,
        suite=case.suite,
        axes=dict(case.axes),
        verdict=verdict,
        summary=reason,
        seed=case.seed,
        seconds=seconds,
        reason=reason,
        error=ErrorReport(type=verdict, message=reason, traceback=output) if output else None,
        source=case.source,
    )


def _manner(code: int | None, options: Execution) -> str:
    """How a process died, in words."""
    if code == isolation.MEMORY_EXIT and options.memory_limit is not None:
        return f"the case's process outgrew its memory limit of {options.memory_limit / 2**20:.0f} MiB"
    if code is not None and code < 0:
        return f"the case's process died by signal {signal.Signals(-code).name}"
    return f"the case's process left with exit code {code}"


def _one_case(case: Case, options: Execution, run: RunCase | None, note: Path) -> _Told:
    """Runs in a worker; an exception may be of a class that only the case's code can make, and becomes words here."""
    isolation.begin_case()
    with suppress(OSError):
        note.write_text(str(os.getpid()), encoding="ascii")
    try:
        return _Told(record=codec.dumps((run or worker_ready(options))(case)), fault=None)
    except BaseException as error:  # noqa: BLE001 - whatever a case raises is the end of that case alone
        return _Told(record=None, fault=clipped(told(error), _LONGEST_FAULT))


@functools.cache
def worker_ready(options: Execution) -> RunCase:
    """Get a worker ready for its first case; it stays so for as long as it lives."""
    return isolation.KEPT.enter_context(torch_ready(options))


@contextmanager
def torch_ready(options: Execution) -> Iterator[RunCase]:
    """What runs a case, with torch as cases need it: one thread; patterns, histograms and compiled code memoised."""
    import torch

    from qatrix.execute.captures import Captures
    from qatrix.execute.case import run_case
    from qatrix.pipelines.decompositions import quick_decompositions
    from qatrix.pipelines.generated_code import code_memory
    from qatrix.pipelines.guards import no_static_guards
    from qatrix.pipelines.handlers import handler_memory
    from qatrix.pipelines.histograms import histogram_memory
    from qatrix.pipelines.late_code import late_code
    from qatrix.pipelines.pattern_cache import pattern_cache as memoised_patterns
    from qatrix.pipelines.torchenv import THREADS

    torch.set_num_threads(THREADS)
    frozen = None
    if options.reference is not None:
        from qatrix.execute.reference import open_reference

        frozen = open_reference(Path(options.reference))
    if not options.pattern_cache:
        yield functools.partial(run_case, diagnose=options.diagnose, frozen=frozen)
        return
    memories = (memoised_patterns, histogram_memory, handler_memory, code_memory)
    with ExitStack() as stack:
        for shortcut in (*memories, late_code, no_static_guards, quick_decompositions):
            stack.enter_context(shortcut())
        yield functools.partial(run_case, captures=Captures(), diagnose=options.diagnose, frozen=frozen)
