"""`latest`: a link to the newest run, the file that stands in for it, and what is neither."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix.cli.newest import point_latest
from support.project import Project

RUN = "20261123-120000"


@pytest.fixture
def copied(project: Project) -> Path:
    """A `latest` that `cp -rL` made of the first run, while there is a second."""
    project.run("run")
    latest = project.path / "reports/latest"
    copy = project.path / "copy"
    shutil.copytree(latest, copy)
    project.run("run")
    latest.unlink()
    copy.rename(latest)
    return latest


DOUBT = (
    "reports/latest is a folder, not the link that qatrix makes, so it may not be the newest run; "
    f"the newest run beside it is reports/{RUN}-2"
)


@pytest.mark.parametrize(
    "argv",
    [
        ("show", "first/*bias=true*"),
        ("show", "--run", "reports/latest/run.sqlite", "first/*bias=true*"),
        ("report", "--out", "public"),
        ("findings", "reports/latest"),
        ("compare", "reports/latest", f"reports/{RUN}-2"),
        ("merge", "reports/latest"),
        ("list", "--shard", "1/2", "--shard-by", "cost"),
        ("freeze",),
    ],
    ids=lambda argv: " ".join(argv[:1]),
)
def test_who_reads_a_copy_is_told(project: Project, copied: Path, argv: tuple[str, ...]) -> None:
    assert f"note: {DOUBT}\n" in project.run(*argv).err


def test_a_copy_counts_once_in_the_history(project: Project, copied: Path) -> None:
    ended = project.run("history")

    assert ended.out.startswith("2 runs from ")
    told = f"left out: {copied / 'run.sqlite'} is a copy of {copied.with_name(RUN) / 'run.sqlite'}\n"
    assert told in ended.err


def test_a_copy_is_not_resumed(project: Project, copied: Path) -> None:
    ended = project.run("run", "--resume")

    assert ended.code == 2
    assert ended.err.startswith(f"error: {DOUBT}\n    move it away, and name the run to continue: ")
    assert f"mv reports/latest reports/copy && ln -s {RUN}-2 reports/latest\n" in ended.err


def test_the_command_that_a_refusal_names_works(project: Project, copied: Path) -> None:
    command = project.run("run", "--resume").err.partition("name the run to continue: ")[2]

    assert os.system(command) == 0
    assert project.run("run", "--resume").code == 0


def test_a_new_run_keeps_a_copy_and_says_where(project: Project, copied: Path) -> None:
    content = (copied / "run.sqlite").read_bytes()
    ended = project.run("run", "--quiet")

    assert ended.code == 0
    assert ended.err == f"note: {DOUBT}\nit is now reports/latest-kept-1\n".replace("DOUBT", DOUBT).replace(
        f"{RUN}-2", f"{RUN}-3"
    )
    assert (project.path / "reports/latest-kept-1/run.sqlite").read_bytes() == content
    assert copied.readlink() == Path(f"{RUN}-3")


def test_a_file_in_the_place_of_the_link_is_kept_too(project: Project) -> None:
    project.write({"reports/latest": "mine"})
    refused = project.run("show", "first")
    project.run("run")

    assert refused.code == 2
    assert "error: reports/latest is a file, not the link that qatrix makes" in refused.err
    assert (project.path / "reports/latest-kept-1").read_text() == "mine"
    assert (project.path / "reports/latest").readlink() == Path(RUN)


@pytest.mark.parametrize("argv", [("show", "first"), ("report",), ("run", "--resume"), ("freeze",)], ids=" ".join)
def test_a_link_to_a_run_that_is_gone_is_told(project: Project, argv: tuple[str, ...]) -> None:
    project.run("run")
    shutil.rmtree(project.path / "reports" / RUN)
    ended = project.run(*argv)

    assert ended.code == 2
    assert f"reports/latest points at {RUN}, which does not exist; name the folder of another run\n" in ended.err


def test_a_link_to_a_run_that_is_gone_keeps_no_run_from_starting(project: Project) -> None:
    project.run("run")
    shutil.rmtree(project.path / "reports" / RUN)

    assert project.run("run").code == 0


@pytest.fixture
def _no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)


@pytest.mark.usefixtures("_no_links")
def test_where_links_cannot_be_made_a_file_names_the_newest_run(project: Project) -> None:
    project.run("run")
    project.run("run")
    names = {path.name for path in (project.path / "reports").iterdir()}

    assert names == {RUN, f"{RUN}-2", "latest.txt"}
    assert (project.path / "reports/latest.txt").read_text() == f"{RUN}-2\n"
    assert project.run("show", "first/*bias=true*").code == 0
    assert project.run("report").out.startswith(f"reports/{RUN}-2/results.json\n")
    assert project.run("run", "--resume").code == 0


@pytest.mark.parametrize("named", ["../elsewhere", "gone", "\x1b[31m", "", ".", "..", "link", "x" * 1000])
def test_a_file_that_names_no_run_beside_it_is_refused(project: Project, named: str) -> None:
    project.write({"reports/latest.txt": named, "elsewhere/run.sqlite": "", "run.sqlite": ""})
    (project.path / "reports/link").symlink_to("../elsewhere")
    ended = project.run("show", "first")

    assert ended.code == 2
    assert f"reports/latest.txt names {named!r}, which is not a folder beside it; name the folder of" in ended.err


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is a named pipe, and only a regular file is opened"),
        (os.mkdir, "is a folder, and only a regular file is opened"),
        (lambda path: path.symlink_to("../elsewhere"), "is a link, and only a regular file is opened"),
        (lambda path: path.write_text(" " * 1025), "has 1025 bytes, and at most 1024 bytes are read"),
    ],
)
def test_only_a_small_file_names_a_run(project: Project, make: Callable[[Path], None], reason: str) -> None:
    project.write({"elsewhere": RUN, f"reports/{RUN}/run.sqlite": ""})
    make(project.path / "reports/latest.txt")
    ended = project.run("show", "first")

    assert ended.code == 2
    assert f"reports/latest.txt cannot be read: it {reason}; name the folder of another run\n" in ended.err


def test_what_a_killed_process_left_is_in_nobodys_way(project: Project) -> None:
    project.run("run")
    run = project.path / "reports" / RUN
    (project.path / f"reports/.latest-{RUN}").symlink_to("gone")
    point_latest(run)

    assert {path.name for path in (project.path / "reports").iterdir()} == {RUN, "latest"}
