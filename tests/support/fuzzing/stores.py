"""Run stores that are right, and what a disk or a hostile hand does to one of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from hypothesis import strategies as st

from qatrix.outcomes import Record, Run
from qatrix.report.store import Store
from support.demo_run import EXCERPT
from support.diagnoses import make_diagnosis
from support.fuzzing.jsons import changed_json
from support.fuzzing.texts import BYTE_CHANGES, changed_bytes
from support.records import (
    ENVIRONMENT,
    make_diverged,
    make_dropped,
    make_failed,
    make_record,
    make_run,
    make_skipped,
)

_PLACES: Final = st.integers(0, 2**20 - 1)
_MOST: Final = 3
_STORE: Final = "run.sqlite"
# Of SQLite's virtual machine, in one statement; what is done here takes a few thousand.
_MOST_STEPS: Final = 1_000_000

_RECORDS: Final = (
    make_record(),
    make_failed(),
    make_skipped(),
    make_diverged(diagnosis=make_diagnosis()),
)


def write_good(folder: Path) -> None:
    """Two runs of everything, and two shards of one; every verb reads some of them."""
    other = replace(ENVIRONMENT, packages={**ENVIRONMENT.packages, "torch": "2.14.0"})
    _write(folder / "one", _RECORDS, make_run(id="one"))
    _write(folder / "two", _RECORDS[::-1], make_run(id="two", started="2026-08-28T10:15:00+00:00", environment=other))
    for index in (1, 2):
        shard = make_run(id=f"shard{index}", shard=f"{index}/2", shard_by="hash")
        _write(folder / f"shards{index}", _RECORDS[index - 1 :: 2], shard, ordinal=index - 1)


def _write(folder: Path, records: tuple[Record, ...], run: Run, ordinal: int = 0) -> None:
    ended = replace(run, declared=len(records), dropped=(make_dropped(),), warnings=("an exclude fits nothing",))
    step = 1 if run.shard is None else 2
    with Store.create(folder / _STORE, ended) as store:
        store.plan_at({record.case_id: ordinal + step * place for place, record in enumerate(records)})
        store.finish_all(records)
        store.keep_scripts({records[0].case_id: "print('a script')\n"})
        store.keep_excerpts([EXCERPT])
        store.end(ended)


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One change of a store: of which kind, where, and with what. Numbers beyond the end begin anew."""

    kind: str
    at: int
    other: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """A verb, and what is done to the one store that it reads, or to the first of them."""

    verb: int
    damages: tuple[Damage, ...]

    @property
    def command(self) -> Command:
        """What is run."""
        return COMMANDS[self.verb % len(COMMANDS)]

    def write(self, folder: Path) -> None:
        """Write the stores that the command reads, the first of them damaged."""
        for name, content in _good().items():
            path = folder / name / _STORE
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
        for damage in self.damages:
            damaged(folder / self.command.store / _STORE, damage)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A verb with its arguments, the store of it that is damaged, and the codes that it may end with."""

    argv: tuple[str, ...]
    store: str
    codes: tuple[int, ...]


COMMANDS: Final = (
    Command(argv=("report", "one"), store="one", codes=(0, 2)),
    Command(argv=("show", "models/*", "--run", "one", "--graphs"), store="one", codes=(0, 2)),
    Command(argv=("show", "models/*", "--run", "one", "--json"), store="one", codes=(0, 2)),
    Command(argv=("compare", "one", "two", "--out", "out"), store="one", codes=(0, 1, 2)),
    Command(argv=("compare", "one", "two", "--out", "out"), store="two", codes=(0, 1, 2)),
    Command(argv=("history", ".", "--out", "out"), store="two", codes=(0, 1, 2)),
    Command(argv=("merge", "shards1", "shards2", "--out", "out"), store="shards1", codes=(0, 1, 2)),
    Command(argv=("merge", "shards1", "--allow-missing", "--out", "out"), store="shards1", codes=(0, 1, 2)),
    Command(argv=("findings", "one", "two", "--out", "out.md"), store="one", codes=(0, 2)),
)


@cache
def _good() -> Mapping[str, bytes]:
    """The bytes of each good store, by its folder."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        write_good(Path(name))
        return {path.parent.name: path.read_bytes() for path in sorted(Path(name).glob(f"*/{_STORE}"))}


def damaged(path: Path, damage: Damage) -> None:
    """Change a store in place. What SQLite itself cannot open any more stays as it is."""
    if damage.kind in BYTE_CHANGES:
        path.write_bytes(changed_bytes(path.read_bytes(), damage.kind, damage.at, damage.other))
        return
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # An earlier change may have made a view without end.
            connection.set_progress_handler(lambda: 1, _MOST_STEPS)
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("PRAGMA writable_schema = ON")
            _OF_TABLES[damage.kind](connection, damage.at, damage.other)
    except (sqlite3.Error, UnicodeError, OverflowError):
        return


_CELLS: Final[tuple[object, ...]] = (
    None,
    "",
    "text",
    b"",
    b"\xff\x00\xfe",
    0,
    -1,
    2**63 - 1,
    -(2**63),
    1e308,
    float("inf"),
    float("-inf"),
    "nan",
    "null",
    "[]",
    "{}",
    '{"a": 1}',
    "[" * 100_000,
    "x" * 1_000_000,
    bytes(1_000_000),
    "a\x00b",
    "\x1b[31mred",
    "one\n::error::planted",
    "finished",
    "planned",
    "exact",
    "models/mobilenet_v2",
)


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [str(name) for (name,) in rows]


