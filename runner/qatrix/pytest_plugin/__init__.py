"""What pytest asks of qatrix: options, and which files hold cases. It imports nothing more until a matrix is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.pytest_plugin.places import SUFFIXES, matrix_of


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that `qatrix run` has by other names."""
    group = parser.getgroup("qatrix", "cases of qatrix")
    group.addoption(
        "--qatrix-tag",
        action="append",
        metavar="NAME",
        help="Take the suites with this tag instead of those with the tag default; full takes every suite. Repeatable.",
    )
    group.addoption(
        "--qatrix-only",
        action="append",
        metavar="AXIS=VALUE",
        help="Take only the cases with this value, e.g. dim=2. Repeatable.",
    )
    group.addoption(
        "--qatrix-timeout",
        type=_seconds,
        default=600.0,
        metavar="SECONDS",
        help="Stop a case that takes longer. Default: 600.",
    )
    group.addoption(
        "--allow-module",
        action="append",
        metavar="PREFIX",
        help="Consent to running the code of this module and of those below it, so that declarations may name it. "
        "Repeatable; [tool.qatrix] allow-modules in pyproject.toml does the same.",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The cases of a YAML file of a matrix; of a matrix that nobody named, and of other YAML, none."""
    if file_path.suffix not in SUFFIXES or file_path.name.startswith("."):
        return None
    if (named := _named(file_path, parent.config)) is None:
        return None
    if (root := matrix_of(file_path, named, parent.config.rootpath)) is None:
        return None
    from qatrix.testing.items import MatrixFile

    return MatrixFile.from_parent(parent, path=file_path, root=root)


def _named(file: Path, config: pytest.Config) -> Path | None:
    """The nearest argument of the command line that is a file or one of its folders.

    The folder of pytest's configuration names no matrix: people give it to run everything.
    """
    folder = config.invocation_params.dir
    named = {(folder / argument.partition("::")[0]).resolve() for argument in config.args} - {config.rootpath.resolve()}
    return next((place for place in (file, *file.parents) if place.resolve() in named), None)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        msg = f"--qatrix-timeout: {text} is no time; expected a number of seconds above 0"
        raise pytest.UsageError(msg)
    return seconds
