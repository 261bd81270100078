"""qatrix repro, with pipelines that do nothing: which record, what is written where, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qatrix.cli import repros
from qatrix.cli.scripting import Subject, made_scripts
from qatrix.declare.spec import Case
from qatrix.execute.bounded import Bounds, Computed
from qatrix.outcomes import Record
from qatrix.report.repro import expected_lines
from support import unruly_tasks
from support.project import ENVIRONMENT, Project, ended_with, exact
from support.records import make_comparison, make_error, make_outcome

CASE = "first/linear/bias=true,quantizer=int8,device=cpu"


def diverged(case: Case) -> Record:
    return replace(
        ended_with(case, "diverged", "pt2e and fx differ by 0.5 after convert"),
        comparisons=(make_comparison("convert", status="diverged", max_abs=0.5, mismatched=6, total=6),),
        pipelines={"pt2e": make_outcome("pt2e"), "fx": make_outcome("fx")},
    )


def script_in(project: Project, *argv: str) -> str:
    ended = project.run("repro", CASE, "--no-check", "--out", "-", *argv)
    assert ended.code == 0, ended
    return ended.out


@pytest.mark.scripts_apart
def test_a_run_keeps_scripts_of_what_differs_and_links_them(project: Project) -> None:
    project.execution.records = diverged
    project.run("run", "--case", CASE)
    folder = project.path / "reports/latest"
    (script,) = (folder / "repro").glob("*.py")

    compile(script.read_text(), str(script), "exec")
    assert script.with_suffix(".md").is_file()
    assert f'href="repro/{script.name}"' in (folder / "index.html").read_text()


def test_a_run_keeps_no_more_scripts_than_are_worth_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repros, "_MOST_SCRIPTS", 1)
    project.execution.records = diverged
    project.run("run", "--case", "first")
    folder = project.path / "reports/latest"

    assert len(list((folder / "repro").glob("*.py"))) == 1
    assert "This run keeps no script of the case" in (folder / "index.html").read_text()


def test_a_run_in_which_all_agree_keeps_none(project: Project) -> None:
    project.run("run")

    assert not (project.path / "reports/latest/repro").exists()


def test_the_reports_of_a_run_have_the_scripts_when_they_are_written_again(project: Project) -> None:
    project.execution.records = diverged
    project.run("run", "--case", CASE)
    project.run("report", "--out", "again")

    assert len(list((project.path / "again/repro").glob("*.py"))) == 1


def test_the_record_of_the_run_is_the_one_to_show(project: Project) -> None:
    project.execution.records = diverged
    project.run("run", "--case", CASE)
    project.execution.ran.clear()

    assert "differ by 0.5 after convert" in script_in(project)
    assert project.execution.ran == []


def test_without_a_run_the_case_is_run(project: Project) -> None:
    script_in(project)

    assert project.execution.ran == [CASE]


def test_a_run_of_another_environment_does_not_count(project: Project) -> None:
    project.run("run", "--case", CASE)
    project.execution.ran.clear()
    other = replace(ENVIRONMENT, packages={"torch": "2.5.1"})
    ended = project.run("repro", CASE, "--no-check", "--out", "-", environment=lambda: other)

    assert project.execution.ran == [CASE]
    assert "torch 2.5.1" in ended.out


def test_a_script_goes_to_the_run_unless_told_otherwise(project: Project) -> None:
    project.run("run", "--case", CASE)
    ended = project.run("repro", CASE, "--no-check")

    written = project.path / ended.out.strip()
    assert written.parent == project.path / "reports/latest/repro"
    assert written.suffix == ".py"


def test_a_bug_report_is_markdown_with_the_script(project: Project) -> None:
    project.execution.records = diverged

    assert "```python\n" in script_in(project, "--issue")


def test_a_glob_that_fits_several_names_them(project: Project) -> None:
    ended = project.run("repro", "first/*")

    assert ended.code == 2
    assert "first/* fits 2 cases; name one of them:\n    first/linear/bias=" in ended.err


def test_a_case_that_is_not_there_is_answered_with_the_nearest(project: Project) -> None:
    ended = project.run("repro", "frist/*")

    assert ended.code == 2
    assert "did you mean 'first'?" in ended.err


def test_a_case_that_cannot_run_here_is_refused_with_its_reason(project: Project) -> None:
    project.execution.records = lambda case: replace(ended_with(case, "skipped", "skipped"), reason="no CUDA device")
    ended = project.run("repro", CASE)

    assert ended.code == 2
    assert "cannot be shown here: no CUDA device" in ended.err


def test_minimizing_says_what_was_taken_away(project: Project) -> None:
    project.execution.records = diverged
    ended = project.run("repro", CASE, "--no-check", "--minimize", "--out", "-")

    assert "taken away: without a, 1 instead of 3" in ended.err
    assert "made smaller while verdict, errors and cause stayed" in ended.out


def test_what_cannot_shrink_is_as_it_was(project: Project) -> None:
    def only_whole(case: Case) -> Record:
        whole = case.pattern.layers and str(case.pattern.layers[0].call.args).count("3") == 2
        return diverged(case) if whole and "'2'" not in str(case.pattern.inputs) else exact(case)

    project.execution.records = only_whole
    ended = project.run("repro", CASE, "--no-check", "--minimize", "--out", "-")

    assert ended.code == 0


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A script that prints, ends or waits as told, in the place of the one that is written."""
    told: dict[str, Any] = {"lines": (), "then": ""}

    def script(subject: Subject) -> str:
        lines = [f"print({line!r})" for line in told["lines"]]
        return "\n".join([*lines, told["then"], f"# checked: {subject.checked}"])

    monkeypatch.setattr(repros, "_script", script)
    return told


