"""compare, with pipelines that do nothing: what it prints, writes and exits with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from support.project import ENVIRONMENT, Project, ended_with


def kept(project: Project, name: str) -> str:
    """Run everything; the folder of the run under a name of its own."""
    project.run("run", "--fresh", "--fail-on", "never", "--out", name)
    return f"{name}/latest"


@pytest.fixture
def good(project: Project) -> str:
    """A run in which everything is exact."""
    return kept(project, "good")


@pytest.fixture
def bad(project: Project, good: str) -> str:
    """A later run in which everything diverges."""
    project.execution.records = lambda case: ended_with(case, "diverged", "0.5 apart")
    return kept(project, "bad")


def test_a_case_that_got_worse_is_named_and_gives_exit_code_1(project: Project, good: str, bad: str) -> None:
    ended = project.run("compare", good, bad, "--out", "compared", "--label", "main", "--label", "branch")
    document = json.loads((project.path / "compared/compare.json").read_text())

    assert ended.code == 1
    assert ended.out.startswith(f"main → branch: {len(document['cases'])} cases: ")
    assert "▼ " in ended.out
    assert ended.out.endswith("compared/compare.html\n")
    assert sorted(path.name for path in (project.path / "compared").iterdir()) == [
        "compare.html",
        "compare.json",
        "compare.md",
    ]


def test_a_feature_that_one_processor_lacks_is_told_in_a_line(project: Project, good: str) -> None:
    lacking = replace(ENVIRONMENT, cpu={"vnni": False})
    project.run("run", "--fresh", "--out", "elsewhere", environment=lambda: lacking)
    ended = project.run("compare", good, "elsewhere/latest")

    assert "\n  processor has vnni: – → no\n" in ended.out


@pytest.mark.parametrize(
    ("order", "fail_on", "code"),
    [
        pytest.param(("bad", "good"), "worse", 0, id="better is no failure"),
        pytest.param(("bad", "good"), "changed", 1, id="unless any change is"),
        pytest.param(("good", "bad"), "never", 0, id="worse need not be one"),
    ],
)
def test_the_exit_code_says_what_was_asked(
    project: Project, good: str, bad: str, order: tuple[str, str], fail_on: str, code: int
) -> None:
    folders = {"good": good, "bad": bad}

    assert project.run("compare", *(folders[name] for name in order), "--fail-on", fail_on).code == code


def test_a_file_that_is_no_run_is_refused_in_a_sentence(project: Project, good: str) -> None:
    (project.path / "text.sqlite").write_text("no store")
    ended = project.run("compare", good, "text.sqlite")

    assert ended.code == 2
    assert "text.sqlite" in ended.err
    assert "Traceback" not in ended.err


def test_a_folder_without_a_run_is_refused_in_a_sentence(project: Project, good: str) -> None:
    (project.path / "empty").mkdir()
    ended = project.run("compare", good, "empty")

    assert ended.code == 2
    assert str(Path("empty/run.sqlite")) in ended.err
