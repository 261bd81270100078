"""The verbs about declarations: check, list, schema, init. None of them imports torch."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from qatrix.cli import SET_UP, app, matrices_summary
from qatrix.cli.consents import allowed_modules
from qatrix.cli.options import (
    LATEST_RUN,
    AllowModules,
    CaseGlobs,
    Durations,
    Only,
    Pairwise,
    Paths,
    ShardBy,
    ShardText,
    Strength,
    Tags,
)
from qatrix.cli.shards import wanted_shard
from qatrix.errors import EXIT_OK, DeclarationError, OutputError, Problem, UsageError
from qatrix.outcomes import Dropped
from qatrix.resources import folder
from qatrix.text import one_line

if TYPE_CHECKING:
    from qatrix.declare.loaded import Loaded
    from qatrix.declare.selection import Selected, Selection
    from qatrix.declare.sharding import Shard
    from qatrix.declare.spec import Case, Matrix

# The variable that has every command read the YAML itself, where it is "off".
_SWITCH: Final = "QATRIX_MATRIX_CACHE"


@app.command(rich_help_panel=SET_UP)
def check(paths: Paths = None, allow_module: AllowModules = None) -> int:
    """Print every problem of every YAML file.

    Each has its place, what was found, and what was expected: unknown names and keys, wrong
    types, duplicate cases, excludes and expectations that fit nothing. The exit code is 2
    if there is an error, and 0 if there are only warnings.

    \b
      qatrix check
      qatrix check matrix/suites/conv_bn.yaml matrix/patterns
    """
    from qatrix.console import Console
    from qatrix.report.figures import counted

    console = Console()
    chosen = matrix_paths(paths)
    loaded = _loaded(chosen, allow_module, cached=True)
    problems = list(loaded.problems)
    cases = 0
    if loaded.matrix is not None:
        found, cases = _expanded(loaded.matrix)
        problems += found
    if any(problem.severity == "error" for problem in problems):
        raise DeclarationError(tuple(problems))
    for problem in problems:
        console.problem(problem)
    console.line(f"{one_line(_shown(chosen))}: {matrices_summary(problems)}, {counted(cases, 'case')}")
    return EXIT_OK


@app.command("list", rich_help_panel=SET_UP)
def list_cases(
    paths: Paths = None,
    case: CaseGlobs = None,
    only: Only = None,
    tag: Tags = None,
    pairwise: Pairwise = False,
    strength: Strength = None,
    shard: ShardText = None,
    shard_by: ShardBy = "hash",
    durations: Durations = LATEST_RUN,
    output: Annotated[
        Literal["plain", "json"], typer.Option("--format", help="One id per line, or a JSON array with the axes.")
    ] = "plain",
    allow_module: AllowModules = None,
) -> int:
    """Print the ids of the cases, one per line.

    What was dropped is counted on standard error.

    \b
      qatrix list --case 'conv_bn*' --only dim=2
      qatrix list --format json | jq '.[].axes'
    """
    from qatrix.console import Console
    from qatrix.report.figures import counted

    console = Console()
    cut = wanted_shard(shard, shard_by, durations)
    selection = wanted_cases(case, only, tag, pairwise=pairwise, strength=strength)
    selected = selected_cases(load_matrix(paths, allow_module), selection, cut)
    if output == "json":
        console.json([_as_json(item) for item in selected.cases], indent=1)
    else:
        for item in selected.cases:
            console.text(item.case_id)
    dropped = sum(item.count for item in selected.dropped)
    reasons = sorted({item.because for item in selected.dropped})
    told = f", {counted(dropped, 'point')} dropped: {'; '.join(reasons)}" if dropped else ""
    console.note(f"{len(selected.cases)} of {counted(len(selected.declared), 'case')}{told}")
    if selected.covering is not None:
        console.note(selected.covering.sentence)
    return EXIT_OK


@app.command(rich_help_panel=SET_UP)
def schema(
    of: Annotated[
        Literal["matrix", "results"],
        typer.Argument(metavar="[matrix|results]", help="Of the YAML files, or of results.json."),
    ] = "matrix",
) -> int:
    """Print the JSON Schema of the YAML files.

    Editors use it to complete and check them. `qatrix schema results` prints that of results.json.

    \b
      qatrix schema > matrix.schema.json
      # yaml-language-server: $schema=matrix.schema.json   (first line of a YAML file)
      qatrix schema results > results.schema.json
    """
    from qatrix.console import Console

    Console().json(_SCHEMAS[of](), indent=2)
    return EXIT_OK


def _matrix_schema() -> dict[str, Any]:
    from qatrix.declare.schema import json_schema

    return json_schema()


def _results_schema() -> dict[str, Any]:
    from qatrix.report.resultschema import results_schema

    return results_schema()


_SCHEMAS: Final = {"matrix": _matrix_schema, "results": _results_schema}


@app.command(rich_help_panel=SET_UP)
def init(
    target: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write matrix/.")] = Path(),
    small: Annotated[
        bool, typer.Option("--small", help="One commented file that runs in seconds, instead of the whole matrix.")
    ] = False,
) -> int:
    """Write a matrix/ to start from.

    It is a copy of the matrix that comes with qatrix, ready to edit.

    \b
      qatrix init && qatrix run
      qatrix init --small my_project
    """
    from qatrix.console import Console

    written = target / "matrix"
    if written.exists():
        msg = f"{written} already exists, and nothing was written; name another folder: qatrix init DIR"
        raise UsageError(msg)
    try:
        if small:
            written.mkdir(parents=True)
            shutil.copyfile(folder("templates") / "starter.yaml", written / "starter.yaml")
        else:
            shutil.copytree(folder("matrix"), written)
    except OSError as error:
        msg = f"cannot write {written}: {error.strerror or error}"
        raise OutputError(msg) from error
    files = sum(1 for path in written.rglob("*.yaml"))
    Console().line(f"wrote {written}: {files} file{'' if files == 1 else 's'}; next: qatrix run {written}")
    return EXIT_OK


def load_matrix(paths: Sequence[Path] | None, allow_module: Sequence[str] | None, *, cached: bool = True) -> Matrix:
    """The matrix of the given paths; raises DeclarationError with every problem where one is an error.

    Unless it is to be `cached`, its YAML is read whether it was read before or not.
    """
    loaded = _loaded(matrix_paths(paths), allow_module, cached=cached)
    if loaded.matrix is None:
        raise DeclarationError(loaded.problems)
    return loaded.matrix


def _loaded(paths: Sequence[Path], allow_module: Sequence[str] | None, *, cached: bool) -> Loaded:
    allowed = allowed_modules(allow_module)
    if cached and os.environ.get(_SWITCH) != "off":
        from qatrix.declare.matrixcache import load_cached

        return load_cached(paths, allowed_modules=allowed)
    from qatrix.declare.load import load

    return load(paths, allowed_modules=allowed)


def wanted_cases(
    cases: Sequence[str] | None,
    only: Sequence[str] | None,
    tags: Sequence[str] | None,
    *,
    pairwise: bool,
    strength: int | None,
) -> Selection:
    """The selection that options ask for. Raises UsageError."""
    from qatrix.declare.selection import Selection

    if pairwise and strength not in {None, 2}:
        msg = f"--pairwise is --strength 2; give one of them, not --strength {strength}"
        raise UsageError(msg)
    return Selection.parse(cases or (), only or (), tags or (), 2 if pairwise else strength)


def selected_cases(matrix: Matrix, selection: Selection, shard: Shard | None = None) -> Selected:
    """The selected cases; raises DeclarationError where the expansion found an error, UsageError where nothing fits."""
    from qatrix.declare.selection import select

    selected = select(matrix, selection, shard)
    if any(problem.severity == "error" for problem in selected.problems):
        raise DeclarationError(selected.problems)
    return selected


def _expanded(matrix: Matrix) -> tuple[list[Problem], int]:
    """The problems of all cases and expectations, and how many cases there are; none is kept, there may be millions."""
    from qatrix.declare.selection import Selection, iter_selected
    from qatrix.declare.spec import FULL_TAG

    problems: list[Problem] = []
    cases = 0

    def declared() -> Iterator[str]:
        nonlocal cases
        for item in iter_selected(matrix, Selection(tags=(FULL_TAG,))):
            if isinstance(item, Problem):
                problems.append(item)
            elif not isinstance(item, Dropped):
                cases += 1
                yield item.case_id

    ids = declared()
    stale = stale_expectations(matrix, ids, {})
    # The search stops once every expectation fits a case.
    deque(ids, maxlen=0)
    return [*problems, *stale], cases


def stale_expectations(matrix: Matrix, declared: Iterable[str], versions: dict[str, str | None]) -> tuple[Problem, ...]:
    """A warning for each expectation that fits no declared case."""
    from qatrix.declare.expected import ExpectationTable

    return ExpectationTable(matrix.expectations, versions, {}).stale(declared)


def matrix_paths(paths: Sequence[Path] | None) -> list[Path]:
    """The given paths, else ./matrix, else the packaged matrix."""
    if paths:
        return list(paths)
    return [Path("matrix") if Path("matrix").is_dir() else folder("matrix")]


def _as_json(case: Case) -> dict[str, object]:
    return {
        "case_id": case.case_id,
        "suite": case.suite,
        "axes": dict(case.axes),
        "pipelines": list(case.pipelines),
        "checks": [check.name for check in case.checks],
        "seed": case.seed,
        "source": str(case.source),
    }


def _shown(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
