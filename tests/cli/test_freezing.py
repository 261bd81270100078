"""freeze and run --reference, with pipelines that do nothing: what is refused, written down and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.declare.spec import Case
from qatrix.errors import ReferenceUnusable
from qatrix.outcomes import Record
from qatrix.report.store import Store
from support.project import ENVIRONMENT, MATRIX, Project, ended_with
from support.records import make_outcome

ORIGIN = "fx of torch 2.5.1, run 20250101-000000, sha256 abc"


def compared(project: Project, *argv: str, origin: str = ORIGIN) -> str:
    """Run with a reference; what is printed on standard error."""
    return project.run("run", "--reference", "fx.safetensors", *argv, reference=lambda _: origin).err


def test_a_run_says_what_it_was_compared_with(project: Project) -> None:
    told = compared(project)
    with Store.open(project.path / "reports/latest/run.sqlite") as store:
        run = store.run()

    assert f"compared with {ORIGIN}" in told
    assert run.reference == ORIGIN
    assert ORIGIN in (project.path / "reports/latest/index.html").read_text()
    assert "Compared with fx of torch 2" in (project.path / "reports/latest/summary.md").read_text()


def test_workers_get_the_path_of_the_reference(project: Project) -> None:
    compared(project)

    assert project.execution.options is not None
    assert project.execution.options.reference == str((project.path / "fx.safetensors").resolve())


def test_results_with_another_reference_are_not_taken_over(project: Project) -> None:
    project.remembers = True
    project.run("run")
    project.execution.ran.clear()
    compared(project)
    assert len(project.execution.ran) == 4
    compared(project, origin="another")
    assert len(project.execution.ran) == 8
    compared(project)
    assert len(project.execution.ran) == 8


def test_a_run_with_another_reference_is_not_resumed(project: Project) -> None:
    project.execution.interrupted_after = 1
    compared(project)
    project.execution.interrupted_after = None
    ended = project.run("run", "--resume")

    assert ended.code == 2
    assert f"it was compared with {ORIGIN}" in ended.err


def test_shards_with_different_references_are_not_merged(project: Project) -> None:
    compared(project, "--shard", "1/2", "--out", "shards/1")
    compared(project, "--shard", "2/2", "--out", "shards/2", origin="another")
    ended = project.run("merge", "shards/1/latest", "shards/2/latest")

    assert ended.code == 2
    assert "they were compared with different references" in ended.err


def test_no_script_is_kept_where_fx_did_not_run(project: Project) -> None:
    project.execution.records = lambda case: replace(
        ended_with(case, "diverged", "0.5 apart"), pipelines={"pt2e": make_outcome("pt2e"), "fx": make_outcome("fx")}
    )
    compared(project, "--fail-on", "never")

    assert not (project.path / "reports/latest/repro").exists()


def test_a_reference_that_cannot_be_used_ends_the_command_before_anything_runs(project: Project) -> None:
    def broken(path: Path) -> str:
        msg = f"{path} is damaged"
        raise ReferenceUnusable(msg)

    ended = project.run("run", "--reference", "fx.safetensors", reference=broken)

    assert ended.code == 2
    assert "fx.safetensors is damaged" in ended.err
    assert not (project.path / "reports").exists()


@pytest.mark.torch
def test_a_real_reference_that_is_not_there_is_refused(project: Project) -> None:
    ended = project.run("run", "--reference", "none.safetensors")

    assert ended.code == 2
    assert "there is no reference at none.safetensors; make one with qatrix freeze" in ended.err


def skipped(case: Case) -> Record:
    return replace(ended_with(case, "skipped", "skipped"), reason="no CUDA device")


@pytest.mark.torch
def test_cases_without_a_side_are_left_out_with_their_reasons(project: Project) -> None:
    project.execution.records = skipped
    project.run("run")
    ended = project.run("freeze", "--out", "fx.safetensors")

    assert ended.code == 0, ended
    assert "4 cases = 0 frozen + 4 left out" in ended.out
    assert "left out, 4: it is skipped, and fx has no side of it: no CUDA device" in ended.err
    assert (project.path / "fx.safetensors").is_file()


def test_a_run_of_another_environment_is_not_frozen(project: Project) -> None:
    project.run("run")
    other = replace(ENVIRONMENT, packages={**ENVIRONMENT.packages, "torch": "2.5.1"})
    ended = project.run("freeze", environment=lambda: other)

    assert ended.code == 2
    assert "made in another environment (torch 2.15.0, here 2.5.1); freeze it there" in ended.err


def test_another_matrix_is_not_that_of_the_run(project: Project) -> None:
    project.run("run")
    project.write({"other/small.yaml": MATRIX.replace("[true, false]", "[true]")})
    ended = project.run("freeze", "--matrix", "other")

    assert ended.code == 2
    assert "the matrix is not the one of the run" in ended.err


def test_what_came_from_a_reference_is_not_frozen(project: Project) -> None:
    compared(project)
    ended = project.run("freeze")

    assert ended.code == 2
    assert "the run was itself compared with a reference" in ended.err


@pytest.mark.parametrize("name", ["nowhere", "nowhere/run.sqlite"])
def test_a_run_that_is_not_there_is_refused(project: Project, name: str) -> None:
    ended = project.run("freeze", name)

    assert ended.code == 2
    assert "there is no run store at" in ended.err
