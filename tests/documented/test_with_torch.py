"""The commands of the documentation that look at torch, or at packages beside it, each in the smallest project that has it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from qatrix.cli.collaborators import Collaborators
from qatrix.cli.sides import Side
from qatrix.execute.options import Execution
from support.documented import WITH_TORCH, needs_torch, unlike_the_page
from support.pages import LINES, ROOT
from support.prepared import check_out
from support.project import MATRIX, Ended, Project, ended_with
from support.shells import Shell

if TYPE_CHECKING:
    from qatrix.declare.spec import Case
    from qatrix.outcomes import Record

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("scripts_made_here")]

TYPED = dict.fromkeys(line.text for line in LINES if needs_torch(line.text))
# One layer, which both pipelines quantize in milliseconds.
SMALL = """
patterns:
  conv:
    layers: {a: "conv(3, 3, 1, bias=bias)"}
    params: {bias: true}
    forward: ["return a(x)"]
    inputs: {x: {batch: 2, channels: 3, spatial: 4}}
quantizers:
  xnnpack_int8_per_channel_qat:
    mode: ptq
    fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qconfig}
suites:
  conv_no_bias:
    axes: {pattern: conv, dim: 1, bias: false, quantizer: xnnpack_int8_per_channel_qat}
    pipelines: {only: [fx], because: it is quick}
"""
CONV_KINDS = (ROOT / "matrix/conv_kinds.yaml").read_text(encoding="utf-8")
# The shipped suite's name, which the pages use.
FUSED = MATRIX.replace("first:", "conv_bn_fusion:")


def in_this_process(cases: Sequence[Case], *, options: Execution, on_start: Callable[[Case], None]) -> Iterator[Record]:
    """What the pipelines give, without workers that import torch again."""
    return Collaborators().execute(cases, options=replace(options, workers=0), on_start=on_start)


REAL: dict[str, Any] = {"execute": in_this_process, "environment": Collaborators().environment}


def of(start: str) -> list[str]:
    """The lines that begin so."""
    return [line for line in TYPED if line.startswith(start)]


def only(ended: list[Ended]) -> Ended:
    """How the one command of a line ended, which printed no traceback."""
    (found,) = ended
    assert "Traceback" not in found.out + found.err, found
    return found


@pytest.fixture(name="small")
def _small(project: Project) -> Project:
    """A project of one case."""
    project.write({"matrix/small.yaml": CONV_KINDS, "matrix/suites/conv.yaml": SMALL})
    return project


def test_every_command_that_needs_torch_has_its_test() -> None:
    assert [start for start in WITH_TORCH if not of(start)] == []
    assert of("qatrix doctor") == ["qatrix doctor"]


def test_the_doctor_tells_what_is_here(small: Project) -> None:
    ended = only(Shell(small, lambda _: REAL).type("qatrix doctor"))

    assert ended.code == 0, ended
    assert "\ndevice cpu: " in ended.out


def test_a_run_is_frozen_wherever_it_is_kept(small: Project) -> None:
    for line in of("qatrix freeze "):
        folder = line.split()[2].removesuffix("/latest")
        assert small.run("run", "--out", folder, **REAL).code == 0
        ended = only(Shell(small, lambda _: REAL).type(line))

        assert ended.code == 0, ended
        assert (small.path / line.split()[-1]).is_file()


@pytest.mark.parametrize("line", of("pytest "))
def test_pytest_runs_the_cases_that_a_line_names(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, small: Project, line: str
) -> None:
    for name, text in {"pytest.ini": "[pytest]\n", "tests/test_one.py": "def test_one(): pass\n"}.items():
        small.write({name: text})
    monkeypatch.chdir(small.path)
    ended = pytester.inline_run(
        "-p", "no:slipcover", "-p", "no:cacheprovider", "--rootdir", str(small.path), *shlex.split(line)[1:]
    )

    passed, _, failed = ended.listoutcomes()
    assert failed == []
    assert [report.nodeid.partition("::")[0] for report in passed][-1] == "matrix/suites/conv.yaml"


@pytest.fixture(name="developer")
def _developer(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Someone who changed torchao beside the project; both sides run in this process, with pipelines that do nothing."""
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    here = project.path / "here"
    here.mkdir()
    (project.path / "matrix").rename(here / "matrix")
    (here / "matrix/small.yaml").write_text(FUSED)
    git = ("git", "-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "init.defaultBranch=main")
    check_out(project.path / "ao", "1e-5")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "As it was"]):
        subprocess.run([*git, *arguments], cwd=project.path / "ao", check=True)
    check_out(project.path / "ao", "1e-3")
    (here / "reports/against/packages/torchao-0.17.0/torchao").mkdir(parents=True)
    monkeypatch.chdir(here)

    def run(side: Side, arguments: list[str]) -> int:
        verdict = "diverged" if side.name == "head" else "exact"
        project.execution.records = lambda case: ended_with(case, verdict, side.name)
        said = project.capture.readouterr().out
        code = project.run(*arguments).code
        # What the command itself has printed is not lost in what it runs.
        print(said, end="")
        return code

    monkeypatch.setattr(Side, "run", run)
    return Project(path=here, capture=project.capture)


def test_a_change_to_torchao_is_found_from_every_base(developer: Project) -> None:
    for line in (*of("git "), *of("qatrix against ")):
        ended = only(Shell(developer).type(line))

        # The page says that it found something.
        assert ended.code == line.startswith("qatrix"), ended
        assert unlike_the_page(line, ended.out) == [], ended
    assert (developer.path.parent / "ao-base/torchao/__init__.py").is_file()
