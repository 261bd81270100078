"""Baselines of runs and reports: what the terminal, the page and the summary say changed, and since when."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from support.project import NOW, Ended, Project, ended_with

SAME = "since 23 Nov 2026: 4 the same\n"


def run_on(project: Project, day: int, *argv: str, verdict: str = "exact") -> Ended:
    """Run everything, days after the first."""
    project.execution.records = lambda case: ended_with(case, verdict, verdict)
    return project.run("run", "--fresh", *argv, now=lambda: NOW + timedelta(days=day))


def summary(folder: Path) -> str:
    return (folder / "summary.md").read_text(encoding="utf-8")


def test_the_first_run_says_nothing(project: Project) -> None:
    assert "since" not in run_on(project, 0).out
    assert "Since" not in summary(project.path / "reports/latest")


def test_a_run_says_what_changed_since_the_one_before(project: Project) -> None:
    run_on(project, 0)
    assert SAME in run_on(project, 1).out
    ended = run_on(project, 2, verdict="diverged")
    latest = project.path / "reports/latest"

    assert "since 24 Nov 2026: 4 newly unexpected\n  ! first/linear/bias=true," in ended.out
    assert "Since 24 Nov 2026: 4 newly unexpected.\n" in summary(latest)
    assert '<a href="#since-unexpected">4 newly unexpected</a>' in (latest / "index.html").read_text(encoding="utf-8")
    assert json.loads((latest / "results.json").read_text(encoding="utf-8"))["since"]["counts"] == {"unexpected": 4}


def test_a_run_of_the_same_day_has_its_time(project: Project) -> None:
    run_on(project, 0)
    ended = project.run("run", "--fresh", now=lambda: NOW + timedelta(hours=1))

    assert "since 12:00 UTC: 4 the same" in ended.out


def test_a_run_of_another_selection_is_no_baseline(project: Project) -> None:
    run_on(project, 0)
    assert "since" not in run_on(project, 1, "--case", "first/*").out
    assert SAME in run_on(project, 2).out


def test_another_baseline_can_be_named(project: Project) -> None:
    run_on(project, 0, verdict="diverged")
    run_on(project, 1)
    ended = run_on(project, 2, "--baseline", "reports/20261123-120000")

    assert "since 23 Nov 2026: 4 no longer unexpected\n" in ended.out


def test_the_latest_run_as_a_baseline_is_the_one_that_was_latest_before(project: Project) -> None:
    run_on(project, 0)

    assert SAME in run_on(project, 1, "--baseline", "reports/latest").out


def test_no_baseline_says_nothing(project: Project) -> None:
    run_on(project, 0)

    assert "since" not in run_on(project, 1, "--no-baseline").out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(("--baseline", "nowhere"), "nowhere", id="no run"),
        pytest.param(("--baseline", "reports/latest", "--no-baseline"), "exclude each other", id="both"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_before_anything_runs(
    project: Project, argv: tuple[str, ...], message: str
) -> None:
    run_on(project, 0)
    project.execution.ran.clear()
    ended = run_on(project, 1, *argv)

    assert ended.code == 2
    assert message in ended.err
    assert project.execution.ran == []


def test_a_report_written_again_is_the_same_whatever_ran_since(project: Project) -> None:
    for day in (0, 1, 2):
        run_on(project, day)
    folder = project.path / "reports/20261124-120000"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    project.run("report", str(folder))

    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_report_with_another_baseline_leaves_that_of_the_run(project: Project) -> None:
    run_on(project, 0, verdict="diverged")
    run_on(project, 1)
    run_on(project, 2)
    project.run("report", "--out", "other", "--baseline", "reports/20261123-120000")
    project.run("report", "--out", "none", "--no-baseline")
    project.run("report", "--out", "kept")

    assert "Since 23 Nov 2026: 4 no longer unexpected." in summary(project.path / "other")
    assert "Since" not in summary(project.path / "none")
    assert "Since 24 Nov 2026: 4 the same." in summary(project.path / "kept")


def test_a_run_that_is_resumed_has_the_baseline_of_its_beginning(project: Project) -> None:
    run_on(project, 0)
    project.execution.interrupted_after = len(project.execution.ran) + 2
    assert "since 23 Nov 2026: 2 no longer run, 2 the same" in run_on(project, 1).out
    project.execution.interrupted_after = None

    assert SAME in project.run("run", "--fresh", "--resume", now=lambda: NOW + timedelta(days=1)).out


def test_a_merged_run_has_one_too(project: Project) -> None:
    run_on(project, 0)
    for shard in ("1/2", "2/2"):
        run_on(project, 1, "--shard", shard, "--out", f"shards/{shard[0]}")
    ended = project.run("merge", "shards/1/latest", "shards/2/latest", now=lambda: NOW + timedelta(days=1))

    assert SAME in ended.out
