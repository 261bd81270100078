"""The tables of a run store, and the demand that a file has these and nothing else."""

from __future__ import annotations

import re
import sqlite3
from typing import Final

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
EXCERPTS: Final = """
CREATE TABLE IF NOT EXISTS excerpts (
    axis    TEXT NOT NULL,          -- suite, pattern, conv, quantizer or runtime
    name    TEXT NOT NULL,
    excerpt TEXT NOT NULL,          -- outcomes.Excerpt as JSON: the YAML that declares it, with file and line
    PRIMARY KEY (axis, name)
)
"""
SCRIPTS: Final = """
CREATE TABLE IF NOT EXISTS scripts (
    case_id TEXT PRIMARY KEY REFERENCES cases,
    script  BLOB NOT NULL           -- Python source that shows the case without qatrix, as UTF-8, zlib
)
"""
SCRIPT_NOTES: Final = """
CREATE TABLE IF NOT EXISTS script_notes (
    case_id TEXT PRIMARY KEY REFERENCES cases,
    note    TEXT NOT NULL           -- why the case has no script, or no bug report, though it should
)
"""
UNSELECTED: Final = """
CREATE TABLE IF NOT EXISTS unselected (
    case_ids BLOB NOT NULL          -- one row: the ids of the declared cases that the run did not select, JSON, zlib
)
"""
SINCE: Final = """
CREATE TABLE IF NOT EXISTS since (
    since TEXT                      -- one row: changes.Since as JSON, what changed since the baseline, or NULL
)
"""


def schema_fault(connection: sqlite3.Connection) -> str | None:
    """What the file has beside the tables of a run store, or lacks of them; None for a run store.

    A view or a trigger in the place of a table, or a table with computed columns, would run what
    its author wrote whenever it is read.
    """
    found = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    for kind, name, sql in found:
        # SQLite's own indexes of primary keys have no text.
        if not (kind == "index" and sql is None) and _KNOWN.get(name) != _plain(str(sql)):
            return f"it holds the {kind} {name!r}, which no run store has"
    missing = [name for name in _NEEDED if name not in {name for _, name, _ in found}]
    return f"it has no table {missing[0]}" if missing else None


def _plain(statement: str) -> str:
    """The statement without comments, blanks and what SQLite does not keep of it."""
    bare = re.sub(r"--[^\n]*", "", statement).replace("IF NOT EXISTS ", "")
    return re.sub(r"\s+", "", bare)


def _named(statement: str) -> tuple[str, str]:
    plain = re.sub(r"--[^\n]*", "", statement)
    name = re.search(r"CREATE (?:TABLE|INDEX) (?:IF NOT EXISTS )?(\w+)", plain)
    assert name is not None
    return name[1], _plain(statement)


_NEEDED: Final = ("run", "cases")
_KNOWN: Final = dict(
    _named(statement)
    for statement in (*SCHEMA.split(";\n"), EXCERPTS, SCRIPTS, SCRIPT_NOTES, UNSELECTED, SINCE)
    if "CREATE" in statement
)
