"""Files of the cache are whole or not there, and never in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix import keepsakes


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "kept/one"


def test_what_was_written_is_read(place: Path) -> None:
    keepsakes.write(place, b"body\n\0")
    assert keepsakes.read(place, largest=1000) == b"body\n\0"
    assert [path.name for path in place.parent.iterdir()] == ["one"]
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_never_written_is_not_there(place: Path) -> None:
    assert keepsakes.read(place, largest=1000) is None


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="cut"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes().replace(b"body", b"bodi")), id="changed"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() + b"x" * 1000), id="large"),
        pytest.param(become_a_pipe, id="pipe"),
    ],
)
def test_what_is_not_whole_is_not_there_and_removed(place: Path, spoil: Callable[[Path], object]) -> None:
    keepsakes.write(place, b"body")
    spoil(place)
    assert keepsakes.read(place, largest=1000) is None
    assert not place.exists()


def test_a_file_under_another_name_is_not_taken_for_it(place: Path) -> None:
    keepsakes.write(place, b"body")
    place.rename(place.with_name("two"))
    assert keepsakes.read(place.with_name("two"), largest=1000) is None


def test_what_cannot_be_written_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    keepsakes.write(tmp_path / "file/one", b"body")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    keepsakes.write(tmp_path / "kept/one", b"body")
    assert list((tmp_path / "kept").iterdir()) == []


def test_an_interrupt_is_not_lost_over_a_file_that_is_in_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def interrupted(*paths: str) -> None:
        replace(*paths)
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keepsakes.write(place, b"body")
    assert keepsakes.read(place, largest=1000) == b"body"


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"file{number}").touch()
        (tmp_path / f"folder{number}/inner").mkdir(parents=True)
        for name in ("file", "folder"):
            os.utime(tmp_path / f"{name}{number}", (number, number))
    keepsakes.prune(tmp_path, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file2", "file3", "folder2", "folder3"]
    keepsakes.prune(tmp_path / "absent", 4)
