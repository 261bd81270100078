"""Files of a report, written whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from qatrix.errors import OutputError
from qatrix.files import NotPlain, open_plain

# Larger ones are none that qatrix would remove.
_LARGEST: Final = 64 * 2**20


def make_folder(folder: Path) -> None:
    """Make the folder and those above it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder} cannot be made: {error.strerror}; name another folder with --out"
        raise OutputError(msg) from error


def make_own_folder(folder: Path) -> None:
    """The same for a folder whose old files go: a link is not followed, since it may name any folder."""
    if folder.is_symlink():
        msg = f"{folder} is a link, and no report is written through one; remove it"
        raise OutputError(msg)
    make_folder(folder)


def own_files(folder: Path, *, named: re.Pattern[str], marked: re.Pattern[bytes]) -> set[Path]:
    """The files of a folder that qatrix wrote: those with such a name and such a text; none where it is a link."""
    if folder.is_symlink() or not folder.is_dir():
        return set()
    try:
        return {path for path in folder.iterdir() if named.fullmatch(path.name) and _has(path, marked)}
    except OSError as error:
        msg = f"{folder} cannot be read: {error.strerror}; name another folder with --out"
        raise OutputError(msg) from error


def remove_files(paths: Iterable[Path]) -> None:
    """Remove the files that are there. Raises OutputError."""
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        msg = f"{error.filename} cannot be removed: {error.strerror}; name another folder with --out"
        raise OutputError(msg) from error


def write_file(path: Path, text: str | Iterable[str]) -> None:
    """Write the whole text, or its pieces; the file is then either the old one or the new one. Raises OutputError."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        # In JSON and in text alike, backslashes keep what UTF-8 cannot hold: lone surrogates.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.writelines((text,) if isinstance(text, str) else text)
        # mkstemp makes files for their owner only; a report is for everyone.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}; check that the disk has room and the folder is writable"
        raise OutputError(msg) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _has(path: Path, marked: re.Pattern[bytes]) -> bool:
    if path.is_symlink():
        return False
    try:
        with open_plain(path, largest=_LARGEST) as file:
            return marked.search(file.read()) is not None
    except (NotPlain, OSError):
        return False
