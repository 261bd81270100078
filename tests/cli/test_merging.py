"""merge, with pipelines that do nothing: shards become the run that one machine would have made."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.declare.spec import Case
from qatrix.outcomes import Environment, Record
from support.project import ENVIRONMENT, Project, ended_with, exact
from support.results import results

MANY = """
suites:
  third: {axes: {pattern: linear, bias: [true, false], quantizer: int8, device: [cpu, cuda, other]},
          exclude: [{bias: true, device: other, because: "no such thing"}]}
devices: {other: {torch: cpu}}
expected: [{cases: "third/*", device: cuda, verdict: diverged, because: "known"}]
"""


@pytest.fixture
def many(project: Project) -> Project:
    """A project of nine cases, some of which differ, as expected and not."""
    project.write({"matrix/many.yaml": MANY})
    project.execution.records = differing_on_cuda
    return project


def differing_on_cuda(case: Case) -> Record:
    return ended_with(case, "diverged", "0.5 apart") if case.device.name == "cuda" else exact(case)


def run_shards(project: Project, count: int, *argv: str, skip: int | None = None) -> list[str]:
    """Run all shards but one; the folders of their runs."""
    folders = []
    for index in range(1, count + 1):
        if index != skip:
            project.run("run", "--shard", f"{index}/{count}", *argv)
            folders.append(str((project.path / "reports/latest").resolve().relative_to(project.path)))
    return folders


@pytest.mark.slow
def test_eight_shards_merged_are_the_unsharded_run_but_for_times_and_ids(many: Project) -> None:
    code = many.run("run").code
    whole = results(many.path / "reports/latest")
    shards = run_shards(many, 8)
    ended = many.run("merge", *reversed(shards), "--out", "merged")
    merged = results(many.path / "merged/latest")

    assert ended.code == code == 1
    assert ended.out.splitlines()[-2] == "report: merged/20261123-120000/index.html"
    assert ended.out.splitlines()[-1].startswith("next: qatrix show --run merged/20261123-120000 ")
    assert merged["run"]["merged_from"] == [Path(shard).name for shard in shards]
    for run in (whole["run"], merged["run"]):
        for key in ("id", "seconds", "merged_from"):
            del run[key]
    assert merged == whole


@pytest.mark.parametrize("file", ["results.csv", "summary.md"])
def test_the_other_reports_are_written_too(many: Project, file: str) -> None:
    many.run("run")
    whole = (many.path / "reports/latest" / file).read_text()
    many.run("merge", *run_shards(many, 3), "--out", "merged")

    assert (many.path / "merged/latest" / file).read_text().splitlines()[:5] == whole.splitlines()[:5]


def test_stores_can_be_named_as_well_as_folders(many: Project) -> None:
    first, second = run_shards(many, 2)

    assert many.run("merge", f"{first}/run.sqlite", second, "--fail-on", "never").code == 0


def test_fail_on_decides_as_it_does_for_a_run(many: Project) -> None:
    shards = run_shards(many, 2, "--case", "third")

    assert many.run("merge", *shards).code == 0
    assert many.run("merge", *shards, "--fail-on", "diverged").code == 1


def test_quiet_prints_the_result_alone_and_the_report_says_what_was_merged(many: Project) -> None:
    ended = many.run("merge", *run_shards(many, 2), "--quiet")

    assert ended.err == ""
    assert "<dt>merged from</dt><dd>2 runs</dd>" in (many.path / "reports/latest/index.html").read_text()
    assert "declared 9 = 6 exact + 3 diverged\n" in ended.out


def test_a_whole_run_alone_is_merged_as_it_is(many: Project) -> None:
    many.run("run")
    whole = results(many.path / "reports/latest")
    ended = many.run("merge", "reports/latest", "--out", "merged")

    assert ended.code == 1
    assert results(many.path / "merged/latest")["cases"] == whole["cases"]


def refused(project: Project, *argv: str) -> str:
    """What merge says when it refuses; it must then have written nothing."""
    ended = project.run("merge", *argv, "--out", "merged")
    assert (ended.code, ended.out) == (2, ""), ended
    assert not (project.path / "merged").exists()
    return ended.err


def test_whole_runs_are_not_joined(many: Project) -> None:
    (shard,) = run_shards(many, 2, skip=1)
    many.run("run")
    told = refused(many, shard, "reports/latest")

    assert f"reports/latest/run.sqlite and {shard}/run.sqlite cannot be merged: " in told
    assert "reports/latest/run.sqlite is a whole run, not a shard" in told


def test_two_runs_of_one_shard_are_refused(many: Project) -> None:
    first, _ = run_shards(many, 2)
    again, _ = run_shards(many, 2)
    told = refused(many, first, again)

    assert f"error: {first}/run.sqlite and {again}/run.sqlite cannot be merged: both are shard 1/2" in told


def test_shards_of_different_numbers_are_refused(many: Project) -> None:
    first, _ = run_shards(many, 2)
    *_, third = run_shards(many, 3)

    assert "one is shard 1/2, the other shard 3/3" in refused(many, first, third)


def test_shards_of_different_selections_are_refused(many: Project) -> None:
    first, _ = run_shards(many, 2)
    _, second = run_shards(many, 2, "--only", "device=cpu")

    assert "they selected different cases: all, and --only device=cpu" in refused(many, first, second)


def test_shards_of_different_matrices_are_refused(many: Project) -> None:
    first, _ = run_shards(many, 2)
    many.write({"matrix/many.yaml": MANY.replace("[true, false]", "[true]")})
    _, second = run_shards(many, 2)

    assert "they ran different matrices; run every shard on the same YAML files" in refused(many, first, second)


OTHERS = {
    "package": (replace(ENVIRONMENT, packages={"torch": "2.14.0"}), "torch 2.15.0 and 2.14.0, torchao 0.18.0 and not installed"),
    "python": (replace(ENVIRONMENT, python="3.12.1"), "python 3.11.7 and 3.12.1"),
    "threads": (replace(ENVIRONMENT, threads=2), "threads 1 and 2"),
    "device": (replace(ENVIRONMENT, devices={"cpu": "x", "cuda": "H1"}), "device cuda not there and H1"),
}  # fmt: skip


def run_elsewhere(project: Project, shard: str, environment: Environment) -> None:
    project.run("run", "--shard", shard, environment=lambda: environment)


@pytest.mark.parametrize(("environment", "told"), OTHERS.values(), ids=OTHERS)
def test_shards_of_different_environments_are_refused(many: Project, environment: Environment, told: str) -> None:
    (first,) = run_shards(many, 2, skip=2)
    run_elsewhere(many, "2/2", environment)

    assert f"they were made in different environments: {told}\n" in refused(many, first, "reports/latest")


def test_processors_may_differ_and_are_listed(many: Project) -> None:
    (first,) = run_shards(many, 2, skip=2)
    run_elsewhere(many, "2/2", replace(ENVIRONMENT, processor="four cores", devices={"cpu": "four cores"}))
    ended = many.run("merge", first, "reports/latest", "--out", "merged")
    run = results(many.path / "merged/latest")["run"]

    assert "warning: the shards ran on different processors: two cores; four cores\n" in ended.err
    assert run["environment"]["devices"] == {"cpu": "two cores; four cores"}


def test_a_missing_shard_is_told(many: Project) -> None:
    told = refused(many, *run_shards(many, 3, skip=2))

    assert told.startswith("error: shard 2 of 3 is missing; its cases are not in the report\n")
    assert "--allow-missing" in told


def test_several_missing_shards_are_told(many: Project) -> None:
    first, *_ = run_shards(many, 4)

    assert "shards 2, 3, 4 of 4 are missing; their cases are not in the report" in refused(many, first)


def test_a_report_without_a_shard_says_so(many: Project) -> None:
    ended = many.run("merge", *run_shards(many, 3, skip=2), "--allow-missing", "--fail-on", "never")
    folder = many.path / "reports/latest"

    assert ended.code == 0
    assert "warning: shard 2 of 3 is missing; its cases are not in the report\n" in ended.err
    assert results(folder)["run"]["missing_shards"] == ["2/3"]
    assert "This is not the whole run: shard 2 of 3 is missing" in (folder / "index.html").read_text()


def interrupted(project: Project) -> list[str]:
    """The two shards of a run, the second of which has one case left."""
    shards = run_shards(project, 2)
    listed = project.run("list", "--shard", "2/2").out.splitlines()
    project.execution.ran, project.execution.interrupted_after = [], len(listed) - 1
    project.run("run", "--shard", "2/2")
    project.execution.interrupted_after = None
    return [shards[0], str((project.path / "reports/latest").resolve().relative_to(project.path))]


def test_an_interrupted_shard_is_told(many: Project) -> None:
    _, second = shards = interrupted(many)
    told = refused(many, *shards)

    assert told.startswith(f"error: {second}/run.sqlite was interrupted: 1 of its ")
    assert "finish it with qatrix run --resume, or give --allow-missing" in told


def test_an_interrupted_shard_can_be_merged_as_far_as_it_got(many: Project) -> None:
    ended = many.run("merge", *interrupted(many), "--allow-missing")
    content = results(many.path / "reports/latest")

    assert " + 1 not run\n" in ended.out
    assert (len(content["cases"]), len(content["unfinished"]), content["run"]["finished"]) == (8, 1, False)


def test_a_shard_that_is_not_there_is_told(project: Project) -> None:
    assert "there is no run store at nowhere" in refused(project, "nowhere")


def test_a_damaged_shard_is_told(many: Project) -> None:
    first, second = run_shards(many, 2)
    with sqlite3.connect(f"{first}/run.sqlite") as connection:
        connection.execute("DELETE FROM run")

    assert "is damaged or cut short (it names no run)" in refused(many, first, second)


SPELLINGS: dict[str, Callable[[str], list[str]]] = {
    "two words": lambda shard: ["--shard", shard],
    "one word": lambda shard: [f"--shard={shard}"],
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_the_command_of_the_merged_run_is_that_of_all(many: Project, spelled: Callable[[str], list[str]]) -> None:
    many.run("run", *spelled("1/1"), "--case", "third")
    many.run("merge", "reports/latest")

    assert results(many.path / "reports/latest")["run"]["command"] == ["qatrix", "run", "--case", "third"]
