"""The verbs that answer soonest load no more than they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qatrix.cli import QUICK, app, matrices
from support.project import Project


def test_the_quick_verbs_are_those_of_their_module() -> None:
    functions = {item.callback for item in app.registered_commands if item.callback is not None}
    own = {function.__name__ for function in functions if function.__module__ == matrices.__name__}

    assert {name.removesuffix("_cases") for name in own} == QUICK


@pytest.mark.processes
@pytest.mark.parametrize("verb", ["check", "list"])
def test_a_quick_verb_loads_no_other_verb_and_nothing_heavy(project: Project, verb: str) -> None:
    code = "import sys; from qatrix.cli import main\ntry: main()\nfinally: print(*sorted(sys.modules), file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", code, verb],
        cwd=project.path,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "runner"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(ended.stderr.split())
    assert "qatrix.cli.matrices" in loaded
    assert loaded & {"qatrix.cli.runs", "qatrix.cli.watching", "torch", "pandas", "jinja2", "multiprocessing"} == set()


@pytest.mark.parametrize("argv", [["--help"], ["nothing"], []])
def test_every_verb_is_known_where_none_of_them_is_asked_for(project: Project, argv: list[str]) -> None:
    ended = project.run(*argv)

    assert "Traceback" not in ended.out + ended.err
    if argv != ["nothing"]:
        assert all(verb in ended.out + ended.err for verb in ("run", "watch", "check"))
