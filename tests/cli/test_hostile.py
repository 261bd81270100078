"""Hostile names, keys, files and arguments on the command line: in a pipe and on a terminal they stay text."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.report.store import Store
from support.hostile import HOSTILE_TEXTS, commands_in, hidden_in, unstyled
from support.project import Ended, Project
from support.records import make_hostile, make_run

pytestmark = pytest.mark.slow

ARGUMENTS = {name: text for name, text in HOSTILE_TEXTS.items() if len(text) < 1000}
# A file system takes neither of these.
FILES = {name: text.replace("/", "_")[:80] for name, text in ARGUMENTS.items() if not {"\0", "\ud800"} & {*text}}
COMMANDS = {
    "unknown verb": ("{}",),
    "unknown option": ("run", "--{}"),
    "value of an option": ("run", "--workers", "x{}"),
    "choice": ("run", "--fail-on", "{}"),
    "unknown path": ("check", "{}"),
    "glob": ("list", "--case", "x{}"),
    "axis": ("list", "--only", "{}=1"),
    "tag": ("list", "--tag", "{}"),
    "shard": ("list", "--shard", "{}"),
    "run": ("report", "{}"),
    "case": ("show", "x{}"),
    "reference": ("run", "--reference", "{}"),
    "folder": ("history", "{}"),
    "case to freeze": ("freeze-graph", "x{}"),
    "name of a check": ("freeze-graph", "first/linear/bias=true,quantizer=int8,device=cpu", "--name", "{}"),
    "file of a check": ("freeze-graph", "first/linear/bias=true,quantizer=int8,device=cpu", "--out", "x{}"),
}


def demand_text(ended: Ended) -> None:
    """Nothing in what a command printed hides, moves a cursor or commands a log."""
    for output in (ended.out, ended.err):
        assert hidden_in(output) == [], ended
        assert commands_in(output) == [], ended
    assert "Traceback" not in ended.err, ended
    assert "this is a bug" not in ended.err, ended


@pytest.mark.parametrize("text", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.torch
def test_an_argument_is_told_as_text(project: Project, command: tuple[str, ...], text: str) -> None:
    ended = project.run(*(word.replace("{}", text) for word in command))

    assert ended.code == 2
    demand_text(ended)


def declaring(text: str) -> dict[str, str]:
    """YAML, by the names of files, with a text in places where a message may quote it."""
    quoted = json.dumps(text)
    return {
        "keys.yaml": f"{quoted}: 1\n",
        "names.yaml": f"patterns: {{{quoted}: {{layers: {{}}}}}}\n",
        "layers.yaml": f'patterns: {{a: {{layers: {{{quoted}: "Linear(1, 1)"}}, forward: [{quoted}]}}}}\n',
        "values.yaml": f"suites: {{a: {{axes: {{pattern: {quoted}, quantizer: {quoted}}}}}}}\n",
        "assertions.yaml": f"checks: {{a: {{at: prepare, graph: [{quoted}, {json.dumps(f'assert any({text})')}]}}}}\n",
        "globs.yaml": f"expected: [{{cases: {quoted}, verdict: {quoted}, because: {quoted}, link: {quoted}}}]\n",
    }


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_a_declaration_is_told_as_text(project: Project, text: str) -> None:
    project.write({f"bad/{name}": content for name, content in declaring(text).items()})
    ended = project.run("check", "bad")

    assert ended.code == 2
    demand_text(ended)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_the_name_of_a_file_is_told_as_text(project: Project, text: str) -> None:
    project.write({f"bad/{text}.yaml": "suites: 1\n"})
    ended = project.run("check", "bad")

    assert ended.code == 2
    demand_text(ended)


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
@pytest.mark.parametrize("verb", ["show", "report", "history"])
def test_a_record_is_told_as_text(project: Project, verb: str, text: str) -> None:
    # A store holds durations alone, and no lone surrogate in an id.
    record = replace(make_hostile(text), case_id=f"s/{text}".replace("\ud800", ""), seconds=0.5)
    path = project.path / "kept" / "run.sqlite"
    with Store.create(path, make_run(declared=1, warnings=(text,))) as store:
        store.plan([record.case_id])
        store.finish(record)
        store.end(make_run(declared=1, warnings=(text,)))
    words = {"show": ["s/*", "--run", str(path)], "report": [str(path)], "history": ["kept"]}[verb]
    ended = project.run(verb, *words)

    assert ended.code == 0
    demand_text(ended)


def on_terminal(folder: Path, *argv: str) -> str:
    """What a command sends to a terminal."""
    leader, follower = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "CI"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "qatrix", *argv],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(follower)
    received = b""
    try:
        while block := os.read(leader, 65536):
            received += block
    except OSError:
        pass  # The other side is closed.
    finally:
        os.close(leader)
    assert process.wait() == 2
    return received.decode("utf-8").replace("\r\n", "\n")


@pytest.mark.slow
def test_a_terminal_gets_text_and_the_colors_of_this_program(project: Project) -> None:
    for place, text in enumerate(HOSTILE_TEXTS.values()):
        project.write({f"bad/{place}/{name}": content for name, content in declaring(text).items()})
    project.write({"bad/\x1b[31m\u202e.yaml": "suites: 1\n"})
    shown = on_terminal(project.path, "check", "bad")

    assert "\x1b[1" in shown
    assert hidden_in(unstyled(shown)) == []
    assert commands_in(unstyled(shown)) == []
    assert r"\x1b[31m\u202e.yaml" in shown


@pytest.mark.slow
def test_a_terminal_gets_an_unknown_argument_as_text(project: Project) -> None:
    shown = on_terminal(project.path, "run", "--\x1b]0;title\x07\n::error::x")

    assert hidden_in(unstyled(shown)) == []
    assert commands_in(unstyled(shown)) == []
