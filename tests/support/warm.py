"""Programs for which torch is there already: scripts and commands of qatrix, each as by itself, without 5 s of imports.

What torchao exports again and again for quantization-aware training comes from qatrix's pattern files there, which other
tests hold equal to the bit.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Final, NoReturn

from support import hatchery

PROGRAM: Final = "support.warm"
PATIENCE: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run_warm(place: Path, path: Sequence[str] = ()) -> Ended:
    """Run a script in its folder, with torch there already; `path` is where it finds modules of the user's."""
    return _ended(["script", str(place), *path], folder=place.parent, variables={})


def command(folder: Path, *argv: str, path: Sequence[Path] = ()) -> Ended:
    """Type a command of qatrix in a folder; `path` is where it finds distributions and modules of the user's.

    A run saves the imports with `--workers 0` alone: other workers import torch all the same.
    """
    told = {"PYTHONPATH": os.pathsep.join(map(str, path)), "NO_COLOR": "1"}
    return _ended(["command", *argv], folder=folder, variables=told)


def run_alone(place: Path, path: Sequence[str] = ()) -> Ended:
    """Run a script in its folder by a new Python; isolated, unless it needs modules of the user's."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(
        [sys.executable, *([] if path else ["-I"]), str(place)],
        capture_output=True,
        text=True,
        check=False,
        cwd=place.parent,
        env={**plain, "PYTHONPATH": os.pathsep.join(path)} if path else plain,
    )
    return Ended(returncode=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


def _ended(argv: Sequence[str], *, folder: Path, variables: Mapping[str, str]) -> Ended:
    # Files instead of pipes, which somebody would have to empty.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        told = {**os.environ, **variables}
        streams = out.fileno(), err.fileno()
        forked = hatchery.forked(argv, folder=folder, variables=told, streams=streams, program=PROGRAM)
        try:
            code = forked.wait(PATIENCE)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(forked.pid, signal.SIGKILL)
            error.add_note(f"{[*argv]} printed: {_printed(out)}{_printed(err)}")
            raise
        return Ended(returncode=code, stdout=_printed(out), stderr=_printed(err))


def _printed(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def ready() -> None:
    """Import what cases and commands need."""
    from qatrix.execute import preload
    from support import driver

    assert all(preload.READY[name] for name in ("pt2e", "fx"))
    driver.ready()


def drive(argv: list[str]) -> NoReturn:
    """Run a script or a command, and end the process at once: what is registered with atexit is not run."""
    kind, *rest = argv
    sys.path[:] = [place for place in sys.path if place not in hatchery.OURS]
    code = 0
    try:
        _run_script(*rest) if kind == "script" else _run_command(rest)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            code = ended.code or 0
        else:
            print(ended.code, file=sys.stderr)
            code = 1
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_script(place: str, *path: str) -> None:
    from qatrix.pipelines.pattern_cache import pattern_cache

    sys.path[:] = [str(Path(place).parent), *path, *sys.path[1:]]
    sys.argv[:] = [place]
    with pattern_cache():
        found = runpy.run_path(place, run_name="__main__")
    assert not [item for item in found.values() if isinstance(item, ModuleType) and item.__name__ == "qatrix"]


def _run_command(argv: Sequence[str]) -> None:
    from qatrix.cli import main

    # As a console script: the folder is not on its path. Whatever it starts finds qatrix where this process did.
    sys.path[0] = str(Path(__file__).parents[2] / "runner")
    sys.argv[:] = ["qatrix", *argv]
    main([*argv])
