"""The run that another one is held against, as the options name it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from qatrix.cli.newest import run_store
from qatrix.errors import UsageError

# The store of a run, the newest comparable one, or none.
WantedBaseline = Path | Literal["newest"] | None


def wanted_baseline(baseline: Path | None, *, no_baseline: bool) -> WantedBaseline:
    """The baseline that was asked for, looked at before anything runs: `latest` is another run afterwards.

    Raises UsageError where both options are given, and StoreError for a run that cannot be read.
    """
    from qatrix.report.store import Store

    if baseline is None:
        return None if no_baseline else "newest"
    if no_baseline:
        msg = "--baseline and --no-baseline exclude each other; give one of them"
        raise UsageError(msg)
    store = run_store(baseline).resolve()
    with Store.reading(store):
        return store


def tell_changes(store: Path, baseline: WantedBaseline) -> None:
    """Keep in a run's store what changed since its baseline."""
    from qatrix.report.baselines import keep_changes, keep_changes_since_newest

    if baseline == "newest":
        keep_changes_since_newest(store)
    else:
        keep_changes(store, baseline=baseline)
