"""Files of a report, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from qatrix.errors import OutputError


def make_folder(folder: Path) -> None:
    """Make the folder and those above it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder} cannot be made: {error.strerror}; name another folder with --out"
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
