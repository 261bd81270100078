"""The command line with real workers and pipelines that only wait, as a program that a test can kill."""

from __future__ import annotations

import functools
import sys
import time
from dataclasses import replace
from pathlib import Path

from qatrix.cli import main
from qatrix.cli.collaborators import Collaborators
from qatrix.declare.spec import Case
from qatrix.execute.workers import execute
from qatrix.outcomes import Comparison, Record
from qatrix.report.resultcache import ResultCache
from support.project import ENVIRONMENT, exact


def waiting(case: Case) -> Record:
    """A record of a case after a few milliseconds, with numbers that follow from its seed."""
    time.sleep(600 if case.pattern.name == "hang" else (case.seed % 20) / 1000)
    gap = Comparison(at="convert", left="pt2e", right="fx", status="close", max_abs=case.seed / 7e9, rtol=0.0, atol=1.0)
    return replace(exact(case), verdict="close", summary="within tolerance", comparisons=(gap,))


def drive(argv: list[str]) -> None:
    """Run one command; results of earlier runs are only in the reports."""
    main(
        argv,
        Collaborators(
            execute=functools.partial(execute, run=waiting, preload=()),
            warm_up=lambda _: None,
            environment=lambda: ENVIRONMENT,
            fingerprint=lambda: "one",
            # A folder that cannot be made: nothing is remembered.
            result_cache=lambda: ResultCache(Path("/dev/null/cache")),
        ),
    )


if __name__ == "__main__":
    drive(sys.argv[1:])
