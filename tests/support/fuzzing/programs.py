"""A mutant is a small matrix and a few mutations: a program that hypothesis shrinks by leaving mutations out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from hypothesis import strategies as st

from support.fuzzing import texts, trees
from support.fuzzing.bombs import FILES, QUANTIZER
from support.fuzzing.hostile import GLOBS, NAMES
from support.fuzzing.matrices import small_matrices

_PLACES: Final = st.integers(0, 2**16 - 1)
_MOST: Final = 4
# Files by their paths below the matrix, which need not be text.
Contents: TypeAlias = dict[bytes, bytes]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One change: of which kind, of which file, where in it, and with what. Numbers beyond the end begin anew."""

    kind: str
    file: int
    at: int
    other: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """A small matrix by its number, what is done to it, the name of its folder, and a glob for `list`."""

    matrix: int
    mutations: tuple[Mutation, ...]
    folder: bytes = b"matrix"
    glob: str | None = None

    def files(self) -> Contents:
        """The mutant."""
        contents: Contents = {name.encode(): text.encode() for name, text in small_matrices()[self.matrix].items()}
        for mutation in self.mutations:
            contents = mutated(contents, mutation)
        return contents

    def write(self, path: Path) -> None:
        """Write the mutant below a folder."""
        for name, content in self.files().items():
            target = os.path.join(os.fsencode(path), self.folder, name)  # noqa: PTH118 - a name that is no text
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            Path(os.fsdecode(target)).write_bytes(content)


def mutated(contents: Contents, mutation: Mutation) -> Contents:
    """The files with one change."""
    name = sorted(contents)[mutation.file % len(contents)]
    if mutation.kind in _OF_FILES:
        return _OF_FILES[mutation.kind](contents, name, mutation.other)
    return {**contents, name: _changed(contents[name], mutation)}


def _changed(content: bytes, mutation: Mutation) -> bytes:
    kind, at, other = mutation.kind, mutation.at, mutation.other
    if kind in texts.BYTE_CHANGES:
        return texts.changed_bytes(content, kind, at, other)
    text = content.decode("utf-8", "surrogateescape")
    change = trees.changed_tree if kind in trees.CHANGES else texts.changed_text
    return change(text, kind, at, other).encode("utf-8", "surrogateescape")


def rename_file(contents: Contents, name: bytes, other: int) -> Contents:
    """One file gets a name that a stranger could give it."""
    return _renamed(contents, name, os.path.join(os.path.dirname(name), NAMES[other % len(NAMES)]))  # noqa: PTH118, PTH120


def move_file(contents: Contents, name: bytes, other: int) -> Contents:
    """One file goes into a folder with such a name."""
    return _renamed(contents, name, os.path.join(NAMES[other % len(NAMES)], name))  # noqa: PTH118


def _renamed(contents: Contents, name: bytes, new: bytes) -> Contents:
    taken = any(other == new or other.startswith(new + b"/") for other in contents)
    return contents if taken else {new if old == name else old: content for old, content in contents.items()}


def join_files(contents: Contents, name: bytes, other: int) -> Contents:
    """One file has another one's text behind its own, as the same document or as a second one."""
    more = contents[sorted(contents)[other % len(contents)]]
    return {**contents, name: contents[name] + (b"", b"---\n")[other % 2] + more}


def copy_file(contents: Contents, name: bytes, other: int) -> Contents:
    """One file is there twice, under two names."""
    new = b"copy/" + NAMES[other % len(NAMES)]
    return {**contents, new: contents[name]}


def add_file(contents: Contents, name: bytes, other: int) -> Contents:
    """One file more, which is large where it hurts."""
    quantizer = re.search(rb"(?m)^quantizers:\n(?:  #.*\n)*  (\w+):", b"\n".join(contents.values()))
    text = FILES[other % len(FILES)].replace(QUANTIZER, quantizer[1].decode() if quantizer else name.decode("latin-1"))
    return {**contents, b"bomb.yaml": text.encode()}


_OF_FILES: Final[Mapping[str, Callable[[Contents, bytes, int], Contents]]] = {
    change.__name__: change for change in (rename_file, move_file, join_files, copy_file, add_file)
}
KINDS: Final = (*trees.CHANGES, *texts.TEXT_CHANGES, *texts.BYTE_CHANGES, *_OF_FILES)

_MUTATIONS: Final = st.builds(Mutation, kind=st.sampled_from(KINDS), file=st.integers(0, 31), at=_PLACES, other=_PLACES)


def _now_and_then(usual: object, others: tuple[object, ...]) -> st.SearchStrategy[object]:
    """The usual value, and one of the others once in sixteen times."""
    return st.integers(0, 15).flatmap(lambda number: st.just(usual) if number < 15 else st.sampled_from(others))


def programs() -> st.SearchStrategy[Program]:
    """Programs over all small matrices."""
    return st.builds(
        Program,
        matrix=st.integers(0, len(small_matrices()) - 1),
        mutations=st.lists(_MUTATIONS, min_size=1, max_size=_MOST).map(tuple),
        folder=_now_and_then(b"matrix", NAMES),
        glob=_now_and_then(None, GLOBS),
    )
