"""Files of tensors that declarations name: they are there, and of a kind that holds data and no code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from qatrix.declare.inputs import DataFile
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor
from qatrix.files import LARGEST, kind_of

# What may hold a model's weights, and what its inputs.
WEIGHTS: Final = (".safetensors", ".pt", ".pth")
BATCHES: Final = (".npz", ".safetensors", ".pt", ".pth")


def read_file(
    registry: Registry,
    at: Cursor,
    text: str,
    *,
    kinds: tuple[str, ...],
    folder: bool = False,
    key: str | None = None,
) -> DataFile | None:
    """The file that a text names, as seen from the YAML file's folder; None where it cannot be one, which is noted."""
    whole = os.path.normpath(Path(at.source.file).absolute().parent / text)
    fault = _fault(Path(whole), kinds, folder=folder)
    if fault is not None:
        found, expected = fault
        registry.note(at.problem(f"{found}: '{text}'", expected=expected))
        return None
    return DataFile(path=whole, key=key, source=at.source, kinds=_kinds_in(Path(whole), kinds))


def _kinds_in(path: Path, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Of these endings those that a folder's files have; none for a file."""
    if not path.is_dir():
        return ()
    found = {file.suffix for file in path.iterdir()}
    return tuple(kind for kind in kinds if kind in found)


def _fault(path: Path, kinds: tuple[str, ...], *, folder: bool) -> tuple[str, str] | None:
    """What is wrong with a path and what would be right, None where nothing is."""
    expected = f"a file {listed(kinds)}" + (", or a folder of them" if folder else "")
    try:
        facts = path.stat()
        if folder and path.is_dir():
            inside = sorted(file.name for file in path.iterdir() if file.suffix in kinds)
            return None if inside else ("the folder has no file that holds values", expected)
    except (OSError, ValueError):
        return "there is no such file", f"{expected}, by its path as seen from this YAML file"
    kind = kind_of(facts.st_mode)
    if kind is not None:
        return f"this is {kind}", expected
    if facts.st_size > LARGEST:
        return f"the file has {facts.st_size:,} bytes", f"{expected}, of at most {LARGEST:,} bytes"
    return None if path.suffix in kinds else (f"the name ends in '{path.suffix}'", expected)
