"""The state of Python and of the process: environment, folder, streams, warnings, logging, signals, limits."""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from qatrix.execute.traces.kinds import Kind, members_changed, value_changed

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# As bytes (text on Windows), which takes a tenth of the time of decoding all of them.
_VARIABLES: Final[dict[bytes, bytes]] = vars(os.environ)["_data"]
_ATTRIBUTES: Final = (
    (sys, "stdin"),
    (sys, "stdout"),
    (sys, "stderr"),
    (sys, "excepthook"),
    (sys, "displayhook"),
    (sys, "unraisablehook"),
    (threading, "excepthook"),
    (warnings, "showwarning"),
    (logging, "raiseExceptions"),
)
# Set by torch whenever it first asks for its folder of compiled code, whatever the case is.
_OF_TORCH: Final = frozenset((os.fsencode("TORCHINDUCTOR_CACHE_DIR"), "TORCHINDUCTOR_CACHE_DIR"))
# Whose thread is started by every interpreter of FX graphs where tqdm is installed, whatever the case is.
_OF_TQDM: Final = "tqdm._monitor"
_LISTS: Final = ((sys, "path"), (sys, "argv"), (sys, "meta_path"), (sys, "path_hooks"), (logging.root, "handlers"))
# Those that a program handles; the rest ends a process or does nothing.
_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in (
        "SIGABRT",
        "SIGALRM",
        "SIGCHLD",
        "SIGFPE",
        "SIGHUP",
        "SIGINT",
        "SIGPIPE",
        "SIGTERM",
        "SIGUSR1",
        "SIGUSR2",
    )
    if hasattr(signal, name)
)
_LIMITS: Final = ("AS", "CPU", "DATA", "FSIZE", "NOFILE", "STACK")


def _surroundings() -> Iterator[Kind]:
    yield Kind(
        name="the environment",
        read=_variables,
        restore=_set_environment,
        tell=_variables_changed,
    )
    # Python finds the folder when it is first asked for it.
    yield Kind(
        name="tempfile.tempdir",
        read=tempfile.gettempdir,
        restore=lambda was: setattr(tempfile, "tempdir", was),
        tell=_object_changed,
    )
    yield Kind(name="the working folder", read=os.getcwd, restore=os.chdir)
    yield Kind(name="the mask of new files' modes", read=_umask, restore=os.umask)
    yield from (_attribute(owner, name) for owner, name in _ATTRIBUTES)
    yield from (_list(owner, name) for owner, name in _LISTS)
    yield Kind(
        name="warnings.filters", read=lambda: list(warnings.filters), restore=_set_filters, tell=_filters_changed
    )
    yield Kind(name="logging's level", read=lambda: logging.root.level, restore=logging.root.setLevel)
    yield Kind(name="logging.disable", read=lambda: logging.root.manager.disable, restore=logging.disable)
    yield Kind(name="the locale", read=lambda: locale.setlocale(locale.LC_ALL), restore=_set_locale)
    yield Kind(name="Python's recursion limit", read=sys.getrecursionlimit, restore=sys.setrecursionlimit)
    yield Kind(name="Python's limit of digits", read=sys.get_int_max_str_digits, restore=sys.set_int_max_str_digits)
    yield Kind(name="Python's switch interval", read=sys.getswitchinterval, restore=sys.setswitchinterval)
    yield Kind(name="gc.isenabled()", read=gc.isenabled, restore=lambda was: gc.enable() if was else gc.disable())
    yield Kind(name="gc.get_threshold()", read=gc.get_threshold, restore=lambda was: gc.set_threshold(*was))
    yield Kind(name="the timeout of new sockets", read=socket.getdefaulttimeout, restore=socket.setdefaulttimeout)
    yield Kind(name="the set of running threads", read=_threads, tell=_threads_changed, changed=_has_more)
    yield from map(_signal, _SIGNALS)
    if hasattr(signal, "getitimer"):
        yield Kind(
            name="the alarm that is set",
            read=lambda: signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0),
            restore=_stop_alarm,
        )
    if resource is not None:
        yield from map(_limit, _LIMITS)


