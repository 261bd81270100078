"""The newest run of a folder: `latest`, which points at it, and what to think of one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from qatrix.errors import OutputError, StoreError, UsageError
from qatrix.files import NotPlain, open_plain

STORE: Final = "run.sqlite"
LATEST: Final = "latest"
# Where links cannot be made, this file has the name of the run's folder.
_NAMED: Final = f"{LATEST}.txt"
_NAMED_BYTES: Final = 1024


def run_store(run: Path) -> Path:
    """The store of a run that is named by its folder, by `latest`, or by the store itself.

    Says so where `latest` is a folder of its own, which may be older than the newest run. Raises
    StoreError where it points nowhere.
    """
    folder = run.parent if run.name == STORE else run
    if folder.name == LATEST:
        if is_no_link(folder):
            _tell(f"note: {doubt(folder)}")
        return _pointed_at(folder) / STORE
    return run / STORE if run.is_dir() else run


def newest_run(out: Path) -> Path:
    """The folder of the newest run. Raises UsageError where that cannot be told, StoreError where there is none."""
    latest = out / LATEST
    if is_no_link(latest):
        kept = _newest_beside(latest) or "RUN"
        msg = (
            f"{doubt(latest)}\n"
            f"move it away, and name the run to continue: mv {latest} {out / 'copy'} && ln -s {kept} {latest}"
        )
        raise UsageError(msg)
    folder = _pointed_at(latest)
    if not folder.is_dir():
        msg = f"there is no run store at {folder / STORE}; name a folder that `qatrix run` wrote"
        raise StoreError(msg)
    # The run's own name: that of the link may be another run's before this one ends.
    return folder.parent / folder.readlink() if folder.is_symlink() else folder


def is_no_link(latest: Path) -> bool:
    """Whether something of its own has the place of the link: a copy made with `cp -rL`, an artifact of CI."""
    return latest.exists() and not latest.is_symlink()


def doubt(latest: Path) -> str:
    """Why a `latest` that is no link is not to be relied on."""
    beside = _newest_beside(latest)
    newest = f"; the newest run beside it is {latest.parent / beside}" if beside else ""
    kind = "a folder" if latest.is_dir() else "a file"
    return f"{latest} is {kind}, not the link that qatrix makes, so it may not be the newest run{newest}"


def point_latest(run_folder: Path) -> None:
    """Make `latest` beside the run point at it: a link, or where links cannot be made a file that names it.

    Something of its own in that place may be someone's only copy: it gets another name, and that is told.
    """
    latest, fresh = (run_folder.with_name(name) for name in (LATEST, f".{LATEST}-{run_folder.name}"))
    _make_way(latest)
    try:
        # What a process left there that was killed between the two.
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(run_folder.name, target_is_directory=True)
        fresh.replace(latest)
        latest.with_name(_NAMED).unlink(missing_ok=True)
    except OSError:
        fresh.unlink(missing_ok=True)
        fresh.write_text(f"{run_folder.name}\n", encoding="utf-8")
        fresh.replace(latest.with_name(_NAMED))


def _make_way(latest: Path) -> None:
    if not is_no_link(latest):
        return
    told = doubt(latest)
    free = (latest.with_name(f"{LATEST}-kept-{number}") for number in range(1, 1000))
    kept = next(path for path in free if not path.exists())
    try:
        latest.rename(kept)
    except OSError as error:
        msg = f"{told}\nit cannot be renamed: {error.strerror}; move it, or name another folder with --out"
        raise OutputError(msg) from error
    _tell(f"note: {told}\nit is now {kept}")


def _pointed_at(latest: Path) -> Path:
    """The run's folder; where nothing points at one, `latest` itself, which is missing then."""
    named = latest.with_name(_NAMED)
    if latest.is_symlink() and not latest.exists():
        msg = f"{latest} points at {latest.readlink()}, which does not exist; name the folder of another run"
        raise StoreError(msg)
    if latest.is_file():
        raise StoreError(doubt(latest))
    if latest.exists() or not (named.is_symlink() or named.exists()):
        return latest
    name = _name_in(named)
    run = latest.parent / name
    if name in {"", ".", ".."} or Path(name).name != name or not _is_folder(run):
        msg = f"{named} names {name!r}, which is not a folder beside it; name the folder of another run"
        raise StoreError(msg)
    return run


def _is_folder(path: Path) -> bool:
    """Whether it is one of its own; no path is, where its name is none that the system takes."""
    try:
        return path.is_dir() and not path.is_symlink()
    except (OSError, ValueError):
        return False


def _name_in(named: Path) -> str:
    """What the file says that stands in for the link. Raises StoreError where it is none that qatrix wrote."""
    if named.is_symlink():
        msg = f"{named} cannot be read: it is a link, and only a regular file is opened; name the folder of another run"
        raise StoreError(msg)
    try:
        with open_plain(named, largest=_NAMED_BYTES) as file:
            return file.read(_NAMED_BYTES).decode("utf-8", "replace").strip()
    except NotPlain as error:
        msg = f"{named} cannot be read: it {error}; name the folder of another run"
        raise StoreError(msg) from error
    except OSError as error:
        msg = f"{named} cannot be read: {error.strerror}; name the folder of another run"
        raise StoreError(msg) from error


def _newest_beside(latest: Path) -> str | None:
    """The name of the newest run in the same folder: they begin with the time."""
    return max((store.parent.name for store in latest.parent.glob(f"20*/{STORE}")), default=None)


def _tell(text: str) -> None:
    """On standard error, under --quiet too: what is shown may be another run than the one that is meant."""
    from qatrix.console import Console

    for line in text.splitlines():
        Console().note(line, style="yellow")
