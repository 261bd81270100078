"""history, with pipelines that do nothing: what it prints, writes and exits with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qatrix.report.transitions import REGRESSIONS, Kind
from support.project import ENVIRONMENT, NOW, Project, ended_with
from support.transitions import TRANSITIONS, every_transition, keep_side, only


def run_on(project: Project, day: int, *, verdict: str = "exact", torch: str = "2.15.0") -> None:
    project.execution.records = lambda case: ended_with(case, verdict, verdict)
    packages = {**ENVIRONMENT.packages, "torch": torch}
    changed = ENVIRONMENT.__class__(**{**vars(ENVIRONMENT), "packages": packages})
    now = NOW + timedelta(days=day)
    project.run("run", "--fresh", "--fail-on", "never", environment=lambda: changed, now=lambda: now)


@pytest.mark.parametrize(
    ("torch", "fail_on", "code", "count"),
    [
        pytest.param("2.15.0", "flaky", 1, "4 flaky, 0 changed, 0 steady, 0 seen once", id="wavering"),
        pytest.param("2.14.0", "flaky", 0, "0 flaky, 4 changed, 0 steady, 0 seen once", id="changed"),
        pytest.param("2.14.0", "changed", 1, "0 flaky, 4 changed, 0 steady, 0 seen once", id="changed, and that fails"),
        pytest.param(
            "2.15.0", "never", 0, "4 flaky, 0 changed, 0 steady, 0 seen once", id="wavering, and nothing fails"
        ),
    ],
)
def test_cases_that_changed_are_named_and_give_an_exit_code(
    project: Project, torch: str, fail_on: str, code: int, count: str
) -> None:
    run_on(project, 1)
    run_on(project, 2, verdict="diverged", torch=torch)
    ended = project.run("history", "--fail-on", fail_on)

    assert ended.code == code
    assert f", {count}" in ended.out
    assert (
        "  ✓≠  first/linear/bias=true,quantizer=int8,device=cpu\n      exact → diverged (unexpected) in 20261125-120000: "
        in ended.out
    )
    assert ended.out.endswith("reports/history/history.html\n")
    assert (project.path / "reports/history/history.json").is_file()


def test_one_run_is_nothing_to_be_steady_over(project: Project) -> None:
    run_on(project, 1)
    ended = project.run("history", "--out", "there")

    assert ended.code == 0
    assert "4 cases: 0 worse, 0 flaky, 0 changed, 0 steady, 4 seen once" in ended.out
    assert (project.path / "there/history.html").is_file()


def test_what_is_left_out_is_told(project: Project) -> None:
    run_on(project, 1)
    project.write({"reports/old/run.sqlite": "no store"})

    assert "left out: " in project.run("history").err


def test_a_folder_without_runs_is_refused(project: Project) -> None:
    ended = project.run("history", "nowhere")

    assert ended.code == 2
    assert "there is no run in nowhere; name a folder that holds runs" in ended.err


def test_a_case_that_got_worse_gives_exit_code_1_until_it_is_mended(project: Project) -> None:
    run_on(project, 1)
    run_on(project, 2, verdict="diverged", torch="2.16.0")
    assert project.run("history").code == 1
    run_on(project, 3, verdict="diverged", torch="2.16.0")
    ended = project.run("history")
    assert ended.code == 1
    assert "worse:\n" in ended.out
    run_on(project, 4, torch="2.17.0")
    assert project.run("history").code == 0


def test_an_expectation_that_is_removed_is_seen(project: Project) -> None:
    project.write({"matrix/expected.yaml": 'expected: [{cases: "*", verdict: diverged, because: it differs}]'})
    run_on(project, 1, verdict="diverged")
    assert project.run("history").code == 0
    (project.path / "matrix/expected.yaml").unlink()
    run_on(project, 2, verdict="diverged")
    ended = project.run("history")

    assert ended.code == 1
    assert "diverged → diverged (unexpected) in 20261125-120000: with the matrix" in ended.out


def test_a_case_that_wavers_over_five_runs_is_flaky_and_the_others_are_steady(project: Project) -> None:
    for day, verdict in enumerate(("exact", "exact", "close", "exact", "exact"), start=1):
        project.execution.records = lambda case, verdict=verdict: ended_with(
            case, verdict if case.suite == "second" else "exact", verdict
        )
        project.run("run", "--fresh", now=lambda day=day: NOW + timedelta(days=day))
    ended = project.run("history", "--fail-on", "flaky")

    assert ended.code == 1
    assert ", 2 flaky, 0 changed, 2 steady, 0 seen once" in ended.out
    assert "  ✓✓≈✓✓  second/" in ended.out


@pytest.mark.parametrize("kind", TRANSITIONS)
def test_each_transition_has_its_exit_code(project: Project, kind: Kind) -> None:
    for side, changes in zip(every_transition(), ({}, {"environment": ENVIRONMENT}), strict=True):
        keep_side(project.path / "reports", only(side, f"s/{kind}"), **changes)

    assert project.run("history").code == (1 if kind in REGRESSIONS else 0)
    assert project.run("history", "--fail-on", "never").code == 0
