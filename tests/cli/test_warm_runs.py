"""`qatrix run` beside a `qatrix watch`, as programs: the watch's process makes the run, and it is the same run."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qatrix.cli.errands import private_path
from support.driven import MATRIX, Driven, driven, listing, until, without_what_tells_runs_apart

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("workers")]
HANG = '  hang: {layers: {a: "Linear(3, 3)"}, forward: ["return a(x)"], inputs: {x: {shape: [2, 3]}}}\n'
HANGS = "  hangs: {axes: {pattern: hang, quantizer: int8}}\n"


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A folder in which a watch has run its cases, and goes on."""

    folder: Path
    watch: Driven

    @contextmanager
    def running(self, *argv: str, suite: str = "kills", **others: Any) -> Iterator[Driven]:
        """A run that begins beside the watch."""
        (self.folder / "handed").unlink(missing_ok=True)
        with started(self.folder, "run", "--workers", "2", "--case", f"{suite}/*", *argv, **others) as run:
            yield run

    @property
    def handed(self) -> bool:
        """Whether the watch made the last run that has ended."""
        return (self.folder / "handed").exists()

    def told(self) -> str:
        """What the watch has printed."""
        return (self.folder / "printed").read_text()

    def socket(self) -> Path:
        """Where the watch takes commands."""
        (found,) = (
            path
            for path in self.folder.glob("cache/qatrix/watch/*/.workers/*")
            if path.is_socket() and len(path.name) == 16
        )
        return found


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """A watch for all tests that leave it as it is."""
    with watched(tmp_path_factory.mktemp("beside")) as found:
        yield found


@contextmanager
def watched(folder: Path) -> Iterator[Beside]:
    """A watch that has run its cases, and goes on."""
    (folder / "matrix").mkdir()
    text = MATRIX.format(sizes=[1, 2, 3]).replace("quantizers:", f"{HANG}quantizers:", 1)
    (folder / "matrix/kills.yaml").write_text(text + HANGS)
    argv = ("watch", "--out", "watched", "--workers", "2", "--case", "kills/*")
    with (folder / "printed").open("w") as printed, started(folder, *argv, terminal=printed.fileno()) as watch:
        found = Beside(folder=folder, watch=watch)
        until(lambda: "report: " in found.told())
        yield found


@contextmanager
def started(folder: Path, *argv: str, **others: Any) -> Iterator[Driven]:
    """A program that keeps results in the folder, started in an environment that is the same in all tests."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KEPT_RESULTS", str(folder / "kept"))
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            patch.delenv("QATRIX_MATRIX_CACHE", raising=False)
            patch.delenv("PYTEST_CURRENT_TEST", raising=False)
            program = stack.enter_context(driven(folder, *argv, **others))
        yield program


def scrubbed(text: str) -> str:
    """A text without the times and the names of runs."""
    return re.sub(r"\d{8}-\d{6}(-\d)?|\d+\.\d\d s|\d\d:\d\d|warm|alone|\[./.\] ", "", text)


def holder(folder: Path, out: str) -> int:
    """The process that writes the newest run in a folder, once there is one that has a plan."""
    latest = folder / out / "latest"
    found: list[int] = []

    def look() -> bool:
        with suppress(OSError):
            found.extend(map(int, re.findall(r"process (\d+) since", (latest / ".lock").read_text())))
        return bool(found) and (latest / "run.sqlite").exists()

    until(look)
    return found[-1]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_prints_and_finds_what_a_run_of_its_own_does(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    with beside.running("--fresh", "--out", "warm") as run:
        warm = run.end()
    assert beside.handed
    monkeypatch.setenv("QATRIX_WARM", "off")
    with beside.running("--fresh", "--out", "alone", afresh=True) as run:
        alone = run.end()
    assert not beside.handed

    assert warm.code == alone.code == 0
    assert scrubbed(warm.out) == scrubbed(alone.out)
    # Two workers end their cases in any order.
    assert sorted(scrubbed(warm.err).splitlines()) == sorted(scrubbed(alone.err).splitlines())
    found = [without_what_tells_runs_apart(beside.folder / out / "latest") for out in ("warm", "alone")]
    assert found[0] == found[1]
    assert [case["reused_from"] for case in found[0]["cases"]] == [None] * 3
    assert listing(beside.folder / "tmp") == []


def test_an_error_is_told_by_the_command_and_gives_its_exit_code(beside: Beside) -> None:
    before = beside.told()
    with beside.running("--only", "n=9") as run:
        ended = run.end()

    assert beside.handed
    assert ended.code == 2
    assert "n=9" in ended.err
    assert beside.told() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda item: item.name)
def test_a_signal_ends_the_run_with_its_report_and_not_the_watch(beside: Beside, number: signal.Signals) -> None:
    out = f"by-{number.name}"
    with beside.running("--out", out, suite="hangs") as run:
        pid = holder(beside.folder, out)
        until((beside.folder / out / "latest/.workers").exists)
        run.send(number, group=True)
        ended = run.end()

    assert pid != run.process.pid
    assert ended.code == 130
    assert (
        "interrupted: 0 of 1 case is done and kept\n" in ended.out
        or "interrupted: 0 of 1 case are done and kept\n" in ended.out
    )
    assert f"continue with: qatrix run --workers 2 --case 'hangs/*' --out {out} --resume\n" in ended.out
    assert (beside.folder / out / "latest/index.html").exists()
    assert beside.watch.process.poll() is None
    until(lambda: is_gone(pid))


def test_a_command_that_is_killed_ends_its_run(beside: Beside) -> None:
    with beside.running("--out", "killed", suite="hangs") as run:
        pid = holder(beside.folder, "killed")
        assert pid != run.process.pid
        run.send(signal.SIGKILL)
        run.end()
        until(lambda: is_gone(pid))

    assert beside.watch.process.poll() is None


def test_what_makes_no_sense_does_the_watch_no_harm(beside: Beside) -> None:
    before = beside.told()
    for message in (b"", b"x" * 100, b"h\n", b'h{"argv": ["run", "--out", "hostile"], "variables": {}}\n'):
        with private_path(beside.socket().parent) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{path}/{beside.socket().name}")
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
    with beside.running("--out", "after") as run:
        assert run.end().code == 0

    assert beside.handed
    assert beside.told() == before
    assert not (beside.folder / "hostile").exists()


def test_where_another_program_is_installed_by_now_it_runs_by_itself(beside: Beside) -> None:
    (beside.folder / "installed").write_text("another one")
    try:
        with beside.running("--out", "other") as run:
            ended = run.end()
    finally:
        (beside.folder / "installed").unlink()

    assert not beside.handed
    assert ended.code == 0
    assert "starts again" not in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda item: item.name)
def test_where_the_watch_ends_meanwhile_it_runs_again_by_itself(tmp_path: Path, number: signal.Signals) -> None:
    with watched(tmp_path) as beside, beside.running("--out", "again", suite="hangs") as run:
        pid = holder(tmp_path, "again")
        place = beside.socket().parent
        assert place.stat().st_mode & 0o777 == 0o700
        beside.watch.send(number)
        until(lambda: is_gone(pid))
        until(lambda: holder(tmp_path, "again") == run.process.pid)
        run.send(signal.SIGTERM)
        ended = run.end()

    assert pid != run.process.pid
    assert ended.code == 130
    assert ended.err.count("the run starts again without it") == 1
    # What a killed watch leaves, the next one removes.
    assert place.exists() == (number is signal.SIGKILL)
