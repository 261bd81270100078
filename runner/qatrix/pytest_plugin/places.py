"""Which folder is a matrix, told from its files without reading them as YAML."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Those of declare.files; the hooks import no more than they need.
SUFFIXES: Final = (".yaml", ".yml")
# The key at the top of a file that declares suites.
_SUITES: Final = re.compile(rb"^(\xef\xbb\xbf)?(suites|\"suites\"|'suites')[ \t]*:", re.MULTILINE)
# Where the suites of a matrix lie that has folders.
_FOLDER: Final = "suites"


def matrix_of(file: Path, named: Path, top: Path) -> Path | None:
    """The folder whose files are read together with `file`, `named` being what was asked for; None where it has none.

    It is the outermost folder below `top` that declares suites and has `named` in it, because suites refer to
    patterns of other files. A file that was named, and lies in no such folder, is read alone.
    """
    folder = named if named.is_dir() else named.parent
    found = [place for place in _within(folder, top) if declares_suites(place)]
    if found:
        return found[-1]
    return file if file == named and _declares(file) else None


@functools.cache
def declares_suites(folder: Path) -> bool:
    """Whether a YAML file with suites lies in a folder, or in its folder `suites`."""
    return any(_declares(file) for place in (folder, folder / _FOLDER) for file in _files(place))


def _within(folder: Path, top: Path) -> Iterator[Path]:
    """The folder and those above it, up to `top` and without it."""
    if folder == top:
        return
    yield folder
    if top in folder.parents:
        yield from (place for place in folder.parents if top in place.parents)


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.suffix in SUFFIXES and not file.name.startswith(".")]
    except OSError:
        return []


def _declares(file: Path) -> bool:
    try:
        return file.is_file() and _SUITES.search(file.read_bytes()) is not None
    except OSError:
        return False
