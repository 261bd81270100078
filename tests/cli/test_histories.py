"""history, with pipelines that do nothing: what it prints, writes and exits with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.project import ENVIRONMENT, NOW, Project, ended_with


def run_on(project: Project, day: int, *, verdict: str = "exact", torch: str = "2.15.0") -> None:
    project.execution.records = lambda case: ended_with(case, verdict, verdict)
    packages = {**ENVIRONMENT.packages, "torch": torch}
    changed = ENVIRONMENT.__class__(**{**vars(ENVIRONMENT), "packages": packages})
    now = NOW + timedelta(days=day)
    project.run("run", "--fresh", "--fail-on", "never", environment=lambda: changed, now=lambda: now)


@pytest.mark.parametrize(
    ("torch", "fail_on", "code", "count"),
    [
        pytest.param("2.15.0", "flaky", 1, "4 flaky, 0 changed, 0 steady", id="wavering"),
        pytest.param("2.14.0", "flaky", 0, "0 flaky, 4 changed, 0 steady", id="changed"),
        pytest.param("2.14.0", "changed", 1, "0 flaky, 4 changed, 0 steady", id="changed, and that fails"),
        pytest.param("2.15.0", "never", 0, "4 flaky, 0 changed, 0 steady", id="wavering, and nothing fails"),
    ],
)
def test_cases_that_changed_are_named_and_give_an_exit_code(
    project: Project, torch: str, fail_on: str, code: int, count: str
) -> None:
    run_on(project, 1)
    run_on(project, 2, verdict="diverged", torch=torch)
    ended = project.run("history", "--fail-on", fail_on)

    assert ended.code == code
    assert f"4 cases: {count}" in ended.out
    assert (
        "  ✓≠  first/linear/bias=true,quantizer=int8,device=cpu\n      exact → diverged in 20261125-120000: "
        in ended.out
    )
    assert ended.out.endswith("reports/history/history.html\n")
    assert (project.path / "reports/history/history.json").is_file()


def test_one_run_is_steady(project: Project) -> None:
    run_on(project, 1)
    ended = project.run("history", "--out", "there")

    assert ended.code == 0
    assert "4 cases: 0 flaky, 0 changed, 4 steady" in ended.out
    assert (project.path / "there/history.html").is_file()


def test_what_is_left_out_is_told(project: Project) -> None:
    run_on(project, 1)
    project.write({"reports/old/run.sqlite": "no store"})

    assert "left out: " in project.run("history").err


def test_a_folder_without_runs_is_refused(project: Project) -> None:
    ended = project.run("history", "nowhere")

    assert ended.code == 2
    assert "there is no run in nowhere; name a folder that holds runs" in ended.err
