"""Causes out of the expectations of runs' records, and what their cases measured."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from qatrix.claims import ComparisonPoint, Verdict
from qatrix.errors import UsageError
from qatrix.outcomes import LOWERED, NOT_RUN, Record, Run
from qatrix.report.lowered import lowered_models
from qatrix.report.store import Store

# Below this many decibels apart, neither pipeline is called nearer to the float model, as in judge.verdict.
_NEARER_DB: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class FindingsRun:
    """A run, its records, and the scripts that it kept, by case id."""

    run: Run
    records: tuple[Record, ...]
    scripts: Mapping[str, str]

    @property
    def release(self) -> str:
        """For instance "torch 2.15.0"."""
        return f"torch {self.run.environment.packages.get('torch') or 'unknown'}"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much nearer to the float model one of two pipelines is, over the cases in which both have an SQNR.

    Cases in which a pipeline quantized nothing are left out: it is near to float for that reason.
    `nearer` counts the cases by the name of the pipeline that is at least a decibel nearer, or
    "neither"; `median_db` and `most_db` are of the absolute difference of the SQNR.
    """

    nearer: Mapping[str, int]
    median_db: float
    most_db: float


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How much further from the float model a runtime is than its own reference, over the cases in which it leaves it.

    `deployed` is "fx on native (engine qnnpack)"; where decibels are below zero, the runtime is nearer.
    """

    deployed: str
    cases: int
    median_db: float
    most_db: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One cause, and the cases of the first run that it explains, in the order of that run.

    Where only runtimes differ, `spread` is None, since it is about references, and `losses` are those of the runtimes.
    `counts` has the number of cases that it explains in every run, in the order of the runs,
    `ran` the number of cases which each run took through its pipelines of all that it explains in any.
    `example` is the case whose script is the shortest, `script` that script; None where no run kept one.
    """

    title: str
    because: str
    links: tuple[str, ...]
    records: tuple[Record, ...]
    verdicts: Mapping[Verdict, int]
    counts: tuple[int, ...]
    ran: tuple[int, ...]
    most_abs: float | None
    most_steps: float | None
    spread: Spread | None
    losses: tuple[Loss, ...]
    example: Record
    script: str | None

    @property
    def suites(self) -> Mapping[str, int]:
        """How many of the cases are of which suite and pattern."""
        return Counter(f"{record.suite}/{record.axes.get('pattern')}" for record in self.records)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The causes, those with most cases first, and the runs that show them; the first run has the figures."""

    runs: tuple[FindingsRun, ...]
    found: tuple[Finding, ...]


def read_runs(stores: Iterable[Path]) -> tuple[FindingsRun, ...]:
    """The runs in the stores, in their order. Raises StoreError."""
    read = []
    for path in stores:
        with Store.reading(path) as store:
            read.append(FindingsRun(run=store.run(), records=store.records(), scripts=store.scripts()))
    return tuple(read)


def findings(runs: Sequence[FindingsRun]) -> Findings:
    """The causes of all runs. Raises UsageError where no case of any run is as expected."""
    grouped: dict[str, list[list[Record]]] = {}
    for number, side in enumerate(runs):
        for record in side.records:
            if record.expected is not None and record.verdict == record.expected.verdict and not record.unexpected:
                grouped.setdefault(record.expected.because, [[] for _ in runs])[number].append(record)
    if not grouped:
        msg = "no case of these runs is explained by an expectation; run a matrix whose cases have some"
        raise UsageError(msg)
    found = [_finding(because, by_run, runs) for because, by_run in grouped.items()]
    found.sort(key=lambda item: (-item.counts[0], -sum(item.counts), item.title))
    return Findings(runs=tuple(runs), found=tuple(found))


def _finding(because: str, by_run: list[list[Record]], runs: Sequence[FindingsRun]) -> Finding:
    every = [record for records in by_run for record in records]
    # Where the first run shows nothing of it, the first one that does has the figures.
    shown = next(number for number, records in enumerate(by_run) if records)
    records, scripts = by_run[shown], runs[shown].scripts
    titles = (record.expected.title for record in every if record.expected is not None)
    kept = [record for record in records if record.case_id in scripts]
    example = min(kept or records, key=lambda item: (len(scripts.get(item.case_id, "")), item.case_id))
    comparisons = [
        item
        for record in records
        for item in record.comparisons
        if item.status == "diverged" and item.at in get_args(ComparisonPoint)
    ]
    return Finding(
        title=_one_line(next((title for title in titles if title), None) or _beginning(because)),
        because=because,
        links=tuple(sorted({item.expected.link for item in every if item.expected and item.expected.link})),
        records=tuple(records),
        verdicts=Counter(record.verdict for record in records),
        counts=tuple(map(len, by_run)),
        ran=_ran({record.case_id for record in every}, runs),
        most_abs=max((item.max_abs for item in comparisons if item.max_abs is not None), default=None),
        most_steps=max((item.max_steps for item in comparisons if item.max_steps is not None), default=None),
        spread=None if comparisons and all(item.at == LOWERED for item in comparisons) else _spread(records),
        losses=_losses(records),
        example=example,
        script=scripts.get(example.case_id),
    )


def _ran(case_ids: Collection[str], runs: Sequence[FindingsRun]) -> tuple[int, ...]:
    return tuple(
        sum(record.case_id in case_ids and record.verdict not in NOT_RUN for record in side.records) for side in runs
    )


def _beginning(because: str) -> str:
    """The first words of a cause that nobody gave a title."""
    return because.partition(" (")[0].partition(",")[0].strip()


def _one_line(title: str) -> str:
    """A title that leaves neither its heading, its row of a table nor its comment."""
    return " ".join(title.split())


def _spread(records: Iterable[Record]) -> Spread | None:
    nearer: Counter[str] = Counter()
    apart = []
    for record in records:
        if record.verdict == "unquantized":
            continue
        known = [(item.sqnr_db, name) for name, item in record.pipelines.items() if item.sqnr_db is not None]
        if len(known) < 2:  # noqa: PLR2004 - a comparison takes two
            continue
        (worst, _), *_, (best, name) = sorted(known)
        apart.append(best - worst)
        nearer[name if best - worst >= _NEARER_DB else "neither"] += 1
    if not apart:
        return None
    return Spread(nearer=dict(nearer), median_db=statistics.median(apart), most_db=max(apart))


def _losses(records: Iterable[Record]) -> tuple[Loss, ...]:
    """Those that lose most first."""
    lost: dict[str, list[float]] = {}
    for record in records:
        for model in lowered_models(record):
            reference, there = model.outcome.sqnr_db, model.lowering.sqnr_db
            leaves = model.off is not None and model.off.status == "diverged"
            if leaves and reference is not None and there is not None and math.isfinite(reference - there):
                lost.setdefault(model.deployed, []).append(reference - there)
    found = [
        Loss(deployed=name, cases=len(values), median_db=statistics.median(values), most_db=max(values))
        for name, values in lost.items()
    ]
    return tuple(sorted(found, key=lambda loss: -loss.most_db))
