"""Which process writes to a folder: a lock that the system gives back when that process ends, however it ends."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from qatrix.errors import FolderInUse
from qatrix.files import NotPlain, kind_of, open_plain

LOCK_FILE: Final = ".lock"
# The file may come from elsewhere, and its text is shown: what reads otherwise is not believed.
_HOLDER: Final = re.compile(r"process \d{1,10} since [0-9T:+.-]{10,40}")
_HOLDER_BYTES: Final = 200
_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextmanager
def locked(folder: Path, *, since: datetime) -> Iterator[str | None]:
    """Within it, no other process gets this lock; yields why there is none, where the system or the disk has no locks.

    Raises FolderInUse, which says who has it, where another process does.
    """
    path = folder / LOCK_FILE
    try:
        descriptor = _taken(path)
    except BlockingIOError:
        msg = f"{folder} is being written by {_holder(path)}; wait for it, or stop it"
        raise FolderInUse(msg) from None
    except OSError as error:
        yield error.strerror or type(error).__name__
        return
    try:
        # A full disk keeps the holder's name from being told, and nobody from holding it.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} since {since.isoformat(timespec='seconds')}\n".encode())
        yield None
    finally:
        # While it is locked still: whoever opened it before sees that it is no longer the folder's.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def was_held_by(folder: Path, process: int) -> bool:
    """Whether the process that locked a folder last was this one, which was killed: else the file would be gone."""
    return _holder(folder / LOCK_FILE).startswith(f"process {process} ")


def _taken(path: Path) -> int:
    """The descriptor of the file, locked. Raises BlockingIOError where another process has it.

    A link would let a folder from elsewhere name the file that is written to, and opening a pipe
    or a device may wait for ever, or do anything: these raise OSError.
    """
    while True:
        with suppress(FileNotFoundError):
            _demand_regular(path.lstat())
        descriptor = os.open(path, _FLAGS, 0o644)
        try:
            _demand_regular(os.fstat(descriptor))
            _lock(descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.lstat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Its holder has removed it between the two calls; the next one is another file.
        os.close(descriptor)


def _demand_regular(found: os.stat_result) -> None:
    kind = kind_of(found.st_mode)
    if kind is not None:
        raise OSError(errno.EINVAL, f"its {LOCK_FILE} is {kind}")


if sys.platform == "win32":

    def _lock(_: int) -> None:
        raise OSError(None, "this system has no locks that end with their process")

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        with open_plain(path, largest=_HOLDER_BYTES) as file:
            told = file.read(_HOLDER_BYTES).decode("ascii", "replace").strip()
    except (NotPlain, OSError):
        return "another process"
    return told if _HOLDER.fullmatch(told) else "another process"
