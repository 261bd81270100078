"""The trees of YAML files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from qatrix.declare.files import FileBytes
from qatrix.declare.yamltext import Document, of_bytes


class FoundFile(NamedTuple):
    """A file by the name that messages show, and what it holds."""

    shown: str
    document: Document


def parsed(files: Iterable[FileBytes]) -> tuple[FoundFile, ...]:
    """The files with their trees."""
    return tuple(FoundFile(file.shown, of_bytes(file)) for file in files)
