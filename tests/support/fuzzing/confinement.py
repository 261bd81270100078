"""Commands run one by one, each in a process with limits that the kernel holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from support.fuzzing.zygote import ESCAPED

__all__ = ["COMMAND", "CPU_SECONDS", "ESCAPED", "Confinement", "Ended"]

# What runs unless a test says otherwise: the command line as `qatrix` has it.
COMMAND: Final = "support.fuzzing.entries:command"
CPU_SECONDS: Final = 5
# Other work on the machine makes a command wait; what waits for good is stopped.
_WALL_SECONDS: Final = 60
# Beyond what the imports have taken.
_MEBIBYTES: Final = 512
_TESTS: Final = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended: its exit code, below zero for a signal, what it printed and what it took."""

    argv: tuple[str, ...]
    code: int
    out: bytes
    err: bytes
    seconds: float
    mebibytes: float


class Confinement:
    """Runs commands in forks of one process that has imported what they need. Use it as a context manager."""

    def __init__(self, home: Path, preload: Sequence[str]) -> None:
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        # Neither the coverage nor the colors of the tests, and text that cannot be encoded is an error.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "TMPDIR": str(home),
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONIOENCODING": "utf-8:strict",
            "PYTHONPATH": os.pathsep.join((str(_TESTS), str(_TESTS.parent / "runner"))),
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "support.fuzzing.zygote", *preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        ready = self._answer()
        assert ready == "ready", f"the process for the commands did not start: {ready!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def run(
        self,
        *argv: str,
        cwd: Path,
        entry: str = COMMAND,
        cpu_seconds: int = CPU_SECONDS,
        wall_seconds: int = _WALL_SECONDS,
    ) -> Ended:
        """Run one command in a folder, with an empty temporary folder for itself."""
        shutil.rmtree(self._home)
        self._home.mkdir()
        out, err = self._home / "out", self._home / "err"
        request = {
            "entry": entry,
            "argv": argv,
            "cwd": str(cwd),
            "out": str(out),
            "err": str(err),
            "cpu_seconds": cpu_seconds,
            "wall_seconds": wall_seconds,
            "mebibytes": _MEBIBYTES,
        }
        assert self._server.stdin is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)
        answer = json.loads(self._answer())
        return Ended(argv=argv, out=out.read_bytes(), err=err.read_bytes(), **answer)

    @property
    def left_behind(self) -> tuple[str, ...]:
        """The texts that the last command left in its temporary folder: tracebacks of what it calls a bug."""
        rest = sorted(path for path in self._home.iterdir() if path.is_file() and path.name not in {"out", "err"})
        return tuple(path.read_text(encoding="utf-8", errors="replace") for path in rest)

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().rstrip("\n")
