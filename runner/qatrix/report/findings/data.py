"""Causes out of the expectations of runs' records, and what their cases measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qatrix.errors import UsageError
from qatrix.outcomes import NOT_RUN, Record, Run
from qatrix.report.causes import Cause, cause_of, declared_key, is_declared, links_of
from qatrix.report.store import Store


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
class Finding:
    """One declared cause, with the cases of the first run that shows it, and how many cases it explains in every run.

    `counts` has the number of cases in each run, in the order of the runs, `ran` the number of cases which each run
    took through its pipelines of all that it explains in any. `script` is that of the cause's example; None where the
    run kept none.
    """

    cause: Cause
    counts: tuple[int, ...]
    ran: tuple[int, ...]
    script: str | None

    @property
    def suites(self) -> Mapping[str, int]:
        """How many of the cases are of which suite and pattern."""
        return Counter(f"{record.suite}/{record.axes.get('pattern')}" for record in self.cause.records)


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
    """The declared causes of all runs. Raises UsageError where no case of any run is as expected."""
    keys = _keys(runs)
    shares: dict[str, list[list[Record]]] = {}
    for number, side in enumerate(runs):
        for record in side.records:
            if record.expected is not None and is_declared(record):
                key = keys.get(record.expected.because) or declared_key(record.expected)
                shares.setdefault(key, [[] for _ in runs])[number].append(record)
    if not shares:
        msg = "no case of these runs is explained by an expectation; run a matrix whose cases have some"
        raise UsageError(msg)
    found = [_finding(key, by_run, runs) for key, by_run in shares.items()]
    found.sort(key=lambda item: (-item.counts[0], -sum(item.counts), item.cause.title))
    return Findings(runs=tuple(runs), found=tuple(found))


def _keys(runs: Iterable[FindingsRun]) -> Mapping[str, str]:
    """The keys of causes by their reasons: earlier versions of qatrix kept the reasons alone."""
    expected = (record.expected for side in runs for record in side.records if record.expected is not None)
    return {item.because: declared_key(item) for item in expected if item.cause is not None}


def _finding(key: str, by_run: list[list[Record]], runs: Sequence[FindingsRun]) -> Finding:
    every = [record for records in by_run for record in records]
    # Where the first run shows nothing of it, the first one that does has the figures.
    shown = next(number for number, records in enumerate(by_run) if records)
    cause = cause_of(key, by_run[shown], runs[shown].scripts)
    return Finding(
        # Another run may know more to read.
        cause=replace(cause, links=links_of(item.expected for item in every if item.expected)),
        counts=tuple(map(len, by_run)),
        ran=_ran({record.case_id for record in every}, runs),
        script=runs[shown].scripts.get(cause.example.case_id),
    )


def _ran(case_ids: Collection[str], runs: Sequence[FindingsRun]) -> tuple[int, ...]:
    return tuple(
        sum(record.case_id in case_ids and record.verdict not in NOT_RUN for record in side.records) for side in runs
    )
