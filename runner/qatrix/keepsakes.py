"""Files of caches: each is whole, or it counts as not there.

The file system never makes anything here raise: what cannot be read is not there, what cannot be written is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from qatrix.files import NotPlain, open_plain

_HEX_DIGITS: Final = 64


def read(place: Path, *, largest: int) -> bytes | None:
    """What was written there; None where there is nothing or it is not whole or larger, which is then removed."""
    try:
        with open_plain(place, largest=largest) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    except (OSError, NotPlain):
        drop(place)
        return None
    checksum, body = content[:_HEX_DIGITS], content[_HEX_DIGITS + 1 :]
    if checksum == _checksum(place, body):
        return body
    drop(place)
    return None


def write(place: Path, body: bytes) -> None:
    """Put a file in place as a whole, so that readers beside this process see all of it or none."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=place.parent, suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_checksum(place, body) + b"\n" + body)
            os.replace(partial, place)  # noqa: PTH105 - as plain names
        except BaseException:
            # It may be in place already, and the interrupt must not get lost over it.
            drop(Path(partial))
            raise


def drop(place: Path) -> None:
    """Remove a file that turned out to be of no use."""
    with contextlib.suppress(OSError):
        place.unlink()


def prune(folder: Path, kept: int) -> None:
    """Remove all but the newest `kept` files and folders of what is in a folder."""
    with contextlib.suppress(OSError):
        newest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for outdated in newest[kept:]:
            if outdated.is_dir():
                shutil.rmtree(outdated, ignore_errors=True)
            else:
                outdated.unlink(missing_ok=True)


def _checksum(place: Path, body: bytes) -> bytes:
    """Of the body and of its place, so that a file under another's name is not taken for it."""
    return hashlib.sha256(place.name.encode() + b"\n" + body).hexdigest().encode()
