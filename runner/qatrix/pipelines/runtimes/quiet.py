"""What native code and libraries print about themselves, kept from the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Final

_STDERR: Final = 2


@contextlib.contextmanager
def overheard() -> Iterator[list[str]]:
    """The lines that native code writes to standard error meanwhile, which are there when the block ends.

    They reach no terminal, and are lost where the process dies.
    """
    said: list[str] = []
    try:
        kept = os.dup(_STDERR)
    except OSError:
        # There is no standard error that anything could reach.
        yield said
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    python = io.StringIO()
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), _STDERR)
        try:
            # Bindings of C++ lead its stream of errors to Python's, as ExecuTorch's do.
            with contextlib.redirect_stderr(python):
                yield said
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            file.seek(0)
            said += (python.getvalue() + file.read().decode(errors="replace")).splitlines()


@contextlib.contextmanager
def without_advice(*loggers: str) -> Iterator[None]:
    """No warnings, and of these loggers errors alone."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in loggers:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
