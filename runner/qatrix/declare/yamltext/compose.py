"""The parser's events become a tree; sizes are bounded, so that no file can fill the memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

import yaml

from qatrix.declare.yamltext.nodes import ListNode, MappingNode, Node, ScalarNode
from qatrix.declare.yamltext.scalars import resolve, trap
from qatrix.errors import Problem, Source

_FAST: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# No declaration nests deeper than about ten levels.
MAX_DEPTH: Final = 40
# Nodes of one file once its aliases are written out.
MAX_NODES: Final = 200_000

# The parser that explains better reads 100 kB in a second.
_MOST_READ_TWICE: Final = 100_000
# What the parsers count as the end of a line.
_LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

# Below members of this key numbers are keys; everywhere else they are a trap.
_NUMBERED: Final = "dynamic"
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,3})", re.ASCII)

_SYNTAX_HINTS: Final = (
    ("'\\t'", "indent with spaces, not with tabs"),
    ("mapping values are not allowed", "put the text in quotes where it holds ': ', and check the indentation"),
    ("cannot start any token", "put the text in quotes"),
    ("could not find expected ':'", "check the indentation, and that every key ends in ': '"),
    ("did not find expected", "check the indentation, commas, and that every bracket and quote is closed"),
    ("expected", "check the indentation, commas, and that every bracket and quote is closed"),
    ("undefined alias", "declare the anchor (&name) before its alias (*name)"),
    ("escape", "use single quotes, in which a backslash is a plain character"),
)


class _Refused(Exception):
    """The file as a whole is refused."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Anchored(NamedTuple):
    """A node with an anchor, how many nodes it has and how deep it is, written out; None while it is open."""

    node: Node | None
    size: int
    height: int


