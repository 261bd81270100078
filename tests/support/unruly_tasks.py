"""What a task in another process may do that it should not; found there by these names."""

from __future__ import annotations

import os
import time

from qatrix.cli.scripting import Subject
from qatrix.errors import UsageError


def answer(value: str) -> str:
    """The value."""
    return value


def hang(_: object) -> str:
    """Never."""
    time.sleep(600)
    return ""


def hang_in_one_operation(_: object) -> str:
    """Never, and Python cannot look at a clock meanwhile."""
    return str(9**9_999_999_999)


def eat(_: object) -> str:
    """More letters than there is memory."""
    return "aaaa" * 99_999_999_999


def eat_slowly(_: object) -> str:
    """More and more lists, until there is no more memory."""
    kept: list[object] = []
    while True:
        kept.append([0] * 1_000_000)


def leave(_: object) -> str:
    """Nothing: the process ends."""
    os._exit(7)


def refuse(value: str) -> str:
    """An error of ours."""
    raise UsageError(value)


def stumble(value: str) -> str:
    """An error of Python's."""
    raise LookupError(value)


def hang_on_the_second(subject: Subject) -> str:
    """A script, but for the case whose parameter is false."""
    return hang(subject) if subject.case.params["bias"] is False else "print()\n"
