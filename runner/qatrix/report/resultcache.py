"""The records of earlier runs, by what they depend on: an unchanged case is not run again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from qatrix import codec
from qatrix.claims import Verdict
from qatrix.files import NotPlain, demand_plain
from qatrix.outcomes import Environment, Record
from qatrix.report.opening import harden

# Another layout takes another file, so that two versions of this program do not disturb each other.
_FILE: Final = "results-1.sqlite"
# About half a gigabyte of records; the ones that no run asked for longest are dropped beyond it.
_KEPT: Final = 200_000
# A hundred megabytes.
_KEPT_SCRIPTS: Final = 20_000
_KEPT_SEALS: Final = 1_000
# Each with its primary key.
_TABLES: Final = {("results", "key"): _KEPT, ("scripts", "key"): _KEPT_SCRIPTS, ("seals", "folder"): _KEPT_SEALS}
# Ten times that.
_LARGEST: Final = 8 * 2**30
# What says nothing lasting about a case: its process was stopped, died, or was short of something.
_PASSING: Final[frozenset[Verdict]] = frozenset({"crashed", "timed_out"})
_PASSING_ERRORS: Final = frozenset({"MemoryError", "OSError", "OutOfMemoryError"})
_OUT_OF_MEMORY: Final = "allocate memory"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS results (
    key    TEXT PRIMARY KEY,  -- SHA-256 of the case, the environment and the code
    used   INTEGER NOT NULL,  -- the number of the run that asked for it last
    record TEXT NOT NULL      -- outcomes.Record as JSON, without an expectation
);
CREATE TABLE IF NOT EXISTS environments (
    fingerprint TEXT PRIMARY KEY,
    environment TEXT NOT NULL -- outcomes.Environment as JSON
);
CREATE TABLE IF NOT EXISTS scripts (
    key    TEXT PRIMARY KEY,  -- SHA-256 of the above, the case's declaration and its record
    used   INTEGER NOT NULL,
    script TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS seals (
    folder TEXT PRIMARY KEY,  -- of a run, absolute
    seal   TEXT NOT NULL,     -- SHA-256 of all that its reports depend on, and of its files
    used   INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS results_by_use ON results (used);
"""


class ResultCache:
    """The cache, open. What goes wrong with its file makes it forget, never fail: it is a shortcut only."""

    def __init__(self, folder: Path) -> None:
        self._connection = _opened(folder / _FILE)
        (self._run,) = self._read("SELECT coalesce(max(used), 0) + 1 FROM results") or (1,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what nobody asked for longest, and close the file."""
        if self._connection is not None:
            for (table, key), kept in _TABLES.items():
                excess = f"SELECT {key} FROM {table} ORDER BY used DESC LIMIT -1 OFFSET ?"  # noqa: S608 - no text from outside
                self._write(f"DELETE FROM {table} WHERE {key} IN ({excess})", [(kept,)])  # noqa: S608 - no text from outside
            self._connection.close()
            self._connection = None

    def environment(self, fingerprint: str) -> Environment | None:
        """The environment that had this fingerprint, None where none is known."""
        row = self._read("SELECT environment FROM environments WHERE fingerprint = ?", (fingerprint,))
        with contextlib.suppress(codec.CodecError):
            return None if row is None else codec.loads(Environment, row[0])
        return None

    def keep_environment(self, fingerprint: str, environment: Environment) -> None:
        """Remember what an environment is."""
        self._write("INSERT OR REPLACE INTO environments VALUES (?, ?)", [(fingerprint, codec.dumps(environment))])

    def find(self, keys: Sequence[str]) -> dict[str, Record]:
        """The records that are known, by their keys."""
        found = {}
        for key in keys:
            row = self._read("SELECT record FROM results WHERE key = ?", (key,))
            if row is not None:
                with contextlib.suppress(codec.CodecError):
                    found[key] = codec.loads(Record, row[0])
        self._write("UPDATE results SET used = ? WHERE key = ?", [(self._run, key) for key in found])
        return found

    def keep(self, key: str, record: Record, run_id: str) -> bool:
        """Remember a record, before any expectation, as one of that run; False where it says nothing lasting."""
        lasting = _lasting(record)
        if lasting:
            kept = codec.dumps(replace(record, reused_from=run_id))
            self._write("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", [(key, self._run, kept)])
        return lasting

    def seal(self, folder: str) -> str | None:
        """The seal of the run in a folder, None where it has none."""
        (found,) = self._read("SELECT seal FROM seals WHERE folder = ?", (folder,)) or (None,)
        return found if isinstance(found, str) else None

    def keep_seal(self, folder: str, seal: str) -> None:
        """Remember the seal of the run in a folder."""
        self._write("INSERT OR REPLACE INTO seals VALUES (?, ?, ?)", [(folder, seal, self._run)])

    def scripts(self, keys: Sequence[str]) -> dict[str, str]:
        """The scripts that are known, by their keys."""
        found = {}
        for key in keys:
            row = self._read("SELECT script FROM scripts WHERE key = ?", (key,))
            if row is not None and isinstance(row[0], str):
                found[key] = row[0]
        self._write("UPDATE scripts SET used = ? WHERE key = ?", [(self._run, key) for key in found])
        return found

    def keep_scripts(self, scripts: Mapping[str, str]) -> None:
        """Remember scripts by their keys."""
        rows = [(key, self._run, text) for key, text in scripts.items()]
        self._write("INSERT OR REPLACE INTO scripts VALUES (?, ?, ?)", rows)

    def _read(self, statement: str, values: tuple[str, ...] = ()) -> tuple[Any, ...] | None:
        """The first row, None where there is none or the file cannot be read."""
        if self._connection is None:
            return None
        try:
            row: tuple[Any, ...] | None = self._connection.execute(statement, values).fetchone()
        except sqlite3.Error:
            self._give_up()
            return None
        return row

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if self._connection is None:
            return
        try:
            with self._connection:
                self._connection.executemany(statement, rows)
        except sqlite3.Error:
            self._give_up()

    def _give_up(self) -> None:
        """Go on without a file that failed."""
        connection, self._connection = self._connection, None
        with contextlib.suppress(sqlite3.Error):
            connection.close()  # type: ignore[union-attr]  # only called where there is one


def _lasting(record: Record) -> bool:
    """Whether the case would end in the same way if it were run again."""
    errors = [record.error, *(outcome.error for outcome in record.pipelines.values())]
    return record.verdict not in _PASSING and not any(
        error.type.rpartition(".")[2] in _PASSING_ERRORS or _OUT_OF_MEMORY in error.message
        for error in errors
        if error is not None
    )


def _opened(path: Path) -> sqlite3.Connection | None:
    """The file, made anew where it is damaged; None where it cannot be made or read."""
    with contextlib.suppress(sqlite3.Error, OSError, NotPlain):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            # Opening a pipe would wait for whoever writes into it.
            if (path.parent / name).exists():
                demand_plain(path.parent / name, largest=_LARGEST)
        try:
            return _connected(path)
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:
            path.unlink()
            return _connected(path)
    return None


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may cost the newest records, which are then run again.
        connection.execute("PRAGMA synchronous = OFF")
        harden(connection)
        (others,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE type IN ('view', 'trigger')"
        ).fetchone()
        if others:
            msg = "it holds views or triggers"
            raise sqlite3.DatabaseError(msg)
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
