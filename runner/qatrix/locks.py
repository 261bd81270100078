"""Which process writes to a folder: a lock that the system gives back when that process ends, however it ends."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from qatrix.errors import FolderInUse

LOCK_FILE: Final = ".lock"
# The file may come from elsewhere, and its text is shown: what reads otherwise is not believed.
_HOLDER: Final = re.compile(r"process \d{1,10} since [0-9T:+.-]{10,40}")
_HOLDER_BYTES: Final = 200


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
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} since {since.isoformat(timespec='seconds')}\n".encode())
        yield None
    finally:
        # While it is locked still: whoever opened it before sees that it is no longer the folder's.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _taken(path: Path) -> int:
    """The descriptor of the file, locked. Raises BlockingIOError where another process has it."""
    while True:
        # A link would let a folder from elsewhere name the file that is written to.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            _lock(descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Its holder has removed it between the two calls; the next one is another file.
        os.close(descriptor)


if sys.platform == "win32":

    def _lock(_: int) -> None:
        raise OSError(None, "this system has no locks that end with their process")

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        with path.open("rb") as file:
            told = file.read(_HOLDER_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return "another process"
    return told if _HOLDER.fullmatch(told) else "another process"
