"""How cases are executed: in how many processes, and within which limits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal

_GIB: Final = 2**30
# A worker that holds torch, torchao and the patterns of PT2E stays below this on resnet18
# (1.1 GB resident, `/usr/bin/time -v qatrix run --case resnet18 --workers 0`).
_WORKER_BYTES: Final = 1.5 * _GIB
# Linux's account of the memory; elsewhere there is none.
_MEMINFO: Final = "/proc/meminfo"


Engine = Literal["workers", "ray"]
Diagnose = Literal["differences", "all", "never", "graphs"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """`workers` 0 runs every case in this process, without limits; `timeout` is in seconds per
    case, `memory_limit` in bytes of resident memory per worker, None for no limit. `diagnose`
    says for which cases it is found out where the pipelines part: those that are not equal to
    the bit, all that both pipelines can run, or none; "graphs" are those of all pipelines, and
    nothing else. `engine` is this machine's workers or a
    Ray cluster: the one at `address`, None for a local one. `reference` is the path of a file
    that has one pipeline's side of the cases.
    """

    workers: int = 0
    timeout: float | None = None
    memory_limit: int | None = None
    pattern_cache: bool = True
    diagnose: Diagnose = "differences"
    engine: Engine = "workers"
    address: str | None = None
    reference: str | None = None


def limits(workers: int | None, timeout: float, memory_limit: int | None) -> Execution:
    """What a command line says: None workers are as many as fit, `memory_limit` is in MiB."""
    return Execution(
        workers=default_workers() if workers is None else workers,
        timeout=timeout,
        memory_limit=None if memory_limit is None else memory_limit * 2**20,
    )


def default_workers() -> int:
    """As many workers as there are cores, fewer where the memory that is free does not hold them.

    None, and so this process, where the system cannot fork from a prepared process (Windows).
    """
    # Commands that run nothing know these options, too, and it takes 10 ms.
    import multiprocessing

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(_available_bytes() // _WORKER_BYTES)))


def _available_bytes() -> float:
    """Memory that could be used without swapping: half of all where that is not told, plenty where nothing is."""
    try:
        with open(_MEMINFO, encoding="ascii") as file:  # noqa: PTH123 - a kernel file, not a path of ours
            fields = dict(line.split(":", 1) for line in file)
        return float(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return _installed_bytes() / 2


def _installed_bytes() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")
