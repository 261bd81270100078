"""The folder of a run: made, locked while it is written, and rid of what its workers leave in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qatrix.errors import FolderInUse, OutputError
from qatrix.execute.scratch import temporary_files_in
from qatrix.locks import locked

if TYPE_CHECKING:
    from qatrix.console import Console

# Temporary files of a run's processes; whatever ends them, the next run there finds and removes it.
SCRATCH: Final = ".workers"


@contextmanager
def new_folder(out: Path, started: datetime, console: Console) -> Iterator[Path]:
    """A folder for a new run that nothing else has, locked; gone at the end, and those above it, where it stayed empty.

    It is made before anything runs, so that a full disk costs no work. Raises OutputError.
    """
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    folder = _made(out, f"{started:%Y%m%d-%H%M%S}")
    try:
        with writing(folder, started, console):
            yield folder
    finally:
        for made in (folder, *missing):
            with suppress(OSError):
                made.rmdir()


@contextmanager
def writing(folder: Path, now: datetime, console: Console) -> Iterator[None]:
    """Within it, no other process writes to the folder of a run. Raises FolderInUse where one does already."""
    with locked(folder, since=now) as hindrance:
        if hindrance is not None:
            console.note(f"note: {folder} is not locked ({hindrance}): let no other run write to it", style="yellow")
        yield


@contextmanager
def scratch(folder: Path, now: datetime) -> Iterator[None]:
    """Within it, temporary files go to the folder of this run, which this process writes; they are gone at the end.

    Those of earlier runs beside it that were killed are removed. Raises OutputError.
    """
    _sweep(folder.parent, now, but=folder)
    own = folder.resolve() / SCRATCH
    _make_anew(own)
    try:
        with temporary_files_in(own):
            yield
    finally:
        _remove(own)


@contextmanager
def conducted(folder: Path, now: datetime, console: Console) -> Iterator[Path]:
    """The folder of a run that goes on in it: locked, with a place for temporary files."""
    with writing(folder, now, console), scratch(folder, now):
        yield folder


@contextmanager
def newly_conducted(out: Path, started: datetime, console: Console) -> Iterator[Path]:
    """The same for a new run."""
    with ExitStack() as stack:
        folder = stack.enter_context(new_folder(out, started, console))
        stack.enter_context(scratch(folder, started))
        yield folder


def _sweep(out: Path, now: datetime, *, but: Path) -> None:
    """Remove what workers left of runs that were killed: those whose folder no process has locked."""
    for left in out.glob(f"*/{SCRATCH}"):
        folder = left.parent
        if folder.is_symlink() or folder.name == but.name:
            continue
        # What lies beside a run, and whose, is no reason for it to fail.
        with suppress(FolderInUse, OSError), locked(folder, since=now) as hindrance:
            if hindrance is None:
                _remove(left)
        # A run that was killed before it had a store left nothing else.
        with suppress(OSError):
            folder.rmdir()


def _make_anew(folder: Path) -> None:
    """Make an empty folder for this user alone: a link goes, and what it names stays. Raises OutputError."""
    try:
        if folder.is_symlink():
            folder.unlink()
        _remove(folder)
        folder.mkdir(mode=0o700)
    except OSError as error:
        msg = f"{folder} cannot be created again for temporary files: {error.strerror}; remove it"
        raise OutputError(msg) from error


def _remove(folder: Path) -> None:
    """Remove as much as can be of what is a folder; rmtree would wait for whoever writes into a pipe."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)


def _made(out: Path, name: str) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            made = out / (name if number == 1 else f"{name}-{number}")
            try:
                made.mkdir()
            except FileExistsError:
                continue
            return made
    except OSError as error:
        msg = f"cannot write to {out}: {error.strerror or error}; name another folder with --out"
        raise OutputError(msg) from error
    msg = f"{out} already holds a thousand runs that started in this second; name another folder with --out"
    raise OutputError(msg)
