"""What a command and a warm process say to each other, over a socket that only processes of one user reach.

The command sends its three streams and a line: its arguments, and its terminal's variables. The
process that is to run it answers that it can, and begins once the command agrees, so that a command
which did not wait is not run twice. Then each byte from the command is the number of a signal, and
what comes back at the end is the exit code.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qatrix.cli.likeness import of_terminal
from qatrix.execute.scratch import short_path

# The variable that has every command run in processes of its own, where it is "off".
SWITCH: Final = "QATRIX_WARM"
_STREAMS: Final = (0, 1, 2)
_HELLO: Final = b"h"
_READY: Final = b"r"
_GO: Final = b"g"
# More than a system lets a program have as arguments.
_LONGEST: Final = 4 * 2**20
_BLOCK: Final = 2**16
# So long each side waits for the other's next word before the run begins; torch is imported in less.
_PATIENCE_SECONDS: Final = 5.0
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A command that is to be run elsewhere: its arguments, its terminal's variables, and its streams' descriptors."""

    argv: tuple[str, ...]
    variables: dict[str, str]
    streams: tuple[int, ...]


def is_possible() -> bool:
    """Whether this system has what it takes, and nobody has turned it off."""
    has = hasattr(os, "fork") and hasattr(socket, "AF_UNIX") and hasattr(socket, "send_fds")
    return has and os.environ.get(SWITCH) != "off"


@contextmanager
def private_path(folder: Path) -> Iterator[str]:
    """A path of a folder that leaves room for a socket's name. Raises OSError where others than this user get there."""
    with short_path(folder) as path:
        # On Linux this path leads to what is open already, so that nobody can exchange it.
        facts = os.stat(path)  # noqa: PTH116 - a plain name
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise PermissionError
        yield path


def is_of_this_user(connection: socket.socket) -> bool:
    """Whether the process at the other end is; where the system does not tell, the folder lets in nobody else."""
    if sys.platform != "linux":
        return True
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(told)[1] == os.geteuid())


def agree(connection: socket.socket, argv: Sequence[str]) -> bool:
    """Ask for a command to be run; whether it is being run from now on. Raises OSError, TimeoutError among them."""
    message = json.dumps({"argv": list(argv), "variables": of_terminal(os.environ)}).encode() + b"\n"
    connection.settimeout(_PATIENCE_SECONDS)
    socket.send_fds(connection, [_HELLO], _STREAMS)
    connection.sendall(message)
    if connection.recv(1) != _READY:
        return False
    connection.sendall(_GO)
    connection.settimeout(None)
    return True


def received(connection: socket.socket) -> Errand:
    """What the other end asks for. Raises ValueError where it makes no sense, and OSError."""
    connection.settimeout(_PATIENCE_SECONDS)
    hello, streams, _, _ = socket.recv_fds(connection, 1, len(_STREAMS))
    message = bytearray()
    while not message.endswith(b"\n"):
        found = connection.recv(_BLOCK)
        if not found or len(message) > _LONGEST:
            raise ValueError(message)
        message += found
    match json.loads(message):
        case {"argv": list(argv), "variables": dict(variables)} if (
            hello == _HELLO and len(streams) == len(_STREAMS) and _are_texts([*argv, *variables.values()])
        ):
            return Errand(argv=tuple(argv), variables=of_terminal(variables), streams=tuple(streams))
    raise ValueError(message)


def is_awaited(connection: socket.socket) -> bool:
    """Say that all is ready; whether the other end still wants it."""
    with suppress(OSError):
        connection.sendall(_READY)
        wanted = connection.recv(1) == _GO
        connection.settimeout(None)
        return wanted
    return False


def answer(connection: socket.socket, code: int) -> None:
    """Say how the command ended; nobody may be there any more."""
    with suppress(OSError):
        connection.sendall(b"%d\n" % code)


def answered(connection: socket.socket) -> int | None:
    """Wait for the command's end; its exit code, None where the process that ran it ended without one."""
    told = b""
    with suppress(OSError):
        while found := connection.recv(_BLOCK):
            told += found
    return int(told) if told.endswith(b"\n") else None


def _are_texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)
