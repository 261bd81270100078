"""freeze-graph, with a pipeline that does nothing: what is written, where, and what is refused."""

from __future__ import annotations

import pytest

from qatrix.claims import CheckPoint, Transcript
from qatrix.declare.load import load
from qatrix.declare.spec import Case
from support.project import Ended, Project

CASE = "first/linear/bias=true,quantizer=int8,device=cpu"


def frozen(project: Project, *argv: str) -> tuple[Ended, list[tuple[str, str, str, bool]]]:
    """How the command ended, and for which case, pipeline and stage it asked, with or without values."""
    asked: list[tuple[str, str, str, bool]] = []

    def transcribe(case: Case, pipeline: str, at: CheckPoint, values: bool) -> Transcript:
        asked.append((case.case_id, pipeline, at, values))
        return Transcript(counts={"linear": 1}, order=("linear",), graph=("return linear(input())",))

    return project.run("freeze-graph", *argv, transcribe=transcribe), asked


def test_a_check_is_printed_as_yaml(project: Project) -> None:
    ended, asked = frozen(project, CASE)

    assert ended.code == 0
    assert asked == [(CASE, "pt2e", "convert", False)]
    assert ended.out.splitlines()[:3] == [
        f"# The graph of {CASE}, with torch 2.15.0, torchao 0.18.0.",
        f"# Written by: qatrix freeze-graph {CASE}",
        "# Suite first makes this check on that case by:",
    ]
    project.write({"matrix/frozen.yaml": ended.out})
    loaded = load([project.path / "matrix"])
    assert loaded.matrix is not None
    assert loaded.matrix.checks["first_linear_pt2e_convert"].counts == {"linear": 1}


def test_pipeline_stage_and_values_are_as_asked_for(project: Project) -> None:
    ended, asked = frozen(project, CASE, "--pipeline", "fx", "--stage", "prepare", "--values", "--name", "mine")

    assert asked == [(CASE, "fx", "prepare", True)]
    assert "  mine:" in ended.out.splitlines()
    assert "    pipelines: [fx]" in ended.out.splitlines()


def test_a_file_is_written_and_only_by_force_written_over(project: Project) -> None:
    ended, _ = frozen(project, CASE, "--out", "matrix/frozen.yaml")
    assert ended.out == (
        "matrix/frozen.yaml: check first_linear_pt2e_convert; the comment in it says how a suite makes it\n"
    )
    written = (project.path / "matrix/frozen.yaml").read_text()
    assert "return linear(input())" in written

    ended, asked = frozen(project, CASE, "--out", "matrix/frozen.yaml", "--values")
    assert (ended.code, asked) == (2, [])
    assert "matrix/frozen.yaml already exists, and nothing was written" in ended.err
    assert (project.path / "matrix/frozen.yaml").read_text() == written

    # The check that the matrix declares is the one that is written over.
    ended, _ = frozen(project, CASE, "--out", "matrix/frozen.yaml", "--values", "--force")
    assert ended.code == 0
    assert "--values --force" in (project.path / "matrix/frozen.yaml").read_text()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["first"], "first fits 2 cases; name one of them"),
        (["frist"], "did you mean 'first'?"),
        ([CASE, "--name", "a-b"], "--name: 'a-b' is no name"),
        ([CASE, "--name", "observed"], "--name: check 'observed' is made for every case"),
        ([CASE, "--out", "frozen.txt"], "--out: 'frozen.txt' is not a YAML file; expected a name such as frozen.yaml"),
        ([CASE, "--out", "gone/frozen.yaml"], "--out: there is no folder gone; make it"),
        ([CASE, "--pipeline", "pt2e_torch_ao"], "pt2e_torch_ao does not run on first/linear/bias=true"),
        ([CASE, "--stage", "reexport"], "'reexport' is not one of 'prepare', 'convert'"),
    ],
)
def test_what_cannot_be_frozen_is_refused_before_anything_runs(project: Project, argv: list[str], told: str) -> None:
    ended, asked = frozen(project, *argv)

    assert (ended.code, asked) == (2, [])
    assert told in ended.err


def test_a_name_that_is_declared_elsewhere_is_refused(project: Project) -> None:
    project.write({"matrix/checks.yaml": "checks: {mine: {at: convert, absent: [relu]}}\n"})
    ended, _ = frozen(project, CASE, "--name", "mine", "--out", "matrix/frozen.yaml")

    assert ended.code == 2
    assert "a check 'mine' is already declared at matrix/checks.yaml:1:16; give another name with --name" in ended.err
