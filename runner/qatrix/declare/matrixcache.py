"""Matrices that were read before, by the bytes of their files: YAML that has not changed is not read again.

A shortcut and nothing else: what it gives is equal to what reading gives, and where a file of it is
damaged, or cannot be written, the YAML is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qatrix import keepsakes
from qatrix.contents import code_digest
from qatrix.declare import matrixcodec
from qatrix.declare.files import FileBytes, find_files
from qatrix.declare.loaded import Loaded
from qatrix.declare.matrixcodec import NotKept
from qatrix.resources import cache_folder

# The shipped matrix takes half a megabyte; what is far beyond took longer to read than its YAML.
_LARGEST: Final = 32 * 2**20
_KEPT: Final = 20
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
    """The matrix that a file holds; None, and the file is removed, where it is none."""
    body = keepsakes.read(place, largest=_LARGEST)
    if body is None:
        return None
    with contextlib.suppress(NotKept, UnicodeDecodeError):
        return matrixcodec.loads(body.decode("ascii"))
    keepsakes.drop(place)
    return None


def _keep(place: Path, loaded: Loaded) -> None:
    with contextlib.suppress(NotKept, RecursionError):
        body = matrixcodec.dumps(loaded).encode("ascii")
        if len(body) < _LARGEST:
            keepsakes.write(place, body)
            keepsakes.prune(place.parent, _KEPT)
