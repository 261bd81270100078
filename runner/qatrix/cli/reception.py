"""Where a warm process takes commands from others: each is run by a process that is forked for it."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from qatrix.cli.attempts import Running, attempt
from qatrix.cli.errands import Errand, answer, is_awaited, is_of_this_user, is_possible, private_path, received
from qatrix.cli.interruption import SIGNALS
from qatrix.errors import EXIT_OK

# Runs a command in this process; its exit code, None where another process has to run it.
Command = Callable[[Sequence[str]], Callable[[], int] | None]
_WAITING: Final = 16


@dataclass(kw_only=True)
class Reception:
    """Takes commands from a socket, if there is one; `prepare` is called before each process is forked.

    `variables` are those of this process as it was started. In the forked one, `command` says how a
    command is run there, or that it cannot be.
    """

    listener: socket.socket | None
    variables: Mapping[str, str]
    prepare: Callable[[], object]
    command: Command
    sleep: Callable[[float], object] = time.sleep
    _guests: list[Running] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether a command goes on."""
        self._guests = [guest for guest in self._guests if guest.code() is None]
        return bool(self._guests)

    def pause(self, seconds: float) -> None:
        """Wait for so long, and take the commands that come meanwhile."""
        if self.listener is None:
            self.sleep(seconds)
            return
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.listener], [], [], left)[0]:
                return
            try:
                connection = self.listener.accept()[0]
            except OSError:
                self.sleep(left)
                return
            with connection:
                self._take(connection)

    def close(self) -> None:
        """End the commands that go on: whoever sent them runs them by itself."""
        for guest in self._guests:
            guest.abandon()

    def _take(self, connection: socket.socket) -> None:
        if is_of_this_user(connection):
            self.prepare()
            self._guests.append(attempt(lambda _: self._serve(connection), None))

    def _serve(self, connection: socket.socket) -> int:
        """Run, in a process of its own, the command that comes from the other end."""
        # The terminal is another one: its signals come over the socket, and reading from it stops nobody.
        os.setsid()
        if self.listener is not None:
            self.listener.close()
        try:
            errand = received(connection)
            self._take_place(errand)
            run = self.command(errand.argv)
        except (OSError, ValueError):
            return EXIT_OK
        if run is None or not is_awaited(connection):
            return EXIT_OK
        threading.Thread(target=_obey, args=(connection,), daemon=True).start()
        code = run()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        answer(connection, code)
        return code

    def _take_place(self, errand: Errand) -> None:
        """Have the streams, the variables and the signals that the command would have in a process of its own."""
        for stream, descriptor in enumerate(errand.streams):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        for text in (sys.stdout, sys.stderr):
            text.reconfigure(line_buffering=text is sys.stderr or text.isatty())  # type: ignore[union-attr]  # as Python opens them
        os.environ.clear()
        os.environ.update({**self.variables, **errand.variables})
        # Told from the variables again.
        tempfile.tempdir = None
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _obey(connection: socket.socket) -> None:
    """Raise in the main thread each signal that is sent, and end with the command that sends them, as if killed too."""
    with suppress(OSError):
        while word := connection.recv(1):
            if word[0] in SIGNALS:
                signal.pthread_kill(threading.main_thread().ident or 0, word[0])
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def listening(folder: Path, name: str) -> Iterator[socket.socket | None]:
    """A socket of this name in a folder that is this user's alone; None where there can be none."""
    if not is_possible():
        yield None
        return
    with socket.socket(socket.AF_UNIX) as listener:
        yield listener if _is_bound(listener, folder, name) else None


def _is_bound(listener: socket.socket, folder: Path, name: str) -> bool:
    with suppress(OSError), private_path(folder) as path:
        listener.bind(f"{path}/{name}")
        listener.listen(_WAITING)
        listener.setblocking(False)
        return True
    return False
