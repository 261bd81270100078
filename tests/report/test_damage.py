"""Stores from elsewhere that are damaged or made up: every verb refuses them in words, soon, and without a trace."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qatrix import codec
from qatrix.errors import StoreError
from qatrix.report.store import Store
from qatrix.report.writing import write_reports
from support.damage import DAMAGES, EXCERPT_DAMAGES, RECORD_DAMAGES, SCRIPT_DAMAGES, Damage, good_store, sql
from support.diagnoses import make_diagnosis
from support.project import Project
from support.records import make_diverged, make_run

VERBS = {
    "report": ["report", "bad"],
    "merge": ["merge", "bad", "--out", "merged"],
    "compare": ["compare", "good", "bad"],
    "show": ["show", "s/a", "--run", "bad/run.sqlite"],
    "findings": ["findings", "bad"],
    "history": ["history", "bad"],
    "shard": ["list", "--shard", "1/2", "--shard-by", "cost", "--durations", "bad/run.sqlite"],
}
EVERY = tuple(VERBS)
READ_RECORDS = ("report", "merge", "compare", "show", "findings")
TABLE = [
    pytest.param(verb, damage, id=f"{verb}-{name}")
    for verbs, damages in (
        (EVERY, DAMAGES),
        (READ_RECORDS, RECORD_DAMAGES),
        (("report", "merge", "findings"), SCRIPT_DAMAGES),
        (("report", "merge"), EXCERPT_DAMAGES),
    )
    for name, damage in damages.items()
    for verb in verbs
]


@pytest.mark.parametrize(("verb", "damage"), TABLE)
def test_a_damaged_store_is_refused_in_words(project: Project, verb: str, damage: Damage) -> None:
    good_store(project.path / "good" / "run.sqlite")
    path = good_store(project.path / "bad" / "run.sqlite")
    damage.do(path)
    before = {item.name for item in path.parent.iterdir()}
    began = time.process_time()
    ended = project.run(*VERBS[verb])

    assert ended.code == 2
    assert damage.told in ended.err
    assert "Traceback" not in ended.err
    assert {item.name for item in path.parent.iterdir()} == before
    assert time.process_time() - began < 5


@pytest.mark.parametrize("verb", EVERY)
def test_a_good_store_is_read_and_nothing_is_left_beside_it(project: Project, verb: str) -> None:
    good_store(project.path / "good" / "run.sqlite")
    path = good_store(project.path / "bad" / "run.sqlite")
    ended = project.run(*VERBS[verb], *(["--fail-on", "never"] if verb in {"compare", "merge"} else []))

    assert ended.code == 0
    assert not list(path.parent.glob("run.sqlite-*"))


def test_a_store_that_is_being_written_can_be_read(tmp_path: Path) -> None:
    path, run = tmp_path / "run.sqlite", make_run(declared=2, finished=False)
    with Store.create(path, run) as writing:
        writing.plan(["s/a", "s/b"])
        writing.start("s/a")
        with Store.reading(path) as store:
            assert store.started() == ("s/a",)


def test_a_store_is_told_from_the_log_that_a_killed_writer_left(tmp_path: Path) -> None:
    path = good_store(tmp_path / "run.sqlite", finished=False)
    script = f"import os, sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('DELETE FROM scripts'); c.commit()"
    subprocess.run([sys.executable, "-c", f"{script}; os._exit(9)"], check=False)

    assert (tmp_path / "run.sqlite-wal").stat().st_size > 0
    with Store.reading(path) as store:
        assert store.scripts() == {}


def test_a_store_is_read_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = good_store(tmp_path / "run" / "run.sqlite", finished=False)
    path.parent.chmod(0o500)
    try:
        with Store.reading(path) as store:
            assert len(store.records()) == 3
    finally:
        path.parent.chmod(0o700)


@pytest.mark.slow
@given(place=st.integers(0, 10**6), value=st.integers(0, 255), again=st.integers(0, 10**6), other=st.integers(0, 255))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_byte_may_be_another(tmp_path: Path, place: int, value: int, again: int, other: int) -> None:
    path = tmp_path / "run.sqlite"
    path.unlink(missing_ok=True)
    content = bytearray(good_store(path).read_bytes())
    content[place % len(content)] = value
    content[again % len(content)] = other
    path.write_bytes(content)
    demand_reports_or_a_sentence(path, tmp_path / "out")


LIKE_COLUMNS = ("case_id", "suite", "verdict", "unexpected", "seconds")
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.binary(max_size=20),
)
COLUMNS = {
    "run": ["id", "started", "finished", "run"],
    "cases": ["case_id", "ordinal", "state", "suite", "verdict", "unexpected", "seconds", "record"],
    "excerpts": ["axis", "name", "excerpt"],
    "scripts": ["case_id", "script"],
}


@pytest.mark.slow
@given(place=st.sampled_from([(table, name) for table, names in COLUMNS.items() for name in names]), value=VALUES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_may_be_another(tmp_path: Path, place: tuple[str, str], value: object) -> None:
    table, column = place
    path = tmp_path / "run.sqlite"
    path.unlink(missing_ok=True)
    good_store(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(
            f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = (SELECT min(rowid) FROM {table})", (value,)
        )
    demand_reports_or_a_sentence(path, tmp_path / "out")


def leaves(data: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all values in some JSON."""
    yield path
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from leaves(value, (*path, key))


FACTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0.0, -1.5, 1e308, "nan", "inf", "-inf", "", "x", "\u202e", [], {}, [[]], {"float": "nan"}]),
)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_fact_of_a_record_may_be_another(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "run.sqlite"
    path.unlink(missing_ok=True)
    good_store(path)
    record = make_diverged("s/b", diagnosis=make_diagnosis())
    content = codec.to_jsonable(record)
    place = data.draw(st.sampled_from([found for found in leaves(content) if found and found[0] not in LIKE_COLUMNS]))
    inside: Any = content
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = data.draw(FACTS)
    sql(f"UPDATE cases SET record = '{json.dumps(content).replace(chr(39), chr(39) * 2)}' WHERE case_id = 's/b'")(path)
    demand_reports_or_a_sentence(path, tmp_path / "out")


def demand_reports_or_a_sentence(path: Path, out: Path) -> None:
    """All reports are written, or a StoreError says why not."""
    with contextlib.suppress(StoreError):
        write_reports(path, out)
