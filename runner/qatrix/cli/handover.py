"""A run that a warm process makes: that of a `qatrix watch` which goes on in this folder, in the same environment.

Wherever that cannot be, the command runs as it always does, and nobody is told.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from qatrix.cli.errands import agree, answered, is_of_this_user, is_possible, private_path
from qatrix.cli.interruption import SIGNALS
from qatrix.resources import cache_folder

# Below the folder of each watch, whose name is the time of its start; its scratch folder is for this user alone.
_PLACES: Final = "*/.workers"
# Options of a run whose cases run elsewhere, and of one that only prints.
_ELSEWHERE: Final = frozenset({"--engine", "--address", "--help", "-h"})
_WORKERS: Final = "--workers"


def handed_over(argv: Sequence[str]) -> int | None:
    """The exit code of a `run` that a warm process ran; None where this process has to run it."""
    if not is_possible() or not _uses_workers(argv):
        return None
    with suppress(OSError, RuntimeError):
        watches = [path for path in (cache_folder() / "watch").glob(_PLACES) if path.is_dir()]
        if watches:
            return _run_by(watches, argv)
    return None


def _run_by(watches: Sequence[Path], argv: Sequence[str]) -> int | None:
    from qatrix.cli.likeness import likeness

    alike = likeness()
    for folder in sorted(watches, reverse=True):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            with private_path(folder) as path:
                connection.connect(f"{path}/{alike}")
            if is_of_this_user(connection) and agree(connection, argv):
                return _awaited(connection)
    return None


def _awaited(connection: socket.socket) -> int | None:
    """Wait for the end of the run; None where it has to be run again. KeyboardInterrupt where it was not to go on."""
    with _relayed(connection) as relay:
        code = answered(connection)
    if code is None and relay.sent:
        raise KeyboardInterrupt
    if code is None:
        from qatrix.console import Console

        Console().note("note: the `qatrix watch` that this run used has ended; the run starts again without it")
    return code


@dataclass(kw_only=True)
class _Relay:
    """Hands the signals that this process gets to the one that runs the command."""

    connection: socket.socket
    sent: list[int] = field(default_factory=list)

    def __call__(self, number: int, _: object) -> None:
        self.sent.append(number)
        with suppress(OSError):
            self.connection.sendall(bytes([number]))


@contextmanager
def _relayed(connection: socket.socket) -> Iterator[_Relay]:
    """Within it, signals go to the other end; one that this process was started to ignore does not."""
    relay = _Relay(connection=connection)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, relay)
    try:
        yield relay
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _uses_workers(argv: Sequence[str]) -> bool:
    """Whether the cases would run in workers of this machine, by the plain text of the arguments."""
    options = [argument.partition("=") for argument in argv]
    if any(name in _ELSEWHERE for name, _, _ in options):
        return False
    following = [*argv[1:], ""]
    return all(
        _is_positive(value if joined else after)
        for (name, joined, value), after in zip(options, following, strict=True)
        if name == _WORKERS
    )


def _is_positive(text: str) -> bool:
    return text.isdecimal() and int(text) > 0
