"""A good run store, and what can be wrong with one that comes from elsewhere."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from qatrix.report.store import Store
from support.demo_run import EXCERPT
from support.diagnoses import make_diagnosis
from support.records import make_diverged, make_failed, make_record, make_run

FIRST: Final = "s/a"
_DEEP: Final = 100_000
_BOMB: Final = 64 * 2**20


def good_store(path: Path, **changes: Any) -> Path:
    """A finished run of three cases, one of which differs with a diagnosis, with a script and an excerpt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_good_bytes(tuple(changes.items())))
    return path


@cache
def _good_bytes(changes: tuple[tuple[str, Any], ...]) -> bytes:
    """Its file: making one takes 6 to 15 ms, and hundreds of tests damage one each."""
    with tempfile.TemporaryDirectory() as folder:
        return _stored(Path(folder) / "run.sqlite", **dict(changes)).read_bytes()


def _stored(path: Path, **changes: Any) -> Path:
    records = [make_record(FIRST), make_diverged("s/b", diagnosis=make_diagnosis()), make_failed("s/c")]
    run = make_run(declared=len(records), **changes)
    with Store.create(path, run) as store:
        store.plan(record.case_id for record in records)
        store.finish_all(records)
        store.keep_scripts({"s/b": "print('it')\n"})
        store.keep_excerpts([EXCERPT])
        store.end(run)
    return path


class Damage(NamedTuple):
    """What is done to a good store, and the words of the error that must come of it."""

    do: Callable[[Path], None]
    told: str


