"""Unchanged cases are not run again, and every other case is."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from qatrix.cli.scripting import Subject, made_scripts
from qatrix.declare.spec import Case
from qatrix.errors import OutputError
from qatrix.execute.bounded import Computed
from qatrix.outcomes import ErrorReport, Record
from support.distributions import install
from support.project import ENVIRONMENT, MATRIX, NOW, FakeExecution, Project, ended_with
from support.results import results

pytestmark = pytest.mark.usefixtures("each_run_reports")

FIRST = [f"first/linear/bias={bias},quantizer=int8,device=cpu" for bias in ("true", "false")]
SECOND = [f"second/linear/quantizer=int8,device={device}" for device in ("cpu", "cuda")]


@pytest.fixture
def remembering(project: Project) -> Project:
    """A project whose four cases were run once."""
    project.remembers = True
    assert project.run("run").code == 0
    assert sorted(project.execution.ran) == sorted(FIRST + SECOND)
    return project


def ran_again(project: Project, *argv: str, **others: Any) -> list[str]:
    """The cases that another run executes."""
    project.execution = replace(project.execution, ran=[])
    assert project.run("run", *argv, **others).code == 0
    return sorted(project.execution.ran)


def without_what_tells_runs_apart(content: dict[str, Any]) -> dict[str, Any]:
    run = {name: value for name, value in content["run"].items() if name not in {"id", "seconds", "started", "command"}}
    cases = [{**case, "reused_from": None} for case in content["cases"]]
    return {**content, "run": run, "since": None, "cases": cases}


def test_unchanged_cases_are_not_run_again_and_have_the_same_records(remembering: Project) -> None:
    first = results(remembering.path / "reports/latest")

    assert ran_again(remembering) == []
    second = results(remembering.path / "reports/latest")
    assert without_what_tells_runs_apart(second) == without_what_tells_runs_apart(first)
    assert {case["reused_from"] for case in first["cases"]} == {None}
    assert {case["reused_from"] for case in second["cases"]} == {first["run"]["id"]}


def test_where_all_is_reused_nothing_has_changed_since_the_run_before(remembering: Project) -> None:
    first = results(remembering.path / "reports/latest")
    ran_again(remembering)
    since = results(remembering.path / "reports/latest")["since"]

    assert first["since"] is None
    assert since["run"] == first["run"]["id"]
    assert (since["counts"], since["moves"], since["environment"]) == ({"same": 4}, [], [])


def test_a_reused_record_names_the_run_that_executed_it_however_often_it_is_reused(remembering: Project) -> None:
    (run_id,) = {results(remembering.path / "reports/latest")["run"]["id"]}
    for _ in range(3):
        ran_again(remembering)

    assert {case["reused_from"] for case in results(remembering.path / "reports/latest")["cases"]} == {run_id}


def test_fresh_runs_all_and_leaves_its_results_to_the_next_run(remembering: Project) -> None:
    assert ran_again(remembering, "--fresh") == sorted(FIRST + SECOND)
    fresh = results(remembering.path / "reports/latest")["run"]["id"]
    ran_again(remembering)

    assert {case["reused_from"] for case in results(remembering.path / "reports/latest")["cases"]} == {fresh}


def test_the_user_is_told_how_many_results_are_reused(remembering: Project) -> None:
    ended = remembering.run("run")

    told = "4 of 4 cases have not changed since an earlier run and reuse their result; qatrix run --fresh runs every case again."
    assert f"{told}\n" in ended.err
    for name in ("index.html", "summary.md"):
        assert told in (remembering.path / "reports/latest" / name).read_text().replace("\\-", "-")
    assert "\n0 of 4 cases to run; torch" in ended.err
    assert "declared 4 = 4 exact\n" in ended.out


@pytest.mark.parametrize(
    ("before", "after", "touched"),
    [
        pytest.param("params: {bias: true}", "params: {bias: false}", FIRST + SECOND, id="a default"),
        pytest.param("second: {axes: {", "second: {compare: [prepare], axes: {", SECOND, id="one suite"),
        pytest.param('"Linear(3, 3, bias=bias)"', '"Linear(3, 4, bias=bias)"', FIRST + SECOND, id="a layer"),
        pytest.param("bias: [true, false]", "bias: [false]", [], id="a case less"),
        pytest.param("[2, 3]", "[5, 3]", FIRST + SECOND, id="an input"),
        pytest.param("mode: qat", "about: new words, mode: qat", [], id="a description"),
        pytest.param("suites:", "# a comment\n\nsuites:", [], id="a comment"),
        pytest.param("device: [cpu, cuda]", "device: [cpu, cuda], dim: 2", [], id="an axis that the pattern does not take"),
    ],
)  # fmt: skip
def test_a_change_runs_the_cases_that_it_touches(
    remembering: Project, before: str, after: str, touched: list[str]
) -> None:
    assert MATRIX.count(before) == 1
    remembering.write({"matrix/small.yaml": MATRIX.replace(before, after)})

    assert ran_again(remembering) == sorted(touched)


def test_a_case_that_moved_in_its_file_names_its_new_line(remembering: Project) -> None:
    lines = {case["source"]["line"] for case in results(remembering.path / "reports/latest")["cases"]}
    remembering.write({"matrix/small.yaml": f"# one line more\n{MATRIX}"})
    ran_again(remembering)

    moved = {case["source"]["line"] for case in results(remembering.path / "reports/latest")["cases"]}
    assert moved == {line + 1 for line in lines}


@pytest.mark.parametrize(
    "preset", ["quantizer: mine.Quantizer", "quantizer: XNNPACKQuantizer, config_from: mine.config"]
)
def test_a_quantizer_of_the_users_own_module_is_run_again(project: Project, preset: str) -> None:
    project.remembers = True
    project.write({"matrix/small.yaml": MATRIX.replace("mode: qat, fx", f"mode: qat, pt2e: {{{preset}}}, fx")})
    project.run("run", "--allow-module", "mine")

    assert ran_again(project, "--allow-module", "mine") == sorted(FIRST + SECOND)


def test_a_registered_quantizer_is_run_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(project.path / "site", "mine", "Mine = mine_code:Quantizer"))
    project.remembers = True
    project.write({"matrix/small.yaml": MATRIX.replace("mode: qat, fx", "mode: qat, pt2e: {quantizer: Mine}, fx")})
    project.run("run")

    assert ran_again(project) == sorted(FIRST + SECOND)


def test_cases_of_a_registered_pipeline_are_run_again_and_no_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(project.path / "site", "mine", "eager = mine_code:Eager", group="qatrix.pipelines")
    monkeypatch.syspath_prepend(site)
    project.remembers = True
    only = "  second: {pipelines: {only: [fx, eager], because: a test}, axes"
    project.write({"matrix/small.yaml": MATRIX.replace("  second: {axes", only)})
    project.run("run")

    assert ran_again(project) == sorted(SECOND)


def test_cases_of_a_runtime_of_unknown_code_are_run_again_and_those_of_a_built_in_one_are_not(project: Project) -> None:
    project.remembers = True
    runtimes = "runtimes: {own: {fx: {runtime: mine.Runtime}}, native: {fx: {runtime: native}}}\nsuites:"
    axes = "quantizer: int8, runtime: [own, native], device: [cpu"
    text = MATRIX.replace("suites:", runtimes).replace("quantizer: int8, device: [cpu", axes)
    project.write({"matrix/small.yaml": text})
    project.run("run", "--allow-module", "mine")

    assert ran_again(project, "--allow-module", "mine") == [
        "second/linear/quantizer=int8,runtime=own,device=cpu",
        "second/linear/quantizer=int8,runtime=own,device=cuda",
    ]


def test_cases_of_a_registered_model_are_run_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(project.path / "site", "mine", "net = mine_code:Net", group="qatrix.models"))
    project.remembers = True
    factory = "{model: net, inputs: {x: {shape: [1, 3]}}}"
    text = MATRIX.replace("patterns:", f"patterns:\n  net: {factory}")
    project.write({"matrix/small.yaml": text.replace("{pattern: linear, quantizer", "{pattern: net, quantizer")})
    project.run("run")

    assert ran_again(project) == [
        "second/net/quantizer=int8,device=cpu",
        "second/net/quantizer=int8,device=cuda",
    ]


def test_a_built_in_quantizer_is_not_run_again(project: Project) -> None:
    preset = "{quantizer: executorch.XNNPACKQuantizer, config: {is_qat: true}}"
    project.remembers = True
    project.write({"matrix/small.yaml": MATRIX.replace("mode: qat, fx", f"mode: qat, pt2e: {preset}, fx")})
    project.run("run")

    assert ran_again(project) == []


def test_a_model_of_the_users_own_module_is_run_again(project: Project) -> None:
    project.remembers = True
    factory = "{model: mine.Net, inputs: {x: {shape: [1, 3]}}}"
    project.write(
        {
            "matrix/small.yaml": MATRIX.replace("patterns:", f"patterns:\n  net: {factory}").replace(
                "{pattern: linear, quantizer", "{pattern: net, quantizer"
            )
        }
    )
    project.run("run", "--allow-module", "mine")

    assert ran_again(project, "--allow-module", "mine") == [
        "second/net/quantizer=int8,device=cpu",
        "second/net/quantizer=int8,device=cuda",
    ]


def test_another_environment_or_code_runs_all(remembering: Project) -> None:
    assert ran_again(remembering, fingerprint=lambda: "another") == sorted(FIRST + SECOND)


def test_the_plain_path_is_not_given_the_results_of_the_short_one(remembering: Project) -> None:
    assert ran_again(remembering, "--no-pattern-cache") == sorted(FIRST + SECOND)
    assert ran_again(remembering, "--no-pattern-cache") == []


def test_a_known_environment_is_not_asked_for_again(remembering: Project) -> None:
    def asked() -> None:
        raise AssertionError

    ended = remembering.run("run", environment=asked, warm_up=lambda _: asked())

    assert ended.code == 0
    assert results(remembering.path / "reports/latest")["run"]["environment"]["python"] == ENVIRONMENT.python


def test_an_expectation_is_applied_to_reused_records_as_it_is_declared_now(remembering: Project) -> None:
    expectation = "expected: [{cases: 'first/*', verdict: failed, because: it should}]\n"
    remembering.write({"matrix/expected.yaml": expectation})
    remembering.execution = replace(remembering.execution, ran=[])
    ended = remembering.run("run")

    assert ended.code == 1
    assert remembering.execution.ran == []
    assert "2 unexpected" in ended.out


def lost(verdict: str) -> Any:
    return lambda case: ended_with(case, verdict, "gone")


def short_of(kind: str, message: str = "") -> Any:
    error = ErrorReport(type=kind, message=message, traceback="")
    return lambda case: replace(ended_with(case, "invalid", "short of something"), error=error)


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(lost("crashed"), id="crashed"),
        pytest.param(lost("timed_out"), id="timed out"),
        pytest.param(short_of("MemoryError"), id="out of memory"),
        pytest.param(short_of("OSError"), id="disk full"),
        pytest.param(short_of("RuntimeError", "DefaultCPUAllocator: can't allocate memory"), id="torch out of memory"),
    ],
)
def test_what_says_nothing_lasting_about_a_case_is_run_again(project: Project, records: Any) -> None:
    project.remembers = True
    project.execution = FakeExecution(records=records)
    project.run("run", "--fail-on", "never")

    assert ran_again(project, "--fail-on", "never") == sorted(FIRST + SECOND)


def leaving(case: Case) -> Record:
    return replace(ended_with(case, "exact", "equal to the bit"), traces=("the locale was C and is tlh",))


def test_what_a_case_that_changed_its_process_gave_is_no_result_for_a_later_run(project: Project) -> None:
    project.remembers = True
    project.execution = FakeExecution(records=leaving)
    assert project.run("run").code == 1
    project.execution = FakeExecution()

    assert ran_again(project) == sorted(FIRST + SECOND)
    assert ran_again(project) == []
    assert {tuple(case["traces"]) for case in results(project.path / "reports/latest")["cases"]} == {()}


def failing(case: Case) -> Record:
    return ended_with(case, "failed", "fx failed at prepare")


def test_a_failure_is_a_result_like_any_other(project: Project) -> None:
    project.remembers = True
    project.execution = FakeExecution(records=failing)
    assert project.run("run").code == 1
    ended = project.run("run")

    assert ended.code == 1
    assert len(project.execution.ran) == 4


def test_what_an_interrupted_run_finished_is_reused_by_a_new_one(project: Project) -> None:
    project.remembers = True
    project.execution = FakeExecution(interrupted_after=3)
    assert project.run("run").code == 130
    project.execution = FakeExecution()
    assert project.run("run").code == 0

    assert len(project.execution.ran) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.write_bytes(b"not a database, but long enough to be taken for one" * 99), id="foreign"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:5000]), id="cut short"),
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), id="a folder in its place"),
    ],
)  # fmt: skip
def test_a_damaged_cache_is_forgotten_and_nothing_else(remembering: Project, spoil: Any) -> None:
    (path,) = (remembering.path / "cache").glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for beside in path.parent.glob("*-wal"):
        beside.unlink()
    spoil(path)

    assert ran_again(remembering) == sorted(FIRST + SECOND)
    assert json.loads((remembering.path / "reports/latest/results.json").read_text())["run"]["finished"] is True


def test_a_record_of_another_layout_is_run_again(remembering: Project) -> None:
    (path,) = (remembering.path / "cache").glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE results SET record = '{"no_such_field": 1}'""")

    assert ran_again(remembering) == sorted(FIRST + SECOND)


