"""What is kept of a mutant that broke a promise: its files and what happened, ready to be sent as a report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from support.fuzzing.confinement import Ended

# Ignored by git; a failure leaves its files here until the next one of the same name.
KEPT: Final = Path(__file__).parents[2] / "actual" / "fuzz"
_MOST_LINES: Final = 60
_LONGEST: Final = 500


def keep(name: str, write: Callable[[Path], None], program: object, report: str) -> Path:
    """Write a mutant's files and its report into a folder of its own, in place of what was there; the folder."""
    folder = KEPT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder)
    text = f"{report}\n\n## What was done to the files\n\n    {program!r}\n"
    (folder / "report.md").write_text(text, encoding="utf-8", errors="backslashreplace")
    return folder


def report(ended: Ended, found: Sequence[str], left_behind: Sequence[str]) -> str:
    """One command and what did not hold of it, as Markdown."""
    streams = {"standard output": ended.out, "standard error": ended.err}
    shown = {name: _shown(content.decode("utf-8", "backslashreplace")) for name, content in streams.items()}
    told = [f"## qatrix {' '.join(map(ascii, ended.argv))}", ""]
    told += [f"- {fault}" for fault in found]
    told += ["", f"Exit code {ended.code}, {ended.seconds:.2f} s of processor time, {ended.mebibytes:.0f} MiB."]
    told += [f"\n{name}:\n\n{text}" for name, text in shown.items()]
    told += [f"\nleft behind:\n\n{_shown(text)}" for text in left_behind]
    return "\n".join(told)


def _shown(text: str) -> str:
    """The text as code, of which nothing is obeyed, with the middle left out where it is long."""
    lines = [f"    {''.join(map(_seen, line))}" for line in text.split("\n")]
    cut = lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES // 2], "    …", *lines[-_MOST_LINES // 2 :]]
    return "\n".join(line[:_LONGEST] for line in cut)


def _seen(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
