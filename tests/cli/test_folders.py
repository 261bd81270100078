"""Whose folder a run's is while it goes, and what is left of one that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix.cli.folders import SCRATCH, _sweep, scratch
from qatrix.errors import EnvironmentUnusable
from qatrix.locks import LOCK_FILE
from qatrix.outcomes import Environment
from support.driven import MATRIX as TEMPLATE
from support.driven import driven, listing, until
from support.project import NOW, Project
from support.results import results

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("workers")]

CASES = 12
ARGV = ("run", "--quiet", "--workers", "2", "--out", "out")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(TEMPLATE.format(sizes=list(range(1, CASES + 1))))
    return tmp_path


def hidden(folder: Path) -> list[str]:
    return [name for name in listing(folder) if Path(name).name.startswith(".")]


def started(store: Path) -> int:
    with sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True) as connection:
        (count,) = connection.execute("SELECT count(*) FROM cases WHERE state = 'started'").fetchone()
    connection.close()
    return int(count)


@pytest.mark.parametrize("out", ["out", f"out/{'/'.join(['a-very-long-name-of-a-folder'] * 8)}"], ids=["short", "long"])
def test_a_killed_run_leaves_nothing_in_the_systems_folder_and_the_next_one_tidies_up(folder: Path, out: str) -> None:
    argv = (*ARGV[:-1], out)
    (folder / "matrix/kills.yaml").write_text(TEMPLATE.replace("linear", "hang").format(sizes=[1, 2]))
    with driven(folder, *argv) as run:
        until((folder / out / "latest/run.sqlite").exists)
        until(lambda: started(folder / out / "latest/run.sqlite") == 2 and len(run.members()) >= 4)
        assert listing(folder / "tmp") == []
        run.send(signal.SIGKILL)
        run.end()
    killed = (folder / out / "latest").resolve()

    assert listing(folder / "tmp") == []
    assert listing(killed / SCRATCH)

    (folder / "matrix/kills.yaml").write_text(TEMPLATE.format(sizes=[1, 2]))
    with driven(folder, *argv) as later:
        assert later.end().code == 0
    assert hidden(folder / out) == []
    assert listing(folder / "tmp") == []


def test_a_killed_run_is_tidied_up_by_the_one_that_resumes_it(folder: Path) -> None:
    with driven(folder, *ARGV, pause_at="middle") as run:
        run.send(signal.SIGKILL)
        run.end()
    assert SCRATCH in listing(folder / "out/latest")

    with driven(folder, *ARGV, "--resume") as resumed:
        assert resumed.end().code == 0
    assert hidden(folder / "out") == []
    assert len(results(folder / "out/latest")["cases"]) == CASES


def test_a_run_that_was_killed_before_it_was_planned_is_removed_by_the_next(folder: Path) -> None:
    with driven(folder, *ARGV, pause_at="environment") as run:
        run.send(signal.SIGKILL)
        run.end()
    (killed,) = (folder / "out").iterdir()

    with driven(folder, *ARGV) as later:
        assert later.end().code == 0
    assert not killed.exists() or (killed / "run.sqlite").exists()
    assert hidden(folder / "out") == []


def test_a_second_writer_is_refused_in_words_and_readers_are_not(folder: Path) -> None:
    with driven(folder, *ARGV, pause_at="middle") as run:
        for argv in ([*ARGV, "--resume"], ["report", "out/latest"]):
            with driven(folder, *argv) as second:
                ended = second.end()
            assert ended.code == 2, ended
            assert f" is being written by process {run.process.pid} since 20" in ended.err
            assert "; wait for it, or stop it\n" in ended.err
        for argv in (["show", "*n=1,*", "--run", "out/latest"], ["report", "out/latest", "--out", "public"]):
            with driven(folder, *argv) as reader:
                assert "being written" not in reader.end().err
        run.go()

        assert run.end().code == 0
    assert len(results(folder / "out/latest")["cases"]) == CASES


def test_two_runs_into_one_folder_at_once_both_end_right(folder: Path) -> None:
    with driven(folder, *ARGV) as one, driven(folder, *ARGV) as other:
        assert (one.end().code, other.end().code) == (0, 0)
    runs = sorted(path for path in (folder / "out").iterdir() if not path.is_symlink())

    assert [len(results(path)["cases"]) for path in runs] == [CASES, CASES]
    assert (folder / "out/latest").is_symlink()
    assert (folder / "out/latest").resolve() in runs
    assert hidden(folder / "out") == []


def test_a_run_that_is_done_leaves_neither_lock_nor_temporary_files(project: Project) -> None:
    project.run("run")

    assert hidden(project.path / "reports") == []


def test_an_environment_without_torch_leaves_no_folder(project: Project) -> None:
    def missing() -> Environment:
        msg = "torch cannot be imported"
        raise EnvironmentUnusable(msg)

    assert project.run("run", "--out", "a/b/c", environment=missing).code == 3
    assert not (project.path / "a").exists()


def test_a_folder_that_cannot_be_locked_is_a_note(project: Project) -> None:
    project.run("run")
    (project.path / "reports/latest" / LOCK_FILE).mkdir()
    ended = project.run("run", "--resume")

    assert ended.code == 0, ended
    assert "is not locked (its .lock is a folder): let no other run write to it\n" in ended.err


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("gone")])
def test_a_strange_lock_beside_a_run_keeps_none_from_starting(project: Project, make: Callable[[Path], None]) -> None:
    strange = project.path / "reports/strange"
    (strange / SCRATCH).mkdir(parents=True)
    make(strange / LOCK_FILE)
    ended = project.run("run")

    assert ended.code == 0, ended
    assert listing(strange) == [LOCK_FILE, SCRATCH]


def test_a_pipe_in_the_place_of_temporary_files_beside_a_run_is_not_waited_for(project: Project) -> None:
    project.write({"reports/strange/kept": ""})
    os.mkfifo(project.path / "reports/strange" / SCRATCH)

    assert project.run("run").code == 0
    assert listing(project.path / "reports/strange") == [SCRATCH, "kept"]


def test_a_sweep_that_fails_is_no_fault_of_the_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path, **_: object) -> None:
        raise OSError(5, "Input/output error", path)

    (project.path / "reports/strange" / SCRATCH).mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", failing)
        _sweep(project.path / "reports", NOW, but=project.path)

    assert hidden(project.path / "reports") == [f"strange/{SCRATCH}"]


def test_temporary_files_do_not_go_through_a_link(project: Project) -> None:
    project.run("run")
    project.write({"elsewhere/kept": ""})
    own = project.path / "reports/latest" / SCRATCH
    own.symlink_to(project.path / "elsewhere")
    with scratch(own.parent, NOW):
        assert (own.is_symlink(), own.stat().st_mode & 0o777) == (False, 0o700)
        Path(tempfile.mkdtemp()).touch()

    assert listing(project.path / "elsewhere") == ["kept"]
    assert not own.exists()


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch])
def test_what_is_no_folder_in_the_place_of_temporary_files_is_refused(
    project: Project, make: Callable[[Path], None]
) -> None:
    project.run("run")
    make(project.path / "reports/latest" / SCRATCH)
    ended = project.run("run", "--resume")

    assert ended.code == 2, ended
    assert f"/{SCRATCH} cannot be created again for temporary files: File exists; remove it\n" in ended.err
