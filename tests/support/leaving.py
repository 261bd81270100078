"""Models whose code does not raise an error, but asks the interpreter to end, or hides what it raises."""

from __future__ import annotations

from typing import NoReturn


class Aside(BaseException):
    """Of a class of its own, as pytest.skip raises one."""


class Mute(Exception):
    """An error that cannot be asked what it says."""

    def __str__(self) -> str:
        """Raise."""
        raise SystemExit(0)


def leave() -> NoReturn:
    """As argparse does for --help."""
    raise SystemExit(0)


def step_aside() -> NoReturn:
    """Raise what is no Exception."""
    msg = "not here"
    raise Aside(msg)


def interrupt() -> NoReturn:
    """As if someone had pressed Ctrl-C."""
    raise KeyboardInterrupt


def fail_without_a_word() -> NoReturn:
    """Raise an error whose words raise."""
    raise Mute
