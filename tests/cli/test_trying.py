"""`qatrix try`: what is declared, what is run, what is printed, and what is refused."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from support.project import Project, ended_with

DECLARED = ("try", "my_package:build", "--input", "1x3x8x8", "--quantizer", "int8")


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_one_case_runs_and_the_answer_says_what_to_do(project: Project) -> None:
    ended = project.run(*DECLARED)

    assert project.execution.ran == ["try/try_build/quantizer=int8,device=cpu"]
    assert ended.code == 0
    assert "\n✓ exact: try_build with int8\n  bit-identical" in ended.out
    assert "\n  What to do: Either pipeline will do." in ended.out
    assert ended.out.endswith("\ndeclared in reports/try.yaml; --save FILE keeps it\n")
    assert (project.path / "reports/latest/index.html").is_file()


def test_what_is_not_exact_gives_exit_code_1(project: Project) -> None:
    project.execution.records = lambda case: ended_with(case, "diverged", "apart")
    ended = project.run(*DECLARED)

    assert ended.code == 1
    assert "\n≠ diverged: try_build with int8\n  apart\n" in ended.out
    assert project.run(*DECLARED, "--fail-on", "never").code == 0


def test_the_current_folder_is_where_the_model_is_imported_from(project: Project) -> None:
    project.run(*DECLARED)

    assert sys.path[0] == str(Path.cwd())


def test_a_saved_declaration_runs_beside_its_matrix_with_consent(project: Project) -> None:
    ended = project.run(*DECLARED, "--save", "matrix/mine.yaml")
    (told,) = (line for line in ended.out.splitlines() if line.startswith("run it again with: "))
    again = project.run(*shlex.split(told)[5:])

    assert told == "run it again with: qatrix run --case mine --allow-module my_package.build"
    assert again.code == 0, again
    assert project.execution.ran == 2 * ["mine/mine_build/quantizer=int8,device=cpu"]


def test_a_declaration_saved_elsewhere_runs_beside_its_matrix(project: Project) -> None:
    ended = project.run(*DECLARED, "--save", "mine.yaml", "--allow-module", "other")
    (told,) = (line for line in ended.out.splitlines() if line.startswith("run it again with: "))
    again = project.run(*shlex.split(told)[5:])

    command = "qatrix run matrix mine.yaml --case mine --allow-module other --allow-module my_package.build"
    assert told == f"run it again with: {command}"
    assert again.code == 0, again
    assert project.execution.ran == 2 * ["mine/mine_build/quantizer=int8,device=cpu"]


def test_what_is_not_saved_leaves_no_folder_that_hides_the_packaged_matrix(project: Project) -> None:
    shutil.rmtree(project.path / "matrix")
    ended = project.run(*DECLARED, "--quantizer", "int9", "--save", "matrix/mine.yaml")

    assert ended.code == 2
    assert not (project.path / "matrix").exists()


@pytest.mark.slow
def test_after_a_trial_was_saved_the_next_has_the_packaged_quantizers_still(project: Project) -> None:
    shutil.rmtree(project.path / "matrix")
    first = ("try", "my_package:build", "--input", "1x3", "--save", "mine.yaml")
    second = ("try", "other:build", "--input", "1x3", "--quantizer", "x86_int8_ptq")

    assert [project.run(*argv).code for argv in (first, second)] == [0, 0]


def test_a_model_of_the_current_folder_is_found_again_there(project: Project) -> None:
    project.write({"my_package.py": ""})
    ended = project.run(*DECLARED, "--save", "matrix/mine.yaml")

    again = "run it again with: PYTHONPATH=. qatrix run --case mine --allow-module my_package.build"
    assert again in ended.out.splitlines()


@pytest.mark.slow
def test_a_declaration_saved_beside_the_packaged_matrix_stands_alone(project: Project) -> None:
    shutil.rmtree(project.path / "matrix")
    quantizers = ("linears_qat_then_ptq", "x86_int8_ptq")
    named = [word for name in quantizers for word in ("--quantizer", name)]
    ended = project.run(
        "try", "my_package:build", "--input", "1x3", *named, "--device", "cuda", "--save", "matrix/mine.yaml"
    )
    (told,) = (line for line in ended.out.splitlines() if line.startswith("run it again with: "))
    again = project.run(*shlex.split(told)[5:])

    assert told == "run it again with: qatrix run matrix/mine.yaml --allow-module my_package.build"
    assert again.code == 0, again
    assert sorted(project.execution.ran[2:]) == sorted(project.execution.ran[:2])


def test_a_file_that_is_there_is_not_written_over(project: Project) -> None:
    before = (project.path / "matrix/small.yaml").read_text()
    ended = project.run(*DECLARED, "--save", "matrix/small.yaml")

    assert (ended.code, project.execution.ran) == (2, [])
    assert "matrix/small.yaml already exists, and nothing was written; name another file" in ended.err
    assert (project.path / "matrix/small.yaml").read_text() == before


def test_a_declaration_with_a_fault_is_told_and_not_saved(project: Project) -> None:
    ended = project.run(*DECLARED, "--quantizer", "int9", "--save", "matrix/mine.yaml")

    assert ended.code == 2
    assert "unknown quantizer 'int9'" in ended.err
    assert "did you mean 'int8'?" in ended.err
    assert not (project.path / "matrix/mine.yaml").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("try", "build", "--input", "1x3"), "'build' names no model; expected MODULE:NAME"),
        (("try", "my_package:build"), "give --input, such as 1x3x224x224"),
        (("try", "my_package:build", "--input", "3by4"), "'3by4' is no shape"),
        ((*DECLARED, "--arg", "width"), "'width' is no argument"),
        ((*DECLARED, "--save", "mine.txt"), "'mine.txt' is not a YAML file"),
        ((*DECLARED, "--weights", "no.pt"), "--weights: there is no such file: 'no.pt'"),
        ((*DECLARED, "--calibrate", "none/"), "--calibrate: there is no such file: 'none'"),
        ((*DECLARED, "--device", "tpu"), "unknown device 'tpu'"),
        ((*DECLARED, "--device", "null"), "unknown device 'null'"),
        ((*DECLARED, "--quantizer", "no"), "unknown quantizer 'no'"),
        ((*DECLARED, "--key", "images"), "--key: 'images' names a tensor in no file; give --calibrate, too"),
        ((*DECLARED, "--arg", f"a={'[' * 500}{']' * 500}"), "--arg: the value of 'a' is nested too deeply"),
        ((*DECLARED, "--arg", f"a={'[' * 100_000}"), "--arg: the value of 'a' is nested too deeply"),
        (("try", "my_package:build", "--input", "9" * 5000), "is no shape"),
    ],
)
def test_what_cannot_be_tried_is_told_in_a_sentence(project: Project, argv: tuple[str, ...], message: str) -> None:
    ended = project.run(*argv)

    assert (ended.code, project.execution.ran) == (2, [])
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_a_folder_that_cannot_be_written_is_told(project: Project) -> None:
    project.write({"reports": "a file"})
    ended = project.run(*DECLARED)

    assert ended.code == 2
    assert ended.err.startswith("error: cannot write reports/try.yaml: ")
