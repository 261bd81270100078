"""Shards of a run, with pipelines that do nothing: what each takes, and what it keeps."""

from __future__ import annotations

import pytest

from support.project import Project
from support.results import results


def test_the_shards_of_a_list_are_the_list(project: Project) -> None:
    whole = project.run("list").out.splitlines()
    shards = [project.run("list", "--shard", f"{index}/3").out.splitlines() for index in (1, 2, 3)]

    assert sorted(line for shard in shards for line in shard) == sorted(whole)
    assert [line for line in whole if line in shards[0]] == shards[0]


def test_a_shard_runs_its_cases_and_says_which_it_was(project: Project) -> None:
    listed = project.run("list", "--case", "first", "--shard", "2/2").out.splitlines()
    ended = project.run("run", "--case", "first", "--shard", "2/2")
    run = results(project.path / "reports/latest")["run"]

    assert ended.code == 0, ended
    assert project.execution.ran == listed
    assert (run["shard"], run["selectors"], run["declared"]) == ("2/2", ["--case first"], len(listed))
    assert len(run["matrix_digest"]) == 64


def test_a_whole_run_is_no_shard(project: Project) -> None:
    project.run("run")
    run = results(project.path / "reports/latest")["run"]

    assert (run["shard"], run["selectors"], run["merged_from"]) == (None, [], [])


def test_an_empty_shard_is_a_run_of_nothing(project: Project) -> None:
    empty = next(
        f"{index}/40" for index in range(1, 41) if not project.run("list", "--shard", f"{index}/40").out.strip()
    )
    ended = project.run("run", "--shard", empty)

    assert (ended.code, project.execution.ran) == (0, []), ended
    assert ended.out.startswith("declared 0 = nothing\nnothing unexpected\n")
    assert project.run("list", "--shard", empty).out == ""


@pytest.mark.parametrize("verb", ["run", "list"])
def test_a_shard_that_cannot_be_is_refused(project: Project, verb: str) -> None:
    ended = project.run(verb, "--shard", "4/3")

    assert (ended.code, project.execution.ran) == (2, [])
    assert ended.err.startswith("error: --shard 4/3: expected I/N with 1 <= I <= N")


def test_the_report_of_a_shard_says_which_it_is(project: Project) -> None:
    project.run("run", "--shard", "2/2")

    assert "<dt>shard</dt><dd>2/2</dd>" in (project.path / "reports/latest/index.html").read_text()


def test_a_shard_that_was_interrupted_is_resumed_as_that_shard(project: Project) -> None:
    listed = project.run("list", "--shard", "1/1").out.splitlines()
    project.execution.interrupted_after = 1
    project.run("run", "--shard", "1/1")
    project.execution.interrupted_after = None
    ended = project.run("run", "--shard", "1/1", "--resume")
    run = results(project.path / "reports/latest")["run"]

    assert ended.code == 0, ended
    assert sorted(project.execution.ran) == sorted(listed)
    assert (run["shard"], run["finished"]) == ("1/1", True)


def test_another_shard_is_not_what_is_resumed(project: Project) -> None:
    project.run("run", "--shard", "1/2")

    assert "cannot be resumed" in project.run("run", "--shard", "2/2", "--resume").err


def test_shards_by_cost_are_the_whole_and_say_how_they_were_cut(project: Project) -> None:
    project.run("run")
    whole = set(project.execution.ran)
    latest = ("--durations", str((project.path / "reports/latest").resolve()))
    cut = [("--shard", f"{index}/2", "--shard-by", "cost", *latest) for index in (1, 2)]
    listed = [set(project.run("list", *options).out.splitlines()) for options in cut]
    for index, options in enumerate(cut):
        project.execution.ran.clear()
        assert project.run("run", "--out", f"shards/{index}", *options).code == 0
        assert set(project.execution.ran) == listed[index]
    merged = project.run("merge", "shards/0/latest", "shards/1/latest", "--out", "merged")

    assert merged.code == 0, merged
    assert listed[0] | listed[1] == whole
    assert not listed[0] & listed[1]
    run = results(project.path / "merged/latest")["run"]
    assert (run["shard"], run["shard_by"]) == (None, None)
    assert run["command"] == ["qatrix", "run", "--out", "shards/0"]
    assert results(project.path / "shards/0/latest")["run"]["shard_by"].startswith("cost ")


def test_shards_that_were_cut_differently_are_refused(project: Project) -> None:
    project.run("run")
    project.run("run", "--shard", "1/2", "--shard-by", "cost", "--out", "shards/0")
    project.run("run", "--shard", "2/2", "--out", "shards/1")
    merged = project.run("merge", "shards/0/latest", "shards/1/latest", "--out", "merged")

    assert merged.code == 2
    assert "they were split differently: one by cost " in merged.err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        pytest.param(("--shard-by", "cost"), "it says how --shard I/N cuts; give --shard, too", id="no shard"),
        pytest.param(
            ("--shard", "1/2", "--shard-by", "cost"),
            "there is no run store at reports/latest/run.sqlite; name a folder that `qatrix run` wrote\n"
            "    name with --durations a run of these cases, the same one on every machine",
            id="no run",
        ),
    ],
)
def test_a_cut_by_cost_that_cannot_be_made_is_refused(project: Project, argv: tuple[str, ...], told: str) -> None:
    ended = project.run("run", *argv)

    assert (ended.code, project.execution.ran) == (2, [])
    assert ended.err.startswith(f"error: --shard-by cost: {told}")
