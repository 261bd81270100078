"""YAML text becomes a tree of nodes that know their places, and a value YAML text; the only importer of yaml.

Nothing is constructed: the parser's events become scalars, lists and mappings, so no text
can name a type or run code. What YAML reads in a surprising way is a problem here, with the
spelling that works.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from qatrix.declare.yamltext.compose import compose
from qatrix.declare.yamltext.nodes import ListNode, MappingNode, Node, ScalarNode, data
from qatrix.declare.yamltext.writing import written
from qatrix.errors import Problem, Source

__all__ = ["Document", "ListNode", "MappingNode", "Node", "ScalarNode", "data", "parse", "read", "written"]

# A declaration that a person can read is far smaller; the limit keeps checking fast.
MAX_BYTES = 2_000_000
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
    start = Source(file=shown, line=1, column=1)
    try:
        # Opening a pipe or a device may never end.
        if not path.is_file():
            return _refused(start, f"{shown} is {_kind(path)}", "a YAML file")
        with path.open("rb") as file:
            size = max(path.stat().st_size, len(content := file.read(MAX_BYTES + 1)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return _refused(start, f"{shown} cannot be read: {reason}", "a YAML file that this user may read")
    if size > MAX_BYTES:
        return _refused(start, f"the file has {size:,} bytes", f"at most {MAX_BYTES:,} bytes of YAML")
    return parse(content, shown=shown)


def parse(content: bytes, *, shown: str) -> Document:
    """The tree of a file's bytes, which must be UTF-8."""
    start = Source(file=shown, line=1, column=1)
    if len(content) > MAX_BYTES:
        return _refused(start, f"the file has {len(content):,} bytes", f"at most {MAX_BYTES:,} bytes of YAML")
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


def _kind(path: Path) -> str:
    """What is no file, in words."""
    if path.is_dir():
        return "a folder"
    if path.is_fifo():
        return "a named pipe"
    if path.is_socket():
        return "a socket"
    if path.is_char_device() or path.is_block_device():
        return "a device"
    if path.is_symlink():
        return "a broken link"
    return "not a file" if path.exists() else "not there"