def test_a_script_that_prints_its_figures_is_written_as_checked(project: Project, printed: dict[str, Any]) -> None:
    project.execution.records = diverged
    project.run("run", "--case", CASE)
    project.execution.records = None
    record = diverged_record(project)
    printed["lines"] = ("   for people", *expected_lines(record))
    ended = project.run("repro", CASE, "--out", "it.py")

    assert ended.code == 0, ended
    assert "# checked: it was run" in (project.path / "it.py").read_text()


def test_a_script_that_prints_something_else_is_not_written(project: Project, printed: dict[str, Any]) -> None:
    project.execution.records = diverged
    printed["lines"] = ("after convert: max abs difference 0.25, 6 of 6 values out of tolerance",)
    ended = project.run("repro", CASE, "--out", "it.py")

    assert ended.code == 1
    assert "- after convert: max abs difference 0.5, 6 of 6" in ended.err
    assert "+ after convert: max abs difference 0.25, 6 of 6" in ended.err
    assert not (project.path / "it.py").exists()


def test_a_script_that_fails_shows_how(project: Project, printed: dict[str, Any]) -> None:
    printed["then"] = "raise RuntimeError('out of paper')"
    ended = project.run("repro", CASE)

    assert ended.code == 1
    assert "RuntimeError: out of paper" in ended.err


def test_a_script_that_hangs_is_ended(
    project: Project, printed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repros, "PATIENCE", 0.5)
    printed["then"] = "import time; time.sleep(60)"
    ended = project.run("repro", CASE)

    assert ended.code == 1
    assert "it did not end within 0.5 s" in ended.err


def test_a_script_that_crashes_as_its_case_does_is_not_run(project: Project, printed: dict[str, Any]) -> None:
    project.execution.records = lambda case: replace(
        ended_with(case, "crashed", "crashed with signal 11 (SIGSEGV)"), error=make_error()
    )
    printed["then"] = "raise SystemExit(139)"

    assert project.run("repro", CASE, "--out", "-").code == 0


def diverged_record(project: Project) -> Record:
    from qatrix.report.store import Store

    with Store.open(project.path / "reports/latest/run.sqlite") as store:
        (record,) = store.records()
    return record