def _cell(connection: sqlite3.Connection, at: int) -> tuple[str, str, int]:
    """Some cell: its table, column and row."""
    cells = [
        (table, str(column[1]), int(row))
        for table in _tables(connection)
        for column in connection.execute(f'PRAGMA table_info("{table}")').fetchall()
        for (row,) in connection.execute(f'SELECT rowid FROM "{table}" ORDER BY rowid').fetchall()
    ]
    return cells[at % len(cells)]


def set_cell(connection: sqlite3.Connection, at: int, other: int) -> None:
    """One cell holds something else, be it of another kind."""
    table, column, row = _cell(connection, at)
    connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (_CELLS[other % len(_CELLS)], row))


def swap_cells(connection: sqlite3.Connection, at: int, other: int) -> None:
    """One cell holds what another one holds."""
    (table, column, row), (from_table, from_column, from_row) = _cell(connection, at), _cell(connection, other)
    statement = f'SELECT "{from_column}" FROM "{from_table}" WHERE rowid = ?'
    value = connection.execute(statement, (from_row,)).fetchone()
    connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (*value, row))


def change_json(connection: sqlite3.Connection, at: int, other: int) -> None:
    """One value inside the JSON of a run, a record or an excerpt is another."""
    texts = [
        (table, column, int(row), str(text))
        for table, column in (("cases", "record"), ("run", "run"), ("excerpts", "excerpt"))
        for row, text in connection.execute(f'SELECT rowid, "{column}" FROM "{table}" ORDER BY rowid').fetchall()
    ]
    table, column, row, text = texts[at % len(texts)]
    changed = changed_json(text, at // len(texts), other)
    connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (changed, row))


def drop_table(connection: sqlite3.Connection, at: int, _: int) -> None:
    """One table is not there."""
    tables = _tables(connection)
    connection.execute(f'DROP TABLE "{tables[at % len(tables)]}"')


def replace_table(connection: sqlite3.Connection, at: int, other: int) -> None:
    """One table is a view of itself, without end, or has other columns."""
    tables = _tables(connection)
    table = tables[at % len(tables)]
    connection.execute(f'DROP TABLE "{table}"')
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x"
    shapes = (
        f'CREATE VIEW "{table}" AS SELECT * FROM "{table}"',
        f'CREATE VIEW "{table}" AS {endless} AS case_id, x AS run, x AS record, x AS ordinal FROM n',
        f'CREATE TABLE "{table}" (a)',
        f'CREATE TABLE "{table}" (case_id, ordinal, state, suite, verdict, unexpected, seconds, record, run, id)',
    )
    connection.execute(shapes[other % len(shapes)])


def delete_rows(connection: sqlite3.Connection, at: int, other: int) -> None:
    """One table has a row less, or none."""
    table, _, row = _cell(connection, at)
    connection.execute(f'DELETE FROM "{table}" WHERE ? OR rowid = ?', (other % 2, row))


def repeat_row(connection: sqlite3.Connection, at: int, other: int) -> None:
    """A row of cases is there under other names, once or many times."""
    rows = connection.execute("SELECT * FROM cases ORDER BY rowid").fetchall()
    if not rows:
        # Another damage has emptied the table.
        return
    row = rows[at % len(rows)]
    for number in range((1, 2, 500)[other % 3]):
        connection.execute(f"INSERT INTO cases VALUES ({', '.join('?' * len(row))})", (f"other/{number}", *row[1:]))


def set_header(connection: sqlite3.Connection, at: int, other: int) -> None:
    """The file says that it is of another program, version or encoding."""
    pragma = ("user_version", "application_id", "schema_version", "page_size")[at % 4]
    connection.execute(f"PRAGMA {pragma} = {(0, 2, 99, 2**31 - 1, -1)[other % 5]}")


def add_trigger(connection: sqlite3.Connection, _: int, other: int) -> None:
    """Something happens when a table is written."""
    connection.execute(
        f"CREATE TRIGGER planted AFTER UPDATE ON {('run', 'cases')[other % 2]} BEGIN DELETE FROM cases; END"
    )


def spoil_schema(connection: sqlite3.Connection, at: int, other: int) -> None:
    """The text of the schema is another."""
    texts = ("", "CREATE TABLE x", "CREATE TABLE cases (case_id)", "\x1b[31m", "x" * 100_000)
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE rowid = 1 + ?", (texts[other % len(texts)], at % 4))


Change: TypeAlias = Callable[[sqlite3.Connection, int, int], None]
_OF_TABLES: Final[Mapping[str, Change]] = {
    change.__name__: change
    for change in (
        set_cell,
        swap_cells,
        change_json,
        drop_table,
        replace_table,
        delete_rows,
        repeat_row,
        set_header,
        add_trigger,
        spoil_schema,
    )
}
# Cells and values are many, tables few.
KINDS: Final = (*BYTE_CHANGES, *_OF_TABLES, *["set_cell", "change_json"] * 4)


def programs() -> st.SearchStrategy[Program]:
    """Programs over all verbs that read stores."""
    damage = st.builds(Damage, kind=st.sampled_from(KINDS), at=_PLACES, other=_PLACES)
    return st.builds(
        Program,
        verb=st.integers(0, len(COMMANDS) - 1),
        damages=st.lists(damage, min_size=1, max_size=_MOST).map(tuple),
    )
