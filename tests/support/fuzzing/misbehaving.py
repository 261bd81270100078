"""Commands that break what is promised, each in its own way."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from typing import Final

_COUNTED: Final[list[str]] = []


def well(_: list[str]) -> int:
    """End as promised."""
    return 0


def spin(_: list[str]) -> int:
    """Never end."""
    while True:
        pass


def power(_: list[str]) -> int:
    """Stay inside one operation, where no signal handler of Python's is run."""
    base = 9
    return len(str(base**99999999))


def wait(_: list[str]) -> int:
    """Wait for what never comes."""
    time.sleep(600)
    return 0


def eat(_: list[str]) -> int:
    """Take more memory than there may be."""
    return len(bytearray(2**32))


def escape(_: list[str]) -> int:
    """Let an exception out."""
    raise LookupError


def die(_: list[str]) -> int:
    """Die of a signal."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def count(_: list[str]) -> int:
    """Print how often this has been called."""
    _COUNTED.append("called")
    print(len(_COUNTED))
    return 0


def litter(_: list[str]) -> int:
    """Leave a file in the temporary folder."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("a traceback")
    return 0
