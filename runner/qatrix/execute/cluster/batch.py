"""What runs on a node of the cluster: one batch of cases, with the same worker and limits as everywhere."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from qatrix import __version__
from qatrix.declare.spec import Case
from qatrix.execute import workers
from qatrix.execute.options import Execution
from qatrix.execute.scratch import shorten_sockets
from qatrix.execute.workers import RunCase
from qatrix.outcomes import Record

# What must be the same on all nodes: other versions compute other numbers.
PACKAGES: Final = ("torch", "torchao", "torchvision", "numpy", "executorch", "onnx", "onnxscript", "onnxruntime")
# Ray chooses a task's accelerators by these, after the process that workers are forked from has begun.
_ACCELERATORS: Final = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ONEAPI_DEVICE_SELECTOR",
)
_WAKE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class Job:
    """How all batches of a run are run; `run` and `preload` are those of `workers.execute`."""

    options: Execution
    run: RunCase | None
    preload: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Began:
    """The first word of a batch: the node that has it, by name and address, and its versions."""

    node: str
    versions: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A case's record, and the ids of the cases that were begun since the last one."""

    record: Record
    begun: tuple[str, ...]


def versions() -> dict[str, str | None]:
    """The versions of Python, qatrix and the packages that compute, told without importing them."""
    return {"python": platform.python_version(), "qatrix": __version__} | {name: _version(name) for name in PACKAGES}


def run_batch(cases: Sequence[Case], job: Job, expected: Mapping[str, str | None]) -> Iterator[Began | Ended]:
    """Runs as a Ray task: `Began`, then each case's end; nothing but `Began` where versions differ."""
    found = versions()
    yield Began(node=_node(), versions=found)
    if found != expected:
        return
    shorten_sockets()
    begun: list[str] = []
    run = _OnNode(
        run=job.run,
        options=job.options,
        accelerators={name: os.environ.get(name) for name in _ACCELERATORS},
    )
    records = workers.execute(
        cases,
        options=replace(job.options, workers=1),
        on_start=lambda case: begun.append(case.case_id),
        run=run,
        preload=job.preload,
    )
    with _no_main_file(), _interruptible():
        for record in records:
            yield Ended(record=record, begun=tuple(begun))
            begun.clear()


@dataclass(frozen=True, kw_only=True)
class _OnNode:
    """Runs a case in the worker that the Ray task forked."""

    run: RunCase | None
    options: Execution
    accelerators: Mapping[str, str | None]

    def __call__(self, case: Case) -> Record:
        for name, value in self.accelerators.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        return (self.run or workers.worker_ready(self.options))(case)


@contextmanager
def _no_main_file() -> Iterator[None]:
    """Keep workers from running Ray's own main file, which a new process of Python does with its parent's."""
    kept = vars(sys.modules["__main__"])
    file = kept.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            kept["__file__"] = file


@contextmanager
def _interruptible() -> Iterator[None]:
    """Wake the main thread often enough that Ray's cancellation, which only sets a flag, is seen while it waits."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, _WAKE_SECONDS, _WAKE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _node() -> str:
    import ray

    return f"{platform.node()} ({ray.util.get_node_ip_address()})"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
