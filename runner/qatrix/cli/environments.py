"""The verb about the environment: doctor."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from qatrix.cli import app
from qatrix.cli.collaborators import INSTALL, PACKAGES, Collaborators
from qatrix.errors import EXIT_OK, EnvironmentUnusable

if TYPE_CHECKING:
    from qatrix.console import Console


@app.command()
def doctor(context: typer.Context) -> int:
    """Print what this environment has: versions, devices, engines, pipelines, and what is missing.

    Exit code 3 when it can run no pipeline at all.
    """
    from qatrix.console import Console

    console = Console()
    tools: Collaborators = context.obj
    try:
        environment = tools.environment()
    except EnvironmentUnusable:
        _versions(console, platform.python_version(), platform.platform(), {name: _version(name) for name in PACKAGES})
        raise
    _versions(console, environment.python, environment.platform, environment.packages)
    for name, text in environment.devices.items():
        console.line(f"device {name}: {text}")
    return _pipelines(console)


def _versions(console: Console, python: str, system: str, packages: Mapping[str, str | None]) -> None:
    console.line(f"python {python} on {system}")
    for name, version in packages.items():
        console.line(f"{name} {version or f'is not installed; bring it with: {INSTALL}'}")


def _version(package: str) -> str | None:
    """The installed version of a package that may not import; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pipelines(console: Console) -> int:
    from qatrix.pipelines import PIPELINES
    from qatrix.pipelines.torchenv import engines, pattern_functions

    console.line(f"quantized engines: {', '.join(engines())}")
    reasons = {name: pipeline.missing() for name, pipeline in PIPELINES.items()}
    for name, reason in reasons.items():
        console.line(f"pipeline {name}: {reason or 'ready'}", style="yellow" if reason else "green")
    console.line(pattern_functions()[0] or "pattern cache: applies")
    if all(reasons.values()):
        msg = "no pipeline can run here"
        raise EnvironmentUnusable(msg)
    return EXIT_OK
