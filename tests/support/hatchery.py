"""A process that has imported what a program needs, from which programs are forked: each is as one that was just started.

Importing takes longer than all else that a run of a few small cases does. A program is a module with a `ready` that imports
what it needs and a `drive` that runs it. Run by itself this module is that process: it takes requests over a socket, each with
the standard streams of a program and a socket on which its end is told.
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
OURS: Final = (str(TESTS), str(TESTS.parent / "runner"))
DRIVER: Final = "support.driver"
_ENOUGH: Final = 100_000


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a program, which searches its own PYTHONPATH before ours."""
    told = variables.get("PYTHONPATH")
    return {**variables, "PYTHONPATH": os.pathsep.join([*([told] if told else []), *OURS])}


@dataclass
class Forked:
    """A forked program, to be waited for as for a process that was started."""

    program: str
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
                raise subprocess.TimeoutExpired(self.program, timeout or 0.0) from error
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
    program: str = DRIVER,
) -> Forked:
    """A program in a session of its own that runs in a folder, prints to two descriptors and ignores some signals."""
    request = {"argv": [*argv], "folder": str(folder), "variables": environment(variables), "ignored": [*ignored]}
    ours, its = socket.socketpair()
    with its:
        socket.send_fds(_hatchery(program), [b"r"], [*streams, its.fileno()])
        ours.sendall(json.dumps(request).encode() + b"\n")
    return Forked(program=program, pid=int(_line(ours)), _end=ours)


def started(
    argv: Sequence[str], *, folder: Path, variables: Mapping[str, str], streams: tuple[int, int]
) -> subprocess.Popen[bytes]:
    """A driver for which Python starts anew."""
    out, err = streams
    return subprocess.Popen(
        [sys.executable, "-m", DRIVER, *argv],
        cwd=folder,
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
    )


@functools.cache
def _hatchery(program: str) -> socket.socket:
    """Where the process that this one's programs are forked from takes requests; it ends with this process."""
    ours, its = socket.socketpair()
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.hatchery", program, str(its.fileno())],
            # The variables of each program say where it looks for modules, and not those of whoever types pytest.
            env=environment({**os.environ, "PYTHONPATH": ""}),
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
            msg = "the process that programs are forked from has ended"
            raise EOFError(msg)
        told += piece
    return told.decode()


def _serve(name: str, requests: socket.socket) -> None:
    """Fork a program for each request, until nobody can send one any more."""
    program = _imported(name)
    ended, waking = socket.socketpair()
    for side in (ended, waking):
        side.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([requests, ended], [], [])
        if ended in ready:
            ended.recv(_ENOUGH)
            _tell(running)
        if requests in ready:
            message, received, _, _ = socket.recv_fds(requests, 1, 3)
            if not message:
                return
            *streams, told_to = received
            its = socket.socket(fileno=told_to)
            request = json.loads(its.makefile().readline())
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                for other in (requests, ended, waking, *running.values()):
                    other.close()
                _become(name, request, streams)
                # Not before it leads a group of its own, to which a test may send a signal at once.
                its.sendall(f"{os.getpid()}\n".encode())
                its.close()
                program.drive(request["argv"])
            for stream in streams:
                os.close(stream)
            running[pid] = its


def _imported(name: str) -> Any:
    """A program's module, once it and all that it may need is imported."""
    program: Any = importlib.import_module(name)
    program.ready()
    # None of it is ever garbage, and a page that nobody writes to is shared.
    gc.collect()
    gc.freeze()
    return program


def _tell(running: dict[int, socket.socket]) -> None:
    """Tell whoever waits for them that programs have ended."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as end, contextlib.suppress(OSError):  # nobody may wait any more
            end.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(program: str, request: dict[str, Any], streams: Sequence[int]) -> None:
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
    sys.path[:] = _path(request["folder"])
    sys.argv[:] = [str(sys.modules[program].__file__), *request["argv"]]
    sys.orig_argv[:] = [sys.executable, "-m", program, *request["argv"]]
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


def _path(folder: str) -> list[str]:
    """Where a Python that starts a program in a folder looks for modules, once the variables are those of the program."""
    told = os.environ["PYTHONPATH"].split(os.pathsep)
    return [folder, *told, *(place for place in sys.path[1:] if place not in OURS)]


def _main() -> NoReturn:
    _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
    sys.exit()


if __name__ == "__main__":
    _main()
