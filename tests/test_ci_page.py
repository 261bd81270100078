"""The workflows of docs/ci.md: they are YAML, and every command in them is one that qatrix understands."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from qatrix.cli import app, comparing, documents, merging, runs
from support.project import Project, ended_with

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^`(\.[^`]+)`.*?```yml\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)
WORKFLOWS: dict[str, dict[Any, Any]] = {name: yaml.safe_load(text) for name, text in BLOCKS}
GITHUB, GITLAB = ".github/workflows/matrix.yml", ".gitlab-ci.yml"

# Importing them registers their verbs.
VERB_MODULES = (comparing, documents, merging, runs)
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group of commands


def command_lines(name: str) -> list[str]:
    """All lines of a workflow that a shell runs."""
    jobs = WORKFLOWS[name]
    if name == GITHUB:
        return [step["run"] for job in jobs["jobs"].values() for step in job["steps"] if "run" in step]
    return [line for job in jobs.values() if isinstance(job, dict) for line in job.get("script", [])]


def as_argv(line: str, shard: int) -> list[str]:
    """The arguments that qatrix gets from a line that calls tox or qatrix, in one of eight jobs."""
    variables = {"${{ matrix.shard }}": str(shard), "$CI_NODE_INDEX": str(shard), "$CI_NODE_TOTAL": "8"}
    for variable, value in variables.items():
        line = line.replace(variable, value)
    words = shlex.split(line)
    if words[0] == "qatrix":
        return words[1:]
    assert words[:2] == ["tox", "-e"]
    assert words[3] == "--"
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    command = tox[f"testenv:{words[2]}"]["commands"]
    return shlex.split(command.replace("{posargs}", shlex.join(words[4:])))[1:]


def arguments(name: str, shard: int = 3) -> list[list[str]]:
    """The arguments of all commands of a workflow that call qatrix."""
    lines = [line for line in command_lines(name) if line.startswith(("tox ", "qatrix "))]
    return [as_argv(line, shard) for line in lines]


def test_the_page_has_both_workflows() -> None:
    assert set(WORKFLOWS) == {GITHUB, GITLAB}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_runs_shards_merges_them_and_compares(name: str) -> None:
    assert [argv[0] for argv in arguments(name)] == ["run", "merge", "compare"]


def test_the_report_is_published_by_both() -> None:
    assert any("deploy-pages" in step["uses"] for step in WORKFLOWS[GITHUB]["jobs"]["publish"]["steps"])
    assert WORKFLOWS[GITLAB]["pages"]["artifacts"] == {"paths": ["public"]}


def test_the_jobs_are_as_many_as_the_shards() -> None:
    shards = WORKFLOWS[GITHUB]["jobs"]["shard"]["strategy"]["matrix"]["shard"]

    assert shards == list(range(1, WORKFLOWS[GITLAB]["shard"]["parallel"] + 1)) == list(range(1, 9))
    assert "3/8" in arguments(GITHUB)[0]


COMMAND_LINES = [argv for name in WORKFLOWS for argv in arguments(name)]


@pytest.mark.parametrize("argv", COMMAND_LINES, ids=" ".join)
def test_every_command_and_option_exists(argv: list[str]) -> None:
    COMMANDS[argv[0]].make_context(argv[0], argv[1:])


INLINE = re.findall(r"`(?:qatrix (\w+)|tox -e (\w+))[^`]*`", PAGE)


@pytest.mark.parametrize("verb", sorted({verb or env for verb, env in INLINE}))
def test_every_verb_that_the_text_names_exists(verb: str) -> None:
    assert verb in COMMANDS or f"[testenv:{verb}]" in (ROOT / "tox.ini").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)", PAGE))))
def test_every_option_that_the_text_names_exists(option: str) -> None:
    assert any(option in item.opts for verb in ("run", "merge", "compare") for item in COMMANDS[verb].params)


def kept_by_github(project: Project, uploaded: Path, shard: int) -> None:
    """Move a run's store, and nothing else, to where the merging job of GitHub finds it."""
    downloaded = project.path / f"shards/shard-{shard}" / uploaded.name
    downloaded.mkdir(parents=True)
    (uploaded / "run.sqlite").rename(downloaded / "run.sqlite")
    uploaded.parent.rename(project.path / f"machine-{shard}")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_commands_make_one_report_of_eight_shards(project: Project, name: str) -> None:
    for shard in range(1, 9):
        argv = arguments(name, shard)[0]
        assert project.run(*argv).code == 0
        if name == GITHUB:
            (uploaded,) = (project.path / argv[argv.index("--out") + 1]).glob("20*")
            kept_by_github(project, uploaded, shard)
    verb, pattern = arguments(name)[1]
    ended = project.run(verb, *map(str, sorted(project.path.glob(pattern))))

    assert ended.code == 0, ended
    assert ended.out.startswith("declared 4 = 4 exact\n")
    assert (project.path / "reports/latest/summary.md").is_file()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_commands_compare_a_run_with_the_one_that_was_kept(project: Project, name: str) -> None:
    project.run("run")
    baseline = project.path / "baseline"
    baseline.mkdir()
    shutil.copy(project.path / "reports/latest/run.sqlite", baseline)
    verb, before, after, *options = arguments(name)[2]
    (newest,) = {path.resolve() for path in project.path.glob(after)}
    ended = project.run(verb, before, str(newest), *options)

    assert ended.code == 0, ended
    assert "4 the same" in ended.out
    assert (project.path / "reports/compare/compare.md").is_file()


def test_a_shard_leaves_annotations_to_the_merge(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project.execution.records = lambda case: ended_with(case, "diverged", "pt2e and fx differ by 0.5 after convert")
    told = [project.run("run", "--shard", f"{shard}/2", "--out", f"shards/{shard}").out for shard in (1, 2)]
    merged = project.run("merge", "shards/1/latest", "shards/2/latest").out

    assert not any("::error" in text for text in told)
    assert merged.count("::error") == 4
