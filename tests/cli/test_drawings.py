"""show --graphs, with pipelines that do nothing: whose graphs, when the case runs for them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from qatrix.declare.spec import Case
from qatrix.diagnoses import Diagnosis, GraphLine, GraphText, PointDiagnosis
from qatrix.outcomes import Record
from support.project import ENVIRONMENT, Project, ended_with

CASE = "first/linear/bias=true,quantizer=int8,device=cpu"
POINT = PointDiagnosis(
    at="convert",
    graphs=(
        GraphText(
            pipeline="pt2e",
            lines=(GraphLine(text="x = input", layer="x"), GraphLine(text="return x")),
            first_differing=1,
        ),
    ),
)
RAN_AGAIN = "The record has no graphs, so the case ran again for those below."


def drawn(
    *notes: str, points: tuple[PointDiagnosis, ...] = (POINT,), verdict: str = "exact"
) -> Callable[[Case], Record]:
    def record(case: Case) -> Record:
        diagnosis = Diagnosis(left="pt2e", right="fx", points=points, notes=notes)
        return replace(ended_with(case, verdict, "as it is here"), diagnosis=diagnosis)

    return record


def test_a_case_without_graphs_runs_again_for_them(project: Project) -> None:
    project.run("run")
    project.execution.ran.clear()
    project.execution.records = drawn()
    ended = project.run("show", "--graphs", CASE)

    assert ended.code == 0
    assert project.execution.ran == [CASE]
    assert project.execution.options is not None
    assert project.execution.options.diagnose == "graphs"
    assert ended.out.splitlines()[-5:] == [RAN_AGAIN, "", "pt2e after convert", "  x = input  # x", "→ return x"]


def test_a_case_whose_record_has_graphs_does_not_run_again(project: Project) -> None:
    project.execution.records = drawn()
    project.run("run")
    project.execution.ran.clear()
    ended = project.run("show", "--graphs", CASE)

    assert (ended.code, project.execution.ran) == (0, [])
    assert RAN_AGAIN not in ended.out
    assert "→ return x" in ended.out


def test_graphs_are_written_for_model_explorer(project: Project) -> None:
    project.execution.records = drawn()
    project.run("run")
    project.execution.ran.clear()
    ended = project.run("show", "--model-explorer", "graphs.json", CASE)
    collection = json.loads((project.path / "graphs.json").read_text())

    assert (ended.code, project.execution.ran) == (0, [])
    assert ended.out.splitlines()[-1] == "graphs.json: the graphs for Model Explorer"
    assert collection["label"] == CASE
    assert [graph["id"] for graph in collection["graphs"]] == ["pt2e after convert"]


def test_a_folder_that_is_not_there_is_an_error(project: Project) -> None:
    project.execution.records = drawn()
    project.run("run")
    ended = project.run("show", "--model-explorer", "nowhere/graphs.json", CASE)

    assert ended.code != 0
    assert "cannot be written" in ended.err


def test_without_the_option_nothing_runs(project: Project) -> None:
    project.run("run")
    project.execution.ran.clear()

    assert "return x" not in project.run("show", CASE).out
    assert project.execution.ran == []


def test_what_could_not_be_drawn_is_told(project: Project) -> None:
    project.run("run")
    project.execution.records = drawn("fx did not run to its end", points=())
    ended = project.run("show", "--graphs", CASE)

    assert ended.code == 0
    assert ended.out.splitlines()[-2:] == [
        "Note: fx did not run to its end.",
        "Note: no pipeline got as far as a graph.",
    ]


def test_another_verdict_here_is_told(project: Project) -> None:
    project.run("run")
    project.execution.records = drawn(verdict="diverged")
    ended = project.run("show", "--graphs", CASE)

    assert "Note: the case was exact in the run, and is diverged here: as it is here." in ended.out


def test_a_case_that_is_not_declared_any_more_is_refused_with_what_to_do(project: Project) -> None:
    project.run("run")
    project.path.joinpath("matrix/small.yaml").write_text(
        project.path.joinpath("matrix/small.yaml").read_text().replace("  first:", "  renamed:")
    )
    ended = project.run("show", "--graphs", CASE)

    assert ended.code == 2
    assert "the matrix no longer declares it" in ended.err
    assert "name the files that declare it: qatrix show --graphs CASE PATH" in ended.err


def test_files_that_declare_the_case_can_be_named_and_another_matrix_is_told(project: Project) -> None:
    project.run("run")
    written = project.path.joinpath("matrix/small.yaml")
    project.path.joinpath("kept.yaml").write_text(written.read_text().replace("  second:", "  third:"))
    written.unlink()
    project.execution.records = drawn()
    ended = project.run("show", "--graphs", CASE, "kept.yaml")

    assert ended.code == 0
    assert "the matrix has changed since the run, and the graphs show what it declares now" in ended.out


def test_another_environment_is_told(project: Project) -> None:
    project.run("run")
    project.execution.records = drawn()
    elsewhere = replace(ENVIRONMENT, packages={"torch": "2.9.0", "executorch": "1.0"})
    ended = project.run("show", "--graphs", CASE, environment=lambda: elsewhere)

    told = "torch 2.15.0 there and 2.9.0 here, torchao 0.18.0 there and missing here, executorch missing there and 1.0 here"
    assert f"Note: the run was made in another environment: {told}." in " ".join(ended.out.split())
