"""Whole runs of the matrix that comes with qatrix, each in new processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.cases import small_suites
from benchmarks.processes import Ended, python, results, without_times
from benchmarks.rows import Row, ratio, seconds
from qatrix.resources import folder

_FEW: Final = ("--case", "conv_bn_fusion", "--case", "conv_bn_relu_fusion", "--case", "preserve_source_fn_stack")
# The two workers of the reach, whatever this machine has.
_TWO: Final = ("--workers", "2")


def all_rows() -> Iterator[Row]:
    """All suites but the torchvision models, in one process by the plain path, and as `qatrix run` runs them."""
    suites = [part for name in small_suites() for part in ("--case", name)]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        # The cache of patterns is filled, as after any earlier run; that of results is not used.
        _run(out / "filling", *suites)
        short = _run(out / "short", *suites)
        plain = _run(out / "plain", "--workers", "0", "--no-pattern-cache", *suites)
        first, second = (results(out / name)["cases"] for name in ("short", "plain"))
    equal = without_times(first) == without_times(second)
    yield Row(
        what="all rows without the torchvision models, start to report, against the plain path in one process",
        figure=f"{ratio(plain.seconds, short.seconds)}, {len(first)} cases,"
        f" records {'equal' if equal else 'NOT EQUAL'}",
        reach="at least 40 times",
        reached=equal and plain.seconds / short.seconds >= 40,  # noqa: PLR2004 - the reach
        how="`qatrix run --fresh` with the default workers and pattern files of an earlier run, against"
        " `qatrix run --fresh --workers 0 --no-pattern-cache`; whole processes",
    )


def workers() -> Iterator[Row]:
    """Two workers against one."""
    selection = [part for name in small_suites() for part in ("--case", name)]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        # Also tells the later runs how long each case takes.
        _run(out, *_TWO, *selection)
        one = _run(out, "--workers", "1", *selection)
        alone = results(out)["run"]["seconds"]
        two = _run(out, *_TWO, *selection)
        both = results(out)["run"]["seconds"]
    yield Row(
        what="two workers against one",
        figure=f"{alone / both:.3g} times (cases alone: {seconds(alone)}, {seconds(both)});"
        f" whole processes {ratio(one.seconds, two.seconds)}",
        reach="at least 1.8 times",
        reached=alone / both >= 1.8,  # noqa: PLR2004 - the reach
        how="all suites but the torchvision models, filled pattern files; `seconds` of the runs, from the first case"
        " to the last record, and whole processes",
    )


def disk_cache() -> Iterator[Row]:
    """Empty pattern files against filled ones, and how soon the first case starts."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        cold = _run(out / "cold", *_FEW, variables={"XDG_CACHE_HOME": str(out / "cache")})
        warm = _run(out / "warm", *_FEW, variables={"XDG_CACHE_HOME": str(out / "cache")})
        began = float(
            python(
                "-c", _FIRST_START, str(out / "first"), *_FEW, variables={"XDG_CACHE_HOME": str(out / "cache")}
            ).stdout
        )
    yield Row(
        what="empty against filled pattern files, a run of few suites",
        figure=ratio(cold.seconds, warm.seconds),
        how=f"`qatrix run --fresh {' '.join(_FEW)}` with an empty cache folder, and once more; whole processes",
    )
    yield Row(
        what="first case starts after launch, filled pattern files",
        figure=seconds(began),
        reach="under 6 s",
        reached=began < 6,  # noqa: PLR2004 - the reach
        how="from the start of the process to the commit of the first record, less that case's own seconds",
    )


def _run(out: Path, *argv: str, variables: Mapping[str, str] | None = None) -> Ended:
    command = ("run", str(folder("matrix")), "--fresh", "--quiet", "--out", str(out), *argv)
    return python("-m", "qatrix", *command, variables=variables)


# Polls the store of a run that it starts, and prints when the first case that ended had started.
_FIRST_START: Final = """
import contextlib, pathlib, sqlite3, subprocess, sys, time
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
process.wait()
print(taken - first)
"""
