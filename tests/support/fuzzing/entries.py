"""What the fuzz tests run in a process of its own: each takes arguments and gives an exit code."""

from __future__ import annotations

from pathlib import Path


def command(argv: list[str]) -> int:
    """The command line, with its real collaborators."""
    from qatrix.cli import run
    from qatrix.cli.collaborators import Collaborators

    return run(argv, Collaborators())


def reference(argv: list[str]) -> int:
    """Open a reference and hold every tensor against its name, as a run does before its first case."""
    from qatrix.cli.collaborators import Collaborators
    from qatrix.console import Console
    from qatrix.errors import QatrixError

    (path,) = argv
    try:
        print(Collaborators().reference(Path(path)))
    except QatrixError as error:
        Console().error(error)
        return error.exit_code
    return 0
