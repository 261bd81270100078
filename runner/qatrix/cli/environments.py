"""The verb about the environment: doctor."""

from __future__ import annotations

import typer

from qatrix.cli import app
from qatrix.cli.collaborators import INSTALL, Collaborators
from qatrix.errors import EXIT_OK, EnvironmentUnusable


@app.command()
def doctor(context: typer.Context) -> int:
    """Print what this environment has: versions, devices, engines, pipelines, and what is missing.

    Exit code 3 when it can run no pipeline at all.
    """
    from qatrix.console import Console

    console = Console()
    tools: Collaborators = context.obj
    environment = tools.environment()
    console.line(f"python {environment.python} on {environment.platform}")
    for name, version in environment.packages.items():
        console.line(f"{name} {version or f'is not installed; bring it with: {INSTALL}'}")
    for name, text in environment.devices.items():
        console.line(f"device {name}: {text}")
    return _pipelines(console)


def _pipelines(console: object) -> int:
    from qatrix.console import Console
    from qatrix.pipelines import PIPELINES
    from qatrix.pipelines.pattern_cache import pattern_cache
    from qatrix.pipelines.torchenv import engines

    assert isinstance(console, Console)
    console.line(f"quantized engines: {', '.join(engines())}")
    reasons = {name: pipeline.missing() for name, pipeline in PIPELINES.items()}
    for name, reason in reasons.items():
        console.line(f"pipeline {name}: {reason or 'ready'}", style="yellow" if reason else "green")
    with pattern_cache() as note:
        console.line(note or "pattern cache: applies")
    if all(reasons.values()):
        msg = "no pipeline can run here"
        raise EnvironmentUnusable(msg)
    return EXIT_OK
