"""The command line with real workers and pipelines that only wait, as a program that a test can kill.

With PAUSE_AT in the environment it waits at that moment, having made the file `paused`, until there is a file `go`.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

from qatrix.cli import main
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.matrices import load_matrix
from qatrix.declare.spec import Case
from qatrix.execute.options import Execution
from qatrix.execute.workers import execute, warm_up
from qatrix.outcomes import Environment, Record
from qatrix.report.files import write_file
from qatrix.report.resultcache import ResultCache
from support.project import ENVIRONMENT
from support.waiting import waiting

# Of the cases, those that are done in the middle.
DONE_IN_THE_MIDDLE: Final = 5
# What workers are forked with, instead of torch.
PRELOAD: Final = ("support.waiting",)
# What registers the verbs, and what a run imports only when it comes to it.
LATER: Final = (
    *("qatrix.cli.runs", "qatrix.cli.watching", "qatrix.cli.documents", "qatrix.cli.against", "qatrix.cli.merging"),
    *("qatrix.cli.handover", "qatrix.cli.scripting", "qatrix.console", "qatrix.declare.load"),
    *("qatrix.report.annotations", "qatrix.report.compare", "qatrix.report.writing"),
    *("multiprocessing.forkserver", "multiprocessing.popen_forkserver", "multiprocessing.popen_spawn_posix"),
)


def pause(moment: str) -> None:
    """Wait here, where the environment says so."""
    if os.environ.get("PAUSE_AT") == moment:
        Path("paused").touch()
        while not Path("go").exists():
            time.sleep(0.02)


def pausing(moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function before which there may be a pause."""

    def paused(*args: Any, **keywords: Any) -> Any:
        pause(moment)
        return function(*args, **keywords)

    return paused


def executing(cases: Sequence[Case], *, options: Execution, on_start: Callable[[Case], None]) -> Iterator[Record]:
    """The records of workers, with a pause before the first and one in the middle."""
    pause("first")
    for number, record in enumerate(execute(cases, options=options, on_start=on_start, run=waiting, preload=PRELOAD)):
        if number == DONE_IN_THE_MIDDLE:
            pause("middle")
        yield record


def environment() -> Environment:
    """An environment that is told without torch."""
    pause("environment")
    return ENVIRONMENT


def fingerprint() -> str:
    """What a test says that is installed."""
    told = Path("installed")
    return told.read_text() if told.exists() else "one"


def handed_over(argv: Sequence[str]) -> int | None:
    """Hand a run to a watch that goes on, and leave a file `handed` where that ran it."""
    code = Collaborators().hand_over(argv)
    if code is not None:
        Path("handed").touch()
    return code


def ready() -> None:
    """Import what a command may need."""
    for name in LATER:
        importlib.import_module(name)


def drive(argv: list[str]) -> None:
    """Run one command."""
    mock.patch("qatrix.cli.errands._PATIENCE_SECONDS", 60.0).start()
    mock.patch("qatrix.cli.runs.load_matrix", pausing("load", load_matrix)).start()
    mock.patch("qatrix.report.writing.write_file", pausing("reports", write_file)).start()
    main(
        argv,
        Collaborators(
            execute=executing,
            # A watch forks all runs' workers from the one process that it has started.
            warm_up=partial(warm_up, preload=PRELOAD) if argv[0] == "watch" else lambda _: None,
            environment=environment,
            fingerprint=fingerprint,
            hand_over=handed_over,
            # Unless told otherwise a folder that cannot be made: nothing is remembered.
            result_cache=lambda: ResultCache(Path(os.environ.get("KEPT_RESULTS", "/dev/null/cache"))),
        ),
    )


if __name__ == "__main__":
    drive(sys.argv[1:])
