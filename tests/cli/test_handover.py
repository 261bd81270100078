"""Whoever hands a run over runs it by itself, silently, wherever another process cannot run it the same way."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from qatrix.cli import errands
from qatrix.cli.errands import Errand, answer, is_awaited, is_of_this_user, private_path, received
from qatrix.cli.handover import handed_over
from qatrix.cli.likeness import likeness
from qatrix.resources import cache_folder
from support.driven import until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process")
RUN = ("run", "--case", "caf\udce9 <b>\n")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a cache with a long name" / ("x" * 100)))


def place(mode: int = 0o700) -> Path:
    """The folder in which a watch has its socket."""
    folder = cache_folder() / "watch/20260101-000000/.workers"
    folder.mkdir(parents=True)
    folder.chmod(mode)
    return folder


@contextmanager
def hosting(serve: Callable[[socket.socket], object], mode: int = 0o700) -> Iterator[list[socket.socket]]:
    """Something that takes one command; yields its connections, of which there is none where nobody came."""
    folder, taken = place(), []
    with socket.socket(socket.AF_UNIX) as listener:
        with private_path(folder) as path:
            listener.bind(f"{path}/{likeness()}")
        folder.chmod(mode)
        listener.listen()

        def take() -> None:
            with suppress(OSError):
                connection = listener.accept()[0]
                taken.append(connection)
                with connection:
                    serve(connection)

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield taken
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def running(
    code: int | None, seen: list[Errand], meanwhile: Callable[[socket.socket], object] = bool
) -> Callable[[socket.socket], None]:
    """What agrees to run a command, and ends with this code, or without any."""

    def serve(connection: socket.socket) -> None:
        errand = received(connection)
        for descriptor in errand.streams:
            os.close(descriptor)
        seen.append(errand)
        assert is_awaited(connection)
        meanwhile(connection)
        if code is not None:
            answer(connection, code)

    return serve


def test_a_run_is_handed_over_as_it_was_typed_and_its_exit_code_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "vt100")
    monkeypatch.setenv("SECRET", "not to be told")
    seen: list[Errand] = []
    with hosting(running(3, seen)):
        assert handed_over(RUN) == 3

    assert seen[0].argv == RUN
    assert seen[0].variables["TERM"] == "vt100"
    assert "SECRET" not in seen[0].variables
    assert len(seen[0].streams) == 3


def test_without_a_watch_there_is_nobody_to_hand_it_to() -> None:
    assert handed_over(RUN) is None


def test_a_socket_that_nobody_listens_to_any_more_is_none() -> None:
    with hosting(bool):
        pass

    assert handed_over(RUN) is None


@pytest.mark.parametrize(
    "argv",
    [
        ("--workers", "0"),
        ("--workers=0",),
        ("--workers", "00"),
        ("--workers", "x"),
        ("--workers",),
        ("--engine", "ray"),
        ("--engine=ray",),
        ("--address", "auto"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_a_run_whose_cases_do_not_run_in_workers_here_stays(argv: tuple[str, ...]) -> None:
    with hosting(running(0, [])) as taken:
        assert handed_over(("run", *argv)) is None
    assert not taken


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with hosting(running(0, [])) as taken:
        monkeypatch.setenv("QATRIX_WARM", "off")
        assert handed_over(RUN) is None
    assert not taken


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701], ids=oct)
def test_a_folder_that_others_get_into_is_not_trusted(mode: int) -> None:
    with hosting(running(0, []), mode) as taken:
        assert handed_over(RUN) is None
    assert not taken


def test_a_folder_of_somebody_else_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    with hosting(running(0, [])) as taken:
        monkeypatch.setattr(errands.os, "geteuid", lambda: os.getuid() + 1)  # type: ignore[attr-defined]  # it imports os
        assert handed_over(RUN) is None
    assert not taken


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell whose the other end is")
def test_the_process_at_the_other_end_is_asked_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_of_this_user(ours)
        monkeypatch.setattr(errands.os, "geteuid", lambda: os.getuid() + 1)  # type: ignore[attr-defined]  # it imports os
        assert not is_of_this_user(ours)


def test_what_refuses_the_run_leaves_it_to_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    with hosting(received) as taken:
        assert handed_over(RUN) is None
    assert taken
    assert capsys.readouterr() == ("", "")


def test_what_does_not_answer_in_time_cannot_run_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "_PATIENCE_SECONDS", 0.05)
    given_up, awaited = threading.Event(), []

    def late(connection: socket.socket) -> None:
        received(connection)
        given_up.wait()
        awaited.append(is_awaited(connection))

    with hosting(late):
        assert handed_over(RUN) is None
        given_up.set()
    assert awaited == [False]


def test_a_run_that_ends_without_an_exit_code_is_run_again_and_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with hosting(running(None, [])):
        assert handed_over(RUN) is None
    assert "the run starts again without it" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda item: item.name)
def test_a_signal_goes_to_what_runs_it_and_the_handlers_are_as_before(number: signal.Signals) -> None:
    got: list[bytes] = []
    before = signal.signal(number, signal.default_int_handler)

    def meanwhile(connection: socket.socket) -> None:
        # It relays signals once both have agreed.
        until(lambda: signal.getsignal(number) is not signal.default_int_handler)
        os.kill(os.getpid(), number)
        got.append(connection.recv(1))

    try:
        with hosting(running(130, [], meanwhile)):
            assert handed_over(RUN) == 130
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert got == [bytes([number])]


def test_a_run_that_was_asked_to_end_is_not_run_again() -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)

    def meanwhile(connection: socket.socket) -> None:
        until(lambda: signal.getsignal(signal.SIGTERM) is not signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGTERM)
        connection.recv(1)

    try:
        with hosting(running(None, [], meanwhile)), pytest.raises(KeyboardInterrupt):
            handed_over(RUN)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\n",
        b"not JSON\n",
        b"[]\n",
        b'{"argv": "run", "variables": {}}\n',
        b'{"argv": [1], "variables": {}}\n',
        b'{"argv": [], "variables": {"TERM": 1}}\n',
        b'{"argv": ["run"], "variables": {}}\n',  # no streams
        b'{"argv": ["never ends"',
    ],
)
def test_what_makes_no_sense_is_refused(message: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"h" + message)
        ours.close()
        with pytest.raises(ValueError):  # noqa: PT011 - JSON's is one, too
            received(theirs)


def test_no_variable_but_a_terminals_is_taken_over() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(os.devnull).open() as stream:
        message = b'h{"argv": ["run"], "variables": {"LD_PRELOAD": "x.so", "TERM": "xterm"}}\n'
        socket.send_fds(ours, [message], [stream.fileno()] * 3)
        errand = received(theirs)
    for descriptor in errand.streams:
        os.close(descriptor)

    assert errand.variables == {"TERM": "xterm"}


@pytest.mark.parametrize("name", ["TERM", "NO_COLOR", "COLUMNS", "SHLVL", "TERM_SESSION_ID", "KITTY_WINDOW_ID"])
def test_what_a_terminal_sets_makes_no_difference(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = likeness()
    monkeypatch.setenv(name, "another one")

    assert likeness() == before


@pytest.mark.parametrize("name", ["PATH", "OMP_NUM_THREADS", "LD_LIBRARY_PATH", "CI", "TMPDIR", "ANYTHING"])
def test_any_other_variable_makes_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = likeness()
    monkeypatch.setenv(name, "another one")

    assert likeness() != before


def test_so_do_the_folder_the_path_of_modules_and_the_mask_of_modes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = {likeness()}
    monkeypatch.syspath_prepend(str(tmp_path))
    found.add(likeness())
    monkeypatch.chdir(tmp_path)
    found.add(likeness())
    mask = os.umask(0o027)
    try:
        found.add(likeness())
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    # The same name, another folder.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found.add(likeness())
    (tmp_path / "here").rename(tmp_path / "there")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found.add(likeness())

    assert len(found) == 6
