"""run, show and report, with pipelines that do nothing: what is kept, what is printed, how it ends."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix import __version__
from qatrix.declare.spec import Case
from qatrix.errors import EnvironmentUnusable
from qatrix.execute.options import Execution, default_workers
from qatrix.outcomes import Environment, Record
from support.project import ENVIRONMENT, FakeExecution, Project, ended_with, exact
from support.records import make_comparison

REPORTS = {"index.html", "results.json", "results.csv", "junit.xml", "summary.md", "run.sqlite"}


def diverging_on_cuda(case: Case) -> Record:
    if case.device.name == "cuda":
        return ended_with(case, "diverged", "pt2e and fx differ by 0.5 after convert")
    return exact(case)


def test_a_run_writes_its_reports_and_says_where(project: Project) -> None:
    ended = project.run("run")
    folder = project.path / "reports/20261123-120000"

    assert ended.code == 0, ended
    assert {path.name for path in folder.iterdir()} == REPORTS
    assert (project.path / "reports/latest").resolve() == folder
    assert ended.out == ("declared 4 = 4 exact\nnothing unexpected\nreport: reports/20261123-120000/index.html\n")


def test_a_run_tells_each_case_as_it_ends(project: Project) -> None:
    lines = project.run("run", "--case", "first").err.splitlines()

    assert ": 2 cases, " in lines[0]
    assert lines[1] == "torch 2.15.0, torchao 0.18.0"
    assert lines[2] == "[1/2] ✓ exact           0.25 s  first/linear/bias=true,quantizer=int8,device=cpu"


def test_a_run_of_one_case_says_so(project: Project) -> None:
    assert ": 1 case, " in project.run("run", "--case", "first/*bias=true*").err.splitlines()[0]


def test_quiet_prints_the_result_alone(project: Project) -> None:
    ended = project.run("run", "--quiet")

    assert ended.err == ""
    assert ended.out.startswith("declared 4 = 4 exact\n")


def test_something_unexpected_gives_exit_code_1_and_is_told(project: Project) -> None:
    project.execution.records = diverging_on_cuda
    ended = project.run("run")

    assert ended.code == 1
    assert "1 unexpected:\n≠ diverged" in ended.out
    assert "    no entry under `expected` covers this case\n" in ended.out
    assert "declared 4 = 3 exact + 1 diverged\n" in ended.out


def test_the_last_line_is_the_command_that_shows_what_is_unexpected(project: Project) -> None:
    project.execution.records = diverging_on_cuda
    told = project.run("run").out.splitlines()[-1]

    assert told == "next: qatrix show second/linear/quantizer=int8,device=cuda"
    assert project.run(*told.split()[2:]).out.startswith("≠ diverged")


def test_a_run_in_another_folder_is_named_in_the_command_that_shows_it(project: Project) -> None:
    project.execution.records = diverging_on_cuda
    told = project.run("run", "--out", "there").out.splitlines()[-1]

    assert told.startswith("next: qatrix show --run there/20261123-120000 second/linear/")
    assert project.run(*told.split()[2:]).out.startswith("≠ diverged")


EXPECTED = 'expected: [{cases: "second/*cuda", verdict: diverged, because: "known"}]\n'


def test_a_difference_that_is_expected_gives_exit_code_0(project: Project) -> None:
    project.write({"matrix/expected.yaml": EXPECTED})
    project.execution.records = diverging_on_cuda
    ended = project.run("run")

    assert ended.code == 0
    assert "nothing unexpected; 1 differs as expected, with its reason in the report\n" in ended.out


def test_a_wrong_expectation_gives_exit_code_1(project: Project) -> None:
    project.write({"matrix/expected.yaml": EXPECTED})
    ended = project.run("run")

    assert ended.code == 1
    assert "the entry at matrix/expected.yaml:1:12 expects diverged, but the verdict is exact" in ended.out


@pytest.mark.parametrize(("fail_on", "code"), [("unexpected", 0), ("diverged", 1), ("never", 0)])
def test_fail_on_decides_what_gives_exit_code_1(project: Project, fail_on: str, code: int) -> None:
    project.write({"matrix/expected.yaml": EXPECTED})
    project.execution.records = diverging_on_cuda

    assert project.run("run", "--fail-on", fail_on).code == code


def test_fail_on_never_forgives_even_the_unexpected(project: Project) -> None:
    project.execution.records = diverging_on_cuda

    assert project.run("run", "--fail-on", "never").code == 0


def test_a_stale_expectation_is_told_and_kept(project: Project) -> None:
    project.write({"matrix/expected.yaml": EXPECTED.replace("second", "zeroth")})
    ended = project.run("run")

    assert "warning: matrix/expected.yaml:1:12: " in ended.err
    assert "zeroth" in (project.path / "reports/latest/index.html").read_text()


def test_an_interrupted_run_keeps_what_is_done(project: Project) -> None:
    project.execution.interrupted_after = 3
    ended = project.run("run")
    cases = json.loads((project.path / "reports/latest/results.json").read_text())["cases"]

    assert ended.code == 130
    assert "declared 4 = 3 exact + 1 not run\n" in ended.out
    assert "interrupted: 3 of 4 cases are done and kept\ncontinue with: qatrix run --resume\n" in ended.out
    assert len(cases) == 3


def test_a_run_that_is_interrupted_at_once_claims_nothing(project: Project) -> None:
    project.execution.interrupted_after = 0
    ended = project.run("run")

    assert ended.code == 130
    assert "declared 4 = 4 not run\nnothing unexpected so far\n" in ended.out


def test_two_runs_of_one_second_do_not_mix(project: Project) -> None:
    project.run("run", "--case", "first")
    project.run("run", "--case", "second")

    assert (project.path / "reports/latest").readlink() == Path("20261123-120000-2")


def test_the_same_run_twice_gives_the_same_results_but_for_times_and_ids(project: Project) -> None:
    project.run("run")
    project.run("run")
    first, second = (
        json.loads((project.path / f"reports/20261123-120000{suffix}/results.json").read_text())
        for suffix in ("", "-2")
    )

    assert first["cases"] == second["cases"]


def test_an_output_folder_that_cannot_be_made_is_told_before_anything_runs(project: Project) -> None:
    project.write({"taken": "a file"})
    ended = project.run("run", "--out", "taken")

    assert (ended.code, project.execution.ran) == (2, [])
    assert ended.err.startswith("error: cannot write to taken: ")
    assert "--out" in ended.err


def test_the_pattern_cache_can_be_turned_off(project: Project) -> None:
    project.run("run", "--no-pattern-cache")
    assert project.execution.options == Execution(workers=default_workers(), timeout=600.0, pattern_cache=False)

    project.run("run")
    assert project.execution.options == Execution(workers=default_workers(), timeout=600.0)


def test_an_environment_without_torch_is_told_with_the_command_that_brings_it(project: Project) -> None:
    def missing() -> Environment:
        msg = "torch cannot be imported\nthe pipelines need it; install it with: pip install torch"
        raise EnvironmentUnusable(msg)

    ended = project.run("run", environment=missing)

    assert ended.code == 3
    assert ended.err.splitlines() == [
        f"qatrix {__version__}: 4 cases, {default_workers()} workers",
        "error: torch cannot be imported",
        "    the pipelines need it; install it with: pip install torch",
    ]


def unavailable(case: Case) -> Record:
    return replace(ended_with(case, "unavailable", "not available here"), reason="torchao is missing")


def test_a_run_in_which_nothing_could_run_gives_exit_code_3(project: Project) -> None:
    project.execution.records = unavailable
    ended = project.run("run", "--fail-on", "never")

    assert ended.code == 3, ended
    assert "declared 4 = 4 unavailable\nno case could run here: torchao is missing\n" in ended.out
    assert "nothing unexpected" not in ended.out


def test_one_case_that_ran_is_a_run(project: Project) -> None:
    project.execution.records = lambda case: exact(case) if case.suite == "first" else unavailable(case)
    ended = project.run("run")

    assert ended.code == 0
    assert ended.out.count("unavailable because torchao is missing") == 1


def test_cases_that_were_all_skipped_are_a_run(project: Project) -> None:
    project.execution.records = lambda case: ended_with(case, "skipped", "there is no such device here")

    assert project.run("run").code == 0


def test_no_foreign_exit_ends_a_command_with_exit_code_0(project: Project) -> None:
    def left() -> Environment:
        raise SystemExit(0)

    ended = project.run("run", environment=left)

    assert ended.code == 1
    assert ended.err.partition("\n")[2].startswith("this is a bug in qatrix: SystemExit: 0\n")


def test_a_bug_is_told_as_one_with_its_traceback_in_a_file(project: Project) -> None:
    def broken() -> Environment:
        msg = "oh no"
        raise ZeroDivisionError(msg)

    ended = project.run("run", environment=broken)
    err = ended.err

    assert ended.code == 1
    assert err.partition("\n")[2].startswith("this is a bug in qatrix: ZeroDivisionError: oh no\n")
    named = Path(err.split("the traceback is in ")[1].split(";")[0])
    assert "ZeroDivisionError" in named.read_text()
    named.unlink()


@pytest.mark.parametrize(
    "argv", [("no-such-verb",), ("run", "--no-such-option"), ("run", "--fail-on", "maybe")], ids=str
)
def test_wrong_arguments_give_exit_code_2(project: Project, argv: tuple[str, ...]) -> None:
    ended = project.run(*argv)

    assert ended.code == 2
    assert "Error: " in ended.err


def test_show_prints_one_case(project: Project) -> None:
    project.run("run")
    ended = project.run("show", "first/*bias=true*")

    assert ended.code == 0
    assert ended.out.splitlines()[0].endswith("first/linear/bias=true,quantizer=int8,device=cpu")
    assert "declared at matrix/small.yaml:12" in ended.out


def test_show_as_json_is_the_whole_record(project: Project) -> None:
    project.run("run")

    assert json.loads(project.run("show", "--json", "second/*cpu").out)["verdict"] == "exact"


@pytest.mark.parametrize(("selector", "told"), [("first/*", "fits 2 cases"), ("frist", "nearest are")])
def test_show_needs_exactly_one_case(project: Project, selector: str, told: str) -> None:
    project.run("run")
    ended = project.run("show", selector)

    assert ended.code == 2
    assert told in ended.err


def test_show_of_a_run_without_records_names_no_others(project: Project) -> None:
    project.run("run")
    with sqlite3.connect(project.path / "reports/latest/run.sqlite") as store:
        store.execute("UPDATE cases SET state = 'planned', suite = NULL, verdict = NULL, record = NULL")
        store.execute("UPDATE run SET finished = 0, run = json_set(run, '$.finished', json('false'))")
    ended = project.run("show", "first")

    assert ended.code == 2
    assert "is first; it has no record of any case" in ended.err
    assert "nearest" not in ended.err


def test_show_without_a_run_says_what_is_missing(project: Project) -> None:
    ended = project.run("show", "first")

    assert ended.code == 2
    assert "reports/latest/run.sqlite" in ended.err


def test_report_writes_the_files_once_more(project: Project) -> None:
    project.run("run")
    ended = project.run("report", "--out", "public")

    assert ended.code == 0
    assert {path.name for path in (project.path / "public").iterdir()} == REPORTS - {"run.sqlite"}


def test_a_store_of_another_schema_version_is_refused(project: Project) -> None:
    project.run("run")
    store = project.path / "reports/latest/run.sqlite"
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    with connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchall():
            connection.execute(f"UPDATE {table} SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    ended = project.run("report")

    assert ended.code == 2
    assert "99" in ended.err


def test_limits_go_to_the_workers(project: Project) -> None:
    project.run("run", "--workers", "3", "--timeout", "7.5", "--memory-limit", "512")

    assert project.execution.options == Execution(workers=3, timeout=7.5, memory_limit=512 * 2**20)


def test_a_run_says_the_command_that_made_it(project: Project) -> None:
    project.run("run", "matrix/small.yaml", "--case", "first/*")
    run = json.loads((project.path / "reports/latest/results.json").read_text())["run"]

    assert run["command"] == ["qatrix", "run", "matrix/small.yaml", "--case", "first/*"]


def cases_of(folder: Path) -> list[dict[str, object]]:
    cases: list[dict[str, object]] = json.loads((folder / "results.json").read_text())["cases"]
    return cases


def test_resume_runs_what_is_left_and_equals_an_uninterrupted_run(project: Project) -> None:
    project.run("run")
    whole = cases_of(project.path / "reports/latest")
    project.execution.ran, project.execution.interrupted_after = [], 3
    project.run("run")
    project.execution.ran, project.execution.interrupted_after = [], None
    ended = project.run("run", "--resume")

    assert ended.code == 0, ended
    assert project.execution.ran == ["second/linear/quantizer=int8,device=cuda"]
    assert "\n1 of 4 cases left; torch" in ended.err
    assert "declared 4 = 4 exact\n" in ended.out
    assert (project.path / "reports/latest").readlink() == Path("20261123-120000-2")
    assert cases_of(project.path / "reports/latest") == whole


def test_resume_of_a_finished_run_runs_nothing(project: Project) -> None:
    project.run("run")
    project.execution.ran = []
    ended = project.run("run", "--resume")

    assert (ended.code, project.execution.ran) == (0, [])


def test_resume_of_another_selection_is_refused(project: Project) -> None:
    project.run("run", "--case", "first")
    ended = project.run("run", "--resume")

    assert ended.code == 2
    assert "cannot be resumed: it has 2 cases, 2 of which are among the 4 selected now" in ended.err


def test_resume_after_the_matrix_changed_is_refused(project: Project) -> None:
    project.run("run")
    small = project.path / "matrix/small.yaml"
    small.write_text(small.read_text().replace("shape: [2, 3]", "shape: [4, 3]"))
    ended = project.run("run", "--resume")

    assert ended.code == 2
    assert "cannot be resumed: the matrix has changed since" in ended.err


def test_resume_in_another_environment_is_refused(project: Project) -> None:
    project.run("run")
    other = replace(ENVIRONMENT, python="3.14.0")
    ended = project.run("run", "--resume", environment=lambda: other)

    assert ended.code == 2
    assert "it was made in another environment" in ended.err


def test_resume_without_a_run_says_what_is_missing(project: Project) -> None:
    ended = project.run("run", "--resume")

    assert ended.code == 2
    assert "there is no run store at" in ended.err


def test_what_does_not_work_in_an_environment_is_told_at_once_and_in_the_report(project: Project) -> None:
    noted = replace(ENVIRONMENT, notes=("the pattern cache does not apply",))
    ended = project.run("run", environment=lambda: noted)

    assert "note: the pattern cache does not apply\n" in ended.err
    assert "<dd>the pattern cache does not apply</dd>" in (project.path / "reports/latest/index.html").read_text()


def test_an_engine_and_its_address_are_passed_on_and_told(project: Project) -> None:
    ended = project.run("run", "--engine", "ray", "--address", "ray.example:6379")

    assert ended.code == 0
    assert project.execution.options is not None
    assert (project.execution.options.engine, project.execution.options.address) == ("ray", "ray.example:6379")
    assert "on the Ray cluster at ray.example:6379\n" in ended.err


def test_an_address_without_the_engine_that_takes_it_is_refused(project: Project) -> None:
    ended = project.run("run", "--address", "ray.example:6379")

    assert (ended.code, project.execution.ran) == (2, [])
    assert ended.err == "error: --address names a Ray cluster; give --engine ray, too\n"


def test_a_tolerance_that_was_loosened_since_the_run_before_is_told(project: Project) -> None:
    def close(case: Case) -> Record:
        gap = make_comparison(status="close", rtol=case.tolerance.rtol, atol=case.tolerance.atol, tolerance_used=0.3)
        return replace(exact(case), verdict="close", comparisons=(gap,))

    project.execution = FakeExecution(records=close)
    assert "loosened" not in project.run("run").err
    declared = "tolerances: {wide: {rtol: 0.5, atol: 0.5}}\n"
    small = (project.path / "matrix/small.yaml").read_text().replace("second: {axes", "second: {tolerance: wide, axes")
    project.write({"matrix/small.yaml": declared + small})
    ended = project.run("run")

    assert "warning: 2 tolerances were loosened since run 20261123-120000: second/linear/" in ended.err
    assert "2 tolerances were loosened" in (project.path / "reports/latest/summary.md").read_text()
