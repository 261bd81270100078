"""The run store: one SQLite file that is the truth about a run, committed case by case."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from qatrix import codec
from qatrix.claims import Verdict
from qatrix.errors import OutputError, StoreError
from qatrix.outcomes import Comparison, Excerpt, Record, Run
from qatrix.report.agreement import (
    Disagreement,
    demand_like_columns,
    demand_possible,
    demand_sums,
    flag_of,
    listing_of,
    ordinal_of,
    script_of,
    seconds_of,
    text_of,
    verdict_of,
)
from qatrix.report.changes import Since
from qatrix.report.ledger import Ledger, Line
from qatrix.report.opening import damaged, open_for_reading, open_for_writing
from qatrix.report.storeschema import (
    APPLICATION_ID,
    EXCERPTS,
    SCHEMA,
    SCHEMA_VERSION,
    SCRIPT_NOTES,
    SCRIPTS,
    SINCE,
    UNSELECTED,
)

# All scripts of one store, in characters: of a merged run with ten thousand a tenth of it.
MOST_SCRIPTS: Final = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """What became of a case in one run, and whether that was unexpected."""

    verdict: Verdict
    unexpected: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """The same with a few figures; `reused` where the result is that of a still earlier run."""

    verdict: Verdict
    unexpected: bool
    seconds: float
    reused: bool
    sqnr_db: Mapping[str, float | None]


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
    def reading(cls, path: Path) -> Store:
        """The store at `path`, to be read alone, wherever it comes from.

        Raises StoreError where it is missing, damaged, no store of this version, or says of its run
        what cannot be.
        """
        store = cls(path, open_for_reading(path))
        try:
            store.run()
        except StoreError:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, path: Path) -> Store:
        """The store at `path`, to be written. Raises StoreError as `reading` does, but for the run."""
        return cls(path, open_for_writing(path))

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
                connection.execute(SCRIPTS)
                connection.executemany("INSERT OR REPLACE INTO scripts VALUES (?, ?)", rows)
                connection.execute(SCRIPT_NOTES)
                connection.executemany("DELETE FROM script_notes WHERE case_id = ?", [row[:1] for row in rows])

    def scripts(self) -> dict[str, str]:
        """The scripts by the ids of their cases, in planned order; none in a store of before there were any."""
        if not self._has("scripts"):
            return {}
        statement = (
            "SELECT scripts.case_id, script, cases.case_id"
            " FROM scripts LEFT JOIN cases USING (case_id) ORDER BY ordinal"
        )
        return dict(self._scripts(self._read(statement)))

    def _scripts(self, rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[str, str]]:
        room = MOST_SCRIPTS
        for case_id, packed, known in rows:
            with self._agreeing():
                if known is None:
                    msg = f"it has a script of {case_id!r:.80}, and no such case"
                    raise Disagreement(msg)
                script = script_of(packed, case_id)
                room -= len(script)
                if room < 0:
                    msg = f"its scripts have more than {MOST_SCRIPTS} characters"
                    raise Disagreement(msg)
                yield text_of(case_id, "case_id"), script

    def keep_script_notes(self, notes: Mapping[str, str]) -> None:
        """Keep why cases have no script or no bug report, by their ids; one that was kept before is replaced."""
        rows = [(case_id, note.encode("utf-8", "backslashreplace").decode()) for case_id, note in notes.items()]
        if rows:
            with self._transaction() as connection:
                connection.execute(SCRIPT_NOTES)
                connection.executemany("INSERT OR REPLACE INTO script_notes VALUES (?, ?)", rows)

    def script_notes(self) -> dict[str, str]:
        """Why cases have no script or no bug report, by their ids, in planned order."""
        if not self._has("script_notes"):
            return {}
        statement = (
            "SELECT script_notes.case_id, note, cases.case_id"
            " FROM script_notes LEFT JOIN cases USING (case_id) ORDER BY ordinal"
        )
        return dict(self._script_note(*row) for row in self._read(statement))

    def _script_note(self, case_id: object, note: object, known: object) -> tuple[str, str]:
        with self._agreeing():
            if known is None:
                msg = f"it has a note on the script of {case_id!r:.80}, and no such case"
                raise Disagreement(msg)
            return text_of(case_id, "case_id"), text_of(note, "note")

    def keep_excerpts(self, excerpts: Iterable[Excerpt]) -> None:
        """Keep the YAML that declares what the run's cases are made of."""
        rows = [(item.axis, item.name, codec.dumps(item)) for item in excerpts]
        if rows:
            with self._transaction() as connection:
                connection.execute(EXCERPTS)
                connection.executemany("INSERT OR REPLACE INTO excerpts VALUES (?, ?, ?)", rows)

    def excerpts(self) -> tuple[Excerpt, ...]:
        """The YAML that was kept; nothing in a store of before there was any."""
        if not self._has("excerpts"):
            return ()
        rows = self._read("SELECT axis, name, excerpt FROM excerpts ORDER BY rowid")
        return tuple(self._excerpt(*row) for row in rows)

    def _excerpt(self, axis: object, name: object, text: object) -> Excerpt:
        found = self._decoded(Excerpt, text)
        with self._agreeing():
            if (found.axis, found.name) != (axis, name):
                msg = f"the row of {axis} {name!r:.80} has the excerpt of {found.axis} {found.name!r:.80}"
                raise Disagreement(msg)
        return found

    def keep_unselected(self, case_ids: Iterable[str]) -> None:
        """Keep the ids of declared cases that the run does not select; those that were kept before are replaced."""
        packed = zlib.compress(codec.dumps(_CaseIds(items=tuple(case_ids))).encode())
        with self._transaction() as connection:
            connection.execute(UNSELECTED)
            connection.execute("DELETE FROM unselected")
            connection.execute("INSERT INTO unselected VALUES (?)", (packed,))

    def unselected(self) -> tuple[str, ...] | None:
        """The ids of declared cases that the run did not select; None in a store that does not say."""
        rows = self._rows_of("unselected", "SELECT case_ids FROM unselected LIMIT 2")
        if not rows:
            return None
        with self._agreeing():
            text = listing_of(rows[0][0])
        return self._decoded(_CaseIds, text).items

    def keep_since(self, since: Since | None) -> None:
        """Keep what changed since the baseline, or that there is none; what was kept before is replaced."""
        with self._transaction() as connection:
            connection.execute(SINCE)
            connection.execute("DELETE FROM since")
            connection.execute("INSERT INTO since VALUES (?)", (None if since is None else codec.dumps(since),))

    def since(self) -> Since | None:
        """What changed since the baseline that the run was compared with; None where there was none."""
        rows = self._rows_of("since", "SELECT since FROM since LIMIT 2")
        return None if not rows or rows[0][0] is None else self._decoded(Since, rows[0][0])

    def _rows_of(self, table: str, statement: str) -> list[tuple[object, ...]]:
        """What a table has that a store may lack, and that has one row at most."""
        rows = self._read(statement) if self._has(table) else []
        if len(rows) > 1:
            raise damaged(self.path, f"its table {table} has several rows")
        return rows

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
        """The run, as last kept. Raises StoreError where the store holds none, or not its cases."""
        rows = self._read("SELECT id, started, finished, run FROM run LIMIT 2")
        if len(rows) != 1:
            raise damaged(self.path, "it names no run" if not rows else "it names several runs")
        ((run_id, started, finished, text),) = rows
        found = self._decoded(Run, text)
        with self._agreeing():
            if (found.id, found.started, found.finished) != (run_id, started, flag_of(finished, "finished")):
                msg = f"the row of run {run_id!r:.80} is that of another run than {found.id!r:.80}"
                raise Disagreement(msg)
            demand_possible(found)
            demand_sums(self._connection, found)
        return found

    def records(self) -> tuple[Record, ...]:
        """The records of all finished cases, in planned order. Raises StoreError for a damaged one."""
        statement = (
            "SELECT record, case_id, suite, verdict, unexpected, seconds FROM cases"
            " WHERE state = 'finished' ORDER BY ordinal, rowid"
        )
        return tuple(self._record(*row) for row in self._read(statement))

    def undiagnosed(self) -> tuple[Record, ...]:
        """The same without diagnoses and graphs, which are half of what there is to read."""
        statement = (
            "SELECT json_remove(record, '$.diagnosis', '$.graphs'), case_id, suite, verdict, unexpected, seconds"
            " FROM cases"
            " WHERE state = 'finished' ORDER BY ordinal, rowid"
        )
        return tuple(self._record(*row) for row in self._read(statement))

    def visits(self, case_ids: Iterable[str], pipelines: Sequence[str]) -> dict[str, Visit]:
        """What became of some cases, with the SQNR of some pipelines; the rest of their records is not read."""
        names = [name for name in pipelines if '"' not in name]
        # One call, because each reads the whole text of a record.
        paths = ("$.reused_from", "$.seed", *(f'$.pipelines."{name}".sqnr_db' for name in names))
        statement = (
            f"SELECT case_id, verdict, unexpected, seconds, json_extract(record{', ?' * len(paths)})"  # noqa: S608
            " FROM cases WHERE state = 'finished' AND case_id IN (SELECT value FROM json_each(?))"
        )
        rows = self._read(statement, *paths, json.dumps(list(case_ids)))
        return dict(self._visit(names, *row) for row in rows)

    def _visit(self, names: Sequence[str], case_id: object, *columns: object) -> tuple[str, Visit]:
        verdict, unexpected, seconds, figures = columns
        with self._agreeing():
            reused_from, _, *sqnr = json.loads(text_of(figures, "record"))
            found = codec.from_jsonable(_Figures, {"reused_from": reused_from, "sqnr_db": dict(zip(names, sqnr))})
            return text_of(case_id, "case_id"), Visit(
                verdict=verdict_of(verdict),
                unexpected=flag_of(unexpected, "unexpected"),
                seconds=seconds_of(seconds),
                reused=found.reused_from is not None,
                sqnr_db=found.sqnr_db,
            )

    def _record(self, text: object, case_id: object, *columns: object) -> Record:
        record = self._decoded(Record, text)
        with self._agreeing():
            demand_like_columns(record, case_id, columns)
        return record

    def stops(self) -> dict[str, Stop]:
        """What became of each finished case, by its id, in planned order; records are not read for it."""
        statement = "SELECT case_id, verdict, unexpected FROM cases WHERE state = 'finished' ORDER BY ordinal, rowid"
        with self._agreeing():
            return {
                text_of(case_id, "case_id"): Stop(
                    verdict=verdict_of(verdict), unexpected=flag_of(unexpected, "unexpected")
                )
                for case_id, verdict, unexpected in self._read(statement)
            }

    def seconds(self) -> dict[str, float]:
        """How long each finished case took, by its id."""
        rows = self._read("SELECT case_id, seconds FROM cases WHERE state = 'finished'")
        with self._agreeing():
            return {text_of(case_id, "case_id"): seconds_of(seconds) for case_id, seconds in rows}

    def ledger(self) -> Ledger:
        """The tolerances of all finished comparisons and how much of each is used."""
        rows = self._read("SELECT case_id, json_extract(record, '$.comparisons') FROM cases WHERE state = 'finished'")
        lines = {}
        for case_id, text in rows:
            for item in self._decoded(_Comparisons, f'{{"items":{text}}}').items:
                line = Line(rtol=item.rtol, atol=item.atol, used=item.tolerance_used)
                lines[f"{case_id} after {item.at}"] = line
        return Ledger(run_id=self.run().id, lines=lines)

    def ordinals(self) -> dict[str, int]:
        """The place of every planned case, by its id, in planned order."""
        rows = self._read("SELECT case_id, ordinal FROM cases ORDER BY ordinal, rowid")
        with self._agreeing():
            return {text_of(case_id, "case_id"): ordinal_of(ordinal) for case_id, ordinal in rows}

    def unfinished(self) -> tuple[str, ...]:
        """The ids of the cases without a verdict, planned or started, in planned order."""
        return self._ids("SELECT case_id FROM cases WHERE state <> 'finished' ORDER BY ordinal, rowid")

    def started(self) -> tuple[str, ...]:
        """The ids of the cases that were started and never finished, in planned order."""
        return self._ids("SELECT case_id FROM cases WHERE state = 'started' ORDER BY ordinal, rowid")

    def _ids(self, statement: str) -> tuple[str, ...]:
        with self._agreeing():
            return tuple(text_of(case_id, "case_id") for (case_id,) in self._read(statement))

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

    def _read(self, statement: str, *values: str) -> list[tuple[object, ...]]:
        with self._agreeing():
            return self._connection.execute(statement, values).fetchall()

    def _decoded(self, kind: type[codec.T], text: object) -> codec.T:
        with self._agreeing():
            return codec.loads(kind, text_of(text, kind.__name__))

    @contextlib.contextmanager
    def _agreeing(self) -> Iterator[None]:
        """Turn what SQLite, the codec or a check has to say about the file into a StoreError."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError, codec.CodecError, Disagreement) as error:
            raise damaged(self.path, str(error)) from error


@dataclass(frozen=True, kw_only=True)
class _Comparisons:
    """The comparisons of one record."""

    items: tuple[Comparison, ...]


@dataclass(frozen=True, kw_only=True)
class _CaseIds:
    """The ids of cases."""

    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """What a visit has of a record."""

    reused_from: str | None
    sqnr_db: Mapping[str, float | None]


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a sentence that says what to check."""
    try:
        yield
    except (sqlite3.Error, UnicodeEncodeError) as error:
        msg = f"{path} cannot be written ({error}); check that the disk has room and the folder is writable"
        raise OutputError(msg) from error