def test_no_file_is_written_where_none_can_be(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = project.run("repro", CASE, "--no-check", "--out", str(tmp_path / "file" / "it.py"))

    assert ended.code == 2
    assert "cannot be made" in ended.err


UNSPEAKABLE = """
patterns:
  good: {params: {k: 1}, layers: {a: "Linear(3, k)"}, forward: ["return a(x)"], inputs: {x: {shape: [2, 3]}}}
  bad: {params: {k: 1}, layers: {a: "Linear(3, k // 0)"}, forward: ["return a(x)"], inputs: {x: {shape: [2, 3]}}}
quantizers:
  int8: {mode: qat, fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}}
suites:
  good: {axes: {pattern: good, k: [%s], quantizer: int8}}
  bad: {axes: {pattern: bad, k: [%s], quantizer: int8}}
"""
NUMBERS = ", ".join(map(str, range(1, 21))), ", ".join(map(str, range(1, 11)))
REASON = " // 0: integer division or modulo by zero"
FILES = {"index.html", "results.json", "results.csv", "junit.xml", "summary.md"}


@pytest.mark.scripts_apart
@pytest.mark.parametrize(("fail_on", "code"), [("unexpected", 1), ("never", 0)])
def test_a_run_of_which_10_of_30_cases_can_have_no_script_ends_with_all_reports(
    project: Project, fail_on: str, code: int
) -> None:
    project.write({"matrix/small.yaml": UNSPEAKABLE % NUMBERS})
    project.execution.records = diverged
    ended = project.run("run", "--fail-on", fail_on)
    folder = project.path / "reports/latest"

    assert ended.code == code
    assert ended.out.endswith("10 of 30 scripts could not be made; the report says why\n")
    assert {path.name for path in folder.iterdir()} >= FILES
    assert len(list((folder / "repro").glob("*.py"))) == len(list((folder / "repro").glob("*.md"))) == 20
    assert (folder / "index.html").read_text().count(REASON) == 10
    assert REASON in project.run("show", "bad/bad/k=3,*").out
    assert "no script" not in project.run("show", "good/good/k=3,*").out


@pytest.mark.scripts_apart
def test_reports_that_are_written_again_and_merged_say_what_is_missing(project: Project) -> None:
    project.write({"matrix/small.yaml": UNSPEAKABLE % ("1, 2", "1")})
    project.execution.records = diverged
    for shard in (1, 2):
        project.run("run", "--shard", f"{shard}/2", "--out", f"shard{shard}")
    merged = project.run("merge", "shard1/latest", "shard2/latest")
    again = project.run("report", "--out", "again")

    for ended in (merged, again):
        assert ended.out.endswith("1 of 3 scripts could not be made; the report says why\n")
    assert (project.path / "again/index.html").read_text().count(REASON) == 1


@pytest.mark.scripts_apart
def test_a_script_that_is_never_done_costs_its_case_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(subjects: list[Subject]) -> Iterator[tuple[str, Computed]]:
        return made_scripts(subjects, bounds=Bounds(seconds=1.0), write=unruly_tasks.hang_on_the_second)

    monkeypatch.setattr("qatrix.cli.scripting.made_scripts", made)
    project.execution.records = diverged
    ended = project.run("run", "--case", "first")

    assert ended.code == 1
    assert "1 of 2 scripts could not be made" in ended.out
    assert "no script: it took more than 1 s" in project.run("show", "first/linear/bias=false,*").out


def test_whatever_goes_wrong_after_the_reports_the_run_ends_by_its_verdicts(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        msg = "out of paper"
        raise LookupError(msg)

    monkeypatch.setattr(repros, "keep_scripts", broken)
    project.execution.records = diverged
    ended = project.run("run", "--fail-on", "never")

    assert ended.code == 0
    assert "the report has no scripts: LookupError: out of paper" in ended.err
    assert {path.name for path in (project.path / "reports/latest").iterdir()} >= FILES


def test_scripts_are_made_after_the_reports(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()

    def interrupted(store: Path, *_: object) -> None:
        seen.update(path.name for path in store.parent.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(repros, "keep_scripts", interrupted)
    project.execution.records = diverged
    ended = project.run("run")

    assert ended.code == 130
    assert seen >= FILES
    assert "declared 4 = 4 diverged" in ended.out


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("plain", 'about: "a\\0b", layers: {a: "Linear(3, 3)"}, forward: ["return a(x)"]'),
        ("none", 'layers: {a: "Linear(3, 3)"}, forward: ["return a(x)"]'),
        ("f", 'layers: {a: "Linear(3, 3)"}, forward: ["return F.relu(torch.neg(a(x)))"]'),
        ("factory", "model: torch.nn.PReLU, args: {class: 1}"),
    ],
)
def test_no_name_and_no_text_costs_a_case_its_script(project: Project, name: str, pattern: str) -> None:
    project.write(
        {
            "matrix/small.yaml": f"""
            patterns: {{"{name}": {{{pattern}, inputs: {{x: {{shape: [2, 3]}}}}}}}}
            quantizers:
              int8: {{mode: qat, fx: {{backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}}}}
            suites: {{first: {{axes: {{pattern: "{name}", quantizer: int8}}}}}}
            """
        }
    )
    project.execution.records = diverged
    ended = project.run("run", "--allow-module", "torch.nn")
    (script,) = (project.path / "reports/latest/repro").glob("*.py")

    compile(script.read_text(), str(script), "exec")
    assert "could not be made" not in ended.out


@pytest.mark.torch
def test_a_script_that_needs_a_module_of_the_user_finds_it_as_the_run_did(
    project: Project, printed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write({"mine/my_models.py": "import torch\nbuild = torch.nn.PReLU\n"})
    monkeypatch.syspath_prepend(project.path / "mine")
    printed["lines"] = expected_lines(exact_record(project))
    printed["then"] = "# needs     my_models: run it so\nimport my_models"
    needing = project.run("repro", CASE, "--out", "-")
    printed["then"] = "import my_models"

    assert needing.code == 0, needing
    # What needs nothing gets nothing.
    assert "No module named 'my_models'" in project.run("repro", CASE, "--out", "-").err


def exact_record(project: Project) -> Record:
    project.run("run", "--case", CASE)
    return diverged_record(project)
