"""The processes of one worker: forked from one that holds torch, or, for cases that train, started afresh."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pebble import ProcessPool

from qatrix.declare.spec import Case
from qatrix.execute import isolation
from qatrix.execute.scratch import without_interrupts

StartMethod = Literal["forkserver", "spawn"]
FORKED: Final[StartMethod] = "forkserver"
AFRESH: Final[StartMethod] = "spawn"
ENDING: Final = "qatrix.execute.ending"


@dataclass(frozen=True)
class Kind:
    """How a process is started; one that is for a single case ends after it."""

    method: StartMethod
    single: bool


class Processes:
    """Runs one case at a time; a process starts with the first case that needs its kind, and stays.

    Code of the user's own can change what no later case could know, a function of torch for
    instance, so that such a case has a process to itself.

    A backward pass starts threads, and in a process that was forked from one which imported a
    CUDA build of torch that has aborted (autograd's Engine::thread_init); a forward pass starts none.
    """

    def __init__(self, folder: str, *, memory_limit: int | None, timeout: float | None, preload: Sequence[str]) -> None:
        self._folder = folder
        self._memory_limit = memory_limit
        self._timeout = timeout
        self._preload = tuple(preload)
        self._pools: dict[Kind, ProcessPool] = {}
        self._ending: list[threading.Thread] = []

    def schedule(self, case: Case, function: Callable[..., object], *args: object) -> Any:
        """The future of `function(case, *args)`, run in the kind of process that the case needs."""
        kind = _kind(case)
        pool = self._pools.get(kind)
        # A pool ends by itself where it cannot start a process: the one to fork from was killed just then.
        if pool is None or not pool.active:
            pool = self._started(kind)
        with without_interrupts():
            return pool.schedule(function, args=(case, *args), timeout=self._timeout)

    def ended(self, case: Case, *, clean: bool) -> None:
        """Say that a case is through; its process is ended where it is not clean, or is for that case alone."""
        kind = _kind(case)
        if kind.single or not clean:
            pool = self._pools.pop(kind)
            pool.stop()
            # Takes a tenth of a second, in which the driver has other workers to see to.
            waiting = threading.Thread(target=pool.join)
            waiting.start()
            self._ending = [waiting, *(thread for thread in self._ending if thread.is_alive())]

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        for pool in self._pools.values():
            pool.stop()

    def join(self) -> None:
        """Wait until the processes that were stopped are gone."""
        for pool in self._pools.values():
            pool.join()
        for thread in self._ending:
            thread.join()

    def _started(self, kind: Kind) -> ProcessPool:
        context = forking(self._preload) if kind.method == FORKED else multiprocessing.get_context(AFRESH)
        preload = self._preload if kind.method == AFRESH else ()
        pool = ProcessPool(
            max_workers=1,
            initializer=_enter,
            initargs=(self._folder, self._memory_limit, preload),
            context=context,
        )
        self._pools[kind] = pool
        return pool


def forking(preload: Sequence[str]) -> Any:
    """The context whose processes are forked from one that has imported these modules, once it is started."""
    context = multiprocessing.get_context(FORKED)
    context.set_forkserver_preload([*preload, ENDING])
    return context


def start_method(case: Case) -> StartMethod:
    """How the process of a case is to be started."""
    return FORKED if case.training is None else AFRESH


def _kind(case: Case) -> Kind:
    return Kind(method=start_method(case), single=case.runs_own_code)


def _enter(folder: str, memory_limit: int | None, preload: Sequence[str]) -> None:
    """Runs first in a process, so that no case's time counts what is imported; if it fails, so does the first case."""
    try:
        isolation.enter(folder, memory_limit)
    except FileNotFoundError:
        # The driver was killed, and its folder is gone already: there is nobody to tell.
        os._exit(1)
    for name in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
