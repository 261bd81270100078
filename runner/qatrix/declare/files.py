"""Finds the YAML files under some paths, and has the bytes of each; what they say is for others to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from qatrix.errors import Problem, Source

SUFFIXES: Final = (".yaml", ".yml")
# A declaration that a person can read is far smaller; the limit keeps checking fast.
MAX_BYTES: Final = 2_000_000


class FileBytes(NamedTuple):
    """A file by the name that messages show: its bytes, or why there are none."""

    shown: str
    content: bytes
    refused: Problem | None = None


def find_files(paths: Sequence[Path]) -> tuple[tuple[FileBytes, ...], tuple[Problem, ...]]:
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
        top = _resolved(path)
        for file in files:
            whole = _resolved(file)
            if file != path and not whole.is_relative_to(top):
                problems.append(_stray(file, path))
            else:
                found.setdefault(whole, file)
    return tuple(file_bytes(path, shown=_shown(path)) for path in found.values()), tuple(problems)


def file_bytes(path: Path, *, shown: str) -> FileBytes:
    """The bytes of a file; `shown` is its name in places and messages. Never raises for what cannot be read."""
    try:
        # Opening a pipe or a device may never end.
        if not path.is_file():
            return _refused(shown, f"{shown} is {_kind(path)}", "a YAML file")
        with path.open("rb") as file:
            size = max(path.stat().st_size, len(content := file.read(MAX_BYTES + 1)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return _refused(shown, f"{shown} cannot be read: {reason}", "a YAML file that this user may read")
    return too_large(shown, size) if size > MAX_BYTES else FileBytes(shown, content)


def too_large(shown: str, size: int) -> FileBytes:
    """A file of so many bytes, refused."""
    return _refused(shown, f"the file has {size:,} bytes", f"at most {MAX_BYTES:,} bytes of YAML")


def _refused(shown: str, message: str, expected: str) -> FileBytes:
    source = Source(file=shown, line=1, column=1)
    return FileBytes(shown, b"", Problem(source=source, message=message, expected=expected))


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


def _kind(path: Path) -> str:
    """What is no file, in words."""
    if path.is_dir():
        return "a folder"
    if path.is_fifo():
        return "a named pipe"
    if path.is_socket():
        return "a socket"
    if path.is_char_device() or path.is_block_device():
        return "a device"
    if path.is_symlink():
        return "a broken link"
    return "not a file" if path.exists() else "not there"
