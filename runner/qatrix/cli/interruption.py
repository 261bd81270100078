"""What asks a command to end before its time: Ctrl-C, and the signals by which systems and CI stop programs."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Final

# SIGTERM: `kill`, `timeout`, a CI job that is cancelled; SIGHUP: a terminal that is closed, which Windows lacks.
SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# tox and make hand a Ctrl-C on that reached this process already: what comes sooner is the same one.
_SECOND_AFTER: Final = 1.0
_STREAMS: Final = (1, 2)


class Interruption:
    """The first request to end raises KeyboardInterrupt, or is kept until it is heeded; later ones change nothing.

    Only a Ctrl-C by someone who has waited for a second raises again: it ends the command at once.
    """

    def __init__(self) -> None:
        self._asked: float | None = None
        self._held = False
        self._terminals: tuple[int, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether this process was asked to end."""
        return self._asked is not None

    def listen(self) -> None:
        """Take these signals from now on, for as long as the process lives; one that it was started to ignore stays so.

        `nohup` has SIGHUP ignored, and shells have SIGINT ignored in the background.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        self._terminals = tuple(stream for stream in _STREAMS if os.isatty(stream))
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def hold(self) -> None:
        """From now on, what arrives is noted and nothing more, so that what is begun is brought to its end."""
        self._held = True

    def heed(self) -> None:
        """Raise KeyboardInterrupt where this process was asked to end; from now on, do so when it is."""
        self._held = False
        # Code that runs when an object is freed swallows what a signal raises there.
        if self.asked:
            raise KeyboardInterrupt

    def _arrived(self, number: int, _: Any) -> None:
        before, self._asked = self._asked, time.monotonic()
        self._let_go_of_closed_terminals()
        if before is None:
            if not self._held:
                raise KeyboardInterrupt
        elif number == signal.SIGINT and self._asked - before >= _SECOND_AFTER:
            raise KeyboardInterrupt

    def _let_go_of_closed_terminals(self) -> None:
        """What is printed to a terminal that was closed goes nowhere; it must not end the report."""
        for stream in self._terminals:
            if not os.isatty(stream):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream)
                os.close(nowhere)
