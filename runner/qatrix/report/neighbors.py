"""The runs in the folders beside a run's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qatrix.errors import StoreError
from qatrix.outcomes import Run
from qatrix.report.store import Store

STORE: Final = "run.sqlite"
# Runs that are looked at, the newest first.
_LOOKED_AT: Final = 200


def runs_before(run_folder: Path, run: Run) -> Iterator[tuple[Path, Run]]:
    """The stores of runs in folders beside a run's that began before it did, the newest first.

    What cannot be read is passed over, and so is `latest`, which is one of the others.
    """
    here = run_folder.resolve()
    folders = (path.parent for path in here.parent.glob(f"*/{STORE}"))
    beside = sorted((folder for folder in folders if not folder.is_symlink() and folder != here), reverse=True)
    read = ((folder / STORE, _run_of(folder / STORE)) for folder in beside[:_LOOKED_AT])
    earlier = [(path, other) for path, other in read if other is not None and _key(other) < _key(run)]
    yield from sorted(earlier, key=lambda item: _key(item[1]), reverse=True)


def _key(run: Run) -> tuple[str, str]:
    return run.started, run.id


def _run_of(path: Path) -> Run | None:
    try:
        with Store.reading(path) as store:
            return store.run()
    except StoreError:
        return None
