"""A reference page out of the command line itself: every command with its arguments and options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

import qatrix.cli
from website.generated import Generated, rendered


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option or an argument, by all its names, and what its help says."""

    names: str
    about: str
    default: str | None
    repeatable: bool


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A command of qatrix."""

    name: str
    usage: str
    about: tuple[str, ...]
    options: tuple[Option, ...]


def page() -> Generated:
    """The page, with the commands in the order of the alphabet."""
    return Generated(path="reference/commands.md", text=rendered("commands.md.j2", verbs=list(verbs())))


def verbs() -> Iterator[Verb]:
    """Every command that is registered."""
    qatrix.cli._register(())
    group: Any = typer.main.get_command(qatrix.cli.app)
    for name, command in sorted(group.commands.items()):
        context = command.make_context(name, [], parent=None, resilient_parsing=True)
        options = tuple(_option(item) for item in command.params if not getattr(item, "hidden", False))
        yield Verb(
            name=name,
            usage=" ".join(["qatrix", name, *command.collect_usage_pieces(context)]),
            about=tuple(_paragraphs(command.help or "")),
            options=options,
        )


def _paragraphs(text: str) -> Iterator[str]:
    r"""The paragraphs of a help text; one that begins with \b is not wrapped, and is shown as it is in commands.md."""
    for part in inspect.cleandoc(text).split("\n\n"):
        if not part.startswith("\b"):
            yield " ".join(part.split())


def _option(item: Any) -> Option:
    value = item.metavar or str(item.name).upper()
    if item.param_type_name == "argument":
        names = value
    else:
        names = ", ".join((*item.opts, *item.secondary_opts)) + ("" if item.is_flag else f" {value}")
    default = None if item.default in (None, False, ()) or callable(item.default) else str(item.default)
    return Option(
        names=names, about=item.help or "", default=default, repeatable=bool(item.multiple or item.nargs == -1)
    )
