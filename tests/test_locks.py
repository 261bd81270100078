"""The lock of a folder: one holder, who is named, until that process ends or lets go."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qatrix import locks
from qatrix.errors import FolderInUse
from qatrix.locks import LOCK_FILE, locked

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    message = rf"is being written by process {os.getpid()} since 2026-11-23T12:00:00\+00:00; wait for it, or stop it"
    with locked(tmp_path, since=NOW) as hindrance:
        assert hindrance is None
        with pytest.raises(FolderInUse, match=message), locked(tmp_path, since=NOW):
            pass


def test_it_can_be_had_again_and_leaves_no_file(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path, since=NOW) as hindrance:
            assert hindrance is None
    assert not list(tmp_path.iterdir())


def test_it_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, datetime; from qatrix.locks import locked\n"
        f"with locked(pathlib.Path({str(tmp_path)!r}), since=datetime.datetime.now()): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)

    assert (tmp_path / LOCK_FILE).exists()
    with locked(tmp_path, since=NOW) as hindrance:
        assert hindrance is None


@pytest.mark.parametrize("text", ["\x1b[31m::error", "", "process 1 since ever"])
def test_a_holder_that_reads_like_none_is_not_repeated(tmp_path: Path, text: str) -> None:
    with locked(tmp_path, since=NOW):
        (tmp_path / LOCK_FILE).write_text(text)
        with pytest.raises(FolderInUse, match="is being written by another process;"), locked(tmp_path, since=NOW):
            pass


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / LOCK_FILE).symlink_to(target)
    with locked(tmp_path, since=NOW) as hindrance:
        assert hindrance
    assert target.read_text() == "kept"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (os.mkdir, "a folder"),
        (lambda path: path.symlink_to("gone"), "a link"),
        (lambda path: path.symlink_to("/dev/null"), "a link"),
    ],
)
def test_what_is_no_file_in_its_place_is_told_and_stays(
    tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    make(tmp_path / LOCK_FILE)
    with locked(tmp_path, since=NOW) as hindrance:
        assert hindrance == f"its .lock is {kind}"
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_a_disk_that_is_full_is_locked_nevertheless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with locked(tmp_path, since=NOW) as hindrance:
        assert hindrance is None
        with pytest.raises(FolderInUse), locked(tmp_path, since=NOW):
            pass


def test_a_disk_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks, "_lock", refuse)
    with locked(tmp_path, since=NOW) as hindrance:
        assert hindrance == "No locks available"


def test_a_file_that_its_holder_has_just_removed_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = locks._lock
    calls: list[int] = []

    def late(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            (tmp_path / LOCK_FILE).unlink()
        lock(descriptor)

    monkeypatch.setattr(locks, "_lock", late)
    with locked(tmp_path, since=NOW) as hindrance:
        assert hindrance is None
        assert (tmp_path / LOCK_FILE).read_text().startswith("process ")
