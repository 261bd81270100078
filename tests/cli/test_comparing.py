"""compare, with pipelines that do nothing: what it prints, writes and exits with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.report.transitions import Kind
from support.project import ENVIRONMENT, Project, ended_with
from support.transitions import TRANSITIONS, every_transition, keep_side, only


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
    assert ": exact → diverged (unexpected)" in ended.out
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


EXPECTED = {
    "matrix/expected.yaml": """
    expected:
      - {cases: "*", verdict: diverged, because: it differs}
    """
}


def test_an_expectation_that_is_removed_is_the_first_thing_to_be_told(project: Project, bad: str) -> None:
    project.write(EXPECTED)
    known = kept(project, "known")
    (project.path / "matrix/expected.yaml").unlink()
    ended = project.run("compare", known, bad)

    assert ended.code == 1
    assert "4 cases: 4 newly unexpected" in ended.out
    assert "  ! first/linear/bias=true,quantizer=int8,device=cpu: diverged → diverged (unexpected)" in ended.out


def test_an_expectation_that_is_added_is_no_failure(project: Project, bad: str) -> None:
    project.write(EXPECTED)
    ended = project.run("compare", bad, kept(project, "known"))

    assert ended.code == 0
    assert "no longer unexpected" in ended.out


def test_cases_that_were_not_selected_have_not_vanished(project: Project, good: str) -> None:
    project.write({"matrix/more.yaml": "suites: {third: {axes: {pattern: linear, quantizer: int8}}}"})
    project.run("run", "--fresh", "--case", "first/*", "--out", "part")
    for runs, told in (((good, "part/latest"), "2 not selected"), (("part/latest", good), "2 selected now")):
        ended = project.run("compare", *runs, "--fail-on", "changed")
        assert told in ended.out
        assert ended.code == 0


def test_a_case_that_is_declared_no_more_has_vanished(project: Project) -> None:
    project.write({"matrix/more.yaml": "suites: {third: {axes: {pattern: linear, quantizer: int8}}}"})
    more = kept(project, "more")
    (project.path / "matrix/more.yaml").unlink()
    less = kept(project, "less")

    assert "1 vanished" in project.run("compare", more, less).out
    assert "1 new" in project.run("compare", less, more).out
    assert project.run("compare", more, less, "--fail-on", "changed").code == 1


CODES = {
    "unexpected": (1, 1),
    "worse": (1, 1),
    "figures": (0, 0),
    "unselected": (0, 0),
    "selected": (0, 0),
    "same": (0, 0),
}


@pytest.mark.parametrize("kind", TRANSITIONS)
def test_each_transition_has_its_exit_code(project: Project, kind: Kind) -> None:
    for side in every_transition():
        keep_side(project.path, only(side, f"s/{kind}"))
    codes = [
        project.run("compare", "before", "after", "--fail-on", what).code for what in ("worse", "changed", "never")
    ]

    assert codes == [*CODES.get(kind, (0, 1)), 0]