def test_a_cache_that_cannot_be_made_costs_no_run(project: Project) -> None:
    project.remembers = True
    (project.path / "cache").write_text("a file where a folder should be")

    assert project.run("run").code == 0
    assert ran_again(project) == sorted(FIRST + SECOND)
    assert str(NOW.year) in results(Path(project.path / "reports/latest"))["run"]["started"]


def test_what_other_machines_computed_is_neither_kept_nor_taken_over(project: Project) -> None:
    project.remembers = True
    cluster = ("--engine", "ray", "--address", "ray.example:6379")
    assert project.run("run", *cluster).code == 0
    assert ran_again(project, *cluster) == sorted(FIRST + SECOND)
    assert ran_again(project) == sorted(FIRST + SECOND)
    assert ran_again(project, *cluster) == sorted(FIRST + SECOND)


def cache_file(project: Project) -> Path:
    (path,) = (project.path / "cache").rglob("results-1.sqlite")
    return path


def test_a_cache_that_is_no_file_is_not_opened(remembering: Project) -> None:
    path = cache_file(remembering)
    path.unlink()
    os.mkfifo(path)

    assert ran_again(remembering) == sorted(FIRST + SECOND)


def test_a_cache_whose_table_is_a_view_is_made_anew(remembering: Project) -> None:
    with closing(sqlite3.connect(cache_file(remembering))) as connection, connection:
        connection.execute("ALTER TABLE results RENAME TO others")
        connection.execute("CREATE VIEW results AS SELECT * FROM others")

    assert ran_again(remembering) == sorted(FIRST + SECOND)
    assert ran_again(remembering) == []


