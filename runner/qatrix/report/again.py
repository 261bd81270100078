"""The command that runs one case of a run again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

# What runs the matrix of the current folder.
RUN: Final = ("qatrix", "run")
# Options of `qatrix run` that take no value; all others do.
FLAGS: Final = frozenset(
    {
        "--pairwise",
        "--pattern-cache",
        "--no-pattern-cache",
        "--resume",
        "--fresh",
        "--no-baseline",
        "--quiet",
        "-q",
        "--verbose",
        "-v",
    }
)
_WILD: Final = re.compile(r"[*?\[]")
_BRACES: Final = re.compile(r"[{}]")
# Options that say which cases run, or how a whole run goes.
_OF_THE_RUN: Final = frozenset(
    {
        "--case",
        "--only",
        "--tag",
        "--pairwise",
        "--strength",
        "--shard",
        "--shard-by",
        "--durations",
        "--resume",
        "--fresh",
        "--baseline",
        "--no-baseline",
        "--fail-on",
        "--quiet",
        "-q",
        "--verbose",
        "-v",
    }
)


def again(command: Sequence[str], case_id: str) -> str:
    """A command line that runs a case again, with the matrix, the consents and the limits of the run's command."""
    kept = base(command)
    return shlex.join([*kept, "--case", glob_of(case_id), "--fresh"] if kept else command)


def base(command: Sequence[str]) -> tuple[str, ...]:
    """The run's command without what selects cases; nothing where it is not `qatrix run`'s."""
    if tuple(command[1:2]) != ("run",):
        return ()
    options = (option for option in _options(command[2:]) if option[0].partition("=")[0] not in _OF_THE_RUN)
    return ("qatrix", "run", *(word for option in options for word in option))


def glob_of(case_id: str) -> str:
    """A glob that the case id fits, whatever it has in it, and hardly anything else."""
    return _BRACES.sub("?", _WILD.sub(r"[\g<0>]", case_id))


def _options(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each option with its value, and each path by itself."""
    left = iter(words)
    for word in left:
        takes = word.startswith("-") and word not in FLAGS and "=" not in word
        yield (word, *([value] if takes and (value := next(left, None)) is not None else []))
