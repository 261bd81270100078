"""What a worker process does around its cases: limits, and what they print."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from qatrix.execute import scratch

# A worker that outgrows its memory limit leaves with this code, so that the driver can name the reason.
MEMORY_EXIT: Final = 77
_OUTPUT_BYTES: Final = 16 * 2**20
_TAIL_BYTES: Final = 4000
_POLL_SECONDS: Final = 0.05
_ENTERED: Final = threading.Event()
# Linux's account of this process's memory; elsewhere there is none.
_STATM: Final = Path("/proc/self/statm")


def enter(folder: str, memory_limit: int | None) -> None:
    """Set up a worker: its output goes to a bounded file, Ctrl-C is the driver's, memory is watched.

    Must not fail and imports nothing heavy: a worker that dies here takes its task with it.
    """
    import resource  # not on Windows, where there are no workers to isolate

    _ENTERED.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # At once, also in the middle of a kernel: there is nothing to tidy up, since all files are in the folder.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    scratch.settle(folder)
    # Writing past the bound raises OSError in the case that prints too much.
    resource.setrlimit(resource.RLIMIT_FSIZE, (_OUTPUT_BYTES, resource.RLIM_INFINITY))
    # A crash is a record; a core file of a process that holds torch is gigabytes.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    descriptor = os.open(output_path(folder, os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    leave_with_driver()
    if memory_limit is not None:
        threading.Thread(target=_watch_memory, args=(memory_limit,), daemon=True).start()


def begin_case() -> None:
    """Forget what the case before printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError):
        os.ftruncate(1, 0)


def let_ctrl_c_through(error: BaseException) -> None:
    """Raise a KeyboardInterrupt again in the driver; workers ignore Ctrl-C, so that there it is the case's own."""
    if isinstance(error, KeyboardInterrupt) and not _ENTERED.is_set():
        raise error


def output_path(folder: str, pid: int) -> Path:
    """The file that holds what a worker prints."""
    return Path(folder) / f"{pid}.txt"


def output_tail(folder: str, pid: int) -> str | None:
    """The end of what a worker printed, None where it printed nothing."""
    try:
        with output_path(folder, pid).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip() or None
    except OSError:
        return None


def leave_with_driver() -> None:
    """End this process when the driver is gone: a case that hangs must not outlive a driver that was killed."""
    threading.Thread(target=_wait_for_driver, daemon=True).start()


def _wait_for_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _watch_memory(limit: int) -> None:
    with ExitStack() as opened:
        resident = _resident(opened)
        while resident() <= limit:
            time.sleep(_POLL_SECONDS)
    os._exit(MEMORY_EXIT)


def _resident(opened: ExitStack) -> Callable[[], int]:
    """How to tell this process's resident memory, in bytes; the most that it had where no more is told."""
    try:
        file = opened.enter_context(_STATM.open(encoding="ascii"))
    except OSError:
        return _peak
    page = os.sysconf("SC_PAGE_SIZE")

    def now() -> int:
        file.seek(0)
        return int(file.read().split()[1]) * page

    return now


def _peak() -> int:
    """The most resident memory that this process has had."""
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, other systems KiB.
    return most if sys.platform == "darwin" else most * 1024


# The contexts that stay entered for as long as a worker lives.
KEPT: Final = ExitStack()