@pytest.mark.parametrize(
    "record", ["[" * 100_000, "{}", b"\xff", 3, "null"], ids=["deep", "empty", "bytes", "int", "null"]
)
def test_a_record_that_is_none_is_run_again(remembering: Project, record: object) -> None:
    with closing(sqlite3.connect(cache_file(remembering))) as connection, connection:
        connection.execute("UPDATE results SET record = ?", (record,))

    assert ran_again(remembering) == sorted(FIRST + SECOND)


def test_a_record_of_another_case_is_not_taken(remembering: Project) -> None:
    with closing(sqlite3.connect(cache_file(remembering))) as connection, connection:
        connection.execute("UPDATE results SET record = (SELECT record FROM results ORDER BY key LIMIT 1)")

    assert len(ran_again(remembering)) == 3


def scripts_of(run: Path) -> dict[str, str]:
    """The texts of a run's scripts and bug reports."""
    return {path.name: path.read_text(encoding="utf-8") for path in (run / "repro").iterdir()}


@pytest.fixture
def differing(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A project whose four cases failed once; the cases of which scripts are made from then on, process by process."""
    project.remembers = True
    project.execution = FakeExecution(records=failing)
    assert project.run("run", "--fail-on", "never").code == 0
    asked: list[list[str]] = []

    def noted(subjects: list[Subject]) -> Iterator[tuple[str, Computed]]:
        asked.append(sorted(subject.case.case_id for subject in subjects))
        return made_scripts(subjects)

    monkeypatch.setattr("qatrix.cli.scripting.made_scripts", noted)
    return asked


def test_scripts_of_unchanged_cases_are_not_made_again(project: Project, differing: list[list[str]]) -> None:
    """The files, and what the page says of them, are the same, whether they were made or known."""
    latest = project.path / "reports/latest"
    made, page = scripts_of(latest), (latest / "index.html").read_text(encoding="utf-8")
    ended = project.run("run", "--fail-on", "never")

    assert differing == []
    assert len(made) == 8
    assert scripts_of(latest) == made
    assert "script" not in ended.out + ended.err
    links = [re.findall(r'href="repro/[^"]+"', text) for text in (page, (latest / "index.html").read_text("utf-8"))]
    assert links[0] == links[1] != []
    assert project.run("report", "--out", "again").code == 0
    assert scripts_of(project.path / "again") == made


def test_a_fresh_run_makes_its_scripts(project: Project, differing: list[list[str]]) -> None:
    made = scripts_of(project.path / "reports/latest")
    project.run("run", "--fresh", "--fail-on", "never")
    assert differing == [sorted(FIRST + SECOND)]
    assert scripts_of(project.path / "reports/latest") == made


def test_another_description_makes_other_scripts(project: Project, differing: list[list[str]]) -> None:
    """The result of the case is still the one of then."""
    path = project.path / "matrix/small.yaml"
    path.write_text(path.read_text().replace("  linear:\n", '  linear:\n    about: "told anew"\n'))
    assert ran_again(project, "--fail-on", "never") == []
    assert differing == [sorted(FIRST + SECOND)]


def test_scripts_that_cannot_be_written_cost_the_report_nothing(project: Project, differing: list[list[str]]) -> None:
    def blocked(folder: Path, *_: Any, **__: Any) -> NoReturn:
        msg = f"cannot write {folder}"
        raise OutputError(msg)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qatrix.report.writing.write_scripts", blocked)
        ended = project.run("run", "--fail-on", "never")
    assert ended.code == 0
    assert "the report has no scripts: cannot write" in ended.err
    assert (project.path / "reports/latest/index.html").exists()
    assert differing == [sorted(FIRST + SECOND)]
