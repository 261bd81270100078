"""Files that are looked at again and again, and which of them have other content than before."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from qatrix.files import content_digest

# Larger files are told by what the system notes of them, and not read.
_READ: Final = 64 * 2**20
# What quantizes, and what holds these programs against each other; a change of the rest is seen as a run begins.
_PROGRAM: Final = ("qatrix", "torchao", "torch/ao", "executorch/backends/xnnpack/quantizer")
_SOURCE: Final = ".py"

Find = Callable[[], Iterable[Path]]


class _Seen(NamedTuple):
    """What the system notes of a file once it was written to, and what it holds; None where it is not read."""

    notes: tuple[int, ...]
    digest: str | None


class Sight:
    """Some files as they were when they were looked at last; `find` says which there are now."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._more: set[Path] = set()
        self._seen: dict[Path, _Seen] = {}
        self._seen = self._look()

    def also(self, paths: Iterable[Path]) -> None:
        """Look at these files, too, from now on."""
        fresh = set(paths) - self._more - set(self._seen)
        self._more |= fresh
        for path in fresh:
            seen = self._glance(path)
            if seen is not None:
                self._seen[path] = seen

    def changes(self) -> tuple[Path, ...]:
        """The files that are new, gone, or hold something else than before; a file that was only touched does not."""
        before, now = self._seen, self._look()
        self._seen = now
        gone = [path for path in before if path not in now]
        return tuple(sorted([*gone, *(path for path, seen in now.items() if _is_other(before.get(path), seen))]))

    def _look(self) -> dict[Path, _Seen]:
        glances = ((path, self._glance(path)) for path in {*self._find(), *self._more})
        return {path: seen for path, seen in glances if seen is not None}

    def _glance(self, path: Path) -> _Seen | None:
        try:
            facts = path.stat()
        except (OSError, ValueError):
            return None
        notes = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
        known = self._seen.get(path)
        if known is not None and known.notes == notes:
            return known
        is_read = stat.S_ISREG(facts.st_mode) and facts.st_size <= _READ
        return _Seen(notes, content_digest(path) if is_read else None)


def _is_other(before: _Seen | None, now: _Seen) -> bool:
    if before is None or now.digest is None:
        return before != now
    return before.digest != now.digest


def declared_files(paths: Sequence[Path], modules: Sequence[str]) -> Find:
    """What a run reads anew: the files of a matrix and those of the user's own modules."""

    def find() -> Iterator[Path]:
        for path in paths:
            yield from _below(path) if path.is_dir() else (path,)
        for package in sorted({name.partition(".")[0] for name in modules}):
            yield from _package(package)

    return find


def program_files() -> Iterator[Path]:
    """What is loaded once and for all runs: the sources of qatrix, and of what quantizes."""
    for name in _PROGRAM:
        package, _, below = name.partition("/")
        for place in _places(package):
            yield from _below(place / below, suffix=_SOURCE)
    # It says which modules are the user's own.
    yield Path("pyproject.toml")


def _package(name: str) -> Iterator[Path]:
    # A module that was made after this process has looked for it.
    importlib.invalidate_caches()
    for place in _places(name):
        yield from _below(place, suffix=_SOURCE) if place.is_dir() else (place,)


def _places(package: str) -> tuple[Path, ...]:
    """The folders of a package, or the file of a module; nothing is imported."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            return tuple(map(Path, found.submodule_search_locations))
        if found is not None and found.origin is not None:
            return (Path(found.origin),)
    return ()


def _below(folder: Path, suffix: str = "") -> Iterator[Path]:
    """The files of a folder and of those in it; those with a dot before their name are editors' and tools'."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        yield from (Path(place, name) for name in names if not name.startswith(".") and name.endswith(suffix))
