"""A run that stands: its reports say already what another run of the same cases in the same environment would say."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qatrix.cli.newest import STORE, newest_run
from qatrix.errors import QatrixError
from qatrix.files import content_digest
from qatrix.outcomes import Record, Run
from qatrix.report.again import base
from qatrix.report.changes import Since

if TYPE_CHECKING:
    from qatrix.cli.recall import Recall
    from qatrix.console import Console
    from qatrix.declare.selection import Selected
    from qatrix.declare.spec import Matrix

# The variable that has every run write its own reports, where it is "off".
_SWITCH: Final = "QATRIX_STANDING"
_PAGE: Final = "index.html"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A run that stands, and its records; what changed before it is no news any more."""

    run: Run
    records: tuple[Record, ...]
    folder: Path
    since: Since | None = None


def seal(matrix: Matrix, selected: Selected, keys: Mapping[str, str], command: Sequence[str]) -> str | None:
    """A SHA-256, in hex, of all that the reports of a run depend on; None where that cannot be told.

    `keys` name by case id what each case depends on: its declaration, the environment, all code. Reports
    show besides how the YAML is written, and the command, with which a case is run again.
    """
    if os.environ.get(_SWITCH) == "off" or keys.keys() != {case.case_id for case in selected.cases}:
        return None
    files = [(file, content_digest(Path(file))) for file in matrix.files]
    shown = (base(command), files, selected.selectors, str(selected.shard), selected.dropped, selected.problems)
    return hashlib.sha256(repr((sorted(keys.items()), shown)).encode("utf-8", "surrogatepass")).hexdigest()


def standing(out: Path, recall: Recall, sealed: str | None) -> Standing | None:
    """The newest run in a folder of runs, where it has this seal and its page; None otherwise."""
    # Whatever is wrong with that run, the next one says so where it matters.
    with contextlib.suppress(QatrixError):
        folder = newest_run(out)
        if recall.stands(folder, sealed) and (folder / _PAGE).is_file():
            return _read(folder)
    return None


def _read(folder: Path) -> Standing | None:
    from qatrix.report.store import Store

    with Store.reading(folder / STORE) as store:
        run = store.run()
        if not run.finished or run.id != folder.name:
            return None
        return Standing(run=run, records=store.undiagnosed(), folder=folder)


def tell_standing(console: Console, run_id: str) -> None:
    """Say why no case runs and no report is written."""
    console.note(
        f"nothing has changed since run {run_id}, and its report stands; qatrix run --fresh runs every case again"
    )
