"""Cases that hurt the process they run in; importable by a worker."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

from qatrix.declare.spec import Case
from qatrix.outcomes import Record


def run_faulty(case: Case) -> Record:
    """Do what the pattern of the case is named after, or return an exact record."""
    fault = FAULTS.get(case.pattern.name)
    if fault is not None:
        print(f"about to {case.pattern.name}", flush=True)
        fault()
    return Record(
        case_id=case.case_id,
        suite=case.suite,
        axes=dict(case.axes),
        verdict="exact",
        summary="equal to the bit",
        seed=case.seed,
        source=case.source,
    )


def _raise() -> None:
    msg = "planted"
    raise RuntimeError(msg)


def _hang() -> None:
    time.sleep(600)


def _segfault() -> None:
    ctypes.string_at(0)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _leave() -> None:
    os._exit(3)


def _recurse() -> None:
    _recurse()


def _print_a_gigabyte() -> None:
    block = "x" * 2**20
    for _ in range(1024):
        sys.stdout.write(block)
        sys.stdout.flush()


def _eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(2**25))
        time.sleep(0.005)


class _Foreign(BaseException):
    """Nothing but this module knows it, and it cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = second


def _raise_a_foreign_one() -> None:
    msg = "of its own"
    raise _Foreign(msg, msg)


def _exit() -> None:
    sys.exit(0)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _vanish() -> None:
    ctypes.CDLL(None)._exit(0)


FAULTS: dict[str, Callable[[], None]] = {
    "raise": _raise,
    "hang": _hang,
    "segfault": _segfault,
    "kill": _kill,
    "leave": _leave,
    "recurse": _recurse,
    "print_a_gigabyte": _print_a_gigabyte,
    "eat_memory": _eat_memory,
    "raise_a_foreign_one": _raise_a_foreign_one,
    "exit": _exit,
    "interrupt": _interrupt,
    "vanish": _vanish,
}
