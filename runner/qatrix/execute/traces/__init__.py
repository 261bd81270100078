"""What a case leaves behind in its process: global state is read before it, compared and set back after it.

Tables say what is looked at: `modes`, `switches` and `configurations` hold the state of torch,
`surroundings` that of Python and of the process. Random states are no part of them, because every
model is built and run from its own seed. What no table knows, such as a function of torch that was
replaced, only the end of the process takes away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from qatrix.execute import isolation
from qatrix.execute.traces.configurations import CONFIGURATIONS
from qatrix.execute.traces.kinds import Kind, Unreadable
from qatrix.execute.traces.modes import MODES
from qatrix.execute.traces.surroundings import SURROUNDINGS
from qatrix.execute.traces.switches import SWITCHES
from qatrix.text import told as told_error

__all__ = ["KINDS", "Kind", "Watch"]

# In the order in which they are set back: under a mode that was left on, nothing else reads as it is.
KINDS: Final[tuple[Kind, ...]] = (*MODES, *SWITCHES, *CONFIGURATIONS, *SURROUNDINGS)


class Watch:
    """The global state as it was when this was made."""

    def __init__(self, kinds: Sequence[Kind] = KINDS) -> None:
        self._before: list[tuple[Kind, Any]] = [(kind, kind.now()) for kind in kinds]

    def restore(self) -> tuple[str, ...]:
        """Set back what has changed since, and say what that was, a sentence each; empty where nothing has."""
        return tuple(
            self._restored(kind, before, now)
            for kind, before in self._before
            if kind.changed(before, now := kind.now())
        )

    def _restored(self, kind: Kind, before: Any, now: Any) -> str:
        told = kind.tell(kind.name, before, now)
        if kind.restore is None or isinstance(before, Unreadable):
            return f"{told}, which cannot be set back"
        try:
            kind.restore(before)
        except BaseException as error:  # noqa: BLE001 - whatever the case did to it, the rest has to be set back, too
            isolation.let_ctrl_c_through(error)
            return f"{told}, which cannot be set back: {told_error(error)}"
        return f"{told}, which cannot be set back" if kind.changed(before, kind.now()) else told
