"""Where processes keep what they need for a while: in a folder that is theirs, never in the system's.

What lies there goes with the folder, also where a process was killed and could tidy up nothing.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

# What programs and libraries ask for the folder of temporary files, Python's tempfile among them.
_VARIABLE: Final = "TMPDIR"
# The path of a socket has 107 bytes on Linux and 103 on macOS, with the name that multiprocessing gives it.
_LONGEST: Final = 80
_OPEN_FILES: Final = Path("/proc/self/fd")
_LEAKS: Final = "ignore::UserWarning:multiprocessing.resource_tracker"


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Within it, this process and those that it starts have the folder for temporary files, sockets among them.

    The process that workers are forked from, if it was started within, is gone at the end.
    """
    config, forking = _config(), _forking_pid()
    before, told, sockets = tempfile.tempdir, os.environ.get(_VARIABLE), config.get("tempdir")
    with contextlib.ExitStack() as opened:
        os.environ[_VARIABLE] = tempfile.tempdir = str(folder)
        config["tempdir"] = opened.enter_context(short_path(folder))
        try:
            yield
        finally:
            if _forking_pid() != forking:
                end_forking()
            tempfile.tempdir, config["tempdir"] = before, sockets
            if told is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = told


def settle(folder: str) -> None:
    """Have a worker, for as long as it lives, keep its temporary files in the folder."""
    os.environ[_VARIABLE] = tempfile.tempdir = folder
    _config()["tempdir"] = _KEPT.enter_context(short_path(Path(folder)))


@functools.cache
def shorten_sockets() -> None:
    """Have the sockets of a process that starts workers lie in the folder that it has, however long its path is."""
    from multiprocessing import util

    _config()["tempdir"] = _KEPT.enter_context(short_path(Path(util.get_temp_dir())))


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes and threads that are started within never see a Ctrl-C or SIGHUP; this one sees them afterwards.

    Both reach all processes of a terminal. A new process of Python would end with a traceback before it
    can say that Ctrl-C is the driver's, and the one in which multiprocessing counts semaphores with SIGHUP.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_forking() -> None:
    """End the process that workers are forked from, though it may still be importing torch."""
    pid = _forking_pid()
    if pid is None:
        return
    from multiprocessing import forkserver

    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    # Waits for it, and has the next one started where a worker is wanted again.
    with contextlib.suppress(OSError):
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # no public name


def hush_leaks() -> None:
    """Have the process that tidies up semaphores say nothing of those that it finds: a run that is killed leaves some.

    Where that process goes on already, it stays as it is.
    """
    from multiprocessing import resource_tracker

    # It is started with the options of this process.
    sys.warnoptions.append(_LEAKS)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(_LEAKS)


def adopt_forking() -> None:
    """In a process that was forked from the one that started it, fork workers from the process that holds torch, too.

    multiprocessing would ask after it as after a child of this process, which it is not.
    """
    from multiprocessing import forkserver

    vars(forkserver)["_forkserver"].ensure_running = _is_running


def _is_running() -> None:
    """Whoever started it has seen to that."""


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """Within it, a path of the folder that leaves room for a socket's name, however long its own is.

    On Linux a folder that a process has open goes by its number there, for all processes of the
    same user. Elsewhere a long path is replaced by that of another folder, which is gone at the end.
    """
    if _OPEN_FILES.is_dir():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            yield f"/proc/{os.getpid()}/fd/{descriptor}"
        finally:
            os.close(descriptor)
    elif len(os.fsencode(folder)) <= _LONGEST:
        yield str(folder)
    else:
        with tempfile.TemporaryDirectory(prefix="qatrix-", dir="/tmp", ignore_cleanup_errors=True) as other:
            yield other


def _config() -> dict[str, Any]:
    """What multiprocessing knows of this process; its folder for sockets is there, and has no public name."""
    return multiprocessing.process.current_process()._config  # type: ignore[attr-defined,no-any-return]


def _forking_pid() -> int | None:
    """The process that workers are forked from, None where there is none."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    from multiprocessing import forkserver

    return forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined,no-any-return]


# What stays open for as long as a worker lives.
_KEPT: Final = contextlib.ExitStack()
