"""A run in a process of its own, which is forked from one that has loaded all that a run needs, and may be given up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from qatrix.cli import answered
from qatrix.errors import EXIT_UNEXPECTED
from qatrix.locks import LOCK_FILE, was_held_by

# Says a fact of the run to the process that it is forked from.
Say = Callable[..., None]
_BLOCK: Final = 2**16


class Running(Protocol):
    """A run that goes on, or has ended."""

    @property
    def told(self) -> Mapping[str, Any]:
        """What it has said until now."""

    def code(self) -> int | None:
        """The exit code, None while it goes on."""

    def abandon(self) -> None:
        """End it where it still goes on, and leave nothing of it but a report that is whole."""


@dataclass(kw_only=True)
class Attempt:
    """A process that runs the cases once, and the folder of runs that it writes to, where that is known."""

    pid: int
    out: Path | None
    words: int
    life: int
    _code: int | None = None
    _text: bytes = b""
    _told: dict[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> Mapping[str, Any]:
        """What it has said until now; `folder` once it has a whole report there."""
        self._listen()
        return self._told

    def code(self) -> int | None:
        """The exit code, None while it goes on."""
        self._listen()
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._close(status)
        return self._code

    def abandon(self) -> None:
        """End it where it still goes on, and leave nothing of a run without a report; its workers end with it.

        What it has found out is kept for the run after it, case by case.
        """
        if self.code() is not None:
            return
        os.kill(self.pid, signal.SIGKILL)
        self._close(os.waitpid(self.pid, 0)[1])
        if self.out is None or "folder" in self._told:
            return
        for lock in self.out.glob(f"*/{LOCK_FILE}"):
            if not lock.parent.is_symlink() and was_held_by(lock.parent, self.pid):
                shutil.rmtree(lock.parent, ignore_errors=True)

    def _listen(self) -> None:
        if self.words < 0:
            return
        with suppress(BlockingIOError):
            while found := os.read(self.words, _BLOCK):
                self._text += found
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            self._told |= json.loads(line)

    def _close(self, status: int) -> None:
        self._listen()
        for descriptor in (self.words, self.life):
            os.close(descriptor)
        self.words = self.life = -1
        self._code = os.waitstatus_to_exitcode(status)


def attempt(work: Callable[[Say], int], out: Path | None) -> Attempt:
    """Begin a run in a process of its own, which ends with this one."""
    words, says = os.pipe()
    held, life = os.pipe()
    os.set_blocking(words, False)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with warnings.catch_warnings():
        # Threads of libraries, which hold no lock of Python's: nothing runs while this process forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = EXIT_UNEXPECTED
        try:
            os.close(words)
            os.close(life)
            code = _alone(work, says, held)
        finally:
            # What the other process has begun, it ends.
            os._exit(code)
    os.close(says)
    os.close(held)
    return Attempt(pid=pid, out=out, words=words, life=life)


def _alone(work: Callable[[Say], int], says: int, held: int) -> int:
    """The work, in a process that only the one that forked it ends: a Ctrl-C is for that one."""
    for name in ("SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(held,), daemon=True).start()

    def say(**facts: object) -> None:
        os.write(says, json.dumps(facts).encode() + b"\n")

    code = answered(lambda: work(say))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def _end_with(held: int) -> None:
    """Wait for the other end of a pipe to be closed, as it is when the process that has it ends."""
    os.read(held, 1)
    os._exit(EXIT_UNEXPECTED)
