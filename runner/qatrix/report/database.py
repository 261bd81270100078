"""An SQLite file that is read and written with sentences for what goes wrong."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from qatrix import codec
from qatrix.errors import OutputError
from qatrix.report.agreement import Disagreement, text_of
from qatrix.report.opening import damaged


class Database:
    """An SQLite file, open. Use it as a context manager, in one thread and one process."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with writing(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield self._connection

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

    def _rows_of(self, table: str, statement: str) -> list[tuple[object, ...]]:
        """What a table has that a store may lack, and that has one row at most."""
        rows = self._read(statement) if self._has(table) else []
        if len(rows) > 1:
            raise damaged(self.path, f"its table {table} has several rows")
        return rows

    def _has(self, table: str) -> bool:
        return any(name == table for (name,) in self._read("SELECT name FROM sqlite_master"))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a sentence that says what to check."""
    try:
        yield
    except (sqlite3.Error, UnicodeEncodeError) as error:
        msg = f"{path} cannot be written ({error}); check that the disk has room and the folder is writable"
        raise OutputError(msg) from error
