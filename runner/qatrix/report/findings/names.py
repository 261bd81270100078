"""What headings are called in links, and what scripts are called as files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Leaves room for a number, an ending, and what a file is called while it is written.
_LONGEST: Final = 100


def anchors(headings: Iterable[str]) -> tuple[str, ...]:
    """What GitHub makes of the headings of a page; one that is taken is numbered from 1."""
    return _unique(map(_anchor, headings), second=1)


def file_names(titles: Iterable[str]) -> tuple[str, ...]:
    """Names without an ending that every file system takes, each once; one that is taken is numbered from 2."""
    return _unique(map(_file_name, titles), second=2)


def _anchor(heading: str) -> str:
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _file_name(title: str) -> str:
    plain = re.sub(r"[^a-z0-9_-]+", "", _anchor(title))
    return plain[:_LONGEST].strip("-_") or "finding"


def _unique(names: Iterable[str], *, second: int) -> tuple[str, ...]:
    taken: dict[str, None] = {}
    for name in names:
        unique, number = name, second
        while unique in taken:
            unique, number = f"{name}-{number}", number + 1
        taken[unique] = None
    return tuple(taken)
