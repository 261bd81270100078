"""Every command that the documentation shows, and CI types, is one that exists here, with arguments that it takes."""

from __future__ import annotations

import configparser
import importlib
import re
import shlex
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import qatrix.cli
from support.demo_run import demo_records, write_store

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8"))
TOX = configparser.ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini")
# What nothing here can run: a phone, a container, a cluster that stays, a shell's own words, GitHub's summary.
ELSEWHERE = {"adb", "git", "docker", "ray", "cd", "export", "cat"}
# `tests/pytest_plugin` runs sessions like these; their paths are a user's own.
SESSIONS = {"pytest"}
# What pytest gets from the plug-ins of the tests' environment and from tests/conftest.py.
PYTEST_OPTIONS = {"-n", "-m", "--mutants", "--fuzz-seed", "--results"}


@dataclass(frozen=True)
class Command:
    """The words of one command, and where it stands."""

    where: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0]


def shown(path: Path) -> Iterator[Command]:
    """The commands in a page's console blocks, each alone, without its variables, its output's file and its comment."""
    for block in re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in re.findall(r"^\$ (.*)$", block, flags=re.MULTILINE):
            yield from commands(line, path.name)


def commands(line: str, where: str) -> Iterator[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    # A word that cannot stand in a command ends the last one.
    for word in (*lexer, "&&"):
        if word in {"&&", "|", ";", ">", ">>"}:
            named = [item for place, item in enumerate(words) if place or "=" not in item]
            # What is behind `>` is a file.
            if named and not (len(named) == 1 and "." in named[0]) and not named[0].startswith("$"):
                yield Command(where=where, words=tuple(named))
            words = []
        else:
            words.append(word)


ALL = [command for path in PAGES for command in shown(path)]
CI = [
    command
    for job in WORKFLOW["jobs"].values()
    for step in job["steps"]
    if "run" in step
    for command in commands(step["run"], "docs.yml")
]


def of(*programs: str) -> list[Any]:
    found = [command for command in (*ALL, *CI) if command.program in programs]
    return [pytest.param(command, id=f"{command.where}: {shlex.join(command.words)}") for command in found]


def environments() -> set[str]:
    """The environments of tox.ini, those with factors spelled out."""
    names = [name.removeprefix("testenv:") for name in TOX.sections() if name.startswith("testenv:")]
    return {f"{start}{factor}{end}" for name in names for start, factors, end in [_parted(name)] for factor in factors}


def _parted(name: str) -> tuple[str, list[str], str]:
    match = re.fullmatch(r"(.*)\{(.*)\}(.*)", name)
    return (match[1], match[2].split(","), match[3]) if match else (name, [""], "")


def lines_of(environment: str) -> list[str]:
    """The command lines of an environment."""
    section = next(
        name
        for name in TOX.sections()
        for start, factors, end in [_parted(name.removeprefix("testenv:"))]
        if environment in {f"{start}{factor}{end}" for factor in factors}
    )
    return TOX[section]["commands"].replace("\\\n", " ").strip().splitlines()


@cache
def _verbs() -> Any:
    qatrix.cli._register(())
    group: Any = typer.main.get_command(qatrix.cli.app)
    return group.commands


def parser_of(words: list[str]) -> Any:
    """The typer command that gets the words, and how many of them are its name."""
    if words[0] == "qatrix":
        return _verbs()[words[1]], 2
    application = typer.Typer(add_completion=False)
    application.command()(importlib.import_module(f"{words[2]}.__main__").main)
    return typer.main.get_command(application), 3


def test_the_documentation_has_commands() -> None:
    assert len(ALL) > 100
    assert {command.program for command in CI} == {"pip", "tox"}


def test_every_program_is_one_that_is_checked_here_or_that_cannot_run_here() -> None:
    checked = {"qatrix", "tox", "pip", "python", "sqlite3"}

    assert {command.program for command in (*ALL, *CI)} - checked - ELSEWHERE - SESSIONS == set()


@pytest.mark.parametrize("command", of("qatrix"))
def test_a_command_of_qatrix_has_arguments_that_it_takes(command: Command) -> None:
    parser, name = parser_of(list(command.words))

    parser.make_context(command.words[1], list(command.words[name:]))


@pytest.mark.parametrize("command", of("tox"))
@pytest.mark.torch
def test_a_command_of_tox_names_an_environment_and_its_arguments_are_understood(command: Command) -> None:
    options, _, given = shlex.join(command.words[1:]).partition(" -- ")
    words = shlex.split(options)
    if words[:1] == ["-m"]:
        assert f"\n{words[1]} =" in "\n" + TOX["tox"]["labels"]
        return
    environment = words[1] if words else TOX["tox"]["env_list"]
    assert words[:1] in ([], ["-e"])
    assert environment in environments()
    for line in lines_of(environment):
        if "{posargs" in line and given:
            understood(shlex.split(re.sub(r"\{posargs[^}]*\}", lambda _: given, line)))


def understood(words: list[str]) -> None:
    """Fails where the program does not take its arguments."""
    if words[0] == "pytest" or words[1:3] == ["-m", "slipcover"]:
        own = words[words.index("pytest") + 1 :]
        options = {word for word in own if re.match(r"--?[a-z]", word)}
        assert options - {"--dist", "--no-loadscope-reorder"} <= PYTEST_OPTIONS
        assert [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()] == []
        return
    if words[2] == "mkdocs":
        assert words[3] in importlib.import_module("mkdocs.__main__").cli.commands
        return
    parser, name = parser_of(words)
    parser.make_context("main", words[name:])


@pytest.mark.parametrize("command", of("pip"))
def test_what_pip_installs_is_there(command: Command) -> None:
    assert command.words[1] == "install"
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    for name in command.words[2:]:
        package, _, extra = name.partition("[")
        if extra:
            assert f"\n{extra.removesuffix(']')} = [" in extras
        elif "/" in name and not name.startswith("path/to/"):
            assert (ROOT / name / "pyproject.toml").is_file()
        else:
            assert package in {"qatrix", "tox"} or name.startswith("path/to/")


@pytest.mark.parametrize("command", of("python"))
def test_a_script_of_python_is_there(command: Command) -> None:
    assert (ROOT / command.words[1]).is_file()


@pytest.mark.parametrize("command", of("sqlite3"))
def test_a_question_to_the_store_has_an_answer(command: Command, tmp_path: Path) -> None:
    records = demo_records()
    write_store(tmp_path / "run.sqlite", records)
    with sqlite3.connect(tmp_path / "run.sqlite") as store:
        rows = store.execute(command.words[2]).fetchall()

    assert sum(row[-1] for row in rows) == len(records)


BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in PAGES
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_of_python_is_python(block: str) -> None:
    compile(block, "block", "exec")


def test_the_workflow_publishes_what_tox_builds() -> None:
    build, publish = (WORKFLOW["jobs"][name] for name in ("build", "publish"))
    (uploaded,) = (step["with"]["path"] for step in build["steps"] if "upload-pages" in step.get("uses", ""))
    site = re.search(r"^site_dir: (.*)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert site is not None
    assert uploaded == site[1]
    assert publish["needs"] == "build"
    # Only the job that publishes may write.
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
