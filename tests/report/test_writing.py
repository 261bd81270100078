"""Tests of report.writing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.errors import OutputError, StoreError
from qatrix.outcomes import Record
from qatrix.report import writing
from qatrix.report.frames import ReportData
from qatrix.report.repro import files, script_name
from support.demo_run import demo_records, many_records, write_store
from support.records import make_error, make_failed, make_hostile, make_outcome

NAMES = ["index.html", "results.json", "results.csv", "junit.xml", "summary.md"]
SIDE = '(globalThis.qatrixParts ??= {})["cases-000"] = "";\n'


def test_all_reports_are_written_beside_the_store(tmp_path: Path) -> None:
    data = writing.write_reports(write_store(tmp_path / "run.sqlite", demo_records()), tmp_path)
    assert len(data.records) == len(demo_records())
    assert {item.name for item in tmp_path.iterdir()} == {*NAMES, "run.sqlite"}


def test_hostile_text_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    # A store holds durations alone.
    record = replace(make_hostile(), seconds=0.5)
    writing.write_reports(write_store(tmp_path / "run.sqlite", [record]), folder)
    assert all((folder / name).read_text(encoding="utf-8") for name in NAMES)


def test_an_interrupted_run_is_reported(tmp_path: Path) -> None:
    writing.write_reports(write_store(tmp_path / "run.sqlite", demo_records(), unfinished=3), tmp_path)
    assert "3 of 61 cases have no verdict" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_a_missing_store_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        writing.write_reports(tmp_path / "run.sqlite", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    store = write_store(tmp_path / "run.sqlite", [])
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        writing.write_reports(store, tmp_path / "out")


def test_a_file_that_cannot_be_replaced_leaves_no_half_behind(tmp_path: Path) -> None:
    store = write_store(tmp_path / "run.sqlite", [])
    (tmp_path / "out" / "index.html").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"index\.html cannot be written"):
        writing.write_reports(store, tmp_path / "out")
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == sorted(NAMES)


def test_a_renderer_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write_store(tmp_path / "run.sqlite", [])
    (tmp_path / "junit.xml").write_text("old")

    def broken(data: ReportData) -> str:
        raise RuntimeError(data.run.id)

    monkeypatch.setattr(writing, "RENDERERS", {"junit.xml": broken})
    with pytest.raises(RuntimeError):
        writing.write_reports(store, tmp_path)
    assert (tmp_path / "junit.xml").read_text() == "old"


@pytest.mark.slow
def test_a_report_of_very_many_cases_has_files_beside_the_page_and_old_ones_go(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("cases-999.js", "mine.js"):
        (tmp_path / "data" / name).write_text(SIDE)
    writing.write_reports(write_store(tmp_path / "run.sqlite", many_records(2001)), tmp_path)
    beside = {item.name for item in (tmp_path / "data").iterdir()}
    assert beside == {"mine.js", "rows.js", *(f"cases-{number:03}.js" for number in range(9))}


def test_a_file_of_someone_else_beside_the_page_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, text in {"rows.js": "mine", "cases-mine.js": SIDE, "cases-000.js": SIDE}.items():
        (tmp_path / "data" / name).write_text(text)
    writing.write_reports(write_store(tmp_path / "run.sqlite", []), tmp_path)

    assert {item.name for item in (tmp_path / "data").iterdir()} == {"rows.js", "cases-mine.js"}


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """The file of a folder that `data` links to, by a name and with a text of a report's own."""
    victim = tmp_path / "victim" / "cases-000.js"
    victim.parent.mkdir()
    victim.write_text(SIDE)
    (tmp_path / "data").symlink_to("victim")
    return victim


def test_a_link_beside_the_page_is_not_followed(tmp_path: Path, linked: Path) -> None:
    writing.write_reports(write_store(tmp_path / "run.sqlite", []), tmp_path)

    assert linked.read_text() == SIDE


def test_nothing_is_written_through_a_link_beside_the_page(
    tmp_path: Path, linked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "side_files", lambda _: [("cases-000.js", "new")])
    with pytest.raises(OutputError, match="data is a link, and no report is written through one; remove it"):
        writing.write_reports(write_store(tmp_path / "run.sqlite", []), tmp_path)

    assert linked.read_text() == SIDE


@pytest.mark.slow
def test_a_thousand_failures_with_long_tracebacks_stay_small(tmp_path: Path) -> None:
    error = make_error(
        "it does not work: " + "x" * 3000, traceback="".join(f"  File {n}, line {n}\n" for n in range(2000))
    )
    fx = make_outcome("fx", status="failed", failed_stage="prepare", error=error)
    records = [make_failed(f"s/{n}", pipelines={"fx": fx}, unexpected=True) for n in range(1000)]
    writing.write_reports(write_store(tmp_path / "run.sqlite", records), tmp_path)
    assert (tmp_path / "index.html").stat().st_size < 3_000_000


@pytest.mark.slow
def test_a_thousand_cases_stay_small_and_fast(tmp_path: Path) -> None:
    store = write_store(tmp_path / "run.sqlite", many_records(1000))
    start = time.process_time()
    writing.write_reports(store, tmp_path)
    # Measured: 0.9 s and 2.6 MB; the limit leaves room for a busy machine.
    assert time.process_time() - start < 10
    assert (tmp_path / "index.html").stat().st_size < 3_000_000


def test_a_bug_report_that_fails_is_a_note_on_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = (record.case_id for record in demo_records() if record.unexpected)
    kept = write_store(tmp_path / "run.sqlite", demo_records(), scripts={first: "print(1)", second: "print(2)"})

    def failing(script: str, *, record: Record, **_: object) -> str:
        if record.case_id == first:
            raise LookupError(record.verdict)
        return script

    monkeypatch.setattr(files, "issue_md", failing)
    data = writing.write_reports(kept, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")

    assert list(data.script_notes) == [first]
    assert {path.name for path in (tmp_path / "repro").iterdir()} == {
        f"{script_name(first)}.py",
        f"{script_name(second)}.py",
        f"{script_name(second)}.md",
    }
    assert page.count("no bug report: LookupError: ") == 1
    assert f"{script_name(first)}.md" not in page
    assert f"{script_name(second)}.md" in page


def test_the_scripts_come_after_all_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write_scripts", killed)
    with pytest.raises(KeyboardInterrupt):
        writing.write_reports(write_store(tmp_path / "run.sqlite", demo_records()), tmp_path)
    assert {item.name for item in tmp_path.iterdir()} == {"run.sqlite", *NAMES}
