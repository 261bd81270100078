"""Whole runs of the matrix that comes with qatrix, each in new processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import python, results, without_times
from benchmarks.rows import Row, ratio, seconds
from benchmarks.selection import as_options, sampled, untrained
from qatrix.resources import folder

_FEW: Final = ("--case", "conv_bn_fusion", "--case", "conv_bn_relu_fusion", "--case", "preserve_source_fn_stack")
_PLAIN: Final = ("--workers", "0", "--no-pattern-cache")
_STARTS: Final = 3


def all_rows(*, each: int | None = None) -> Iterator[Row]:
    """All suites but whole models and training as `qatrix run` runs them, against one process by the plain path.

    With `each`, that many cases of every suite, for which no reach is set.
    """
    cases = untrained()
    selection = as_options(cases if each is None else sampled(cases, each=each))
    with tempfile.TemporaryDirectory() as place:
        out, variables = Path(place), {"XDG_CACHE_HOME": f"{place}/cache"}
        cold = _run(out, *selection, variables=variables)
        warm = _run(out, *selection, variables=variables)
        plain = _run(out, *_PLAIN, *selection, variables=variables)
    what = "all rows without the torchvision models" if each is None else f"a sample, {each} of each suite"
    for short, state in ((warm, "filled"), (cold, "empty")):
        equal = without_times(short.cases) == without_times(plain.cases)
        yield Row(
            what=f"{what}, start to report with {state} cache folder, against the plain path in one process",
            figure=f"{ratio(plain.processor_seconds, short.seconds)}, {len(short.cases)} cases,"
            f" records {'equal' if equal else 'NOT EQUAL'}",
            figures={
                "plain_seconds": plain.seconds,
                "plain_processor_seconds": plain.processor_seconds,
                "short_seconds": short.seconds,
            },
            reach="at least 40 times" if each is None else "",
            reached=equal and plain.processor_seconds / short.seconds >= 40 if each is None else None,  # noqa: PLR2004 - the reach
            how=f"`qatrix run --fresh` with the default workers, wall time, against `qatrix run --fresh"
            f" {' '.join(_PLAIN)}`, processor time, which other jobs on the machine lengthen less; whole processes, one"
            " run each",
        )


def disk_cache() -> Iterator[Row]:
    """Empty pattern files against filled ones, a run of few suites."""
    with tempfile.TemporaryDirectory() as place:
        variables = {"XDG_CACHE_HOME": f"{place}/cache"}
        cold = _run(Path(place), *_FEW, variables=variables)
        warm = min((_run(Path(place), *_FEW, variables=variables) for _ in range(2)), key=lambda ended: ended.seconds)
    yield Row(
        what="empty against filled pattern files, a run of few suites",
        figure=ratio(cold.seconds, warm.seconds),
        figures={"empty_seconds": cold.seconds, "filled_seconds": warm.seconds},
        how=f"`qatrix run --fresh {' '.join(_FEW)}` with an empty cache folder, once, and with the filled one, the"
        " least of 2; whole processes",
    )


def first_case() -> Iterator[Row]:
    """How soon after launch the first case starts, filled pattern files."""
    with tempfile.TemporaryDirectory() as place:
        out, variables = Path(place), {"XDG_CACHE_HOME": f"{place}/cache"}
        _run(out / "filling", *_FEW, variables=variables)
        starts = [
            float(python("-c", _FIRST_START, str(out / f"{number}"), *_FEW, variables=variables).stdout)
            for number in range(_STARTS)
        ]
    yield Row(
        what="first case starts after launch, filled pattern files",
        figure=seconds(min(starts)),
        figures={"seconds": min(starts)},
        reach="under 6 s",
        reached=min(starts) < 6,  # noqa: PLR2004 - the reach
        how=f"`qatrix run --fresh`: from the start of the process to the commit of the first record, less that case's"
        f" own seconds; the least of {_STARTS}",
    )


@dataclass(frozen=True, kw_only=True)
class _Ran:
    """A run that ended: wall time and processor time of the whole process, in seconds, and the records."""

    seconds: float
    processor_seconds: float
    cases: list[dict[str, Any]]


def _run(out: Path, *argv: str, variables: Mapping[str, str] | None = None) -> _Ran:
    # A verdict that this environment does not expect is no reason not to measure.
    command = ("run", str(folder("matrix")), "--fresh", "--quiet", "--fail-on", "never", "--out", str(out), *argv)
    ended = python("-m", "qatrix", *command, variables=variables)
    content = results(out)
    return _Ran(seconds=ended.seconds, processor_seconds=ended.processor_seconds, cases=content["cases"])


# Polls the store of a run that it starts, prints when the first case that ended had started, and ends the run.
_FIRST_START: Final = """
import contextlib, pathlib, signal, sqlite3, subprocess, sys, time
out, *argv = sys.argv[1:]
began = time.perf_counter()
command = [sys.executable, "-m", "qatrix", "run", "--fresh", "--quiet", "--out", out, *argv]
process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
store, first = pathlib.Path(out, "latest", "run.sqlite"), None
while first is None and process.poll() is None:
    time.sleep(0.01)
    with contextlib.suppress(sqlite3.Error):
        if store.is_file():
            with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
                (first,) = connection.execute("SELECT max(seconds) FROM cases WHERE state = 'finished'").fetchone()
taken = time.perf_counter() - began
process.send_signal(signal.SIGINT)
process.wait()
print(taken - first)
"""
