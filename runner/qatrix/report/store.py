"""The run store: one SQLite file that is the truth about a run, committed case by case."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from qatrix import codec
from qatrix.claims import Verdict
from qatrix.errors import OutputError, StoreError
from qatrix.outcomes import PRECEDENCE, Excerpt, Record, Run
from qatrix.report.ledger import Ledger, Line

# History, newest first. A store of another version is refused, never guessed at.
# 1: the tables run and cases.
SCHEMA_VERSION: Final = 1
# "QTRX": tells a run store from any other SQLite file.
APPLICATION_ID: Final = 0x51545258

SCHEMA: Final = """
-- The run itself; exactly one row.
CREATE TABLE run (
    id       TEXT PRIMARY KEY,    -- the run's name, also its folder's
    started  TEXT NOT NULL,       -- ISO 8601, UTC
    finished INTEGER NOT NULL,    -- 1 once every planned case has a verdict
    run      TEXT NOT NULL        -- outcomes.Run as JSON: environment, command, dropped points, warnings
);

-- One row per selected case, from before the first case starts.
CREATE TABLE cases (
    case_id    TEXT PRIMARY KEY,  -- the only name that a case has anywhere
    ordinal    INTEGER NOT NULL,  -- its place in the declared order, from 0; a shard has gaps
    state      TEXT NOT NULL      -- planned; started: committed before it runs, so that a dead process
               CHECK (state IN ('planned', 'started', 'finished')),              -- names its case
    suite      TEXT,              -- from here on NULL until the case has finished
    verdict    TEXT,              -- one of the verdicts of qatrix.claims
    unexpected INTEGER,           -- 1 where verdict and expectation do not fit
    seconds    REAL,              -- wall time of the whole case
    record     TEXT               -- outcomes.Record as JSON: every fact; the columns above repeat some
);
CREATE INDEX cases_in_order ON cases (ordinal);
"""
# These are made when a run keeps the first of its kind, so that stores without any stay as they were.
_EXCERPTS: Final = """
CREATE TABLE IF NOT EXISTS excerpts (
    axis    TEXT NOT NULL,          -- suite, pattern, conv or quantizer
    name    TEXT NOT NULL,
    excerpt TEXT NOT NULL,          -- outcomes.Excerpt as JSON: the YAML that declares it, with file and line
    PRIMARY KEY (axis, name)
)
"""
_SCRIPTS: Final = """
CREATE TABLE IF NOT EXISTS scripts (
    case_id TEXT PRIMARY KEY REFERENCES cases,
    script  BLOB NOT NULL           -- Python source that shows the case without qatrix, as UTF-8, zlib
)
"""
_SCRIPT_NOTES: Final = """
CREATE TABLE IF NOT EXISTS script_notes (
    case_id TEXT PRIMARY KEY REFERENCES cases,
    note    TEXT NOT NULL           -- why the case has no script, or no bug report, though it should
)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """What became of a case in one run, and whether that was unexpected."""

    verdict: Verdict
    unexpected: bool


