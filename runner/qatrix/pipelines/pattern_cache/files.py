"""The pattern graphs of earlier runs: a file each, in a folder per release of everything that they depend on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from qatrix import keepsakes
from qatrix.contents import code_digest
from qatrix.resources import cache_folder

# A pattern takes about 20 kB; what is far beyond was not written here.
_LARGEST: Final = 4 * 2**20
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
        body = keepsakes.read(self._path(digest), largest=_LARGEST)
        if body is not None:
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(body)
            self.drop(digest)
        return None

    def write(self, digest: str, data: Any) -> None:
        """Put the file in place; the first of an environment removes those of the oldest ones."""
        # Path.is_dir raises where the folder above must not be searched.
        first = not os.path.isdir(self.folder)  # noqa: PTH112
        keepsakes.write(self._path(digest), json.dumps(data, separators=(",", ":")).encode())
        if first:
            keepsakes.prune(self.folder.parent, _ENVIRONMENTS)

    def drop(self, digest: str) -> None:
        """Remove a file that turned out to be of no use."""
        keepsakes.drop(self._path(digest))

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
