"""SQLite files from elsewhere, opened so that reading them runs, writes and waits for nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from qatrix.errors import StoreError
from qatrix.files import NotPlain, demand_plain, open_plain
from qatrix.report.storeschema import APPLICATION_ID, SCHEMA_VERSION, schema_fault

# A case takes about 10 kB, and a report holds all of them: a store far beyond a million cases is none.
LARGEST: Final = 8 * 2**30
# One value: a record with both graphs of a large model has a few MB.
LONGEST: Final = 64 * 2**20
_HEADER: Final = b"SQLite format 3\0"
_MADE_BY: Final = "name a run.sqlite that `qatrix run` wrote"


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that can only read. Raises StoreError."""
    _demand_sqlite(path)
    _demand_settled(path)
    # Where no writer has left anything beside it, the file is read as it lies, which leaves nothing there
    # and also works in a folder that cannot be written.
    alone = not _beside(path, "-wal").exists()
    return _checked(path, "mode=ro&immutable=1" if alone else "mode=ro")


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection to a store that exists. Raises StoreError."""
    _demand_sqlite(path)
    return _checked(path, "mode=rw")


def harden(connection: sqlite3.Connection) -> None:
    """Make the connection trust nothing of what the file itself says."""
    # Functions with effects stay out of views, triggers, indexes and defaults.
    connection.execute("PRAGMA trusted_schema = OFF")
    # Cells are checked as pages are read, so that a damaged one is an error and no other value.
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)


def damaged(path: Path, detail: str) -> StoreError:
    """The error about a store that does not hold what it should."""
    return StoreError(f"{path} is damaged or cut short ({detail}); run again, or restore the file from a copy")


def _checked(path: Path, how: str) -> sqlite3.Connection:
    connection = None
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, isolation_level=None)
        harden(connection)
        _demand_version(path, connection)
        # Before anything is read that a strange schema could compute.
        fault = schema_fault(connection)
        if fault is None:
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            fault = None if state == "ok" else str(state)
        if fault is not None:
            raise damaged(path, fault)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a text of the schema itself may be no UTF-8
        if connection is not None:
            connection.close()
        raise damaged(path, str(error)) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection


def _demand_sqlite(path: Path) -> None:
    """Raise StoreError unless the file, and what SQLite would open beside it, can be opened."""
    try:
        with open_plain(path, largest=LARGEST) as file:
            header = file.read(len(_HEADER))
        others = [_beside(path, ending) for ending in ("-wal", "-shm", "-journal")]
    except FileNotFoundError as error:
        msg = f"there is no run store at {path}; name a folder that `qatrix run` wrote"
        raise StoreError(msg) from error
    except NotPlain as error:
        raise _unfit(path, error) from error
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise StoreError(msg) from error
    if header != _HEADER:
        msg = f"{path} is not a run store: it is not an SQLite file; {_MADE_BY}"
        raise StoreError(msg)
    for other in others:
        _demand_plain_beside(other)


def _demand_plain_beside(path: Path) -> None:
    try:
        demand_plain(path, largest=LARGEST)
    except NotPlain as error:
        raise _unfit(path, error) from error
    except OSError:
        # It is not there, which is how a store lies when nobody writes it.
        return


def _unfit(path: Path, reason: NotPlain) -> StoreError:
    return StoreError(f"{path} cannot be read: it {reason}; {_MADE_BY}")


def _demand_settled(path: Path) -> None:
    """Raise StoreError where SQLite would first roll back a write, by a journal that can name files to be removed."""
    journal = _beside(path, "-journal")
    if journal.exists() and journal.stat().st_size > 0:
        msg = (
            f"the writer of {path} was stopped while it wrote, and {journal.name} beside it would undo that; "
            "go on with that run by qatrix run --resume, or restore the file from a copy"
        )
        raise StoreError(msg)


def _beside(path: Path, ending: str) -> Path:
    """A file of SQLite's: it opens the file that a link leads to, and looks for the others beside that."""
    return Path(f"{path.resolve()}{ending}")


def _demand_version(path: Path, connection: sqlite3.Connection) -> None:
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