class Store:
    """A run store, open. Use it as a context manager, in one thread and one process."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def create(cls, path: Path, run: Run) -> Store:
        """A new store for the run. Raises OutputError where it exists or cannot be written."""
        if path.exists():
            msg = f"{path} exists already; resume that run, or name another folder with --out"
            raise OutputError(msg)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{path.parent} cannot be made: {error.strerror}; name another folder with --out"
            raise OutputError(msg) from error
        with _writing(path):
            connection = sqlite3.connect(path, isolation_level=None)
        store = cls(path, connection)
        try:
            store._lay_out(run)
        except OutputError:
            connection.close()
            raise
        return store

    @classmethod
    def open(cls, path: Path) -> Store:
        """The store at `path`. Raises StoreError where it is missing, damaged, or no store of this version."""
        _require_sqlite(path)
        connection = None
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)
            _require_version(path, connection)
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            state = str(error)
        except StoreError:
            if connection is not None:
                connection.close()
            raise
        if state != "ok" or connection is None:
            if connection is not None:
                connection.close()
            raise StoreError(_damaged(path, state))
        return cls(path, connection)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._connection.close()

    def plan(self, case_ids: Iterable[str]) -> None:
        """Note all selected cases, in order, as planned; those that are noted already stay as they are."""
        self.plan_at({case_id: ordinal for ordinal, case_id in enumerate(case_ids)})

    def plan_at(self, ordinals: Mapping[str, int]) -> None:
        """Note cases as planned, each at its place among all that were selected, which a shard has a part of."""
        rows = list(ordinals.items())
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO cases (case_id, ordinal, state) VALUES (?, ?, 'planned') ON CONFLICT DO NOTHING", rows
            )

    def start(self, case_id: str) -> None:
        """Note, and commit, that the case is about to run."""
        with self._transaction() as connection:
            self._demand(
                connection.execute("UPDATE cases SET state = 'started' WHERE case_id = ?", (case_id,)), case_id
            )

    def finish(self, record: Record) -> None:
        """Keep, and commit, what became of a case."""
        self.finish_all((record,))

    def finish_all(self, records: Iterable[Record]) -> None:
        """Keep what became of several cases, and commit all of them or none."""
        statement = (
            "UPDATE cases SET state = 'finished', suite = ?, verdict = ?, unexpected = ?, seconds = ?, record = ?"
            " WHERE case_id = ?"
        )
        with self._transaction() as connection:
            for item in records:
                values = (item.suite, item.verdict, item.unexpected, item.seconds, codec.dumps(item), item.case_id)
                self._demand(connection.execute(statement, values), item.case_id)

    def keep_scripts(self, scripts: Mapping[str, str]) -> None:
        """Keep the scripts of cases, by their ids; a script or a note that was kept before is replaced."""
        rows = [(case_id, zlib.compress(text.encode("utf-8", "backslashreplace"))) for case_id, text in scripts.items()]
        if rows:
            with self._transaction() as connection:
                connection.execute(_SCRIPTS)
                connection.executemany("INSERT OR REPLACE INTO scripts VALUES (?, ?)", rows)
                connection.execute(_SCRIPT_NOTES)
                connection.executemany("DELETE FROM script_notes WHERE case_id = ?", [row[:1] for row in rows])

    def scripts(self) -> dict[str, str]:
        """The scripts by the ids of their cases, in planned order; none in a store of before there were any."""
        if not self._has("scripts"):
            return {}
        rows = self._read("SELECT case_id, script FROM scripts JOIN cases USING (case_id) ORDER BY ordinal")
        try:
            return {str(case_id): zlib.decompress(text).decode() for case_id, text in rows if isinstance(text, bytes)}
        except (zlib.error, UnicodeDecodeError) as error:
            raise StoreError(_damaged(self.path, str(error))) from error

    def keep_script_notes(self, notes: Mapping[str, str]) -> None:
        """Keep why cases have no script or no bug report, by their ids; one that was kept before is replaced."""
        rows = [(case_id, note.encode("utf-8", "backslashreplace").decode()) for case_id, note in notes.items()]
        if rows:
            with self._transaction() as connection:
                connection.execute(_SCRIPT_NOTES)
                connection.executemany("INSERT OR REPLACE INTO script_notes VALUES (?, ?)", rows)

    def script_notes(self) -> dict[str, str]:
        """Why cases have no script or no bug report, by their ids, in planned order."""
        if not self._has("script_notes"):
            return {}
        rows = self._read("SELECT case_id, note FROM script_notes JOIN cases USING (case_id) ORDER BY ordinal")
        return {str(case_id): str(note) for case_id, note in rows}

    def keep_excerpts(self, excerpts: Iterable[Excerpt]) -> None:
        """Keep the YAML that declares what the run's cases are made of."""
        rows = [(item.axis, item.name, codec.dumps(item)) for item in excerpts]
        if rows:
            with self._transaction() as connection:
                connection.execute(_EXCERPTS)
                connection.executemany("INSERT OR REPLACE INTO excerpts VALUES (?, ?, ?)", rows)

    def excerpts(self) -> tuple[Excerpt, ...]:
        """The YAML that was kept; nothing in a store of before there was any."""
        if not self._has("excerpts"):
            return ()
        rows = self._read("SELECT excerpt FROM excerpts ORDER BY rowid")
        return tuple(self._decoded(Excerpt, str(text)) for (text,) in rows)

    def _has(self, table: str) -> bool:
        return any(name == table for (name,) in self._read("SELECT name FROM sqlite_master"))

    def end(self, run: Run) -> None:
        """Keep how the run ended. A finished run's file then needs no other file beside it."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE run SET id = ?, started = ?, finished = ?, run = ?",
                (run.id, run.started, run.finished, codec.dumps(run)),
            )
        if run.finished:
            # Refused while someone else reads; then the next writer tidies up.
            with contextlib.suppress(sqlite3.OperationalError):
                self._connection.execute("PRAGMA journal_mode = DELETE")

    def run(self) -> Run:
        """The run, as last kept. Raises StoreError where the store holds none."""
        rows = self._read("SELECT run FROM run")
        if not rows:
            raise StoreError(_damaged(self.path, "it names no run"))
        return self._decoded(Run, str(rows[0][0]))

    def records(self) -> tuple[Record, ...]:
        """The records of all finished cases, in planned order. Raises StoreError for a damaged one."""
        rows = self._read("SELECT record FROM cases WHERE state = 'finished' ORDER BY ordinal, rowid")
        return tuple(self._decoded(Record, str(text)) for (text,) in rows)

    def stops(self) -> dict[str, Stop]:
        """What became of each finished case, by its id, in planned order; records are not read for it."""
        statement = "SELECT case_id, verdict, unexpected FROM cases WHERE state = 'finished' ORDER BY ordinal, rowid"
        return {str(case_id): self._stop(verdict, unexpected) for case_id, verdict, unexpected in self._read(statement)}

    def _stop(self, verdict: object, unexpected: object) -> Stop:
        if verdict not in PRECEDENCE:
            raise StoreError(_damaged(self.path, f"{verdict!r} is no verdict"))
        return Stop(verdict=PRECEDENCE[PRECEDENCE.index(verdict)], unexpected=bool(unexpected))

    def seconds(self) -> dict[str, float]:
        """How long each finished case took, by its id."""
        rows = self._read("SELECT case_id, seconds FROM cases WHERE state = 'finished'")
        return {str(case_id): float(str(seconds)) for case_id, seconds in rows}

    def ledger(self) -> Ledger:
        """The tolerances of all finished comparisons and how much of each is used."""
        rows = self._read("SELECT case_id, json_extract(record, '$.comparisons') FROM cases WHERE state = 'finished'")
        lines = {}
        for case_id, text in rows:
            for item in json.loads(str(text)):
                name = f"{case_id} after {item['at']}"
                used = item.get("tolerance_used")
                lines[name] = Line(rtol=item["rtol"], atol=item["atol"], used=None if used is None else float(used))
        return Ledger(run_id=self.run().id, lines=lines)

    def ordinals(self) -> dict[str, int]:
        """The place of every planned case, by its id, in planned order."""
        rows = self._read("SELECT case_id, ordinal FROM cases ORDER BY ordinal, rowid")
        return {str(case_id): int(str(ordinal)) for case_id, ordinal in rows}

    def unfinished(self) -> tuple[str, ...]:
        """The ids of the cases without a verdict, planned or started, in planned order."""
        rows = self._read("SELECT case_id FROM cases WHERE state <> 'finished' ORDER BY ordinal, rowid")
        return tuple(str(case_id) for (case_id,) in rows)

    def started(self) -> tuple[str, ...]:
        """The ids of the cases that were started and never finished, in planned order."""
        rows = self._read("SELECT case_id FROM cases WHERE state = 'started' ORDER BY ordinal, rowid")
        return tuple(str(case_id) for (case_id,) in rows)

    def _lay_out(self, run: Run) -> None:
        with _writing(self.path):
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._transaction() as connection:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute(
                "INSERT INTO run VALUES (?, ?, ?, ?)", (run.id, run.started, run.finished, codec.dumps(run))
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _writing(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield self._connection

    def _demand(self, cursor: sqlite3.Cursor, case_id: str) -> None:
        """Raise OutputError where a statement has changed no case."""
        if cursor.rowcount != 1:
            msg = f"{self.path} holds no case '{case_id}'; only planned cases can be kept"
            raise OutputError(msg)

    def _read(self, statement: str) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise StoreError(_damaged(self.path, str(error))) from error

    def _decoded(self, kind: type[codec.T], text: str) -> codec.T:
        try:
            return codec.loads(kind, text)
        except codec.CodecError as error:
            raise StoreError(_damaged(self.path, str(error))) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a sentence that says what to check."""
    try:
        yield
    except (sqlite3.Error, UnicodeEncodeError) as error:
        msg = f"{path} cannot be written ({error}); check that the disk has room and the folder is writable"
        raise OutputError(msg) from error


def _damaged(path: Path, detail: str) -> str:
    return f"{path} is damaged or cut short ({detail}); run again, or restore the file from a copy"


def _require_sqlite(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(16)
    except FileNotFoundError as error:
        msg = f"there is no run store at {path}; name a folder that `qatrix run` wrote"
        raise StoreError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise StoreError(msg) from error
    if header != b"SQLite format 3\0":
        msg = f"{path} is not a run store: it is not an SQLite file; name a run.sqlite that `qatrix run` wrote"
        raise StoreError(msg)


def _require_version(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        msg = f"{path} is not a run store: it is an SQLite file of another program"
        raise StoreError(msg)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found != SCHEMA_VERSION:
        msg = (
            f"{path} has schema version {found}, and this qatrix reads version {SCHEMA_VERSION};"
            f" read it with the {'newer' if found > SCHEMA_VERSION else 'older'} qatrix that wrote it, or run again"
        )
        raise StoreError(msg)
