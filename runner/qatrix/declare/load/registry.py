"""All declarations of all files by section and name, and the problems found on the way."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from qatrix.declare.language import Text, nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.files import FoundFile
from qatrix.declare.schema import SECTIONS, Cursor, read
from qatrix.declare.schema.models import Declaration
from qatrix.declare.schema.values import NAME_PATTERN
from qatrix.declare.yamltext import ListNode, MappingNode, ScalarNode
from qatrix.errors import Problem
from qatrix.lowerings import REFERENCE

MOST_NOTED: Final = 200
_M = TypeVar("_M", bound=Declaration)
_NAME: Final = re.compile(NAME_PATTERN)
_WORDS: Final = {
    "patterns": "pattern",
    "conv_kinds": "conv kind",
    "devices": "device",
    "quantizers": "quantizer",
    "runtimes": "runtime",
    "tolerances": "tolerance",
    "checks": "check",
    "causes": "cause",
}
# What stands without being declared: plain convolution, the CPU, the converted program itself, torch's own tolerance
# for float32.
BUILT_IN: Final = {"conv_kinds": "conv", "devices": "cpu", "runtimes": REFERENCE, "tolerances": "float32"}


class Declared(NamedTuple):
    """A declaration's name and place; its model is read on demand."""

    name: str
    cursor: Cursor


class Registry:
    """The declarations by section and name; notes problems."""

    def __init__(self, files: Sequence[FoundFile]) -> None:
        self.problems: list[Problem] = []
        # Whether one of them is an error.
        self.failed = False
        self.expectations: list[Cursor] = []
        self._declared: dict[str, dict[str, Declared]] = {section: {} for section in SECTIONS}
        # A name may be declared in a part that cannot be read; nobody is blamed for using it then.
        self._complete = not any(file.document.broken for file in files)
        for file in files:
            if file.document.root is not None:
                self._add_file(Cursor(file.document.root))

    def note(self, *problems: Problem) -> None:
        """Note problems."""
        self.problems += problems
        self.failed = self.failed or any(problem.severity == "error" for problem in problems)

    @property
    def crowded(self) -> bool:
        """Whether so many problems are noted that no more are looked for: a file may have a hundred thousand."""
        return len(self.problems) >= MOST_NOTED

    def names(self, section: str) -> Collection[str]:
        """All names that a section declares, those of broken declarations and the built-in one included."""
        built_in = BUILT_IN.get(section)
        return {**self._declared[section], **({built_in: None} if built_in else {})}

    def declared(self, section: str) -> Iterator[Declared]:
        """The declarations of a section in the order of the files."""
        yield from self._declared[section].values()

    def has_all(self, section: str) -> bool:
        """Whether all declarations of a section are here: every file was read, and there are some."""
        return self._complete and bool(self._declared[section])

    def read(self, section: str, model: type[_M]) -> Iterator[tuple[Declared, _M]]:
        """The declarations of a section that are as the schema wants them; the others are noted."""
        for declared in self.declared(section):
            if self.crowded:
                return
            found, problems = read(model, declared.cursor)
            self.note(*problems)
            if found is not None:
                yield declared, found

    def knows(self, section: str, name: object, cursor: Cursor) -> bool:
        """Whether a section declares a name; a problem at the cursor where it does not."""
        known = self.names(section)
        if isinstance(name, str) and name in known:
            return True
        word = _WORDS[section]
        if not isinstance(name, str):
            self.note(
                cursor.problem(f"{cursor.found()} stands where the name of a {word} is due", expected=listed(known))
            )
        elif self._complete:
            hint, expected = None if self.crowded else nearest(name, known), listed(known)
            if hint is None and not self._declared[section]:
                hint = f"declare it under {section}:, or name the file that declares it as another PATH"
            if not known:
                expected = f"a {word} that these files declare, and they declare none"
            self.note(cursor.problem(f"unknown {word} '{name}'", expected=expected, hint=hint))
        return False

    def _add_file(self, top: Cursor) -> None:
        if not isinstance(top.node, MappingNode):
            expected = f"a mapping with any of {', '.join(SECTIONS)}"
            self.note(top.problem(f"the file holds {top.found()}", expected=expected))
            return
        for section, cursor in top.members():
            if section not in SECTIONS:
                key = top.key(section)
                hint = nearest(section, SECTIONS)
                message = f"unknown top-level key '{section}'"
                self.note(key.problem(message, expected=f"one of {', '.join(SECTIONS)}", hint=hint))
            elif section == "expected":
                self._add_expectations(cursor)
            else:
                self._add_section(section, cursor)

    def _add_expectations(self, cursor: Cursor) -> None:
        if isinstance(cursor.node, ListNode):
            self.expectations += cursor.each()
        elif not _is_empty(cursor):
            message = f"expected holds {cursor.found()}"
            self.note(cursor.problem(message, expected="a list: - {cases: …, verdict: …, because: …}"))

    def _add_section(self, section: str, top: Cursor) -> None:
        if not isinstance(top.node, MappingNode):
            if not _is_empty(top):
                self.note(
                    top.problem(f"{section} holds {top.found()}", expected="a mapping from names to declarations")
                )
            return
        for name, cursor in top.members():
            key = top.key(name)
            if not _NAME.fullmatch(name):
                expected = "a name: letters, digits and _, a letter first"
                self.note(key.problem(f"'{name}' is no name", expected=expected))
            elif name in self._declared[section]:
                first = self._declared[section][name].cursor
                place = f"{first.source.file}:{first.source.line}"
                word = _WORDS.get(section, section.removesuffix("s"))
                self.note(
                    key.problem(f"{word} '{name}' is declared twice, first at {place}", expected="each name once")
                )
            else:
                self._declared[section][name] = Declared(name, cursor)


def text_at(cursor: Cursor) -> Text:
    """A scalar as a text of the language."""
    node = cursor.node
    if not isinstance(node, ScalarNode):
        return Text(text="", source=cursor.source, at=cursor.at)
    # Block scalars end in a line break.
    return Text(text=node.text.rstrip("\n"), source=node.source, starts=node.content, at=cursor.at)


def unusable_name(name: str) -> bool:
    """Whether a name is a word of Python's syntax, which the language cannot read as a name."""
    return keyword.iskeyword(name)


def _is_empty(cursor: Cursor) -> bool:
    return isinstance(cursor.node, ScalarNode) and cursor.node.value is None
