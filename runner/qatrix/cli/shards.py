"""Which slice of a selection is wanted, and by what it is cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qatrix.cli.newest import run_store
from qatrix.errors import StoreError, UsageError

if TYPE_CHECKING:
    from qatrix.declare.sharding import Shard


def wanted_shard(text: str | None, by: Literal["hash", "cost"], durations: Path) -> Shard | None:
    """The slice that --shard asks for, None where it asks for none. Raises UsageError for one that cannot be."""
    from qatrix.declare.sharding import Costs, Shard

    if text is None and by == "hash":
        return None
    if text is None:
        msg = "--shard-by cost: it says how --shard I/N cuts; give --shard, too"
        raise UsageError(msg)
    return Shard.parse(text, None if by == "hash" else Costs(_seconds(durations)))


def _seconds(run: Path) -> dict[str, float]:
    """How long the cases of a run took. Raises UsageError where they cannot be read."""
    from qatrix.report.store import Store

    try:
        with Store.reading(run_store(run)) as store:
            return store.seconds()
    except StoreError as error:
        msg = f"--shard-by cost: {error}\nname with --durations a run of these cases, the same one on every machine"
        raise UsageError(msg) from error
