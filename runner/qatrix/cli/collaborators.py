"""What the commands work with, so that a test can put something else in its place."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from qatrix.cli.interruption import Interruption
from qatrix.errors import EnvironmentUnusable, UsageError
from qatrix.execute.options import Execution
from qatrix.outcomes import Environment, Record

if TYPE_CHECKING:
    from qatrix.claims import CheckPoint, Transcript
    from qatrix.declare.spec import Case
    from qatrix.report.resultcache import ResultCache

PACKAGES: Final = ("torch", "torchvision", "torchao")
INSTALL: Final = f"pip install {' '.join(PACKAGES)}"


class Execute(Protocol):
    """Runs cases and yields their records, without expectations, in any order."""

    def __call__(
        self, cases: Sequence[Case], *, options: Execution, on_start: Callable[[Case], None]
    ) -> Iterator[Record]:
        """The records, as the cases end."""


def _execute(cases: Sequence[Case], *, options: Execution, on_start: Callable[[Case], None]) -> Iterator[Record]:
    if options.engine == "ray":
        from qatrix.execute import cluster

        return cluster.execute(cases, options=options, on_start=on_start, address=options.address)
    from qatrix.execute.workers import execute

    return execute(cases, options=options, on_start=on_start)


def _warm_up(options: Execution) -> None:
    from qatrix.execute.workers import warm_up

    if options.engine == "workers":
        warm_up(options)


def _environment() -> Environment:
    try:
        from qatrix.pipelines.torchenv import environment
    except (ImportError, OSError) as error:  # OSError: a library that torch links to is missing
        msg = f"torch cannot be imported: {error}\nthe pipelines need it; install it with: {INSTALL}"
        raise EnvironmentUnusable(msg) from error
    return environment()


def _fingerprint() -> str:
    from qatrix.execute.fingerprint import fingerprint

    return fingerprint()


def _result_cache() -> ResultCache:
    from qatrix.report.resultcache import ResultCache
    from qatrix.resources import cache_folder

    return ResultCache(cache_folder())


def _reference(path: Path) -> str:
    from qatrix.execute.reference import open_reference

    found = open_reference(path)
    found.verify()
    return f"{found.manifest.origin}, sha256 {found.digest}"


def _transcribe(case: Case, pipeline: str, at: CheckPoint, values: bool) -> Transcript:  # noqa: FBT001 - a collaborator's signature
    from qatrix.execute.transcribing import Untranscribed, transcribe_case
    from qatrix.execute.workers import torch_ready

    try:
        # It runs in this process, as `qatrix freeze` does.
        with torch_ready(Execution()):
            return transcribe_case(case, pipeline, at, values=values)
    except Untranscribed as reason:
        msg = f"{case.case_id}: {reason}"
        raise UsageError(msg) from reason


def _hand_over(argv: Sequence[str]) -> int | None:
    if argv[:1] != ["run"]:
        return None
    from qatrix.cli.handover import handed_over

    return handed_over(argv)


def _renew() -> NoReturn:
    """Become this program anew, in the same process, with the arguments that it was started with."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell is wanted


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Collaborators:
    """The effects that commands have on the world, the defaults being the real ones; `argv` is the command's."""

    execute: Execute = _execute
    warm_up: Callable[[Execution], None] = _warm_up
    environment: Callable[[], Environment] = _environment
    fingerprint: Callable[[], str] = _fingerprint
    result_cache: Callable[[], ResultCache] = _result_cache
    reference: Callable[[Path], str] = _reference
    transcribe: Callable[[Case, str, CheckPoint, bool], Transcript] = _transcribe
    hand_over: Callable[[Sequence[str]], int | None] = _hand_over
    renew: Callable[[], object] = _renew
    pause: Callable[[float], object] = time.sleep
    now: Callable[[], datetime] = _now
    interruption: Interruption = field(default_factory=Interruption)
    argv: tuple[str, ...] = ()
