"""Files from elsewhere, which are opened only where they are plain files of a size that can be read."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

_KINDS: Final[Mapping[str, Callable[[int], bool]]] = {
    "a folder": stat.S_ISDIR,
    "a link": stat.S_ISLNK,
    "a named pipe": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}
_GIB: Final = 2**30
# The most that is read of a file of tensors, and the most that the tensors in it may take: a small file may swell.
LARGEST: Final = 16 * _GIB
_BLOCK: Final = 2**20


class NotPlain(Exception):
    """A path is no regular file, or too large a one; the message goes on after its name: "is a named pipe, …"."""


def kind_of(mode: int) -> str | None:
    """What a path is, in words, where it is no regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((name for name, fits in _KINDS.items() if fits(mode)), "something else")


def demand_plain(path: Path, *, largest: int) -> None:
    """Raise NotPlain unless the path is a regular file of at most `largest` bytes, and OSError where it is not there.

    Nothing is opened: opening a pipe would wait for whoever writes into it, and opening a device may do anything.
    """
    _demand(path.stat(), largest)


def open_plain(path: Path, *, largest: int) -> BinaryIO:
    """The file, open for reading; raises as `demand_plain` does, also where it became something else meanwhile."""
    demand_plain(path, largest=largest)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _demand(os.fstat(descriptor), largest)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def content_digest(path: Path) -> str:
    """The SHA-256, in hex, of a plain file, or of the names and contents of all in a folder.

    It is "absent" without one, and where nobody reads it because it is too large or no plain file.
    """
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            inside = sorted(item for item in path.iterdir() if item.is_file())
            told = "".join(f"{item.name} {content_digest(item)}\n" for item in inside)
            return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()
        _demand(facts, LARGEST)
        return _file_digest(path, facts.st_size, (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino))
    except (OSError, NotPlain):
        return "absent"


@functools.lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, notes: tuple[int, ...]) -> str:  # noqa: ARG001 - a file of which the system notes something else is read again
    with open_plain(path, largest=size) as file:
        found = hashlib.sha256()
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _demand(found: os.stat_result, largest: int) -> None:
    kind = kind_of(found.st_mode)
    if kind is not None:
        msg = f"is {kind}, and only a regular file is opened"
        raise NotPlain(msg)
    if found.st_size > largest:
        msg = f"has {_size(found.st_size, digits=1)}, and at most {_size(largest, digits=0)} are read"
        raise NotPlain(msg)


def _size(count: int, *, digits: int) -> str:
    return f"{count} bytes" if count < _GIB else f"{count / _GIB:.{digits}f} GiB"
