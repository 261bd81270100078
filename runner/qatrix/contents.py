"""What the files of packages hold, told again without reading them while the system's own notes on them are the same.

Sizes and times alone say neither: an editor can leave both as they were, and an installation
makes every file new. When a file's status changed is the system's to say, and nobody can set it back.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from qatrix.resources import cache_folder

_CODE: Final = (".py", ".so", ".pyd", ".dll", ".dylib")
# Headers and shared data: thousands of files that nothing here runs.
_NO_CODE: Final = frozenset({"__pycache__", "include", "share"})
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# A file that is written twice within a tick of the system's clock has the same times after both.
_SETTLED_NS: Final = 2 * 10**9
# 64 bytes each: one for every state of every environment.
_KEPT: Final = 200
_BLOCK: Final = 2**20


class _File(NamedTuple):
    """A file of code: its package's folder, its path, and what the system says of it."""

    folder: str
    path: str
    facts: os.stat_result

    @property
    def is_text(self) -> bool:
        """Whether an editor could change it."""
        return self.path.endswith(".py")

    @property
    def notes(self) -> str:
        """What is another one once the file was written, whatever its size and times say then."""
        facts = self.facts
        return f"{self.path} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"


class _Installed(NamedTuple):
    """What the RECORD of an installation says of a file: its SHA-256 and its size."""

    digest: str
    size: str


def code_digest(packages: Sequence[str]) -> str:
    """A SHA-256, in hex, of where the packages' files of code are and of what they hold, told without importing them.

    A file that an editor could change is read. Of a compiled one, what its installation has
    noted is believed where its size is that one's and it is no newer.
    """
    places = [(package, _folders(package)) for package in packages]
    files = [file for _, folders in places for folder in folders for file in _files(folder, folder)]
    told = f"{places}\n" + "\n".join(file.notes for file in files)
    signature = hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()
    known = _noted(signature)
    if known is not None:
        return known
    found = _digest_of(places, files)
    if all(_is_settled(file.facts) for file in files):
        _note(signature, found)
    return found


def _digest_of(places: Sequence[tuple[str, Sequence[str]]], files: Sequence[_File]) -> str:
    records = {folder: _record(folder, package) for package, folders in places for folder in folders}
    found = hashlib.sha256(f"{places}\n".encode("utf-8", "surrogateescape"))
    for file in files:
        line = f"{file.path} {_recorded(file, *records[file.folder]) or _content(file.path)}\n"
        found.update(line.encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _folders(package: str) -> tuple[str, ...]:
    """Where a package is, also one without an __init__.py."""
    found = importlib.util.find_spec(package)
    places = found.submodule_search_locations if found is not None else None
    # A package that is reached by a link is the one that the link leads to.
    return tuple(os.path.realpath(place) for place in places or ())


def is_code(name: str) -> bool:
    """Whether a file is code that can run, by its name."""
    return name.endswith(_CODE) or ".so." in name


def _files(package: str, folder: str, linked: set[str] | None = None) -> Iterator[_File]:
    """The files of code there; folders that are links, as in ExecuTorch's checkout, are `linked` once each."""
    linked = set() if linked is None else linked
    # Plain names are four times as fast for thousands of files.
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            if entry.is_dir():
                if entry.name not in _NO_CODE and _is_new(entry, linked):
                    yield from _files(package, entry.path, linked)
            elif is_code(entry.name):
                # What is gone by now, or a link that leads nowhere, is no code.
                with contextlib.suppress(FileNotFoundError):
                    yield _File(package, entry.path, entry.stat())


def _is_new(entry: os.DirEntry[str], linked: set[str]) -> bool:
    """Whether a folder has to be looked into: a link may lead back to where it is."""
    if not entry.is_symlink():
        return True
    real = os.path.realpath(entry.path)
    known = real in linked
    linked.add(real)
    return not known


def _record(folder: str, package: str) -> tuple[Mapping[str, _Installed], int]:
    """What the installation beside a package's folder noted, by path as seen from there, and when; else nothing."""
    beside = Path(folder).parent
    for path in beside.glob(f"{package}-*.dist-info/RECORD"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            rows = (line.rsplit(",", 2) for line in path.read_text(encoding="utf-8").splitlines())
            noted = {row[0]: _Installed(row[1], row[2]) for row in rows if len(row) == 3}  # noqa: PLR2004 - path, hash, size
            return noted, path.stat().st_mtime_ns
    return {}, 0


def _recorded(file: _File, noted: Mapping[str, _Installed], at: int) -> str | None:
    """The hash that is noted of a file, None where the file has to be read."""
    if file.is_text or file.facts.st_mtime_ns > at:
        return None
    found = noted.get(os.path.relpath(file.path, os.path.dirname(file.folder)))  # noqa: PTH120 - plain names
    return found.digest or None if found is not None and found.size == str(file.facts.st_size) else None


def _content(path: str) -> str:
    """The hash of a file as a RECORD has it, "absent" where it cannot be read."""
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a plain name
            while block := file.read(_BLOCK):
                found.update(block)
    except OSError:
        return "absent"
    return f"sha256={base64.urlsafe_b64encode(found.digest()).decode().rstrip('=')}"


def _is_settled(facts: os.stat_result) -> bool:
    # Elsewhere that time is when the file was made.
    return os.name == "posix" and time.time_ns() - facts.st_ctime_ns > _SETTLED_NS


def _noted(signature: str) -> str | None:
    """The digest that was found for files with these notes, None where none is known."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        text = (_notes() / signature).read_text(encoding="ascii")
        return text if _DIGEST.fullmatch(text) else None
    return None


def _note(signature: str, digest: str) -> None:
    """Keep a digest for later; that it cannot be kept costs time, nothing else."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = _notes()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=folder, prefix=".")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(digest)
        Path(partial).replace(folder / signature)
        newest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for outdated in newest[_KEPT:]:
            outdated.unlink(missing_ok=True)


def _notes() -> Path:
    return cache_folder() / "contents"