def _variables() -> dict[bytes, bytes]:
    return {name: value for name, value in _VARIABLES.items() if name not in _OF_TORCH}


def _set_environment(was: dict[bytes, bytes]) -> None:
    for name in _variables().keys() - was.keys():
        del os.environ[os.fsdecode(name)]
    for name, value in was.items():
        os.environ[os.fsdecode(name)] = os.fsdecode(value)


def _variables_changed(name: str, was: dict[bytes, bytes], now: dict[bytes, bytes]) -> str:
    """Which variables are others, by their names alone: a value may be a secret."""
    old = {os.fsdecode(key): False for key in was}
    new = {os.fsdecode(key): key in was and value != was[key] for key, value in now.items()}
    return members_changed(name, old, new)


def _umask() -> int:
    # There is no other way to ask.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _attribute(owner: Any, name: str) -> Kind:
    return Kind(
        name=f"{owner.__name__}.{name}",
        read=lambda: getattr(owner, name),
        restore=lambda was: setattr(owner, name, was),
        tell=_object_changed,
    )


def _object_changed(name: str, before: object, now: object) -> str:
    told = value_changed(name, before, now)
    return told if type(before) is not type(now) else f"{told}, another object"


def _list(owner: Any, name: str) -> Kind:
    def restore(was: list[Any]) -> None:
        # Others hold the list itself.
        kept = getattr(owner, name)
        kept[:] = was

    told = "sys" if owner is sys else "the root logger"
    return Kind(name=f"{told}.{name}", read=lambda: list(getattr(owner, name)), restore=restore, tell=members_changed)


class _Filter(NamedTuple):
    """A filter of warnings, which says in words what it is."""

    action: str
    message: Any
    category: Any
    module: Any
    line: int

    def __str__(self) -> str:
        told = f"a filter '{self.action}' for {getattr(self.category, '__name__', self.category)}"
        told += f" that begins with '{_pattern(self.message)}'" if self.message else ""
        told += f" in '{_pattern(self.module)}'" if self.module else ""
        return told + (f" at line {self.line}" if self.line else "")


def _pattern(value: Any) -> object:
    return getattr(value, "pattern", value)


def _filters_changed(name: str, before: Any, now: Any) -> str:
    return members_changed(
        name, *(list(map(_filter, some)) if isinstance(some, list) else some for some in (before, now))
    )


def _filter(item: Any) -> object:
    """A filter in words; whatever else a case put among them stays what it is."""
    well_made = isinstance(item, tuple) and len(item) == len(_Filter._fields)
    return _Filter(*item) if well_made else item


def _set_filters(was: list[Any]) -> None:
    warnings.filters[:] = was  # type: ignore[index]  # it is a list, whatever it is declared as
    # Python remembers what a filter has said of each place.
    if hasattr(warnings, "_filters_mutated"):
        warnings._filters_mutated()


def _set_locale(was: str) -> None:
    locale.setlocale(locale.LC_ALL, was)


def _threads() -> frozenset[threading.Thread]:
    return frozenset(thread for thread in threading.enumerate() if type(thread).__module__ != _OF_TQDM)


def _has_more(before: Any, now: Any) -> bool:
    """Whether a case has left a thread behind; one that was there before it ends when it is done, whatever runs."""
    return before != now and not (isinstance(before, frozenset) and isinstance(now, frozenset) and now <= before)


def _threads_changed(name: str, before: Any, now: Any) -> str:
    return members_changed(name, *([thread.name for thread in some] for some in (before - now, now - before)))


def _signal(number: signal.Signals) -> Kind:
    return Kind(
        name=f"what {number.name} does",
        read=lambda: signal.getsignal(number),
        restore=lambda was: signal.signal(number, was),
    )


def _stop_alarm(was: bool) -> None:  # noqa: FBT001 - the state as it was read
    if not was:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit(name: str) -> Kind:
    number = getattr(resource, f"RLIMIT_{name}")
    return Kind(
        name=f"the process's limit of {name}",
        read=lambda: resource.getrlimit(number),
        restore=lambda was: resource.setrlimit(number, was),
    )


SURROUNDINGS: Final[tuple[Kind, ...]] = tuple(_surroundings())
