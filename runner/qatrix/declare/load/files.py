"""Finds the YAML files under some paths and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from qatrix.declare.yamltext import Document, read
from qatrix.errors import Problem, Source

SUFFIXES: Final = (".yaml", ".yml")


class FoundFile(NamedTuple):
    """A file by the name that messages show, and what it holds."""

    shown: str
    document: Document


def read_files(paths: Sequence[Path]) -> tuple[tuple[FoundFile, ...], tuple[Problem, ...]]:
    """Every YAML file under the paths, once, in the order of the paths and then of the names.

    A path that is a file is read whatever its suffix. In folders, files and folders whose
    names begin with a dot are left out, as a shell leaves them out, and a link that leads out
    of the folder is refused: messages quote what is in a file.
    """
    problems: list[Problem] = []
    found: dict[Path, Path] = {}
    for path in paths:
        files, fault = _files(path)
        if fault is not None:
            problems.append(fault)
        for file in files:
            whole = _resolved(file)
            if file != path and not whole.is_relative_to(_resolved(path)):
                problems.append(_stray(file, path))
            else:
                found.setdefault(whole, file)
    documents = tuple(FoundFile(_shown(path), read(path, shown=_shown(path))) for path in found.values())
    problems += [problem for file in documents for problem in file.document.problems]
    return documents, tuple(problems)


def _files(path: Path) -> tuple[list[Path], Problem | None]:
    try:
        if not path.is_dir():
            return [path], None
        files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and _counts(file, path))
    except (OSError, ValueError) as error:
        return [], Problem(
            source=None, message=f"{_shown(path)} cannot be read: {error}", expected="a folder or a file"
        )
    if files:
        return files, None
    message = f"no YAML file is under {_shown(path)}"
    return [], Problem(source=None, message=message, expected="files *.yaml or *.yml", hint="qatrix init writes some")


def _stray(file: Path, folder: Path) -> Problem:
    shown = _shown(file)
    return Problem(
        source=Source(file=shown, line=1, column=1),
        message=f"{shown} is a link that leads out of {_shown(folder)}, and is not read",
        expected="a file in the folder",
        hint="if you trust it, name the file itself as a PATH",
    )


def _counts(file: Path, top: Path) -> bool:
    """Whether a file is none of an editor's or a tool's, which have names with a dot, and no folder."""
    return not any(part.startswith(".") for part in file.relative_to(top).parts) and not file.is_dir()


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        # A loop of links; reading it says so.
        return path.absolute()


def _shown(path: Path) -> str:
    """The path as seen from the current folder where it lies below it."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except (OSError, ValueError):
        return path.as_posix()
