"""Tests of report.store."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from qatrix.errors import OutputError, StoreError
from qatrix.report.store import Store
from qatrix.report.storeschema import SCHEMA_VERSION
from support.records import make_failed, make_record, make_run

FIRST, SECOND = make_record("s/a"), make_failed("s/b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "run.sqlite"


def _written(path: Path) -> Path:
    with Store.create(path, make_run(declared=2)) as store:
        store.plan(["s/a", "s/b"])
        store.finish(SECOND)
        store.finish(FIRST)
        store.end(make_run(declared=2))
    return path


def test_records_come_back_in_planned_order(path: Path) -> None:
    with Store.open(_written(path)) as store:
        assert store.records() == (FIRST, SECOND)
        assert store.unfinished() == ()
        assert store.run() == make_run(declared=2)


def test_the_store_names_what_was_started_and_what_was_not(path: Path) -> None:
    with Store.create(path, make_run(finished=False)) as store:
        store.plan(["s/a", "s/b", "s/c"])
        store.start("s/b")
        store.finish(FIRST)
        assert store.unfinished() == ("s/b", "s/c")
        assert store.started() == ("s/b",)


DIES_AFTER_START = """
import os, sys
from pathlib import Path
from qatrix.report.store import Store
from support.records import make_record, make_run

store = Store.create(Path(sys.argv[1]), make_run(finished=False))
store.plan(["s/a", "s/b"])
store.finish(make_record("s/a"))
store.start("s/b")
os._exit(9)
"""


def test_a_killed_process_leaves_the_name_of_its_case_and_all_finished_records(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", DIES_AFTER_START, str(path)], env=environment, check=False)

    assert done.returncode == 9
    with Store.open(path) as store:
        assert store.started() == ("s/b",)
        assert store.records() == (FIRST,)


def test_planning_again_keeps_what_is_known(path: Path) -> None:
    with Store.open(_written(path)) as store:
        store.plan(["s/a", "s/b", "s/c"])
        assert store.records() == (FIRST, SECOND)
        assert store.unfinished() == ("s/c",)


def test_a_shard_keeps_the_places_of_its_cases_in_the_whole_selection(path: Path) -> None:
    with Store.create(path, make_run(declared=2)) as store:
        store.plan_at({"s/b": 7, "s/a": 3})
        store.finish(SECOND)
        store.finish(FIRST)
        assert store.ordinals() == {"s/a": 3, "s/b": 7}
        assert store.records() == (FIRST, SECOND)


def test_a_finished_run_is_one_file(path: Path) -> None:
    assert [item.name for item in _written(path).parent.iterdir()] == ["run.sqlite"]


def test_plain_columns_can_be_queried_without_this_program(path: Path) -> None:
    with sqlite3.connect(_written(path)) as connection:
        rows = connection.execute("SELECT suite, verdict, unexpected, seconds FROM cases ORDER BY ordinal").fetchall()
    assert rows == [("conv_bn", "exact", 0, 0.41), ("conv_bn", "failed", 0, 0.41)]


def test_a_missing_store_is_refused_and_not_made(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no run store at"):
        Store.open(path)
    assert not path.exists()


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        Store.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 5000], ids=["empty", "short", "long"])
def test_a_file_that_is_not_sqlite_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.sqlite"
    file.write_bytes(content)
    with pytest.raises(StoreError, match="it is not an SQLite file"):
        Store.open(file)


@pytest.mark.parametrize("kept", [20, 100, 3000, 5000, 8192, 12000])
def test_a_store_cut_short_is_refused(path: Path, kept: int) -> None:
    whole = _written(path).read_bytes()
    path.write_bytes(whole[:kept])
    with pytest.raises(StoreError, match=r"run\.sqlite is "):
        Store.open(path)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(StoreError, match="an SQLite file of another program"):
        Store.open(file)


@pytest.mark.parametrize(("found", "word"), [(SCHEMA_VERSION + 1, "newer"), (0, "older")])
def test_another_schema_version_is_refused_with_both_numbers(path: Path, found: int, word: str) -> None:
    with sqlite3.connect(_written(path)) as connection:
        connection.execute(f"PRAGMA user_version = {found}")
    wanted = f"schema version {found}, and this qatrix reads version {SCHEMA_VERSION}; read it with the {word} qatrix"
    with pytest.raises(StoreError, match=wanted):
        Store.open(path)


def test_a_damaged_record_is_named_as_damage(path: Path) -> None:
    with sqlite3.connect(_written(path)) as connection:
        connection.execute("UPDATE cases SET record = '{}'")
    with Store.open(path) as store, pytest.raises(StoreError, match="is damaged or cut short"):
        store.records()


def test_a_store_without_a_run_is_damaged(path: Path) -> None:
    with sqlite3.connect(_written(path)) as connection:
        connection.execute("DELETE FROM run")
    with Store.open(path) as store, pytest.raises(StoreError, match="it names no run"):
        store.run()


def test_an_existing_store_is_not_overwritten(path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        Store.create(_written(path), make_run())


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        Store.create(tmp_path / "file" / "run.sqlite", make_run())


def test_an_unplanned_case_cannot_be_finished(path: Path) -> None:
    with Store.create(path, make_run()) as store, pytest.raises(OutputError, match="holds no case 's/a'"):
        store.finish(FIRST)


def test_errors_of_sqlite_while_writing_become_a_sentence(path: Path) -> None:
    _written(path)
    with Store.open(path) as store, sqlite3.connect(path) as other:
        store._connection.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            OutputError, match=r"cannot be written \(database is locked\); check that the disk has room"
        ):
            store.start("s/a")


def test_notes_on_scripts_are_kept_until_there_is_a_script(path: Path) -> None:
    with Store.open(_written(path)) as store:
        assert store.script_notes() == {}
        store.keep_script_notes({FIRST.case_id: "no script: \ud800"})
        assert store.script_notes() == {FIRST.case_id: "no script: \\ud800"}
        store.keep_scripts({FIRST.case_id: "print()"})
        assert store.script_notes() == {}
