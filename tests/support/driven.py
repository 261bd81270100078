"""A driver that a test starts, waits for and stops, in a folder with a matrix, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.results import results

MATRIX = """
patterns:
  linear:
    layers: {{a: "Linear(n, n)"}}
    params: {{n: 3}}
    forward: ["return a(x)"]
    inputs: {{x: {{shape: [2, n]}}}}
quantizers:
  int8: {{mode: qat, fx: {{backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}}}}
suites:
  kills: {{axes: {{pattern: linear, n: {sizes}, quantizer: int8}}}}
"""
TESTS = Path(__file__).parents[1]
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Left:
    """How a driver ended, and what it printed."""

    code: int
    out: str
    err: str


class Driven:
    """The command line in a process group of its own, whose temporary files would go to `folder`/tmp."""

    def __init__(
        self, folder: Path, *argv: str, pause_at: str = "", terminal: int = subprocess.PIPE, **others: Any
    ) -> None:
        self.folder = folder
        for name in ("paused", "go"):
            (folder / name).unlink(missing_ok=True)
        (folder / "tmp").mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "runner")]),
            "TMPDIR": str(folder / "tmp"),
            "PAUSE_AT": pause_at,
        }
        command = [sys.executable, "-m", "support.driver", *argv]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            text=True,
            start_new_session=True,
            **others,
        )
        if pause_at:
            until((folder / "paused").exists)

    def go(self) -> None:
        """Let it go on from where it paused."""
        (self.folder / "go").touch()

    def send(self, *signals: signal.Signals, group: bool = False) -> None:
        """Send signals to it, or to all its processes."""
        for number in signals:
            (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self) -> Left:
        """Wait for it, and for all its processes."""
        out, err = self.process.communicate(timeout=PATIENCE)
        until(self._is_gone)
        return Left(code=self.process.returncode, out=out or "", err=err or "")

    def members(self) -> list[int]:
        """The processes of its group but for itself."""
        listed = subprocess.run(["ps", "-eo", "pgid=,pid="], capture_output=True, text=True, check=True).stdout
        pids = [tuple(map(int, line.split())) for line in listed.splitlines()]
        return [pid for group, pid in pids if group == self.process.pid != pid]

    def _is_gone(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False


@contextmanager
def driven(folder: Path, *argv: str, pause_at: str = "", **others: Any) -> Iterator[Driven]:
    """A driver that is gone at the end, with all its processes."""
    started = Driven(folder, *argv, pause_at=pause_at, **others)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.communicate()


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def without_what_tells_runs_apart(folder: Path) -> dict[str, Any]:
    """What a run found, of which nothing depends on when and how it was run."""
    content = results(folder)
    own = {"id", "started", "seconds", "command"}
    return {**content, "run": {name: value for name, value in content["run"].items() if name not in own}}


def listing(folder: Path) -> list[str]:
    """Everything in a folder, also what is hidden."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
