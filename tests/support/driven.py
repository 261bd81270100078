"""A driver that a test starts, waits for and stops, in a folder with a matrix, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from support import hatchery
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
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Left:
    """How a driver ended, and what it printed."""

    code: int
    out: str
    err: str


class Driven:
    """The command line in a process group of its own, whose temporary files would go to `folder`/tmp.

    It is forked from a process that has imported everything; with `afresh` Python starts for it alone.
    What it prints goes to `printed`, or to a terminal.
    """

    def __init__(
        self,
        folder: Path,
        *argv: str,
        printed: tuple[IO[bytes], IO[bytes]],
        pause_at: str = "",
        terminal: int | None = None,
        ignored: Sequence[signal.Signals] = (),
        afresh: bool = False,
    ) -> None:
        self.folder = folder
        for name in ("paused", "go"):
            (folder / name).unlink(missing_ok=True)
        (folder / "tmp").mkdir(exist_ok=True)
        self._printed = printed
        out, err = (terminal or file.fileno() for file in printed)
        variables = {**os.environ, "TMPDIR": str(folder / "tmp"), "PAUSE_AT": pause_at}
        where: Any = {"folder": folder, "variables": variables, "streams": (out, err)}
        assert not (afresh and ignored), "only a forked driver ignores signals"
        self.process = hatchery.started(argv, **where) if afresh else hatchery.forked(argv, **where, ignored=ignored)
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
        code = self.process.wait(timeout=PATIENCE)
        until(self._is_gone)
        out, err = map(_text, self._printed)
        return Left(code=code, out=out, err=err)

    def close(self) -> None:
        """Kill whatever of it is there still."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

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
    # Files instead of pipes, which somebody would have to empty.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = Driven(folder, *argv, printed=(out, err), pause_at=pause_at, **others)
        try:
            yield started
        finally:
            started.close()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


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
