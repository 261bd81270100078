"""The command line: one function per verb, joined from the wings; the only place that exits."""

from __future__ import annotations

import functools
import importlib
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from qatrix import __version__
from qatrix.cli.collaborators import Collaborators
from qatrix.errors import EXIT_INTERRUPTED, EXIT_UNEXPECTED, DeclarationError, Problem, QatrixError, UsageError
from qatrix.text import clipped, name_of, words_of

_ABOUT = """
A declarative test matrix for PyTorch's two quantization pipelines, PT2E and FX graph mode,
down to the runtimes that people deploy.

YAML files declare model patterns, conv kinds, dims, devices, quantizers and runtimes;
`qatrix run` takes every combination through both pipelines and writes a report.

\b
  qatrix run                            the matrix, report in reports/latest
  qatrix run --case 'conv_bn_fusion/*'  one suite of it
  qatrix try my_package:build --input 1x3x224x224
                                        one of your models, without YAML
  qatrix list --only dim=2              what would run
  qatrix check                          every fault of every YAML file

Exit codes: 0 nothing unexpected, 1 something unexpected, 2 the declarations or the
arguments are wrong, 3 this environment cannot run the matrix, 130 interrupted.
"""

# The verbs that answer soonest: the modules of all others, and their options, take 70 ms of 600.
QUICK: Final = frozenset({"check", "list", "schema", "init"})
# What click leaves free around a list of verbs.
_MARGINS: Final = 6
_LONGEST_MESSAGE: Final = 4000
# click's base of all errors about arguments; newer releases of typer carry click inside.
_WrongArguments: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


# The sections of the help, in their order, and the verbs that come first in each.
RUN: Final = "Run"
LOOK: Final = "Look"
COMPARE: Final = "Compare"
SET_UP: Final = "Set up"
_SECTIONS: Final = (RUN, LOOK, COMPARE, SET_UP)
_FIRST: Final = ("run", "try", "show", "report", "compare", "history", "init", "check", "list")


class _Interrupted(Exception):
    """A verb was interrupted, and has tidied up."""


class _Verbs(TyperGroup):
    """All verbs; typer itself ends an interrupted one silently."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Interrupted from error

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """List the verbs by what they are for; typer's own sections need its drawn boxes."""
        verbs = dict(self.commands)
        ranked = sorted(verbs, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
        room = formatter.width - formatter.current_indent - max(map(len, verbs), default=0) - _MARGINS
        for section in _SECTIONS:
            rows = [(name, verbs[name].get_short_help_str(room)) for name in ranked if _section(verbs[name]) == section]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)


def _section(verb: Any) -> str:
    """The section of a verb; one that names none is set up with."""
    named = getattr(verb, "rich_help_panel", None)
    return named if named in _SECTIONS else SET_UP


app = typer.Typer(
    name="qatrix",
    cls=_Verbs,
    help=_ABOUT,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if wanted:
        typer.echo(f"qatrix {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that come before a verb."""


def main(argv: Sequence[str] | None = None, collaborators: Collaborators | None = None) -> NoReturn:
    """Run one command and exit with its code. SIGTERM and SIGHUP are taken as Ctrl-C is, until the process ends."""
    sys.exit(interruptible(sys.argv[1:] if argv is None else argv, collaborators or Collaborators()))


def interruptible(argv: Sequence[str], tools: Collaborators) -> int:
    """Run one command, here or in a process that is ready for it; its exit code, also where a signal ends it."""
    tools.interruption.listen()
    try:
        code = tools.hand_over(argv)
        if code is None:
            code = run(argv, tools)
        # What is done is done: a late signal changes nothing.
        tools.interruption.hold()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    return code


def run(argv: Sequence[str], collaborators: Collaborators) -> int:
    """Run one command; its exit code."""
    _register(argv)
    command = _command(len(app.registered_commands))

    def invoke() -> object:
        _demand_text(argv)
        return command(list(argv), standalone_mode=False, obj=replace(collaborators, argv=tuple(argv)))

    return answered(invoke)


def _demand_text(argv: Sequence[str]) -> None:
    """Raise UsageError for what no shell can give: asking the system about such a path raises, in typer, too."""
    for argument in argv:
        try:
            place = os.fsencode(argument).find(b"\0")
        except UnicodeEncodeError as error:
            place = error.start
        if place >= 0:
            msg = f"{argument}: expected text, and character {place + 1} is none"
            raise UsageError(msg)


@functools.cache
def _command(verbs: int) -> Callable[..., object]:  # noqa: ARG001 - once more are registered, it is made anew
    """The command line of what is registered, which takes 30 ms to make; a process may run many commands."""
    return typer.main.get_command(app)


def _register(argv: Sequence[str]) -> None:
    """Import what registers the verbs; where a quick one is asked for, its module alone."""
    if argv and argv[0] in QUICK:
        importlib.import_module("qatrix.cli.matrices")
        return
    from qatrix.cli import (  # noqa: F401 - each registers its verbs
        against,
        comparing,
        documents,
        environments,
        finding,
        freezing,
        histories,
        matrices,
        merging,
        repros,
        runs,
        supporting,
        transcripts,
        trying,
        watching,
    )


def answered(command: Callable[[], object]) -> int:
    """The exit code of a command. Known errors are printed in words, never as a traceback."""
    from qatrix.console import Console

    try:
        code = command()
        Console().flush()
    except QatrixError as error:
        return _refused(error)
    except _WrongArguments as error:
        return _misunderstood(error)
    except (KeyboardInterrupt, _Interrupted, typer.Abort):
        Console().note("interrupted")
        return EXIT_INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - whatever is left is a bug, SystemExit too: typer raises none
        return _bug(error)
    return code if isinstance(code, int) else 0


def _refused(error: QatrixError) -> int:
    from qatrix.console import Console

    console = Console()
    if isinstance(error, DeclarationError):
        for problem in error.problems:
            console.problem(problem)
        console.note(matrices_summary(error.problems), style="bold")
    else:
        console.error(error)
    return error.exit_code


def _misunderstood(error: Exception) -> int:
    """Say what is wrong with the arguments, in click's words, which quote them."""
    from qatrix.console import Console

    told = io.StringIO()
    error.show(file=told)  # type: ignore[attr-defined]  # click's, found by name
    Console().note(told.getvalue().rstrip())
    return 2


def matrices_summary(problems: Sequence[Problem]) -> str:
    """The numbers in words: "3 errors, 1 warning"."""
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    told = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in ((errors, "error"), (warnings, "warning"))]
    return ", ".join(text for text, count in zip(told, (errors, warnings)) if count) or "no problems"


def _bug(error: BaseException) -> int:
    """Say that it is a bug in the tool, with what a report of it needs."""
    from qatrix.console import Console

    text = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="qatrix-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(text)
    lines = [
        f"this is a bug in qatrix: {name_of(error).rpartition('.')[2]}: {clipped(words_of(error), _LONGEST_MESSAGE)}",
        f"    qatrix {__version__}, Python {sys.version.split()[0]} on {sys.platform}",
        f"    the traceback is in {Path(file.name)}; please send it with the command",
    ]
    Console().note("\n".join(lines))
    return EXIT_UNEXPECTED
