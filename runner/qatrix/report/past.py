"""What became of a run's cases in the runs before it, in folders beside its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from qatrix.errors import StoreError
from qatrix.outcomes import Record, Run
from qatrix.report.figures import href
from qatrix.report.links import report_page
from qatrix.report.neighbors import runs_before
from qatrix.report.store import Store, Visit

# Runs that a case page shows, and lines of all of them together: many cases have fewer runs each.
_RUNS: Final = 20
_LINES: Final = 30_000


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """A run before this one: `page` is its report as seen from this one's, None where it is not there."""

    run: Run
    page: str | None
    visits: Mapping[str, Visit]


@dataclass(frozen=True, kw_only=True)
class Past:
    """The newest runs before this one, the newest first."""

    runs: tuple[EarlierRun, ...] = field(default=())

    def of(self, case_id: str) -> tuple[tuple[EarlierRun, Visit, str | None], ...]:
        """The runs that have a case, what became of it there, and where its report says so."""
        return tuple(
            (item, item.visits[case_id], None if item.page is None else item.page + href(case_id))
            for item in self.runs
            if case_id in item.visits
        )


def read_past(store: Path, run: Run, cases: Sequence[Record], pipelines: Sequence[str], out: Path) -> Past:
    """The newest runs before this one that have any of its cases, as seen from a report in the folder `out`."""
    most = min(_RUNS, _LINES // max(1, len(cases)))
    earlier = islice(runs_before(store.parent, run), most)
    read = (_read(path, other, cases, pipelines, out) for path, other in earlier)
    return Past(runs=tuple(item for item in read if item is not None and item.visits))


def _read(path: Path, run: Run, cases: Sequence[Record], pipelines: Sequence[str], out: Path) -> EarlierRun | None:
    try:
        with Store.reading(path) as store:
            visits = store.visits((record.case_id for record in cases), pipelines)
    except StoreError:
        return None
    return EarlierRun(run=run, page=report_page(path.parent, out), visits=visits)
