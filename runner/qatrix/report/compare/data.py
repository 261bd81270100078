"""Runs that are compared, and every case's way through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from qatrix.errors import UsageError
from qatrix.outcomes import Environment, Record, Run
from qatrix.report.store import Store
from qatrix.report.support import SupportChange, support_changes
from qatrix.report.transitions import KINDS, Absence, Kind, Step, step

_PROCESSOR_HAS: Final = "processor has "


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the runs: its name in the comparison, where it is, and its records by case id.

    `unfinished` are the cases that it was to run and did not, `unselected` those that its matrix declares and that
    it was not to run; None where its store does not say.
    """

    label: str
    path: Path
    run: Run
    records: Mapping[str, Record]
    unfinished: frozenset[str] = frozenset()
    unselected: frozenset[str] | None = None

    def absence(self, case_id: str, other: Side) -> Absence:
        """Why it has no record of a case that another run has one of."""
        if case_id in self.unfinished:
            return "unfinished"
        # The same matrix declares the same cases.
        alike = self.run.matrix_digest is not None and self.run.matrix_digest == other.run.matrix_digest
        return "unselected" if alike or case_id in (self.unselected or ()) else "undeclared"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A case in all runs: its record in each (None: the run does not have it) and the steps between neighbours."""

    case_id: str
    suite: str
    records: tuple[Record | None, ...]
    steps: tuple[Step, ...]

    @property
    def kind(self) -> Kind:
        """The step that matters most."""
        return min((item.kind for item in self.steps), key=list(KINDS).index)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two runs, the earlier first, and how many cases went which way; `counts` has every kind that occurs.

    `support` is what the later one gained and lost in what runs in integers where.
    """

    before: str
    after: str
    counts: Mapping[Kind, int]
    support: tuple[SupportChange, ...] = ()

    @property
    def total(self) -> int:
        """The cases that at least one of the two has."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact of the environments or of the runs that is not the same in all."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Two or more runs; the first is the baseline.

    `pairs` are each run and the one before it; with more than two runs `overall` is the last
    against the first. `rows` are all cases of all runs, in the order of the latest run that has
    them. `notes` are sentences of whoever asked for it, such as which files a change touched.
    """

    sides: tuple[Side, ...]
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    overall: Pair | None
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def remarkable(self) -> tuple[Row, ...]:
        """The cases that are not the same in all runs, those first that may be trouble."""
        order = {kind: rank for rank, kind in enumerate(KINDS)}
        return tuple(sorted((row for row in self.rows if row.kind != "same"), key=lambda row: order[row.kind]))

    @property
    def processors(self) -> tuple[Difference, ...]:
        """The features of the processors that are not the same in all runs: kernels then give other numbers."""
        return tuple(item for item in self.differences if item.name.startswith(_PROCESSOR_HAS))

    def has(self, *kinds: Kind) -> bool:
        """Whether any case went one of these ways from a run to the next."""
        return any(pair.counts.get(kind) for pair in self.pairs for kind in kinds)


def read_sides(stores: Sequence[Path], labels: Sequence[str] = ()) -> tuple[Side, ...]:
    """The runs in the given stores, named by `labels`, else by what tells them apart.

    Raises StoreError for a store that cannot be read, and UsageError for fewer than two runs,
    for one that is named twice, and for labels of another number or that are equal.
    """
    if len(stores) < 2:  # noqa: PLR2004 - a comparison is of two
        msg = "a comparison needs two runs or more; name their folders, the baseline first"
        raise UsageError(msg)
    if labels and (len(labels) != len(stores) or len(set(labels)) != len(labels)):
        msg = f"--label is to be given once for each run, each time another; there are {len(stores)} runs"
        raise UsageError(msg)
    for place, path in enumerate(stores):
        if path.resolve() in {other.resolve() for other in stores[:place]}:
            msg = f"{path} is named twice; a comparison is of different runs"
            raise UsageError(msg)
    read = [read_side(path) for path in stores]
    names = labels or _labels([side.run for side in read], stores)
    return tuple(replace(side, label=name) for name, side in zip(names, read, strict=True))


def compare(sides: Sequence[Side]) -> RunComparison:
    """Every case of every run, from each run to the next."""
    rows = tuple(_row(case_id, sides) for case_id in _case_ids(sides))
    pairs = tuple(
        _pair(sides[place], sides[place + 1], [row.steps[place] for row in rows], rows, place)
        for place in range(len(sides) - 1)
    )
    return RunComparison(
        sides=tuple(sides),
        rows=rows,
        pairs=pairs,
        overall=_overall(sides, rows) if len(pairs) > 1 else None,
        differences=tuple(_differences(sides)),
    )


