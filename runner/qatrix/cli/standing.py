"""A run that stands: its reports say already what another run of the same cases in the same environment would say."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
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
    from qatrix.declare.selection import Selected
    from qatrix.declare.spec import Matrix

# The variable that has every run write its own reports, where it is "off".
_SWITCH: Final = "QATRIX_STANDING"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A run that stands, and its records; what had changed before it is no news any more."""

    run: Run
    records: tuple[Record, ...]
    folder: Path
    since: Since | None = None


class Seal:
    """All that the reports of a run depend on, and with a folder what lies in it: a SHA-256, in hex.

    Besides what the cases depend on, reports show how the YAML is written, and the command, with which a case is run
    again. It is known for no run with a case of which that is not known.
    """

    def __init__(self, recall: Recall, matrix: Matrix, selected: Selected, command: Sequence[str]) -> None:
        keys = recall.keys(selected.cases)
        files = [(file, content_digest(Path(file))) for file in matrix.files]
        cut = None if selected.shard is None else (str(selected.shard), selected.shard.cut_by)
        shown = (base(command), files, selected.selectors, cut, selected.dropped, selected.problems)
        self.known = len(keys) == len(selected.cases)
        self._told = repr((recall.surroundings, sorted(keys.items()), shown)).encode("utf-8", "surrogatepass")

    def of(self, folder: Path) -> str:
        """The seal of the run in a folder, with all files of the run and the names of the runs beside it."""
        digest = hashlib.sha256(self._told)
        for fact in (*_files(folder), *_beside(folder)):
            digest.update(f"{fact}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def standing(out: Path, recall: Recall, seal: Seal) -> Standing | None:
    """The newest run in a folder of runs, where it was given this seal; None otherwise."""
    if os.environ.get(_SWITCH) == "off":
        return None
    # Whatever is wrong with that run, the next one says so where it matters.
    with contextlib.suppress(QatrixError, OSError):
        folder = newest_run(out)
        if recall.stands(folder, seal):
            return _read(folder)
    return None


def _files(folder: Path) -> Iterator[str]:
    """The files of a run; names that begin with a dot are those of a process at work."""
    for path in sorted(folder.rglob("[!.]*")):
        if path.is_file():
            yield f"{path.relative_to(folder)} {content_digest(path)}"


def _beside(folder: Path) -> list[str]:
    """The runs that a report may lead to."""
    stores = folder.parent.glob(f"*/{STORE}")
    return sorted(path.parent.name for path in stores if not path.parent.is_symlink())


def _read(folder: Path) -> Standing:
    from qatrix.report.store import Store

    with Store.reading(folder / STORE) as store:
        return Standing(run=store.run(), records=store.undiagnosed(), folder=folder)
