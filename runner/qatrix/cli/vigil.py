"""The wait for edits: each begins a run of what it touches, until nobody waits for it any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from qatrix.cli.attempts import Running

LOOK_SECONDS: Final = 0.2
# An editor may write a file in pieces: it is read once it has been quiet for so long.
SETTLE_SECONDS: Final = 0.05
# So long a program goes on that has no terminal, while nobody edits.
_IDLE_SECONDS: Final = 600.0
# The exit code of a run that has not begun, since what is loaded is not what is installed now; no verb has it.
OUTDATED: Final = 90

End = Literal["idle", "outdated"]


class Looks(Protocol):
    """Files that are looked at again and again."""

    def also(self, paths: Iterable[Path]) -> None:
        """Look at these files, too."""

    def changes(self) -> tuple[Path, ...]:
        """The files that have changed since the look before."""


@dataclass(kw_only=True)
class Patience:
    """Whether somebody may be there still: there is a terminal, or something has happened lately."""

    clock: Callable[[], float]
    streams: Sequence[int] = (0, 1, 2)
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self.clock()

    def lasts(self, *, busy: bool) -> bool:
        """Whether to go on."""
        if busy or any(map(_is_terminal, self.streams)):
            self._since = self.clock()
        return self.clock() - self._since < _IDLE_SECONDS


@dataclass(kw_only=True)
class Vigil:
    """Looks at what is declared and at the program; `begin` starts a run, and is told which files changed before it.

    `ended` is told of each run that came to an end, or was given up for the next; `hosting` says whether commands of
    others go on.
    """

    declared: Looks
    program: Looks
    begin: Callable[[Sequence[Path]], Running]
    ended: Callable[[Running], None]
    pause: Callable[[float], Any]
    hosting: Callable[[], bool]
    patience: Patience

    def keep(self) -> End:
        """Run what edits touch; says why it ends, which a Ctrl-C does, too. No run goes on after it."""
        running = self.begin(())
        goes_on = True
        try:
            while self.patience.lasts(busy=goes_on or self.hosting()):
                self.pause(LOOK_SECONDS)
                self.declared.also(map(Path, running.told.get("files", ())))
                if goes_on and (code := running.code()) is not None:
                    if code == OUTDATED:
                        return "outdated"
                    goes_on = False
                    self.ended(running)
                if self.program.changes():
                    return "outdated"
                if changed := self._settled():
                    running.abandon()
                    if goes_on:
                        self.ended(running)
                    running, goes_on = self.begin(changed), True
            return "idle"
        finally:
            running.abandon()

    def _settled(self) -> tuple[Path, ...]:
        """What has changed, once nothing goes on changing."""
        found: tuple[Path, ...] = ()
        while more := self.declared.changes():
            found = tuple(dict.fromkeys([*found, *more]))
            self.pause(SETTLE_SECONDS)
        return found


def _is_terminal(stream: int) -> bool:
    try:
        return os.isatty(stream)
    except OSError:
        return False
