"""A process that has imported the command line, from which drivers are forked: each is as one that was just started.

Importing takes longer than all else that a driver of a few waiting cases does. Run as a program it is that process: it takes
requests over a socket, each with the standard streams of a driver and a socket on which its end is told.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn, TextIO

TESTS: Final = Path(__file__).parents[1]
PROGRAM: Final = "support.driver"
# What registers the verbs, and what a run imports only when it comes to it.
LATER: Final = (
    *("qatrix.cli.runs", "qatrix.cli.watching", "qatrix.cli.documents", "qatrix.cli.against", "qatrix.cli.merging"),
    *("qatrix.cli.handover", "qatrix.cli.scripting", "qatrix.console", "qatrix.declare.load"),
    *("qatrix.report.annotations", "qatrix.report.compare", "qatrix.report.writing"),
    *("multiprocessing.forkserver", "multiprocessing.popen_forkserver", "multiprocessing.popen_spawn_posix"),
)
_ENOUGH: Final = 100_000


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a driver, which finds what it imports."""
    return {**variables, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "runner")])}


@dataclass
class Forked:
    """A forked driver, to be waited for as for a process that was started."""

    pid: int
    _end: socket.socket
    returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative where a signal ended it, once it has ended."""
        if self.returncode is None:
            self._end.settimeout(timeout)
            try:
                self.returncode = int(_line(self._end))
            except TimeoutError as error:
                raise subprocess.TimeoutExpired(PROGRAM, timeout or 0.0) from error
            self._end.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code, or None where it goes on."""
        if self.returncode is None and select.select([self._end], [], [], 0)[0]:
            self.wait()
        return self.returncode


def forked(
    argv: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    streams: tuple[int, int],
    ignored: Sequence[int] = (),
) -> Forked:
    """A driver in a session of its own that runs in a folder, prints to two descriptors and ignores some signals."""
    request = {"argv": [*argv], "folder": str(folder), "variables": environment(variables), "ignored": [*ignored]}
    ours, its = socket.socketpair()
    with its:
        socket.send_fds(_hatchery(), [b"r"], [*streams, its.fileno()])
        ours.sendall(json.dumps(request).encode() + b"\n")
    return Forked(pid=int(_line(ours)), _end=ours)


def started(
    argv: Sequence[str], *, folder: Path, variables: Mapping[str, str], streams: tuple[int, int]
) -> subprocess.Popen[bytes]:
    """The same driver, for which Python starts anew."""
    out, err = streams
    return subprocess.Popen(
        [sys.executable, "-m", PROGRAM, *argv],
        cwd=folder,
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
    )


@functools.cache
def _hatchery() -> socket.socket:
    """Where the process of this one's drivers takes requests; it ends with this process."""
    ours, its = socket.socketpair()
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.hatchery", str(its.fileno())],
            env=environment(os.environ),
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _line(connection: socket.socket) -> str:
    """What comes up to the end of a line, read so that nothing of the next one is taken."""
    told = b""
    while not told.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece:
            msg = "the process that drivers are forked from has ended"
            raise EOFError(msg)
        told += piece
    return told.decode()


def _serve(requests: socket.socket) -> None:
    """Fork a driver for each request, until nobody can send one any more."""
    driver = _imported()
    ended, waking = socket.socketpair()
    for side in (ended, waking):
        side.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    drivers: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([requests, ended], [], [])
        if ended in ready:
            ended.recv(_ENOUGH)
            _tell(drivers)
        if requests in ready:
            message, received, _, _ = socket.recv_fds(requests, 1, 3)
            if not message:
                return
            *streams, told_to = received
            its = socket.socket(fileno=told_to)
            request = json.loads(its.makefile().readline())
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                for other in (requests, ended, waking, *drivers.values()):
                    other.close()
                _become(request, streams)
                # Not before it leads a group of its own, to which a test may send a signal at once.
                its.sendall(f"{os.getpid()}\n".encode())
                its.close()
                driver.drive(request["argv"])
            for stream in streams:
                os.close(stream)
            drivers[pid] = its


def _imported() -> Any:
    """The driver's module, once it and all that it may need is imported."""
    driver: ModuleType = importlib.import_module(PROGRAM)
    for name in LATER:
        importlib.import_module(name)
    # None of it is ever garbage, and a page that nobody writes to is shared.
    gc.collect()
    gc.freeze()
    return driver


def _tell(drivers: dict[int, socket.socket]) -> None:
    """Tell whoever waits for them that drivers have ended."""
    while drivers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with drivers.pop(pid) as end, contextlib.suppress(OSError):  # nobody may wait any more
            end.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Make of a forked process what Python makes of one that it starts with `-m`."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    sys.path[0] = request["folder"]
    sys.argv[:] = [str(Path(__file__).with_name("driver.py")), *request["argv"]]
    sys.orig_argv[:] = [sys.executable, "-m", PROGRAM, *request["argv"]]
    # Nothing that a process which it starts would import as its own main module.
    sys.modules["__main__"] = ModuleType("__main__")
    for descriptor, given in zip((1, 2), streams):
        os.dup2(given, descriptor)
        os.close(given)
    # Python looks at a stream when it opens it: whether it is a terminal, and whether it has places to go to.
    sys.stdout = _opened(1, buffering=1 if os.isatty(1) else -1, errors="strict")
    sys.stderr = _opened(2, buffering=1, errors="backslashreplace")
    gc.unfreeze()


def _opened(descriptor: int, *, buffering: int, errors: str) -> TextIO:
    return open(descriptor, "w", buffering=buffering, encoding=sys.getdefaultencoding(), errors=errors, closefd=False)


def _main() -> NoReturn:
    _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit()


if __name__ == "__main__":
    _main()
