"""One case in one process, and what stands around cases: the scheduler, the store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.rows import Row, ratio, seconds
from benchmarks.selection import CONV_BN, TWIN, shipped, untrained
from benchmarks.waiting import WAIT_SECONDS, waiting
from qatrix.declare.spec import Case
from qatrix.execute.diagnosing import diagnose
from qatrix.execute.options import Execution
from qatrix.execute.order import longest_first
from qatrix.execute.workers import execute, torch_ready
from qatrix.outcomes import Environment, Record, Run
from qatrix.report.store import Store

T = TypeVar("T")
NOWHERE: Final = Environment(python="", platform="", processor="", packages={}, devices={}, threads=1)
_RESNET18: Final = "resnet18/resnet18/quantizer=xnnpack_int8_per_channel_qat,device=cpu"
_REPEATS: Final = 5
_ONE_WORKER: Final = Execution(workers=1, timeout=600, diagnose="never")
_TWO_WORKERS: Final = replace(_ONE_WORKER, workers=2)
_SHORT_CASES: Final = 1000


def cached_against_plain() -> Iterator[Row]:
    """The same conv-bn case by the plain path and by the short one, one after the other in this process."""
    (case,), (twin,) = shipped(CONV_BN), shipped(TWIN)
    with torch_ready(Execution(pattern_cache=False)) as run:
        # Twice: the first also imports what torch.export needs.
        plain, plain_record = _fastest(2, lambda: run(case))
    with torch_ready(Execution()) as run:
        run(case)
        alone, _ = _fastest(_REPEATS, lambda: _without_capture(run, case))
        # As in a run, where the case before it quantized the same model in another way.
        run(twin)
        short, short_record = _fastest(_REPEATS, lambda: run(case))
    equal = without_times(plain_record) == without_times(short_record)
    yield Row(
        what="warm QAT conv-bn case, cached against plain, one process",
        figure=f"{ratio(plain, short)}, records {'equal' if equal else 'NOT EQUAL'}; {plain / alone:.3g} times where"
        " the model's capture is not shared",
        reach="at least 50 times, moonshot 100",
        reached=equal and plain / short >= 50,  # noqa: PLR2004 - the reach
        figures={"plain_seconds": plain, "cached_seconds": short, "cached_without_capture_seconds": alone},
        how=f"{CONV_BN}: the least of 2 runs by the plain path, of {_REPEATS} by the short one after a warm-up",
    )


def scheduler() -> Iterator[Row]:
    """What a case costs beyond its own time, with cases that only wait."""
    cases = [replace(shipped(CONV_BN)[0], case_id=f"bench/{number}", seed=number) for number in range(_SHORT_CASES)]
    options = Execution(workers=2, timeout=60)

    ends = [
        time.perf_counter() for _ in execute(cases, options=options, on_start=lambda _: None, run=waiting, preload=())
    ]
    # From the first record on: the workers have started then.
    beyond = (ends[-1] - ends[0]) * options.workers / (len(ends) - 1) - WAIT_SECONDS
    yield Row(
        what=f"scheduler, per case of {WAIT_SECONDS * 1000:.0f} ms on two workers",
        figure=f"{seconds(beyond)} beyond the case's own time",
        figures={"seconds_per_case": beyond},
        how=f"{_SHORT_CASES} cases that sleep, from the first record to the last",
    )


def diagnosis() -> Iterator[Row]:
    """What it costs to find out where two pipelines part, on a whole model, against running the case."""
    (case,) = shipped(_RESNET18)
    with torch_ready(Execution(diagnose="never")) as run:
        run(case)
        own, _ = _fastest(2, lambda: run(case))
        further, found = _fastest(2, lambda: diagnose(case))
    yield Row(
        what="diagnosis of resnet18 against the case's own warm time",
        figure=f"{further / own:.3g} times ({seconds(further)}, {seconds(own)}),"
        f" {sum(len(point.layers) for point in found.points)} values compared; exact cases are not diagnosed",
        figures={"diagnosis_seconds": further, "case_seconds": own},
        reach="at most 5 times",
        reached=further / own <= 5 and bool(found.points),  # noqa: PLR2004 - the reach
        how=f"{_RESNET18}: the least of 2 each",
    )


def overhead() -> Iterator[Row]:
    """What the engine adds to the stages' own time, in a worker that is warm, each record kept in a store."""
    cases = untrained()
    # Once beforehand, so that no stage exports patterns: that would make the engine's share look small.
    _ended(cases, _ONE_WORKER)
    records, wall = _kept(cases)
    stages = sum(stage.seconds for item in records for outcome in item.pipelines.values() for stage in outcome.stages)
    judged = sum(item.seconds for item in records) - stages
    between = wall - stages - judged
    share = (judged + between) / stages
    yield Row(
        what="engine overhead beyond the stages' own time",
        figure=f"{share:.1%}: {judged / stages:.1%} float references, checks and comparisons,"
        f" {between / stages:.1%} between cases",
        figures={"stages_seconds": stages, "in_cases_seconds": judged, "between_cases_seconds": between},
        reach="at most 5 %",
        reached=share <= 0.05,  # noqa: PLR2004 - the reach
        how=f"{len(records)} cases (all suites but whole models) in one worker with filled pattern files and without"
        " diagnoses, each record committed: the time from the first record to the last, less the stages of all"
        " pipelines, relative to the stages",
    )


