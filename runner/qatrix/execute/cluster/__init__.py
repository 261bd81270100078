"""The engine that runs cases on a Ray cluster: one Ray task per batch of cases.

Inside a task the cases run in a worker process of their own, as they do on one machine
(`workers`), so that isolation, limits and records are the same. `lanes` makes the batches,
`batch` is what a node runs, `joining` connects to the cluster.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from qatrix.declare.spec import Case
from qatrix.errors import EnvironmentUnusable
from qatrix.execute.cluster.batch import Began, Ended, Job, run_batch, versions
from qatrix.execute.cluster.joining import joined
from qatrix.execute.cluster.lanes import Lane, lanes
from qatrix.execute.options import Execution
from qatrix.execute.workers import PRELOAD, RunCase, lost_case
from qatrix.outcomes import Record

__all__ = ["execute", "joined"]

# A case whose node or Ray worker was lost so often while it ran is the likely reason.
MOST_LOSSES: Final = 3
# How long a cluster may be without any processor: nodes that were lost may be replaced.
_PATIENCE_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 5.0
_CANCEL_SECONDS: Final = 5.0


def execute(
    cases: Sequence[Case],
    *,
    options: Execution,
    on_start: Callable[[Case], None],
    address: str | None = None,
    run: RunCase | None = None,
    preload: Sequence[str] = PRELOAD,
) -> Iterator[Record]:
    """The cases' records as they end, as from `workers.execute`, but from the nodes of a Ray cluster.

    The cluster is the one at `address`, else a local one of `options.workers` processors
    that ends with the iterator. Cases whose node or Ray worker was lost run again elsewhere;
    one that was lost three times is `crashed`. `on_start` is called once a case. Raises
    EnvironmentUnusable where there is no Ray, no cluster, or a node with other versions.
    """
    with joined(address, cpus=max(1, options.workers)):
        yield from _Run(cases, Job(options=options, run=run, preload=tuple(preload)), on_start).records()


@dataclass
class _Flight:
    """A batch that the cluster has: the cases without a record, and those that were begun."""

    lane: Lane
    left: dict[str, Case]
    begun: set[str] = field(default_factory=set)
    node: str | None = None
    fault: Exception | None = None


class _Run:
    """One way of cases through the cluster that Ray is connected to."""

    def __init__(self, cases: Sequence[Case], job: Job, on_start: Callable[[Case], None]) -> None:
        import ray

        self._ray: Any = ray
        self._task = ray.remote(num_returns="streaming", max_retries=0)(run_batch)
        self._job = ray.put(job)
        self._versions = versions()
        self._on_start = on_start
        self._flights: dict[Any, _Flight] = {}
        self._began: dict[str, float] = {}
        self._losses: Counter[str] = Counter()
        self._lanes = lanes(cases, gpus=self._resource("GPU"))
        self._seen_alive = time.monotonic()

    def records(self) -> Iterator[Record]:
        """Each case's record, exactly once; whatever ends the iteration cancels what runs."""
        try:
            self._submit()
            while self._flights:
                ready, _ = self._ray.wait(list(self._flights), num_returns=1, timeout=_LOOK_SECONDS, fetch_local=False)
                for stream in ready:
                    yield from self._next(stream)
                self._submit()
        finally:
            self._cancel()

    def _submit(self) -> None:
        """Give the cluster as many batches as it has processors, so that what is begun is what runs."""
        cpus = self._resource("CPU")
        self._demand_processors(cpus)
        for lane in self._lanes:
            slots = int(self._resource("GPU") // lane.needs.gpus if lane.needs.gpus else cpus)
            while lane and sum(flight.lane is lane for flight in self._flights.values()) < slots:
                batch = lane.take(slots)
                task = self._task.options(num_cpus=lane.needs.cpus, num_gpus=lane.needs.gpus)
                stream = task.remote(batch, self._job, self._versions)
                self._flights[stream] = _Flight(lane=lane, left={case.case_id: case for case in batch})

    def _demand_processors(self, cpus: float) -> None:
        now = time.monotonic()
        if cpus >= 1:
            self._seen_alive = now
        elif not self._flights and not any(self._lanes):
            return
        elif not self._began or now - self._seen_alive > _PATIENCE_SECONDS:
            msg = "the Ray cluster has no processor to run cases on; add nodes to it with `ray start --address=…`"
            raise EnvironmentUnusable(msg)

    def _next(self, stream: Any) -> Iterator[Record]:
        """What a batch has to tell next: that it began, a record, or its end."""
        flight = self._flights[stream]
        try:
            told: Began | Ended = self._ray.get(next(stream))
        except StopIteration:
            del self._flights[stream]
            yield from self._lost(flight)
        except self._ray.exceptions.RayError as error:
            # The end of the stream comes next.
            flight.fault = error
        else:
            if isinstance(told, Began):
                self._check(told)
                flight.node = told.node
                self._start(flight, next(iter(flight.left)))
            else:
                for case_id in told.begun:
                    self._start(flight, case_id)
                if flight.left.pop(told.record.case_id, None) is not None:
                    yield told.record

    def _start(self, flight: _Flight, case_id: str) -> None:
        flight.begun.add(case_id)
        if case_id not in self._began and case_id in flight.left:
            self._began[case_id] = time.monotonic()
            self._on_start(flight.left[case_id])

    def _check(self, told: Began) -> None:
        """Raise where a node would compute with other versions than the rest."""
        differing = [name for name, version in self._versions.items() if told.versions.get(name) != version]
        if differing:
            here, there = (
                ", ".join(f"{name} {known.get(name) or 'missing'}" for name in differing)
                for known in (self._versions, told.versions)
            )
            msg = (
                f"node {told.node} of the Ray cluster has {there}, but this machine has {here}; "
                "install the same versions on all nodes"
            )
            raise EnvironmentUnusable(msg)

    def _lost(self, flight: _Flight) -> Iterator[Record]:
        """Run again what a batch left; the cases that were running when it was lost are counted."""
        if not flight.left:
            return
        if flight.node is None and isinstance(flight.fault, self._ray.exceptions.RayTaskError):
            told = str(flight.fault).strip().rpartition("\n")[2]
            msg = f"a node of the Ray cluster cannot run cases: {told}\ninstall qatrix and what it needs on all nodes"
            raise EnvironmentUnusable(msg) from flight.fault
        suspects = [case for case_id, case in flight.left.items() if case_id in flight.begun] or [*flight.left.values()]
        self._losses.update(case.case_id for case in suspects)
        for case in suspects:
            if self._losses[case.case_id] == MOST_LOSSES:
                yield self._given_up(case, flight)
        again = [case for case in suspects if self._losses[case.case_id] < MOST_LOSSES]
        flight.lane.give_back(again, [case for case in flight.left.values() if case not in suspects])

    def _given_up(self, case: Case, flight: _Flight) -> Record:
        why = _MANNERS.get(type(flight.fault).__name__, type(flight.fault).__name__)
        reason = f"lost {MOST_LOSSES} times with the Ray task that ran it, the last time on {flight.node}: {why}"
        seconds = time.monotonic() - self._began.get(case.case_id, time.monotonic())
        return lost_case(case, "crashed", reason, seconds, None)

    def _cancel(self) -> None:
        """Interrupt what runs and give it a moment to stop its workers."""
        # What goes wrong here must not hide what ended the run.
        with suppress(Exception):
            for stream in self._flights:
                self._ray.cancel(stream)
            if ends := [stream.completed() for stream in self._flights]:
                self._ray.wait(ends, num_returns=len(ends), timeout=_CANCEL_SECONDS)

    def _resource(self, name: str) -> float:
        return float(self._ray.cluster_resources().get(name, 0))


_MANNERS: Final = {
    "NodeDiedError": "the node died",
    "LocalRayletDiedError": "the node died",
    "OutOfMemoryError": "the node ran out of memory",
    "WorkerCrashedError": "the process of the Ray task died",
}
