"""The scripts of a run as files: which cases have one, what it is called, and writing them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from qatrix.outcomes import UNREMARKABLE, Environment, Record
from qatrix.report.again import RUN
from qatrix.report.files import make_own_folder, own_files, remove_files, write_file
from qatrix.report.repro.issue import issue_md
from qatrix.text import one_line

FOLDER: Final = "repro"
_READABLE: Final = 80
# What a script or a bug report of an earlier writing is known by: its name, and the header of the script in it.
_NAMED: Final = re.compile(r"(?:[A-Za-z0-9_.=-]{1,80})?-[0-9a-f]{8}\.(?:py|md)")
_MARKED: Final = re.compile(rb"^# command   qatrix repro '", re.MULTILINE)


def wants_script(record: Record) -> bool:
    """Whether a run keeps a script of the case: it fails or differs, expected or not."""
    if record.error is not None and (record.error.is_of_data or record.error.is_of_parts or record.error.is_of_ops):
        # The message says it all: a script would read the same file, or its model would run.
        return False
    return record.unexpected or record.verdict not in UNREMARKABLE


def script_name(case_id: str) -> str:
    """A file's name for a case, without its ending, that every file system takes: readable, and one of its own."""
    readable = re.sub(r"[^A-Za-z0-9_.=-]+", "-", case_id)[:_READABLE].strip("-.")
    return f"{readable}-{hashlib.sha256(case_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write_scripts(
    folder: Path,
    scripts: Mapping[str, str],
    *,
    records: Mapping[str, Record],
    environment: Environment,
    command: Sequence[str] = RUN,
) -> dict[str, str]:
    """Write each script, and the bug report beside it; those of an earlier writing go.

    No other file is removed, and no link followed. Raises OutputError.
    What comes back is why cases have no bug report, by their ids.
    """
    stale = own_files(folder, named=_NAMED, marked=_MARKED)
    notes = {}
    for case_id, text in scripts.items():
        make_own_folder(folder)
        contents = {".py": text}
        try:
            contents[".md"] = issue_md(text, record=records[case_id], environment=environment, command=command)
        except Exception as error:  # noqa: BLE001 - one case must not cost the others their files
            notes[case_id] = f"no bug report: {one_line(f'{type(error).__name__}: {error}')}"
        for suffix, content in contents.items():
            path = folder / f"{script_name(case_id)}{suffix}"
            write_file(path, content)
            stale.discard(path)
    remove_files(stale)
    return notes
