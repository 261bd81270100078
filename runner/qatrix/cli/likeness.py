"""What a run depends on that a process has from its start: where two processes have the same of it, they run alike.

What is installed, and what the machine has, is the fingerprint's to say.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

# Variables that say where a process was started from, and how its terminal shows text: no case depends on them.
_OF_TERMINALS: Final = frozenset({
    *("_", "OLDPWD", "PWD", "SHLVL", "COLUMNS", "LINES", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "WINDOW"),
    *("WINDOWID", "WINDOWPATH", "STY", "TMUX", "TMUX_PANE", "VTE_VERSION", "WT_SESSION", "SSH_CLIENT", "SSH_TTY"),
    *("SSH_CONNECTION", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "XDG_SESSION_ID", "XDG_ACTIVATION_TOKEN", "INVOCATION_ID"),
    *("JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "DESKTOP_STARTUP_ID", "SHELL_SESSION_ID", "SECURITYSESSIONID"),
})  # fmt: skip
_FAMILIES_OF_TERMINALS: Final = (
    *("TERM_", "LC_TERMINAL", "GNOME_TERMINAL_", "KONSOLE_", "KITTY_", "ALACRITTY_", "WEZTERM_", "ITERM_", "ZELLIJ"),
    *("GHOSTTY_", "TERMINATOR_", "TILIX_", "GIO_LAUNCHED_DESKTOP_FILE"),
)
# It names a socket, whose path has 103 bytes on macOS.
_DIGITS: Final = 16
# Two containers that share a folder are two systems.
_NAMESPACES: Final = Path("/proc/self/ns")


def likeness() -> str:
    """The beginning of a SHA-256, in hex, that processes share which run alike; OSError where the folder is gone."""
    told = "\n".join(map(repr, _facts()))
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def of_terminal(variables: Mapping[str, str]) -> dict[str, str]:
    """Of some environment variables, those that may differ between processes which run alike."""
    return {name: value for name, value in variables.items() if _is_of_terminal(name)}


def others(variables: Mapping[str, str]) -> dict[str, str]:
    """Of some environment variables, those that may not differ."""
    return {name: value for name, value in variables.items() if not _is_of_terminal(name)}


def _is_of_terminal(name: str) -> bool:
    return name in _OF_TERMINALS or name.startswith(_FAMILIES_OF_TERMINALS)


def _facts() -> Iterator[object]:
    yield sorted(others(os.environ).items())
    # The same name may be another folder by now.
    yield os.getcwd()  # noqa: PTH109 - a plain name
    yield from (_place(name) for name in (".", "/"))
    yield (
        sys.executable,
        sys.prefix,
        sys.version,
        tuple(sys.path),
        tuple(sys.warnoptions),
        sorted(sys._xoptions.items()),
    )
    yield sys.flags
    yield os.getuid(), os.geteuid(), os.getgid(), os.getegid(), sorted(os.getgroups()), _mask()
    yield sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield from _limits()
    if _NAMESPACES.is_dir():
        yield from ((path.name, _place(str(path))) for path in sorted(_NAMESPACES.iterdir()))


def _place(name: str) -> tuple[int, int]:
    facts = os.stat(name)  # noqa: PTH116 - a plain name
    return facts.st_dev, facts.st_ino


def _mask() -> int:
    """The permissions that new files do not get; it can only be told by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _limits() -> Iterator[object]:
    import resource  # not on Windows

    for name in sorted(name for name in dir(resource) if name.startswith("RLIMIT_")):
        yield name, resource.getrlimit(getattr(resource, name))
