"""What answers at once: help, list, check, a run in which nothing changed, a few cases of a million."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.processes import Ended, python
from benchmarks.rows import Row
from benchmarks.scale import million_text
from qatrix.resources import folder

# Whatever else the machine does only adds time.
_TIMES: Final = 5
# Read the YAML each time.
_PLAIN: Final = {"QATRIX_MATRIX_CACHE": "off"}
# Write reports each time.
_ANEW: Final = {"QATRIX_STANDING": "off"}
_AT_ONCE: Final = 0.45
_AGAIN: Final = 1.2
_PAIRWISE: Final = 14.5


def small(*, selection: Sequence[str] = (), pairwise: bool = True) -> Iterator[Row]:
    """Processor time of help, list, check, a run in which nothing changed, and --pairwise of a million cases."""
    with tempfile.TemporaryDirectory() as place:
        cache = {"XDG_CACHE_HOME": str(Path(place) / "cache")}
        for command in ("--help", "list", "check"):
            yield _quick(command, cache)
        yield _unchanged(Path(place), cache, selection)
        if pairwise:
            yield _pairwise(Path(place), cache)


def _quick(command: str, cache: dict[str, str]) -> Row:
    argv = ("-m", "qatrix", command, *(() if command == "--help" else (str(folder("matrix")),)))
    python(*argv, variables=cache)
    taken = _least(python(*argv, variables=cache) for _ in range(_TIMES))
    figures = {"processor_seconds": taken.processor_seconds}
    figure = f"{taken.processor_seconds:.2f} s"
    if command != "--help":
        plain = _least(python(*argv, variables={**cache, **_PLAIN}) for _ in range(_TIMES))
        figures["plain_processor_seconds"] = plain.processor_seconds
        figure += f"; {plain.processor_seconds:.2f} s where the YAML is read each time"
    return Row(
        what=f"`qatrix {command}` on the shipped matrix",
        figure=figure,
        figures=figures,
        reach=f"at most {_AT_ONCE} s",
        reached=taken.processor_seconds <= _AT_ONCE,
        how=f"processor time of a whole process, the least of {_TIMES} after one that fills the cache",
    )


def _unchanged(place: Path, cache: dict[str, str], selection: Sequence[str]) -> Row:
    argv = ("-m", "qatrix", "run", str(folder("matrix")), "--quiet", "--fail-on", "never", *selection)
    options = ("--out", str(place / "reports"))
    first = python(*argv, *options, variables=cache)
    # The first one after it notes what the next ones find: the files of code, and what changed since.
    again = _least(python(*argv, *options, variables=cache) for _ in range(_TIMES))
    anew = _least(python(*argv, *options, variables={**cache, **_ANEW}) for _ in range(_TIMES))
    what = "the default selection" if not selection else " ".join(selection)
    return Row(
        what=f"a run in which nothing changed, {what}",
        figure=(
            f"{again.processor_seconds:.2f} s ({first.processor_seconds:.1f} s the first time);"
            f" {anew.processor_seconds:.2f} s where it writes reports of its own"
        ),
        figures={
            "processor_seconds": again.processor_seconds,
            "first_processor_seconds": first.processor_seconds,
            "anew_processor_seconds": anew.processor_seconds,
        },
        reach=f"at most {_AGAIN} s",
        reached=again.processor_seconds <= _AGAIN,
        how=f"processor time of a whole process, whose newest report stands, the least of {_TIMES}",
    )


def _pairwise(place: Path, cache: dict[str, str]) -> Row:
    path = place / "million.yaml"
    path.write_text(million_text(), encoding="utf-8")
    ended = python("-m", "qatrix", "list", "--pairwise", str(path), variables=cache)
    return Row(
        what=f"`qatrix list --pairwise` of 1,024,000 cases, {ended.stdout.count('million/'):,} taken",
        figure=f"{ended.processor_seconds:.1f} s",
        figures={"processor_seconds": ended.processor_seconds, "peak_bytes": ended.peak_bytes},
        reach=f"at most {_PAIRWISE} s",
        reached=ended.processor_seconds <= _PAIRWISE,
        how="processor time of a whole process",
    )


def _least(ended: Iterator[Ended]) -> Ended:
    return min(ended, key=lambda one: one.processor_seconds)