def compose(text: str, file: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """The tree of a YAML text, None where it has none, and the problems."""
    try:
        return _composed(text, file, _FAST)
    except yaml.reader.ReaderError as error:
        return None, (_character_problem(error, text, file),)
    except yaml.YAMLError as error:
        if len(text) > _MOST_READ_TWICE:
            return None, (_syntax_problem(error, file),)
    except _Refused as refused:
        return None, (refused.problem,)
    try:
        # The pure Python parser says more plainly what is wrong.
        return _composed(text, file, yaml.SafeLoader)
    except yaml.YAMLError as error:
        return None, (_syntax_problem(error, file),)
    except _Refused as refused:
        return None, (refused.problem,)


def _composed(text: str, file: str, loader: Any) -> tuple[Node | None, tuple[Problem, ...]]:
    composer = _Composer(file, yaml.parse(text, Loader=loader))
    return composer.document(), tuple(composer.problems)


def _character_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """The problem of the first character that YAML forbids; the parsers count bytes, or blocks, to it."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if found is None:
        return _syntax_problem(error, file)
    lines = _LINE_BREAK.split(text[: found.start()])
    number = ord(found.group())
    return Problem(
        source=Source(file=file, line=len(lines), column=len(lines[-1]) + 1),
        message=f"the character U+{number:04X} stands here, which YAML forbids",
        expected="characters that can be seen, spaces and line breaks",
        hint=f"remove it, or write it in double quotes as \\U{number:08X}",
    )


def _syntax_problem(error: yaml.YAMLError, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    opened = getattr(error, "context_mark", None)
    what = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    where = f" (in what begins at line {opened.line + 1})" if opened and mark and opened.line != mark.line else ""
    return Problem(
        source=Source(file=file, line=mark.line + 1 if mark else 1, column=mark.column + 1 if mark else 1),
        message=f"this is not valid YAML: {what}{where}",
        hint=next((hint for words, hint in _SYNTAX_HINTS if words in what), None),
    )


class _Composer:
    def __init__(self, file: str, events: Iterator[Any]) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._events = events
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = 0
        self._depth = 0
        self._peak = 0
        # The keys that lead to the node that is read.
        self._way: list[str] = []

    def document(self) -> Node | None:
        """The tree of the only document; a file without any is a warning."""
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            source = Source(file=self._file, line=1, column=1)
            self.problems.append(
                Problem(source=source, message="the file is empty: it declares nothing", severity="warning")
            )
            return None
        root = self._node(next(self._events))
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second document begins here", "one document in a file; remove the line '---'")
        return root

    def _node(self, event: Any) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event, f"the file has more than {MAX_NODES} nodes, with its aliases written out", None)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._problem(event, f"the tag '{tag}' is refused", "plain values: tags are not used here")
        if event.anchor is None:
            return self._unanchored(event)
        return self._anchor(event)

    def _unanchored(self, event: Any) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        self._depth += 1
        self._peak = max(self._peak, self._depth)
        if self._depth > MAX_DEPTH:
            self._refuse(event, f"lists and mappings are nested more than {MAX_DEPTH} levels deep", None)
        node = self._list(event) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(event)
        self._depth -= 1
        return node

    def _anchor(self, event: Any) -> Node:
        self._anchors[event.anchor] = _Anchored(None, 0, 0)
        before, peak = self._nodes, self._peak
        self._peak = self._depth
        node = self._unanchored(event)
        self._anchors[event.anchor] = _Anchored(node, self._nodes - before, self._peak - self._depth)
        self._peak = max(peak, self._peak)
        return node

    def _alias(self, event: Any) -> Node:
        found = self._anchors.get(event.anchor)
        if found is None:
            names = ", ".join(f"&{name}" for name in self._anchors) or "none"
            self._refuse(event, f"the alias *{event.anchor} has no anchor", f"an anchor that stands before it: {names}")
        if found.node is None:
            self._refuse(
                event, f"the alias *{event.anchor} stands inside its own anchor", "a value without end in itself"
            )
        self._nodes += found.size
        self._peak = max(self._peak, self._depth + found.height)
        if self._nodes > MAX_NODES:
            self._refuse(event, f"the aliases make more than {MAX_NODES} nodes", "fewer aliases of aliases")
        if self._peak > MAX_DEPTH:
            self._refuse(event, f"the aliases nest more than {MAX_DEPTH} levels deep", None)
        return found.node

    def _scalar(self, event: Any) -> ScalarNode:
        text, plain = event.value, event.implicit[0] and event.tag is None
        start, end = event.start_mark, event.end_mark
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse(
                event, "the text holds half a character (a surrogate)", "characters as they are, or \\U escapes"
            )
        value = resolve(text) if plain else text
        content = None
        if start.line == end.line and event.anchor is None:
            # A quoted text that holds no escape is two characters, its quotes, shorter than its place.
            quotes = 0 if plain else 1
            content = start.column + quotes + 1 if end.column - start.column == len(text) + 2 * quotes else None
        node = ScalarNode(value, text, plain, self._file, start.line + 1, start.column + 1, content)
        found = trap(text, value) if plain else None
        if found:
            message, hint = found
            self.problems.append(Problem(source=node.source, message=message, hint=hint))
        return node

    def _list(self, event: Any) -> ListNode:
        items = []
        start = event.start_mark
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event))
        return ListNode(tuple(items), self._file, start.line + 1, start.column + 1)

    def _mapping(self, event: Any) -> MappingNode:
        start = event.start_mark
        keys: dict[str, ScalarNode] = {}
        values: dict[str, Node] = {}
        merged: list[MappingNode] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event)
            value_event = next(self._events)
            self._way.append(key.text if isinstance(key, ScalarNode) else "")
            value = self._node(value_event)
            self._way.pop()
            if isinstance(key, ScalarNode) and key.plain and key.text == "<<":
                merged += self._merged(value_event, value)
                continue
            name = self._usable(event, key, keys)
            if name is not None:
                keys[name.text], values[name.text] = name, value
        for base in merged:
            for text, inherited in base.keys.items():
                if text not in keys:
                    keys[text], values[text] = inherited, base.values[text]
        return MappingNode(keys, values, self._file, start.line + 1, start.column + 1)

    def _usable(self, event: Any, key: Node, keys: dict[str, ScalarNode]) -> ScalarNode | None:
        """The key, None where it is none or stands here already."""
        if not isinstance(key, ScalarNode):
            self._problem(event, "a key is a list or a mapping", "a name as key")
            return None
        if not isinstance(key.value, str) and not self._counts(key):
            read = "nothing (null)" if key.value is None else str(key.value).lower()
            hint = f"write '{key.text}' in quotes, or another name"
            message = f"the key {key.text or 'is empty: it'} is read by YAML as {read}"
            self._problem(event, message, "a name as key", hint)
            return None
        if key.text in keys:
            first = keys[key.text].line
            message = f"the key '{key.text}' stands here twice: in line {first} and in line {key.line}"
            self._problem(event, message, "each key once; YAML would silently drop the first")
            return None
        return key

    def _counts(self, key: ScalarNode) -> bool:
        """Whether a key is a number where numbers are keys."""
        return _NUMBER.fullmatch(key.text) is not None and self._way[-2:-1] == [_NUMBERED]

    def _merged(self, event: Any, value: Node) -> list[MappingNode]:
        bases = value.items if isinstance(value, ListNode) else (value,)
        mappings = [base for base in bases if isinstance(base, MappingNode)]
        if len(mappings) < len(bases):
            self._problem(event, "'<<' merges what is not a mapping", "an alias of a mapping, or a list of them")
        self._nodes += sum(len(base.keys) for base in mappings)
        return mappings

    def _source(self, event: Any) -> Source:
        mark = event.start_mark
        return Source(file=self._file, line=mark.line + 1, column=mark.column + 1)

    def _problem(self, event: Any, message: str, expected: str | None, hint: str | None = None) -> None:
        self.problems.append(Problem(source=self._source(event), message=message, expected=expected, hint=hint))

    def _refuse(self, event: Any, message: str, expected: str | None) -> NoReturn:
        raise _Refused(Problem(source=self._source(event), message=message, expected=expected))
