"""YAML text becomes a tree of nodes that know their places, and a value YAML text; the only importer of yaml.

Nothing is constructed: the parser's events become scalars, lists and mappings, so no text
can name a type or run code. What YAML reads in a surprising way is a problem here, with the
spelling that works.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from qatrix.declare.files import MAX_BYTES, FileBytes, file_bytes, too_large
from qatrix.declare.yamltext.compose import compose
from qatrix.declare.yamltext.nodes import ListNode, MappingNode, Node, ScalarNode, data
from qatrix.declare.yamltext.writing import written
from qatrix.errors import Problem, Source

__all__ = [
    "Document",
    "ListNode",
    "MappingNode",
    "Node",
    "ScalarNode",
    "data",
    "of_bytes",
    "parse",
    "read",
    "written",
]

# What ends a line for YAML 1.1, in which places are counted.
_LINE_END: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")


class Document(NamedTuple):
    """One file: its tree (None where it cannot be read or is empty) and what is wrong with it."""

    root: Node | None
    problems: tuple[Problem, ...]

    @property
    def broken(self) -> bool:
        """Whether declarations may be missing from the tree, because the file could not be read."""
        return self.root is None and any(problem.severity == "error" for problem in self.problems)


def read(path: Path, *, shown: str) -> Document:
    """The tree of a file; `shown` is the file's name in places and messages. Never raises for bad input."""
    return of_bytes(file_bytes(path, shown=shown))


def of_bytes(file: FileBytes) -> Document:
    """The tree of a file that was found."""
    return parse(file.content, shown=file.shown) if file.refused is None else Document(None, (file.refused,))


def parse(content: bytes, *, shown: str) -> Document:
    """The tree of a file's bytes, which must be UTF-8."""
    start = Source(file=shown, line=1, column=1)
    if len(content) > MAX_BYTES:
        return of_bytes(too_large(shown, len(content)))
    if b"\0" in content:
        return _refused(start, "the file is binary: it holds zero bytes", "YAML, as UTF-8 text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = _LINE_END.split(content[: error.start].decode("utf-8-sig", errors="replace"))
        place = Source(file=shown, line=len(lines), column=len(lines[-1]) + 1)
        return _refused(place, f"byte 0x{content[error.start]:02x} is not UTF-8", "UTF-8 text; save the file as UTF-8")
    return Document(*compose(text, shown))


def _refused(source: Source, message: str, expected: str) -> Document:
    return Document(None, (Problem(source=source, message=message, expected=expected),))
