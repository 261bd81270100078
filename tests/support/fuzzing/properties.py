"""What holds of every command, whatever it was given: how it ends, what it takes, and what it prints.

A place is a file, a line and a column that are there; a printed line is one of those that the
command line prints, so that nothing of what it read can pass for one.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from support.fuzzing.confinement import CPU_SECONDS, ESCAPED, Ended

# Characters that a terminal or a log obeys instead of showing; a line may end, and be indented with a tab.
_OBEYED: Final = frozenset("\n\t")
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINE_BREAKS: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_COMMANDS: Final = ("::", "##[")
MOST_OUTPUT: Final = 8 * 2**20
# Of errors, whose texts are clipped; a case id may be as long as its values.
LONGEST_LINE: Final = 120_000

_PROBLEM: Final = re.compile(
    r"(?P<file>.+):(?P<line>\d+):(?P<column>\d+): (?P<severity>error|warning): (?P<message>.+)"
)
# What is said of the selection, of a matrix as a whole, and of the problems themselves.
_OF_NO_FILE: Final = re.compile("declares no case|no case fits|the glob|--case|fix these first")
# A character by its escape.
_SPELLED: Final = r"\\[^\s/\\]{1,11}"
_SUMMARY: Final = re.compile(r"(\d+ errors?)?(, )?(\d+ warnings?)?")
_COUNTS: Final = re.compile(r"\d+ of \d+ cases?(, \d+ points dropped: .+)?")
_CASE_ID: Final = re.compile(r"[A-Za-z0-9_]+/\S+")
_CHECKED: Final = re.compile(r".+: (no problems|\d+ warnings?), \d+ cases?")


def faults(ended: Ended, codes: Collection[int]) -> Iterator[str]:
    """What does not hold of a command that may end with these codes, whatever it was."""
    if ended.code == ESCAPED:
        yield "an exception escaped"
    elif ended.code < 0:
        yield f"it was stopped by signal {-ended.code} after {ended.seconds:.1f} s of processor time"
    elif ended.code not in codes:
        yield f"the exit code is {ended.code}"
    if ended.seconds > CPU_SECONDS:
        yield f"it took {ended.seconds:.1f} s of processor time"
    yield from _text_faults(ended)


def _text_faults(ended: Ended) -> Iterator[str]:
    for stream, content in (("output", ended.out), ("errors", ended.err)):
        if len(content) > MOST_OUTPUT:
            yield f"the {stream} have {len(content)} bytes"
        try:
            text = content.decode()
        except UnicodeDecodeError:
            yield f"the {stream} are not UTF-8"
            continue
        if stream == "errors" and (longest := max(map(len, text.split("\n")))) > LONGEST_LINE:
            yield f"a line of the errors has {longest} characters"
        if stream == "errors" and "Traceback (most recent call last)" in text:
            yield "a traceback is printed"
        if "bug in qatrix" in text:
            yield "it calls itself a bug"
        if obeyed := sorted({character for character in text if is_obeyed(character)}):
            yield f"the {stream} hold {', '.join(map(ascii, obeyed))}"
        if any(line.startswith(_COMMANDS) for line in _LINE_BREAKS.split(text)):
            yield f"a line of the {stream} is a command of a CI service"


def is_obeyed(character: str) -> bool:
    """Whether a terminal, a log or a reader's eye is led by the character instead of seeing it."""
    if character in _OBEYED:
        return False
    return character in _BIDI or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def check_faults(ended: Ended, files: Mapping[bytes, bytes]) -> Iterator[str]:
    """What does not hold of `qatrix check`, given all files that are there by their paths as they are shown."""
    yield from faults(ended, (0, 2))
    if not _is_readable(ended):
        return
    yield from _report_faults(ended, files)
    if ended.code == 0 and not _CHECKED.fullmatch(ended.out.decode().rstrip("\n")):
        yield f"the result is {ended.out[:200]!r}"
    if ended.code == 2 and ended.out:
        yield "there is a result though there is an error"


def list_faults(ended: Ended, files: Mapping[bytes, bytes]) -> Iterator[str]:
    """What does not hold of `qatrix list`."""
    yield from faults(ended, (0, 2))
    if not _is_readable(ended):
        return
    yield from _report_faults(ended, files)
    odd = [line for line in ended.out.decode().splitlines() if not _CASE_ID.fullmatch(line)]
    if odd:
        yield f"{odd[0][:200]!r} is no case id"


def _is_readable(ended: Ended) -> bool:
    """Whether there is a report to look at, and not a process that was stopped, or bytes."""
    try:
        ended.out.decode()
        ended.err.decode()
    except UnicodeDecodeError:
        return False
    return ended.code in {0, 2}


def _report_faults(ended: Ended, files: Mapping[bytes, bytes]) -> Iterator[str]:
    """What does not hold of standard error: problems with their places, details below them, a summary."""
    errors, there = 0, _Places(files)
    for line in ended.err.decode().split("\n"):
        problem = _PROBLEM.fullmatch(line)
        if problem:
            errors += problem["severity"] == "error"
            yield from there.faults(problem["file"], int(problem["line"]), int(problem["column"]))
        elif line.startswith("error: "):
            errors += 1
            if not _OF_NO_FILE.search(line):
                yield f"it has no place: {line[:200]!r}"
        elif not line.startswith("    ") and not _SUMMARY.fullmatch(line) and not _COUNTS.fullmatch(line):
            yield f"{line[:200]!r} is none of the lines that are printed"
    if (ended.code == 2) != (errors > 0):
        yield f"the exit code is {ended.code} with {errors} errors"


class _Places:
    """The lines of all files, by the names that they are shown with."""

    def __init__(self, files: Mapping[bytes, bytes]) -> None:
        self._files = files
        # A file with ten thousand problems is split once.
        self._known: dict[str, list[str] | None] = {}

    def faults(self, shown: str, line: int, column: int) -> Iterator[str]:
        """Why there is no such place."""
        place = f"{shown}:{line}:{column}"[-200:]
        lines = self._lines(shown)
        if lines is None:
            yield f"{place!r} is in no file that is there"
        elif not 1 <= line <= len(lines):
            yield f"{place!r} is a line that is not there: the file has {len(lines)}"
        elif not 1 <= column <= len(lines[line - 1]) + 1:
            yield f"{place!r} is a column that is not there: the line has {len(lines[line - 1])} characters"

    def _lines(self, shown: str) -> list[str] | None:
        """The lines of a file, None where there is no such file."""
        if shown not in self._known:
            content = next((content for name, content in self._files.items() if is_shown_as(name, shown)), None)
            text = None if content is None else content.decode("utf-8-sig", "replace")
            self._known[shown] = None if text is None else _LINE_BREAKS.split(text)
        return self._known[shown]


def is_shown_as(name: bytes, shown: str) -> bool:
    """Whether a file's name, which may hold anything, can be what is shown: what is obeyed is spelled out."""
    return re.fullmatch("".join(map(_as_shown, os.fsdecode(name))), shown) is not None


def _as_shown(character: str) -> str:
    """A pattern for the ways to show a character of a name."""
    if not character.isprintable():
        return _SPELLED
    # Commands begin with these.
    return f"(?:{re.escape(character)}|{_SPELLED})" if character in "#:" else re.escape(character)
