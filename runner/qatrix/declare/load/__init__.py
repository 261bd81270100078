"""Joins all files into one matrix, resolves the names between them, and returns every problem at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qatrix.declare.files import FileBytes, find_files
from qatrix.declare.load.checks import read_checks
from qatrix.declare.load.expectations import read_expectations
from qatrix.declare.load.files import parsed
from qatrix.declare.load.patterns import read_patterns
from qatrix.declare.load.pipelines import Pipelines
from qatrix.declare.load.points import check_expectations
from qatrix.declare.load.quantizers import read_quantizers
from qatrix.declare.load.registry import MOST_NOTED, Registry
from qatrix.declare.load.runtimes import read_runtimes
from qatrix.declare.load.suites import read_suites
from qatrix.declare.load.tables import read_conv_kinds, read_devices, read_tolerances
from qatrix.declare.loaded import Loaded
from qatrix.declare.spec import Matrix
from qatrix.declare.trust import Trust
from qatrix.errors import Problem

__all__ = ["Loaded", "load", "load_files"]


def load(paths: Sequence[Path], *, allowed_modules: Sequence[str] = ()) -> Loaded:
    """Read every YAML file under the paths. Never raises for bad input: what is wrong is in the problems.

    `allowed_modules` are the modules whose code the user has consented to run.
    """
    return load_files(*find_files(paths), allowed_modules=allowed_modules)


def load_files(found: Sequence[FileBytes], faults: Sequence[Problem], *, allowed_modules: Sequence[str] = ()) -> Loaded:
    """The same of files that were found already; `faults` are the problems of finding them."""
    files = parsed(found)
    registry = Registry(files)
    tolerances = read_tolerances(registry)
    devices = read_devices(registry)
    conv_kinds = read_conv_kinds(registry)
    trust = Trust(tuple(allowed_modules))
    pipelines = Pipelines(registry, trust)
    quantizers = read_quantizers(registry, trust=trust, pipelines=pipelines)
    runtimes = read_runtimes(registry, trust=trust, pipelines=pipelines)
    checks = read_checks(registry, pipelines)
    patterns = read_patterns(registry, trust=trust)
    suites = read_suites(
        registry,
        patterns=patterns,
        quantizers=quantizers,
        checks=checks,
        tolerances=tolerances,
        pipelines=pipelines,
        runtimes=runtimes,
    )
    expectations = read_expectations(registry, pipelines)
    check_expectations(registry, suites, expectations)
    unread = [problem for file in files for problem in file.document.problems]
    problems = _in_order([*faults, *unread, *registry.problems], [file.shown for file in files])
    if len(problems) >= MOST_NOTED:
        more = Problem(source=None, message=f"there are {MOST_NOTED} problems or more: fix these first")
        problems = (more, *problems[:MOST_NOTED])
    if any(problem.severity == "error" for problem in problems):
        return Loaded(None, problems)
    matrix = Matrix(
        patterns=patterns,
        conv_kinds=conv_kinds,
        devices=devices,
        quantizers=quantizers,
        runtimes=runtimes,
        tolerances=tolerances,
        checks=checks,
        suites=suites,
        expectations=expectations,
        files=tuple(file.shown for file in files),
    )
    return Loaded(matrix, problems)


def _in_order(problems: Sequence[Problem], files: Sequence[str]) -> tuple[Problem, ...]:
    """Sorted by file and line; of several at one place the first, which is what made the others."""
    position = {shown: number for number, shown in enumerate(files)}
    unplaced = [problem for problem in problems if problem.source is None]
    placed: dict[tuple[int, int, int, str], Problem] = {}
    trapped = set()
    for problem in problems:
        if problem.source is None:
            continue
        place = (position.get(problem.source.file, -1), problem.source.line, problem.source.column)
        if problem.at is None and problem.severity == "error":
            # Found by the YAML reader, before anybody knew what the value is for.
            trapped.add(place)
        elif place in trapped:
            continue
        placed.setdefault((*place, problem.message), problem)
    return (*unplaced, *(placed[key] for key in sorted(placed)))
