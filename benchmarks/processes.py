"""Whole processes: how long they take, how much memory, and what a run of them left behind."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_KIB: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that ended well: wall time in seconds, and its own greatest resident memory in bytes."""

    seconds: float
    peak_bytes: int
    stdout: str


def python(*argv: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None) -> Ended:
    """Run this Python in a new process, with variables added to its environment.

    Raises RuntimeError with what it printed where it ends with an error.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *argv],
        cwd=cwd,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        stdout = process.stdout.read() if process.stdout else ""
        # The peak of this process alone; RUSAGE_CHILDREN would be that of the greatest one so far.
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        msg = f"{' '.join(argv)} ended with {process.returncode}: {stdout[-500:]}"
        raise RuntimeError(msg)
    return Ended(seconds=taken, peak_bytes=_peak(usage), stdout=stdout)


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


def _peak(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * _KIB
