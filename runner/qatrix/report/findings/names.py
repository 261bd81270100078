"""What scripts are called as files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Leaves room for a number, an ending, and what a file is called while it is written.
_LONGEST: Final = 100


def file_names(titles: Iterable[str]) -> tuple[str, ...]:
    """Names without an ending that every file system takes, each once; one that is taken is numbered from 2."""
    return _unique(map(_file_name, titles))


def _file_name(title: str) -> str:
    plain = re.sub(r"[^a-z0-9_-]+", "", title.lower().replace(" ", "-"))
    return plain[:_LONGEST].strip("-_") or "finding"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    taken: dict[str, None] = {}
    for name in names:
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}-{number}", number + 1
        taken[unique] = None
    return tuple(taken)
