"""A process without torch in which something is computed that might never end, or take all memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TaskTimeout
from dataclasses import dataclass
from typing import Self

from pebble import ProcessExpired, ProcessPool

from qatrix.arithmetic import EvaluationError
from qatrix.errors import QatrixError
from qatrix.execute import isolation
from qatrix.text import told

# These are sentences of ours; of other exceptions the type tells most.
_PLAIN = (EvaluationError, QatrixError)
_REASON_LENGTH = 300


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What computing may take: seconds for one task and for all together, bytes of memory."""

    seconds: float = 10.0
    total: float = 120.0
    memory: int = 2 * 2**30


@dataclass(frozen=True, kw_only=True)
class Computed:
    """What became of a task: the text that it gave, or why there is none."""

    text: str | None = None
    reason: str | None = None


class Bounded:
    """Computes texts one by one, as a context, beside whatever else is done in it.

    Where one takes too long or too much memory its process is stopped, and another one computes
    those that are left. Nothing that happens to a task is raised.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._deadline = time.monotonic() + self._bounds.total
        self._pool = ProcessPool(
            max_workers=1,
            initializer=_enter,
            initargs=(self._bounds,),
            # Neither forked from this process, which has threads, nor from the one that holds torch, which may be gone.
            context=multiprocessing.get_context("spawn"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()
        self._pool.join()

    def schedule(self, function: Callable[..., str], *args: object) -> Future[Computed]:
        """Have `function(*args)` computed, which is found by its name there; `result` waits for it."""
        try:
            found: Future[Computed] = self._pool.schedule(
                _attempt, args=(function, *args), timeout=self._bounds.seconds
            )
        except (OSError, RuntimeError) as error:  # no process can be started here, or none stays alive
            found = Future()
            found.set_exception(error)
        return found

    def result(self, future: Future[Computed]) -> Computed:
        """What became of a task, once it has ended or the time for all is over."""
        try:
            return future.result(timeout=max(0.0, self._deadline - time.monotonic()))
        except TaskTimeout:
            late = f"all of them together took more than {self._bounds.total:g} s"
            return Computed(reason=f"it took more than {self._bounds.seconds:g} s" if future.done() else late)
        except ProcessExpired as error:
            return Computed(reason=f"the process that made it died{_told_exit(error.exitcode)}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this task's alone
            return Computed(reason=_told(error))


def _attempt(function: Callable[..., str], *args: object) -> Computed:
    """Runs in the other process; exceptions become words there, since not every one can be sent."""
    try:
        return Computed(text=function(*args))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this task's alone
        return Computed(reason=_told(error))


def _told(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it took too much memory"
    words = str(error) if isinstance(error, _PLAIN) else told(error)
    return words if len(words) <= _REASON_LENGTH else f"{words[:_REASON_LENGTH]} …"


def _told_exit(code: int | None) -> str:
    if not code:
        return ""
    return f" with signal {-code}" if code < 0 else f" with exit code {code}"


def _enter(bounds: Bounds) -> None:
    """Runs first in the other process: it prints nothing, leaves Ctrl-C to the driver and ends with it."""
    import resource  # not on Windows, where there are no workers either

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    # The kernel's limits hold even where one long operation keeps Python from looking at a clock.
    for kind, most in (
        (resource.RLIMIT_AS, bounds.memory),
        (resource.RLIMIT_CPU, int(bounds.total) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        # macOS takes no limit of memory below what a process has mapped already.
        with contextlib.suppress(ValueError):
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    isolation.leave_with_driver()
