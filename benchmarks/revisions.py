"""Whole runs of this revision against those of another one, so that a change shows what it costs."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.processes import Ended, python, results
from benchmarks.rows import Row, seconds

_ROOT: Final = Path(__file__).resolve().parents[1]
_ROUNDS: Final = 2
_REACH: Final = 1.05
_WHAT: Final = "default run against the one of another revision"


def unnamed() -> Iterator[Row]:
    """The default run of this revision against that of another, `--base REF`, in turn."""
    yield Row(what=_WHAT, figure="not measured: name a revision of git with --base")


def against(base: str) -> Iterator[Row]:
    """The default run of this revision against that of `base`, in turn."""
    with tempfile.TemporaryDirectory() as place, _checkout(base, Path(place) / "base") as other:
        trees = {"base": other, "head": _ROOT}
        # Once beforehand: fills the pattern files, which are kept by the source of torchao that made them.
        _run(other, Path(place) / "first", cache=Path(place) / "cache")
        ended: dict[str, list[Ended]] = {name: [] for name in trees}
        for number in range(_ROUNDS):
            # In turn, and the other way round each time, so that a machine that slows down slows both.
            for name in sorted(trees, reverse=bool(number % 2)):
                ended[name].append(_run(trees[name], Path(place) / f"{name}-{number}", cache=Path(place) / "cache"))
        cases = {name: _cases(Path(place) / f"{name}-0") for name in trees}
    # Wall time: workers are children of the process that they are forked from, whose time nobody is told.
    taken = {name: min(run.seconds for run in runs) for name, runs in ended.items()}
    factor = taken["head"] / taken["base"]
    common = cases["base"].keys() & cases["head"].keys()
    changed = sum(cases["base"][case] != cases["head"][case] for case in common)
    yield Row(
        what=f"{_WHAT}, {base}",
        figure=f"{factor:.3f} times its time ({seconds(taken['base'])}, {seconds(taken['head'])}); {changed} of"
        f" {len(common)} common cases have another verdict",
        figures={"base_seconds": taken["base"], "head_seconds": taken["head"]},
        reach=f"at most {_REACH - 1:.0%} more",
        reached=factor <= _REACH,
        how=f"`qatrix run --fresh` with the default workers and filled pattern files, each revision's own matrix; the"
        f" least of {_ROUNDS} each, in turn",
    )


@contextlib.contextmanager
def _checkout(revision: str, place: Path) -> Iterator[Path]:
    """The files of a revision. Raises RuntimeError with git's words where there is no such revision."""
    _git("worktree", "add", "--detach", str(place), revision)
    try:
        yield place
    finally:
        _git("worktree", "remove", "--force", str(place))


def _git(*argv: str) -> None:
    ended = subprocess.run(["git", "-C", str(_ROOT), *argv], capture_output=True, text=True, check=False)  # noqa: S607 - the user's git
    if ended.returncode != 0:
        msg = f"git {' '.join(argv)}: {ended.stderr.strip()}"
        raise RuntimeError(msg)


def _run(tree: Path, out: Path, *, cache: Path) -> Ended:
    command = ("run", str(tree / "matrix"), "--fresh", "--quiet", "--fail-on", "never", "--out", str(out))
    variables = {"PYTHONPATH": str(tree / "runner"), "XDG_CACHE_HOME": str(cache)}
    return python("-m", "qatrix", *command, cwd=tree, variables=variables)


def _cases(out: Path) -> dict[str, str]:
    """The verdict of each case, by its id."""
    return {case["case_id"]: case["verdict"] for case in results(out)["cases"]}
