"""Runs that are compared, and every case's way through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qatrix.errors import UsageError
from qatrix.outcomes import Environment, Record, Run
from qatrix.report.compare.transitions import KINDS, Kind, Step, step
from qatrix.report.store import Store
from qatrix.report.support import SupportChange, support_changes

_PROCESSOR_HAS: Final = "processor has "


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the runs: its name in the comparison, where it is, and its records by case id."""

    label: str
    path: Path
    run: Run
    records: Mapping[str, Record]


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
    them.
    """

    sides: tuple[Side, ...]
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    overall: Pair | None
    differences: tuple[Difference, ...]

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
    read = [_read(path) for path in stores]
    names = labels or _labels([run for run, _ in read], stores)
    return tuple(
        Side(label=name, path=path, run=run, records=records)
        for name, path, (run, records) in zip(names, stores, read, strict=True)
    )


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


def _read(path: Path) -> tuple[Run, dict[str, Record]]:
    with Store.reading(path) as store:
        return store.run(), {record.case_id: record for record in store.records()}


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
    steps = tuple(step(records[place], records[place + 1]) for place in range(len(records) - 1))
    suite = next(record.suite for record in reversed(records) if record is not None)
    return Row(case_id=case_id, suite=suite, records=records, steps=steps)


def _pair(before: Side, after: Side, steps: Sequence[Step], rows: Sequence[Row], place: int) -> Pair:
    """Counts the cases that one of the two runs has: others are in neither, and went nowhere."""
    there = [row.records[place] is not None or row.records[place + 1] is not None for row in rows]
    return _counted(before, after, [item for item, is_there in zip(steps, there, strict=True) if is_there])


def _overall(sides: Sequence[Side], rows: Sequence[Row]) -> Pair:
    ends = [(row.records[0], row.records[-1]) for row in rows]
    return _counted(sides[0], sides[-1], [step(*both) for both in ends if any(both)])


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