def read_side(path: Path, *, diagnoses: bool = True) -> Side:
    """The run in a store, labelled with its id; without diagnoses it is read in half the time."""
    with Store.reading(path) as store:
        run, unselected = store.run(), store.unselected()
        records = store.records() if diagnoses else store.undiagnosed()
        return Side(
            label=run.id,
            path=path,
            run=run,
            records={record.case_id: record for record in records},
            unfinished=frozenset(store.unfinished()),
            unselected=None if unselected is None else frozenset(unselected),
        )


def step_between(before: Side, after: Side, case_id: str) -> Step:
    """What became of a case from one run to another; where one has no record of it, why not."""
    one, other = before.records.get(case_id), after.records.get(case_id)
    if one is None:
        return step(one, other, without=before.absence(case_id, after))
    return step(one, other, without="undeclared" if other is not None else after.absence(case_id, before))


def _labels(runs: Sequence[Run], stores: Sequence[Path]) -> tuple[str, ...]:
    """The first of these that is another for every run: the torch release, the folder, the path."""
    choices = (
        tuple(f"torch {run.environment.packages.get('torch')}" for run in runs),
        tuple(_folder(path).name for path in stores),
        tuple(run.id for run in runs),
        tuple(str(_folder(path)) for path in stores),
    )
    return next(names for names in choices if len(set(names)) == len(names) or names is choices[-1])


def _folder(path: Path) -> Path:
    return path.resolve().parent


def _case_ids(sides: Sequence[Side]) -> list[str]:
    return list(dict.fromkeys(case_id for side in reversed(sides) for case_id in side.records))


def _row(case_id: str, sides: Sequence[Side]) -> Row:
    records = tuple(side.records.get(case_id) for side in sides)
    steps = tuple(step_between(before, after, case_id) for before, after in pairwise(sides))
    suite = next(record.suite for record in reversed(records) if record is not None)
    return Row(case_id=case_id, suite=suite, records=records, steps=steps)


def _pair(before: Side, after: Side, steps: Sequence[Step], rows: Sequence[Row], place: int) -> Pair:
    """Counts the cases that one of the two runs has: others are in neither, and went nowhere."""
    there = [row.records[place] is not None or row.records[place + 1] is not None for row in rows]
    return _counted(before, after, [item for item, is_there in zip(steps, there, strict=True) if is_there])


def _overall(sides: Sequence[Side], rows: Sequence[Row]) -> Pair:
    there = (row.case_id for row in rows if row.records[0] is not None or row.records[-1] is not None)
    return _counted(sides[0], sides[-1], [step_between(sides[0], sides[-1], case_id) for case_id in there])


def _counted(before: Side, after: Side, steps: Sequence[Step]) -> Pair:
    counts = Counter(item.kind for item in steps)
    return Pair(
        before=before.label,
        after=after.label,
        counts={kind: counts[kind] for kind in KINDS if counts[kind]},
        support=support_changes(before.records, after.records),
    )


def _differences(sides: Sequence[Side]) -> Iterator[Difference]:
    facts = [dict(environment_facts(side.run.environment)) | dict(_about(side.run)) for side in sides]
    for name in dict.fromkeys(name for item in facts for name in item):
        values = tuple(item.get(name, "–") for item in facts)
        if len(set(values)) > 1:
            yield Difference(name=name, values=values)


def environment_facts(environment: Environment) -> Iterator[tuple[str, str]]:
    """What runs are told apart by: versions, platform, processor, its features, threads, devices, each by its name."""
    for name, version in environment.packages.items():
        yield name, version or "not installed"
    yield "python", environment.python
    yield "platform", environment.platform
    yield "processor", environment.processor
    yield "threads", str(environment.threads)
    for name, has in environment.cpu.items():
        yield f"{_PROCESSOR_HAS}{name}", "yes" if has else "no"
    for name, device in environment.devices.items():
        yield f"device {name}", device


def _about(run: Run) -> Iterator[tuple[str, str]]:
    yield "matrix", run.matrix_digest or "not known"
    yield "selected", " ".join(run.selectors) or "all"
    yield "reference", run.reference or "none"
    yield "finished", "yes" if run.finished else "no, it was interrupted"
