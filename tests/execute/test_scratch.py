"""Temporary files of a run's processes: in the folder that is theirs, however long its path is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from multiprocessing.connection import Listener
from pathlib import Path

import pytest

from qatrix.execute.options import Execution
from qatrix.execute.scratch import end_forking, temporary_files_in
from qatrix.execute.workers import execute, warm_up
from support.whereabouts import numbered, run_keeping, trained

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("workers")]


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A folder whose path is longer than that of any socket may be."""
    folder = tmp_path / "/".join(["a-very-long-name-of-a-folder"] * 8)
    folder.mkdir(parents=True)
    return folder


def test_files_and_sockets_are_in_the_folder_within_and_where_they_were_after(long: Path) -> None:
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    with temporary_files_in(long):
        handle, name = tempfile.mkstemp()
        os.close(handle)
        with Listener(family="AF_UNIX"):
            assert [path.name.partition("-")[0] for path in long.iterdir() if path.is_socket()] == ["listener"]

    assert Path(name).parent == long
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before


@pytest.mark.parametrize("trains", [False, True], ids=["forked", "afresh"])
def test_workers_keep_theirs_there_too(long: Path, trains: bool) -> None:
    (case,) = numbered(1)
    case = trained(case) if trains else case
    with temporary_files_in(long):
        (record,) = execute(
            [case], options=Execution(workers=1, timeout=60.0), on_start=lambda _: None, run=run_keeping, preload=()
        )
        found = set(record.summary.split())

    assert len(found) == 1
    assert Path(found.pop()).parent == long


def test_the_process_that_workers_are_forked_from_is_gone_after_the_folder(long: Path) -> None:
    end_forking()
    with temporary_files_in(long):
        warm_up(Execution(workers=1), preload=())
        pid = forking_pid()
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert forking_pid() is None


def test_one_that_was_there_before_stays(long: Path) -> None:
    warm_up(Execution(workers=1), preload=())
    before = forking_pid()
    with temporary_files_in(long):
        warm_up(Execution(workers=1), preload=())

    assert forking_pid() == before


def test_a_process_that_is_forked_from_may_be_dead_already(long: Path) -> None:
    end_forking()
    with temporary_files_in(long):
        warm_up(Execution(workers=1), preload=())
        pid = forking_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


def forking_pid() -> int | None:
    from multiprocessing import forkserver

    assert "forkserver" in multiprocessing.get_all_start_methods()
    pid: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid
