"""Whole processes: how long they take, how much memory, and what a run of them left behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_KIB: Final = 1024
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that ended well: wall time and processor time in seconds, its own greatest resident memory in bytes.

    The processor time is that of the process and of its children that it waited for.
    """

    seconds: float
    processor_seconds: float
    peak_bytes: int
    stdout: str


def python(*argv: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None) -> Ended:
    """Run this Python in a new process, with variables added to its environment.

    Raises RuntimeError with what it printed where it ends with an error.
    """
    began, used = time.perf_counter(), _processor_seconds()
    with subprocess.Popen(
        [sys.executable, *argv],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": _import_path(), **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watch = _Peak(process.pid)
        watch.start()
        stdout, _ = process.communicate()
        taken = time.perf_counter() - began
    spent = _processor_seconds() - used
    watch.join()
    if process.returncode != 0:
        msg = f"{' '.join(argv)} ended with {process.returncode}: {stdout[-500:]}"
        raise RuntimeError(msg)
    return Ended(seconds=taken, processor_seconds=spent, peak_bytes=watch.peak_bytes, stdout=stdout)


def _processor_seconds() -> float:
    """Of all processes that this one has waited for until now."""
    times = os.times()
    return times.children_user + times.children_system


def _import_path() -> str:
    """PYTHONPATH with absolute folders, for processes that run elsewhere."""
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(str(Path(part).resolve()) for part in parts if part)


class _Peak(threading.Thread):
    """Watches the greatest resident memory of a process; 0 where the system does not tell (it is Linux that does).

    `ru_maxrss` would be no less than this process's own, from which the other is forked.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self.peak_bytes = 0

    def run(self) -> None:
        """Read the high-water mark until the process is gone."""
        while (mark := self._mark()) is not None:
            self.peak_bytes = mark
            time.sleep(_LOOK_SECONDS)

    def _mark(self) -> int | None:
        with contextlib.suppress(OSError):
            for line in self._status.read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * _KIB
        return None


def results(out: Path) -> dict[str, Any]:
    """The results.json of the newest run in a folder."""
    content: dict[str, Any] = json.loads((out / "latest/results.json").read_text(encoding="utf-8"))
    return content


def without_times(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cases of a results.json as they are in every run: without times and tracebacks."""
    return [
        {
            **case,
            "seconds": None,
            "diagnosis": None,
            "pipelines": {
                name: {**outcome, "stages": None, "error": outcome["error"] and outcome["error"]["message"]}
                for name, outcome in case["pipelines"].items()
            },
        }
        for case in cases
    ]
