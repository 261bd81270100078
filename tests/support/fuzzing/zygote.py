"""The process from which commands of the fuzz tests are forked: what they import is there already.

It reads requests from standard input and answers on standard output, one JSON text per line.
It has one thread, so that forking it is safe, which forking pytest is not.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Final, NoReturn

MIB: Final = 2**20
# What a command ends with where an exception escapes it: none of qatrix's own codes.
ESCAPED: Final = 70
# Beyond this a file of output is cut, and the command is told that the disk is full.
_MOST_OUTPUT: Final = 64 * MIB


def serve(preload: list[str]) -> None:
    """Import some modules, then run one command after the other until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    for name in preload:
        importlib.import_module(name)
    # A child that collects garbage would copy every page of what was imported.
    gc.collect()
    gc.freeze()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_ended(json.loads(line))), file=answers, flush=True)


def _ended(request: dict[str, Any]) -> dict[str, Any]:
    """Run a command in a process of its own; how it ended and what it took."""
    child = os.fork()
    if child == 0:
        _run(request)
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "seconds": usage.ru_utime + usage.ru_stime, "mebibytes": usage.ru_maxrss / 1024}


def _run(request: dict[str, Any]) -> NoReturn:
    """Become the command. Whatever it does, this process ends."""
    code = ESCAPED
    try:
        os.chdir(request["cwd"])
        for number, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags), number)
        _limit(request)
        module, _, name = request["entry"].partition(":")
        code = getattr(importlib.import_module(module), name)(request["argv"])
    except BaseException:  # noqa: BLE001 - that nothing escapes is what is tested
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _limit(request: dict[str, Any]) -> None:
    """Bound processor time, time, memory and output; the kernel stops what goes beyond, even inside C code."""
    for stop in (signal.SIGXCPU, signal.SIGALRM):
        # Where it was then is in the evidence.
        faulthandler.register(stop, file=sys.stderr, chain=True)
    seconds = request["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    signal.alarm(request["wall_seconds"])
    resource.setrlimit(resource.RLIMIT_AS, (limit := _mapped() + request["mebibytes"] * MIB, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_OUTPUT, _MOST_OUTPUT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _mapped() -> int:
    """The bytes of address space that this process has already."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    serve(sys.argv[1:])
