"""doctor: what this environment has, and what is missing."""

from __future__ import annotations

import pytest

from qatrix.cli import run
from qatrix.cli.collaborators import Collaborators, _environment
from qatrix.errors import EnvironmentUnusable
from qatrix.outcomes import Environment
from qatrix.pipelines import fx, pt2e
from support.project import Project

pytestmark = pytest.mark.torch


def test_doctor_tells_versions_engines_and_pipelines(project: Project) -> None:
    ended = project.run("doctor")

    assert ended.code == 0
    assert "torch 2.15.0\n" in ended.out
    assert "pipeline pt2e: ready\npipeline fx: ready\npattern cache: applies\n" in ended.out


def test_doctor_names_a_missing_pipeline(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pt2e, "missing", lambda: "torchao cannot be imported; try: pip install torchao")
    ended = project.run("doctor")

    assert ended.code == 0
    assert "pipeline pt2e: torchao cannot be imported; try: pip install torchao\n" in ended.out


def test_where_no_pipeline_is_ready_the_exit_code_is_3(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pt2e, fx):
        monkeypatch.setattr(module, "missing", lambda: "gone")
    ended = project.run("doctor")

    assert ended.code == 3
    assert "error: no pipeline can run here" in ended.err


def test_the_real_environment_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"], Collaborators()) == 0
    assert "device cpu: " in capsys.readouterr().out


def test_doctor_tells_versions_where_torch_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Environment:
        msg = "torch cannot be imported: libcudart.so is missing"
        raise EnvironmentUnusable(msg)

    monkeypatch.setattr("qatrix.cli.environments.PACKAGES", ("typer", "not-a-package"))
    code = run(["doctor"], Collaborators(environment=broken))
    printed = capsys.readouterr()

    assert code == 3
    assert printed.out.startswith("python 3.")
    assert "not-a-package is not installed; bring it with: pip install torch" in printed.out
    assert printed.err == "error: torch cannot be imported: libcudart.so is missing\n"


def test_torch_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qatrix.pipelines.torchenv", None)
    with pytest.raises(EnvironmentUnusable, match="pip install torch torchvision torchao"):
        _environment()