def workers() -> Iterator[Row]:
    """Two workers against one, all suites but whole models and training."""
    cases = untrained()
    # Once beforehand: fills the pattern files, and tells the order in which a run gives the cases out.
    known = {record.case_id: record.seconds for record, _ in _ended(cases, _ONE_WORKER)}
    cases = longest_first(cases, known)
    alone, both = (
        min(_from_first_to_last(cases, options) for _ in range(2)) for options in (_ONE_WORKER, _TWO_WORKERS)
    )
    yield Row(
        what="two workers against one",
        figure=ratio(alone, both),
        figures={"one_worker_seconds": alone, "two_workers_seconds": both},
        reach="at least 1.8 times",
        reached=alone / both >= 1.8,  # noqa: PLR2004 - the reach
        how=f"{len(cases)} cases with filled pattern files and without diagnoses, from the first record to the last, so"
        " that the workers' import of torch, which both wait for, is not in it; the least of 2 each",
    )


def _from_first_to_last(cases: Sequence[Case], options: Execution) -> float:
    ends = [end for _, end in _ended(cases, options)]
    return ends[-1] - ends[0]


def _ended(cases: Sequence[Case], options: Execution) -> list[tuple[Record, float]]:
    """The records, and when each came."""
    return [(record, time.perf_counter()) for record in execute(cases, options=options, on_start=lambda _: None)]


def _kept(cases: Sequence[Case]) -> tuple[list[Record], float]:
    """All records but the first, which waits for torch to be imported, and the seconds that they took together."""
    ends, records = [], []
    run = Run(id="bench", started="", seconds=0.0, command=(), environment=NOWHERE, declared=len(cases))
    with tempfile.TemporaryDirectory() as place, Store.create(Path(place) / "run.sqlite", run) as store:
        store.plan(case.case_id for case in cases)
        for record in execute(cases, options=_ONE_WORKER, on_start=lambda case: store.start(case.case_id)):
            store.finish(record)
            ends.append(time.perf_counter())
            records.append(record)
    return records[1:], ends[-1] - ends[0]


def _without_capture(run: Callable[[Case], Record], case: Case) -> Record:
    """Run a case as one whose model was not captured before: another seed is another model."""
    return run(replace(case, seed=case.seed + time.perf_counter_ns() % 1_000_000 + 1))


def without_times(record: Record) -> Record:
    """A record as it is in every run: without times and traceback texts."""
    pipelines = {name: replace(item, stages=(), error=None) for name, item in record.pipelines.items()}
    return replace(record, seconds=0.0, diagnosis=None, pipelines=pipelines)


def _fastest(count: int, call: Callable[[], T]) -> tuple[float, T]:
    """The least time of some calls, as the one that was disturbed least, and its result."""

    def timed() -> tuple[float, T]:
        began = time.perf_counter()
        result = call()
        return time.perf_counter() - began, result

    return min((timed() for _ in range(count)), key=lambda pair: pair[0])
