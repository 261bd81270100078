"""The pattern graphs of earlier runs: a file each, in a folder per release of everything that they depend on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from qatrix.contents import code_digest
from qatrix.resources import cache_folder

# A pattern takes about 20 kB; what is far beyond was not written here.
_LARGEST: Final = 4 * 2**20
_HEX_DIGITS: Final = 64
# What a graph is exported by.
_EXPORTING: Final = ("torch", "torchao")
# About 3 MB each.
_ENVIRONMENTS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of one environment; `sources` are the folders whose source text they are bound to.

    Nothing here raises: a file that cannot be read is not there, one that cannot be written is left out.
    """

    folder: Path
    sources: frozenset[Path]

    def read(self, digest: str) -> Any:
        """What was written under that digest, None where there is nothing or it is not whole, which is then removed."""
        path = self._path(digest)
        try:
            # Opening a pipe would wait for whoever writes into it.
            if not path.is_file() or path.stat().st_size > _LARGEST:
                return None
            content = path.read_bytes()
        except OSError:
            return None
        checksum, body = content[:_HEX_DIGITS], content[_HEX_DIGITS + 1 :]
        if checksum == _checksum(digest, body):
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(body)
        self.drop(digest)
        return None

    def write(self, digest: str, data: Any) -> None:
        """Put the file in place as a whole, so that readers beside this process see all of it or none."""
        body = json.dumps(data, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _prune(self.folder.parent)
            descriptor, name = tempfile.mkstemp(dir=self.folder, suffix=".partial")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_checksum(digest, body) + b"\n" + body)
                os.replace(name, self._path(digest))  # noqa: PTH105 - both are plain names
            except BaseException:
                os.unlink(name)  # noqa: PTH108 - both are plain names
                raise

    def drop(self, digest: str) -> None:
        """Remove a file that turned out to be of no use."""
        with contextlib.suppress(OSError):
            self._path(digest).unlink()

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"


def files_for(modules: Sequence[types.ModuleType]) -> Files | None:
    """The files that hold for these pattern modules here, None where they cannot be told or have no place."""
    try:
        sources = frozenset(Path(str(module.__file__)).parent for module in modules)
        return Files(folder=cache_folder() / "patterns" / _environment(modules, sources), sources=sources)
    except (OSError, RuntimeError):
        return None


@functools.cache
def loaded_code() -> str:
    """A digest of the code that exports patterns, as it was when this process, or the one it is forked from, asked."""
    return code_digest(_EXPORTING)


def _environment(modules: Sequence[types.ModuleType], sources: frozenset[Path]) -> str:
    """A digest of all that a pattern's graph depends on besides its key, and of the code that writes the files."""
    roots = sorted({module.__name__.partition(".")[0] for module in modules} | {"torch"})
    versions = [f"{root} {getattr(sys.modules.get(root), '__version__', None)}" for root in roots]
    versions += [loaded_code(), str(torch.version.git_version), platform.python_implementation(), sys.version]
    digest = hashlib.sha256("\n".join(versions).encode())
    for folder in sorted(sources | {Path(__file__).parent}):
        for path in sorted(folder.glob("*.py")):
            # Paths are in the stack traces that the graphs carry.
            digest.update(f"\n{path}\n{hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def _prune(folder: Path) -> None:
    """Remove the oldest environments' folders; every release and every change of this code makes another."""
    kept = sorted(folder.iterdir(), key=lambda item: item.stat().st_mtime, reverse=True)
    for outdated in kept[_ENVIRONMENTS:]:
        shutil.rmtree(outdated, ignore_errors=True)


def _checksum(digest: str, body: bytes) -> bytes:
    """Of the body and of its place, so that a file under another's name is not taken for it."""
    return hashlib.sha256(digest.encode() + b"\n" + body).hexdigest().encode()
