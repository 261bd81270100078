"""A process that holds torch, from which scripts are forked: each runs as by itself, without 3 s of imports.

What torchao exports again and again for quantization-aware training comes from qatrix's pattern files there, which other
tests hold equal to the bit. Run as a program it is that process: it reads requests, a line each, and answers with exit codes.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

TESTS: Final = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a script ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Warm:
    """The process that scripts are forked from."""

    process: subprocess.Popen[str]

    def run(self, script: Path, path: Sequence[str] = ()) -> Ended:
        """Run a script in its folder; `path` is where it finds modules of the user's."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"script": str(script), "path": [*path]}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        out, err = _printed(script)
        return Ended(returncode=int(answer), stdout=out.read_text(), stderr=err.read_text())


@contextmanager
def warm() -> Iterator[Warm]:
    """Such a process, which is gone at the end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "runner")])}
    with subprocess.Popen(
        [sys.executable, "-m", "support.warm"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Warm(process)
        finally:
            process.kill()


def run_alone(script: Path, path: Sequence[str] = ()) -> Ended:
    """Run a script in its folder by a new Python; isolated, unless it needs modules of the user's."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(
        [sys.executable, *([] if path else ["-I"]), str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parent,
        env={**plain, "PYTHONPATH": os.pathsep.join(path)} if path else plain,
    )
    return Ended(returncode=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


def _printed(script: Path) -> tuple[Path, Path]:
    """The files of what a script prints."""
    return script.with_suffix(".out"), script.with_suffix(".err")


def _serve() -> None:
    from qatrix.execute import preload
    from qatrix.pipelines.pattern_cache import pattern_cache

    assert all(preload.READY[name] for name in ("pt2e", "fx"))
    with pattern_cache():
        for line in sys.stdin:
            request = json.loads(line)
            if (pid := os.fork()) == 0:
                _run(Path(request["script"]), request["path"])
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)


def _run(script: Path, path: Sequence[str]) -> None:
    """Run a script as its process's own, and end the process."""
    for stream, file in zip((1, 2), _printed(script)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(script.parent)
    ours = {str(TESTS), str(TESTS.parent), str(TESTS.parent / "runner")}
    sys.path[:] = [str(script.parent), *path, *(place for place in sys.path if place and place not in ours)]
    sys.argv[:] = [str(script)]
    code = 0
    try:
        found = runpy.run_path(str(script), run_name="__main__")
        assert not [item for item in found.values() if isinstance(item, ModuleType) and item.__name__ == "qatrix"]
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
