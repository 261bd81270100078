"""Runs in the order of time, and what became of each case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from qatrix.errors import StoreError, UsageError
from qatrix.outcomes import Run
from qatrix.report.compare.data import environment_facts
from qatrix.report.figures import listed
from qatrix.report.sentences import standing
from qatrix.report.store import Stop, Store
from qatrix.report.transitions import REGRESSIONS, Kind, turn

Steadiness = Literal["flaky", "changed", "steady", "once"]
# In the order in which they are told.
STEADINESS: Final[tuple[Steadiness, ...]] = ("flaky", "changed", "steady", "once")


@dataclass(frozen=True, kw_only=True)
class HistoryRun:
    """A run, where its store is, and what became of its cases, by case id."""

    path: Path
    run: Run
    stops: Mapping[str, Stop]


@dataclass(frozen=True, kw_only=True)
class Change:
    """Another verdict than in an earlier run that has the case, or another answer to whether it was expected.

    That is the latest one in the same environment with the same matrix, where verdicts differ
    from it, else the latest at all: runs of several environments often lie in turn. `at` and
    `since` are the places of both in the history. `because` is what else is different about the
    two runs, environment and matrix; nothing, and the case wavers.
    """

    at: int
    since: int
    before: Stop
    after: Stop
    because: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """Which transition it is: newly unexpected, worse, better, …"""
        return turn(self.before, self.after)

    @property
    def is_flaky(self) -> bool:
        """Whether nothing that is known explains it."""
        return not self.because


@dataclass(frozen=True, kw_only=True)
class CaseHistory:
    """A case in all runs (None: the run does not have it, or not its verdict), and its changes.

    `latest` is what became of it from the run before, in the same environment where there is one, to the last run.
    """

    case_id: str
    stops: tuple[Stop | None, ...]
    changes: tuple[Change, ...]
    latest: Kind

    @property
    def steadiness(self) -> Steadiness:
        """Flaky where any change is unexplained, else changed or steady; a case seen once is neither."""
        if any(change.is_flaky for change in self.changes):
            return "flaky"
        if self.changes:
            return "changed"
        return "steady" if sum(stop is not None for stop in self.stops) > 1 else "once"

    @property
    def is_worse(self) -> bool:
        """Whether it is unexpected and once was not, or got worse with the last run."""
        became = self.last.unexpected and any(stop is not None and not stop.unexpected for stop in self.stops)
        return became or self.latest in REGRESSIONS

    @property
    def last(self) -> Stop:
        """What became of it in the latest run that has it."""
        return next(stop for stop in reversed(self.stops) if stop is not None)


@dataclass(frozen=True, kw_only=True)
class History:
    """Runs, the oldest first, and their cases: those that waver first, then those that changed.

    `left_out` says, in sentences, which stores were found and are not in it.
    """

    runs: tuple[HistoryRun, ...]
    cases: tuple[CaseHistory, ...]
    left_out: tuple[str, ...] = ()

    def of(self, steadiness: Steadiness) -> tuple[CaseHistory, ...]:
        """The cases that waver, that changed, that never did, or that only one run has."""
        return tuple(case for case in self.cases if case.steadiness == steadiness)

    @property
    def worse(self) -> tuple[CaseHistory, ...]:
        """The cases that are unexpected and once were not, or got worse with the last run."""
        return tuple(case for case in self.cases if case.is_worse)


def read_runs(folder: Path) -> tuple[tuple[HistoryRun, ...], tuple[str, ...]]:
    """The runs of all stores in a folder and below, the oldest first, and why others are left out.

    A store that cannot be read is left out, and so are a copy of another one and a shard that
    another run was merged from. Raises UsageError where there is no run at all.
    """
    read = [_read(path) for path in sorted({path.resolve() for path in folder.rglob("*.sqlite")})]
    found, copies = _without_copies([item for item in read if isinstance(item, HistoryRun)])
    faults = [item for item in read if isinstance(item, str)]
    merged = {name: item.run.id for item in found for name in item.run.merged_from}
    kept = [item for item in found if item.run.shard is None or item.run.id not in merged]
    shards = [f"{item.path} is a shard of {merged[item.run.id]}" for item in found if item not in kept]
    if not kept:
        msg = f"there is no run in {folder}; name a folder that holds runs, such as reports"
        raise UsageError("\n".join([msg, *faults]))
    kept.sort(key=lambda item: (item.run.started, item.run.id, str(item.path)))
    return tuple(kept), (*faults, *copies, *shards)


def _without_copies(found: Sequence[HistoryRun]) -> tuple[list[HistoryRun], list[str]]:
    """Each run once, where its folder has its name, and what the others are: a run is no second witness of itself."""
    kept: list[HistoryRun] = []
    copies = []
    for item in sorted(found, key=lambda item: item.path.parent.name != item.run.id):
        original = next((other for other in kept if (other.run, other.stops) == (item.run, item.stops)), None)
        if original is None:
            kept.append(item)
        else:
            copies.append(f"{item.path} is a copy of {original.path}")
    return kept, copies


def history(runs: Sequence[HistoryRun], left_out: Sequence[str] = ()) -> History:
    """The history of the runs, which are in the order of time."""
    found = [dict(_facts(item.run)) for item in runs]
    facts = [found[found.index(item)] for item in found]
    ids = dict.fromkeys(case_id for item in reversed(runs) for case_id in item.stops)
    cases = [_case(case_id, runs, facts) for case_id in ids]
    cases.sort(key=lambda case: STEADINESS.index(case.steadiness))
    return History(runs=tuple(runs), cases=tuple(cases), left_out=tuple(left_out))


def _read(path: Path) -> HistoryRun | str:
    """The run in a store, or why it cannot be read."""
    try:
        with Store.reading(path) as store:
            return HistoryRun(path=path, run=store.run(), stops=store.stops())
    except StoreError as error:
        return str(error)


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    yield from environment_facts(run.environment)
    yield "matrix", run.matrix_digest or "not known"


def _case(case_id: str, runs: Sequence[HistoryRun], facts: Sequence[Mapping[str, str]]) -> CaseHistory:
    stops = tuple(item.stops.get(case_id) for item in runs)
    changes = [_change(at, stops, facts) for at in range(len(stops))]
    found = tuple(item for item in changes if item is not None)
    return CaseHistory(case_id=case_id, stops=stops, changes=found, latest=_latest(stops, facts))


def _latest(stops: Sequence[Stop | None], facts: Sequence[Mapping[str, str]]) -> Kind:
    """What became of a case with the last run; "same" where that does not have it, or no other one has."""
    after = stops[-1]
    before = None if after is None else next((stops[place] for place in _earlier(len(stops) - 1, stops, facts)), None)
    return "same" if before is None or after is None else turn(before, after)


def _earlier(at: int, stops: Sequence[Stop | None], facts: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    """The places that a run is held against: the latest with the case in the same environment, and at all."""
    there = [place for place in reversed(range(at)) if stops[place] is not None]
    # Runs that are alike share their facts.
    alike = (place for place in there if facts[place] is facts[at])
    return (*islice(alike, 1), *there[:1])


def _change(at: int, stops: Sequence[Stop | None], facts: Sequence[Mapping[str, str]]) -> Change | None:
    """What changed with the run at this place, None where the case is not there or nothing did."""
    after = stops[at]
    for place in _earlier(at, stops, facts):
        before = stops[place]
        if before is not None and after is not None and before != after:
            because = tuple(_differences(facts[place], facts[at]))
            return Change(at=at, since=place, before=before, after=after, because=because)
    return None


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """What is different between two runs, such as "torch 2.9.1 → 2.15.0"; of a matrix only that it is."""
    for name in dict.fromkeys([*before, *after]):
        values = before.get(name, "–"), after.get(name, "–")
        if values[0] != values[1]:
            yield "the matrix" if name == "matrix" else f"{name} {' → '.join(values)}"


def way(change: Change) -> str:
    """The verdicts of a change: "exact → diverged (unexpected)"."""
    return f"{standing(change.before)} → {standing(change.after)}"


def told(change: Change, runs: Sequence[HistoryRun]) -> str:
    """A change in words: when, and what else changed."""
    when = f"in {runs[change.at].run.id}"
    if change.is_flaky:
        return f"{when}: in the same environment, of the same matrix as {runs[change.since].run.id}"
    return f"{when}: with {listed(change.because)}"
