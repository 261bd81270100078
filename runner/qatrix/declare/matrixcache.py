"""Matrices that were read before, by the bytes of their files: YAML that has not changed is not read again.

A shortcut and nothing else: what it gives is equal to what reading gives, and where a file of it is
damaged, or cannot be written, the YAML is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qatrix.contents import code_digest
from qatrix.declare import matrixcodec
from qatrix.declare.files import FileBytes, find_files
from qatrix.declare.loaded import Loaded
from qatrix.declare.matrixcodec import NotKept
from qatrix.files import NotPlain, open_plain
from qatrix.resources import cache_folder

# The shipped matrix takes half a megabyte; what is far beyond took longer to read than its YAML.
_LARGEST: Final = 32 * 2**20
_KEPT: Final = 20
_HEX_DIGITS: Final = 64
_METADATA: Final = (".dist-info", ".egg-info")


def load_cached(paths: Sequence[Path], *, allowed_modules: Sequence[str] = ()) -> Loaded:
    """What `load` gives, taken from an earlier process that read the same files in the same environment."""
    files, faults = find_files(paths)
    place = None if faults or any(file.refused for file in files) else _place(files, allowed_modules)
    known = None if place is None else _read(place)
    if known is not None:
        return known
    # Takes as long to import as a kept matrix takes in all.
    from qatrix.declare.load import load_files

    loaded = load_files(files, faults, allowed_modules=allowed_modules)
    if place is not None:
        _keep(place, loaded)
    return loaded


def _place(files: Sequence[FileBytes], allowed_modules: Sequence[str]) -> Path | None:
    """The file for all that a matrix depends on: its files, this code, and what distributions register."""
    with contextlib.suppress(OSError, RuntimeError):
        told = [sys.version, code_digest(("qatrix",)), repr(tuple(allowed_modules)), *_registering()]
        told += [f"{file.shown!r} {hashlib.sha256(file.content).hexdigest()}" for file in files]
        key = hashlib.sha256("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()
        return cache_folder() / "matrices" / f"{key}.json"
    return None


def _registering() -> Iterator[str]:
    """What the system says of every installed file that registers anything; reading them all takes 20 ms."""
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in sorted(entries, key=lambda item: item.name):
                if entry.name.endswith(_METADATA):
                    yield _told(os.path.join(entry.path, "entry_points.txt"))  # noqa: PTH118 - plain names
        # An archive has no folder of its own.
        if folder.endswith((".zip", ".egg", ".whl")):
            yield _told(folder)


def _told(path: str) -> str:
    try:
        facts = os.stat(path)  # noqa: PTH116 - a plain name
    except OSError:
        return f"{path} absent"
    return f"{path} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"


def _read(place: Path) -> Loaded | None:
    """The matrix that a file holds; None, and the file is removed, where it is not whole."""
    with contextlib.suppress(OSError):
        try:
            with open_plain(place, largest=_LARGEST) as file:
                content = file.read()
            checksum, body = content[:_HEX_DIGITS], content[_HEX_DIGITS + 1 :]
            if checksum == _checksum(place, body):
                return matrixcodec.loads(body.decode("ascii"))
        except (NotKept, NotPlain, UnicodeDecodeError):
            pass
        place.unlink()
    return None


def _keep(place: Path, loaded: Loaded) -> None:
    """Put the file in place as a whole; that it cannot be written costs time, nothing else."""
    with contextlib.suppress(OSError, NotKept, RecursionError):
        body = matrixcodec.dumps(loaded).encode("ascii")
        if len(body) >= _LARGEST:
            return
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=place.parent, suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_checksum(place, body) + b"\n" + body)
            Path(partial).replace(place)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        _prune(place.parent)


def _prune(folder: Path) -> None:
    newest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for outdated in newest[_KEPT:]:
        outdated.unlink(missing_ok=True)


def _checksum(place: Path, body: bytes) -> bytes:
    """Of the body and of its place, so that a file under another's name is not taken for it."""
    return hashlib.sha256(place.name.encode() + b"\n" + body).hexdigest().encode()