def sql(*statements: str) -> Callable[[Path], None]:
    """Run statements in the store."""

    def do(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                connection.execute(statement)

    return do


def in_record(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the JSON of the first case's record."""
    return _in_json("cases", "record", f"case_id = '{FIRST}'", change)


def in_run(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the JSON of the run."""
    return _in_json("run", "run", "1", change)


def _in_json(table: str, column: str, where: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            (text,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
            data = json.loads(text)
            change(data)
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (json.dumps(data),))

    return do


def _with_value(statement: str, value: object) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement, (value,))

    return do


def _set(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.update({name: value})


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        path.unlink()
        make(path)

    return do


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # A socket's name has at most some hundred bytes.
    try:
        with closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _beside(ending: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    return lambda path: (make(Path(f"{path}{ending}")), None)[1]


_VIEW: Final = "CREATE VIEW run AS SELECT 'x' AS id, 'y' AS started, 1 AS finished, 'z' AS run"
_COMPUTED: Final = "CREATE TABLE excerpts (axis TEXT, name TEXT, excerpt TEXT AS (hex(zeroblob(900000000))))"

# By what is wrong.
DAMAGES: Final[dict[str, Damage]] = {
    "named pipe": Damage(_replaced(os.mkfifo), "it is a named pipe, and only a regular file is opened"),
    "socket": Damage(_replaced(_socket), "it is a socket, and only a regular file is opened"),
    "device": Damage(_replaced(lambda path: path.symlink_to("/dev/zero")), "it is a device, and only a regular"),
    "pipe as a log": Damage(_beside("-wal", os.mkfifo), "-wal cannot be read: it is a named pipe"),
    "too large": Damage(lambda path: os.truncate(path, 9 * 2**30), "it has 9.0 GiB, and at most 8 GiB are read"),
    "stopped while writing": Damage(
        _beside("-journal", lambda path: path.write_bytes(b"x" * 600)), "run.sqlite-journal beside it would undo that"
    ),
    "trigger": Damage(
        sql("CREATE TRIGGER t AFTER UPDATE ON cases BEGIN DELETE FROM cases; END"), "it holds the trigger 't'"
    ),
    "view": Damage(sql("CREATE VIEW v AS SELECT 1"), "it holds the view 'v', which no run store has"),
    "view for a table": Damage(sql("DROP TABLE run", _VIEW), "it holds the view 'run'"),
    "computed column": Damage(sql("DROP TABLE excerpts", _COMPUTED), "it holds the table 'excerpts'"),
    "no cases": Damage(sql("DROP TABLE cases"), "it has no table cases"),
    "two runs": Damage(sql("INSERT INTO run SELECT 'other', started, finished, run FROM run"), "it names several runs"),
    "text that is none": Damage(
        sql("UPDATE run SET run = CAST(x'7bff7d' AS TEXT)"), "Could not decode to UTF-8 column 'run'"
    ),
    "bytes for text": Damage(sql("UPDATE run SET run = x'7b7d'"), "Run is b'{}', which is no text"),
    "another run's name": Damage(sql("UPDATE run SET id = 'other'"), "the row of run 'other' is that of another run"),
    "finished and not": Damage(sql("UPDATE run SET finished = 0"), "is that of another run than"),
    "unfinished case of a finished run": Damage(
        sql("UPDATE cases SET state = 'started', record = NULL WHERE case_id = 's/a'"),
        "the run is said to have finished, and 1 of its 3 cases have no verdict",
    ),
    "record of an unfinished case": Damage(
        sql("UPDATE cases SET state = 'started' WHERE case_id = 's/a'"), "1 of its cases have a record and are said not"
    ),
    "state that is none": Damage(sql("UPDATE cases SET state = 'gone'"), "a state that is none"),
    "case too few": Damage(sql("DELETE FROM cases WHERE case_id = 's/a'"), "the run declares 3 cases, and it holds 2"),
    "huge number of cases": Damage(in_run(_set("declared", 10**15)), "the run declares 1000000000000000 cases"),
    "negative number of cases": Damage(in_run(_set("declared", -3)), "declared is -3"),
    "number beyond 64 bits": Damage(in_run(_set("declared", 10**400)), "Run.declared must be int, not 1000"),
    "shard of too many": Damage(in_run(_set("shard", "1/99999999999")), "shard is '1/99999999999', which is none of"),
    "shard of none": Damage(in_run(_set("shard", "0/0")), "shard is '0/0', which is none of at most 10000"),
    "missing shard": Damage(in_run(_set("missing_shards", ["x"])), "shard is 'x', which is none of"),
    "endless run": Damage(in_run(_set("seconds", "inf")), "seconds is inf, which is no duration"),
    "deep run": Damage(
        _with_value("UPDATE run SET run = ?", "[" * _DEEP + "]" * _DEEP), "no Run: it is nested too deep"
    ),
    "places that are one": Damage(sql("UPDATE cases SET ordinal = 7"), "its 3 cases stand at 1 places"),
    "place that is none": Damage(sql("UPDATE cases SET ordinal = 'x' WHERE case_id = 's/a'"), "no number for a place"),
    "negative place": Damage(sql("UPDATE cases SET ordinal = -1 WHERE case_id = 's/a'"), "no number for a place"),
    "case without an id": Damage(sql("UPDATE cases SET case_id = NULL WHERE case_id = 's/a'"), "no text for an id"),
}

# What only those verbs see that read records.
RECORD_DAMAGES: Final[dict[str, Damage]] = {
    "another case's record": Damage(in_record(_set("case_id", "s/z")), "has the case_id 's/a', and its record 's/z'"),
    "another suite": Damage(in_record(_set("suite", "z")), "has the suite 'conv_bn', and its record 'z'"),
    "another verdict": Damage(
        sql("UPDATE cases SET verdict = 'diverged' WHERE case_id = 's/a'"), "has the verdict 'diverged', and its record"
    ),
    "expected and not": Damage(sql("UPDATE cases SET unexpected = 1 WHERE case_id = 's/a'"), "has the unexpected 1"),
    "text for a duration": Damage(
        sql("UPDATE cases SET seconds = 'x' WHERE case_id = 's/a'"), "has the seconds 'x', and its record 0.41"
    ),
    "negative duration": Damage(
        lambda path: (
            in_record(_set("seconds", -1))(path),
            sql("UPDATE cases SET seconds = -1 WHERE case_id = 's/a'")(path),
        )[1],
        "seconds is -1.0, which is no duration",
    ),
    "endless stage": Damage(
        in_record(lambda data: data["pipelines"]["fx"]["stages"][0].update(seconds="inf")), "seconds is inf, which is"
    ),
    "verdict that is none": Damage(in_record(_set("verdict", "fine")), "Record.verdict cannot be 'fine'"),
    "unknown field": Damage(in_record(_set("more", 1)), "Record has no field more"),
    "seed beyond 64 bits": Damage(in_record(_set("seed", 2**64)), "Record.seed must be int"),
    "axis beyond 64 bits": Damage(in_record(lambda data: data["axes"].update(dim=2**64)), "value cannot be 1844"),
    "not a number in JSON": Damage(
        sql("UPDATE cases SET record = replace(record, '1234567', 'NaN') WHERE case_id = 's/a'"), "NaN is no JSON"
    ),
    "deep record": Damage(
        _with_value("UPDATE cases SET record = ? WHERE case_id = 's/a'", "[" * _DEEP),
        "no Record: it is nested too deep",
    ),
    "deep axis": Damage(
        in_record(lambda data: data["axes"].update(dim=json.loads("[" * 50 + "]" * 50))), "value cannot be [[[[[["
    ),
    "long text": Damage(
        _with_value("UPDATE cases SET record = ? WHERE case_id = 's/a'", "x" * (_BOMB + 1)), "string or blob too big"
    ),
}

# What only those verbs see that read scripts and excerpts.
SCRIPT_DAMAGES: Final[dict[str, Damage]] = {
    "script that swells": Damage(
        _with_value("UPDATE scripts SET script = ?", zlib.compress(bytes(_BOMB))), "longer than 4194304 bytes"
    ),
    "script cut short": Damage(
        _with_value("UPDATE scripts SET script = ?", zlib.compress(b"x" * 99)[:-6]), "the script of 's/b' is cut short"
    ),
    "script that is none": Damage(sql("UPDATE scripts SET script = x'ffff'"), "the script of 's/b' cannot be unpacked"),
    "script as text": Damage(sql("UPDATE scripts SET script = 'x'"), "the script of 's/b' is no bytes"),
    "script of no case": Damage(
        sql("UPDATE scripts SET case_id = 's/z'"), "it has a script of 's/z', and no such case"
    ),
}
EXCERPT_DAMAGES: Final[dict[str, Damage]] = {
    "excerpt of another": Damage(sql("UPDATE excerpts SET name = 'z'"), "the row of pattern 'z' has the excerpt of"),
}
