"""The earlier run that a run is held against, its baseline, and what changed since."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qatrix.errors import StoreError
from qatrix.outcomes import Run
from qatrix.report.changes import Move, Since
from qatrix.report.compare.data import Side, environment_facts, read_side, step_between
from qatrix.report.neighbors import runs_before
from qatrix.report.store import Store
from qatrix.report.transitions import KINDS, Step

# Cases that are kept one by one, and lines about each; `qatrix compare` has all.
_MOVES: Final = 2000
_LINES: Final = 4
_MACHINE: Final = re.compile(r"x86_64|amd64|aarch64|arm64", re.IGNORECASE)
# Facts whose values are too long for a sentence.
_LONG: Final = frozenset({"platform", "processor"})


def newest_comparable(run_folder: Path, run: Run) -> Path | None:
    """The store of the newest run beside a run, and before it, that is finished and comparable with it."""
    wanted = _sort(run)
    return next(
        (path for path, other in runs_before(run_folder, run) if other.finished and _sort(other) == wanted), None
    )


def changes_since(baseline: Path, store: Path) -> Since:
    """What changed in the run of a store since its baseline. Raises StoreError where either cannot be read."""
    before, after = read_side(baseline, diagnoses=False), read_side(store, diagnoses=False)
    steps = {case_id: step_between(before, after, case_id) for case_id in {**after.records, **before.records}}
    counts = Counter(item.kind for item in steps.values())
    order = {kind: place for place, kind in enumerate(KINDS)}
    moved = sorted((item for item in steps.items() if item[1].kind != "same"), key=lambda item: order[item[1].kind])
    return Since(
        run=before.run.id,
        started=before.run.started,
        folder=Path(os.path.relpath(baseline.resolve().parent, store.resolve().parent)).as_posix(),
        environment=tuple(_differences(before.run, after.run)),
        counts={kind: counts[kind] for kind in KINDS if counts[kind]},
        moves=tuple(_move(before, after, *item) for item in moved[:_MOVES]),
    )


def keep_changes(store: Path, *, baseline: Path | None) -> None:
    """Keep in a run's store what changed since its baseline, or that it has none. Raises StoreError and OutputError."""
    since = None if baseline is None else changes_since(baseline, store)
    with Store.open(store) as opened:
        opened.keep_since(since)


def keep_changes_since_newest(store: Path) -> None:
    """Keep what changed since the newest comparable run beside this one; nothing where there is none."""
    with Store.reading(store) as opened:
        run = opened.run()
    baseline = newest_comparable(store.parent, run)
    try:
        keep_changes(store, baseline=baseline)
    except StoreError:
        if baseline is None:
            raise
        # A run that nobody named, and that turns out to be damaged, is no reason for this one to fail.
        keep_changes(store, baseline=None)


def _sort(run: Run) -> tuple[object, ...]:
    """What two runs have in common that can be compared: rules of selection, and kind of environment.

    Versions are no part of it: that a release of torch changes something is what a reader wants to see.
    """
    environment = run.environment
    installed = frozenset(name for name, version in environment.packages.items() if version is not None)
    devices = frozenset(environment.devices)
    machine = _MACHINE.search(environment.platform)
    system = environment.platform.partition("-")[0], machine and machine[0].lower()
    return run.selectors, run.shard, run.missing_shards, run.reference is None, installed, devices, system


def _differences(before: Run, after: Run) -> Iterator[str]:
    earlier, later = dict(environment_facts(before.environment)), dict(environment_facts(after.environment))
    for name in dict.fromkeys([*earlier, *later]):
        values = earlier.get(name, "–"), later.get(name, "–")
        if values[0] != values[1]:
            is_long = name in _LONG or name.startswith("device ")
            yield f"another {name}" if is_long else f"{name} {' → '.join(values)}"
    if before.matrix_digest != after.matrix_digest:
        yield "another matrix"


def _move(before: Side, after: Side, case_id: str, step: Step) -> Move:
    one, other = before.records.get(case_id), after.records.get(case_id)
    return Move(
        case_id=case_id,
        kind=step.kind,
        before=None if one is None else one.verdict,
        after=None if other is None else other.verdict,
        says=step.says[:_LINES],
    )
