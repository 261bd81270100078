"""Where nothing has changed, no case runs, no report is written, and the newest run stands."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qatrix.declare.spec import Case
from qatrix.errors import OutputError
from qatrix.execute.bounded import Computed
from qatrix.outcomes import Environment, Record
from support.project import ENVIRONMENT, MATRIX, Ended, FakeExecution, Project, ended_with
from support.records import make_record
from support.results import results

SAID = "nothing has changed since run 20261123-120000, and its report stands; --fresh runs every case again\n"


@pytest.fixture
def reported(project: Project) -> Project:
    """A project whose four cases were run and reported."""
    project.remembers = True
    assert project.run("run").code == 0
    return project


def failing(case: Case) -> Record:
    return ended_with(case, "failed", "fx failed at prepare")


def runs(project: Project, out: str = "reports") -> list[str]:
    return sorted(path.name for path in (project.path / out).iterdir() if path.name != "latest")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stood(ended: Ended) -> bool:
    return "and its report stands" in ended.err


def test_a_run_in_which_nothing_changed_leaves_reports_and_link_as_they_are(reported: Project) -> None:
    before = contents(reported.path / "reports")
    ended = reported.run("run")

    assert ended.code == 0
    assert ended.err.endswith(SAID)
    assert ended.out.splitlines() == [
        "declared 4 = 4 exact",
        "nothing unexpected",
        "report: reports/20261123-120000/index.html",
    ]
    assert contents(reported.path / "reports") == before
    assert len(reported.execution.ran) == 4


def test_what_is_unexpected_is_told_again_with_its_exit_code_and_annotations(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project.remembers = True
    project.execution = FakeExecution(records=failing)
    first, second, unconcerned = project.run("run"), project.run("run"), project.run("run", "--fail-on", "never")

    assert (first.code, second.code, unconcerned.code) == (1, 1, 0)
    assert not stood(first)
    assert stood(second)
    assert stood(unconcerned)
    # Made before the scripts, of whose number a line tells only where some are missing.
    assert second.out == first.out
    assert second.out.count("::error ") == 4


def test_the_records_are_those_of_a_run_that_reports_anew(reported: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stands = results(reported.path / "reports/latest")
    monkeypatch.setenv("QATRIX_STANDING", "off")
    anew = reported.run("run")

    assert not stood(anew)
    assert len(runs(reported)) == 2
    assert [{**case, "reused_from": None} for case in results(reported.path / "reports/latest")["cases"]] == stands[
        "cases"
    ]


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["--fresh"], id="every case is to run"),
        pytest.param(["--no-baseline"], id="another baseline"),
        pytest.param(["--baseline", "reports/latest"], id="a baseline by name"),
        pytest.param(["--case", "first/*"], id="fewer cases"),
        pytest.param(["--case", "*"], id="the same cases, otherwise selected"),
        pytest.param(["--shard", "1/1"], id="a shard"),
        pytest.param(["--diagnose", "all"], id="more diagnoses"),
        pytest.param(["--no-pattern-cache"], id="the plain path"),
        pytest.param(["--timeout", "7"], id="a limit that the report's commands have"),
    ],
)
def test_a_run_that_wants_something_else_reports(reported: Project, argv: list[str]) -> None:
    assert not stood(reported.run("run", *argv))
    assert len(runs(reported)) == 2


@pytest.mark.parametrize("argv", [["--quiet"], ["--verbose"], ["--fail-on", "diverged"]])
def test_what_only_the_terminal_shows_is_no_reason_for_a_report(reported: Project, argv: list[str]) -> None:
    reported.run("run", *argv)

    assert len(runs(reported)) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("[2, 3]", "[5, 3]", id="an input"),
        pytest.param("suites:", "# a comment\nsuites:", id="a comment, which moves lines that the report names"),
        pytest.param("mode: qat", "about: new words, mode: qat", id="a description, which the report shows"),
        pytest.param("bias: [true, false]", "bias: [false]", id="a case less"),
    ],
)
def test_any_change_of_the_yaml_is_reported(reported: Project, before: str, after: str) -> None:
    assert MATRIX.count(before) == 1
    reported.write({"matrix/small.yaml": MATRIX.replace(before, after)})

    assert not stood(reported.run("run"))
    assert len(runs(reported)) == 2


def test_an_expectation_more_is_reported(reported: Project) -> None:
    reported.write({"matrix/more.yaml": "expected: [{cases: 'first/*', verdict: failed, because: it should}]\n"})

    assert reported.run("run").code == 1


def test_another_environment_or_code_is_reported(reported: Project) -> None:
    assert not stood(reported.run("run", fingerprint=lambda: "another"))


def test_another_folder_of_runs_gets_its_report(reported: Project) -> None:
    assert not stood(reported.run("run", "--out", "others"))
    assert stood(reported.run("run", "--out", "others"))
    assert len(runs(reported, "others")) == 1


def another_run(project: Project) -> None:
    project.run("run", "--case", "first/*")


def without_page(project: Project) -> None:
    (project.path / "reports/latest/index.html").unlink()


def without_table(project: Project) -> None:
    (project.path / "reports/latest/junit.xml").unlink()


def edited(project: Project) -> None:
    (project.path / "reports/latest/index.html").write_text("garbage")


def with_something_more(project: Project) -> None:
    (project.path / "reports/latest/more.txt").write_text("notes")


def without_the_run_before(project: Project) -> None:
    project.run("run", "--fresh")
    shutil.rmtree(project.path / "reports/20261123-120000")


def tampered(project: Project) -> None:
    with closing(sqlite3.connect(project.path / "reports/latest/run.sqlite")) as connection, connection:
        connection.execute("UPDATE cases SET seconds = 0.5, record = json_set(record, '$.seconds', 0.5)")


def without_store(project: Project) -> None:
    (project.path / "reports/latest/run.sqlite").unlink()


def damaged(project: Project) -> None:
    (project.path / "reports/latest/run.sqlite").write_bytes(b"no store")


def without_link(project: Project) -> None:
    (project.path / "reports/latest").unlink()


def dangling(project: Project) -> None:
    without_link(project)
    (project.path / "reports/latest").symlink_to("gone")


def moved(project: Project) -> None:
    without_link(project)
    (project.path / "reports/20261123-120000").rename(project.path / "reports/renamed")
    (project.path / "reports/latest").symlink_to("renamed")


def forgotten(project: Project) -> None:
    for path in (project.path / "cache").iterdir():
        path.unlink()


def unfinished(project: Project) -> None:
    with closing(sqlite3.connect(project.path / "reports/latest/run.sqlite")) as connection, connection:
        connection.execute("UPDATE run SET finished = 0, run = json_set(run, '$.finished', json('false'))")


@pytest.mark.parametrize(
    "spoil",
    [
        *(another_run, without_page, without_table, without_store, without_link, without_the_run_before),
        *(damaged, edited, tampered, with_something_more, dangling, moved, forgotten, unfinished),
    ],
)
def test_a_run_that_is_no_longer_there_whole_does_not_stand(
    reported: Project, spoil: Callable[[Project], None]
) -> None:
    spoil(reported)
    ended = reported.run("run")

    assert ended.code == 0
    assert not stood(ended)
    assert (reported.path / "reports/latest/index.html").is_file()


def once(verdict: str) -> Callable[[Case], Record]:
    return lambda case: ended_with(case, verdict, "it passes")


@pytest.mark.parametrize(
    "execution",
    [
        pytest.param(FakeExecution(records=once("timed_out")), id="a case that may end otherwise"),
        pytest.param(FakeExecution(interrupted_after=3), id="a run that was interrupted"),
        pytest.param(
            FakeExecution(records=lambda case: replace(ended_with(case, "exact", "equal"), traces=("one",))),
            id="a case that changed its process",
        ),
    ],
)
def test_a_run_that_might_go_otherwise_is_made_again(project: Project, execution: FakeExecution) -> None:
    project.remembers = True
    project.execution = execution
    project.run("run", "--fail-on", "never")
    project.execution = FakeExecution()

    assert not stood(project.run("run", "--fail-on", "never"))
    assert project.execution.ran != []


def test_a_run_after_a_resumed_one_reports_because_that_one_began_with_other_yaml_perhaps(project: Project) -> None:
    project.remembers = True
    project.execution = FakeExecution(interrupted_after=3)
    assert project.run("run").code == 130
    project.execution = FakeExecution()
    assert project.run("run", "--resume").code == 0

    assert not stood(project.run("run"))
    assert stood(project.run("run"))


def test_what_a_resumed_run_writes_again_does_not_stand(reported: Project) -> None:
    assert reported.run("run", "--resume", "--timeout", "7").code == 0
    reported.write({"matrix/small.yaml": f"# one line more\n{MATRIX}"})

    assert not stood(reported.run("run"))


def test_a_case_that_timed_out_where_an_earlier_run_had_a_result_is_made_again(reported: Project) -> None:
    reported.execution = FakeExecution(records=once("timed_out"))
    reported.run("run", "--fresh", "--fail-on", "never")
    reported.execution = FakeExecution()
    ended = reported.run("run")

    assert not stood(ended)
    assert ended.code == 0


def test_a_shard_that_is_cut_otherwise_is_reported(reported: Project) -> None:
    reported.run("run", "--shard", "1/1")

    assert not stood(reported.run("run", "--shard", "1/1", "--shard-by", "cost", "--durations", "reports/latest"))


def test_an_empty_shard_depends_on_the_environment_too(project: Project) -> None:
    project.remembers = True
    empty = next(shard for shard in range(1, 99) if "declared 0" in project.run("run", "--shard", f"{shard}/99").out)
    argv = ("run", "--shard", f"{empty}/99")

    assert stood(project.run(*argv))
    assert not stood(project.run(*argv, fingerprint=lambda: "another"))


def test_yaml_that_is_edited_while_torch_is_imported_is_reported_by_the_next_run(project: Project) -> None:
    def edited() -> Environment:
        project.write({"matrix/small.yaml": MATRIX.replace("mode: qat", "about: new words, mode: qat")})
        return ENVIRONMENT

    project.remembers = True
    project.run("run", environment=edited)

    assert not stood(project.run("run"))


def test_that_tolerances_changed_is_told_once(project: Project) -> None:
    compared = replace(make_record(), suite="first")

    def compare(case: Case) -> Record:
        return replace(ended_with(case, "exact", "equal to the bit"), comparisons=compared.comparisons)

    loosened = tuple(replace(item, atol=item.atol + 1.0) for item in compared.comparisons)
    project.remembers = True
    project.execution = FakeExecution(records=compare)
    project.run("run")
    project.execution = FakeExecution(
        records=lambda case: replace(ended_with(case, "exact", "equal to the bit"), comparisons=loosened)
    )
    assert "tolerances were loosened" in (told := project.run("run", "--fresh")).err, told

    assert "tolerances" not in project.run("run").err
    assert stood(project.run("run"))


def test_a_case_of_ones_own_code_has_every_run_report(project: Project) -> None:
    project.remembers = True
    factory = "{model: mine.Net, inputs: {x: {shape: [1, 3]}}}"
    text = MATRIX.replace("patterns:", f"patterns:\n  net: {factory}").replace(
        "{pattern: linear, q", "{pattern: net, q"
    )
    project.write({"matrix/small.yaml": text})
    project.run("run", "--allow-module", "mine")

    assert not stood(project.run("run", "--allow-module", "mine"))


def test_a_report_that_lacks_a_script_is_made_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmade(subjects: list[Any]) -> Iterator[tuple[str, Computed]]:
        return ((subject.case.case_id, Computed(reason="no time")) for subject in subjects)

    project.remembers = True
    project.execution = FakeExecution(records=failing)
    with monkeypatch.context() as patch:
        patch.setattr("qatrix.cli.scripting.made_scripts", unmade)
        assert "4 of 4 scripts could not be made" in project.run("run", "--fail-on", "never").out

    assert not stood(project.run("run", "--fail-on", "never"))
    assert stood(project.run("run", "--fail-on", "never"))


def test_a_report_whose_scripts_could_not_be_written_is_made_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        msg = "the disk is full"
        raise OutputError(msg)

    project.remembers = True
    project.execution = FakeExecution(records=failing)
    with monkeypatch.context() as patch:
        patch.setattr("qatrix.report.store.Store.keep_scripts", full)
        project.run("run", "--fail-on", "never")

    assert not stood(project.run("run", "--fail-on", "never"))


def test_a_try_answers_each_time(project: Project) -> None:
    project.remembers = True
    argv = ("try", "torchvision.models:alexnet", "--input", "1x3x8x8", "--quantizer", "int8")
    first, second = project.run(*argv), project.run(*argv)

    assert (first.code, second.code) == (0, 0), first
    assert not stood(second)
    assert second.out == first.out.replace("20261123-120000/", "20261123-120000-2/")
