"""A node of a YAML tree together with the way that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from qatrix.declare.yamltext import ListNode, MappingNode, Node, ScalarNode
from qatrix.errors import Problem, Source

Path: TypeAlias = tuple[str | int, ...]

# What a member of a mapping is called in a breadcrumb.
_MEMBERS: Final = {
    "patterns": "pattern",
    "conv_kinds": "conv kind",
    "devices": "device",
    "quantizers": "quantizer",
    "runtimes": "runtime",
    "tolerances": "tolerance",
    "checks": "check",
    "suites": "suite",
    "causes": "cause",
    "params": "parameter",
    "layers": "layer",
    "inputs": "input",
    "axes": "axis",
}
# Characters of a value in a message.
_MOST_SHOWN: Final = 60
# What an item of a list is called, counted from 1.
_ITEMS: Final = {
    "expected": "expectation",
    "include": "include",
    "exclude": "exclude",
    "forward": "forward line",
    "graph": "graph line",
    "phases": "phase",
    "checks": "check",
}


def breadcrumb(path: Path) -> str | None:
    """The way to a node in words: "suite 'conv_bn', axis 'dim', item 2"; None at the top of a file."""
    parts: list[str] = []
    above: str | None = None
    for step in path:
        if isinstance(step, int):
            word = _ITEMS.get(above or "")
            parts[-1:] = [f"{word} {step + 1}"] if word else [*parts[-1:], f"item {step + 1}"]
        elif above in _MEMBERS:
            parts[-1] = f"{_MEMBERS[above]} '{step}'"
        else:
            parts.append(step)
        # A member's own name is no container: a pattern may be called "layers".
        above = None if isinstance(step, str) and above in _MEMBERS else str(step)
    return ", ".join(parts) or None


class Cursor(NamedTuple):
    """A node and its path inside the file."""

    node: Node
    path: Path = ()

    @property
    def source(self) -> Source:
        """The place of the value."""
        return self.node.source

    @property
    def at(self) -> str | None:
        """The breadcrumb."""
        return breadcrumb(self.path)

    def has(self, key: str) -> bool:
        """Whether this is a mapping with that key."""
        return isinstance(self.node, MappingNode) and key in self.node.values

    def down(self, *steps: str | int) -> Cursor:
        """The cursor some steps further down, as far as the tree goes."""
        node, path = self.node, self.path
        for step in steps:
            below = _below(node, step)
            if below is None:
                break
            node, path = below, (*path, step)
        return Cursor(node, path)

    def key(self, name: str) -> Cursor:
        """The cursor at a key of this mapping instead of at its value."""
        if isinstance(self.node, MappingNode) and name in self.node.keys:
            return Cursor(self.node.keys[name], (*self.path, name))
        return self

    def members(self) -> Iterator[tuple[str, Cursor]]:
        """Each key of a mapping with its value; nothing for other nodes."""
        if isinstance(self.node, MappingNode):
            for name, node in self.node.values.items():
                yield name, Cursor(node, (*self.path, name))

    def each(self) -> tuple[Cursor, ...]:
        """The items of a list; any other node counts as a list of one."""
        if not isinstance(self.node, ListNode):
            return (self,)
        return tuple(Cursor(item, (*self.path, number)) for number, item in enumerate(self.node.items))

    def members_of(self, key: str) -> Iterator[tuple[str, Cursor]]:
        """The members of the mapping under a key; none where the key is not there."""
        return self.down(key).members() if self.has(key) else iter(())

    def items_of(self, key: str) -> tuple[Cursor, ...]:
        """The items of the list under a key; none where the key is not there."""
        return self.down(key).each() if self.has(key) else ()

    def problem(self, message: str, *, expected: str | None = None, hint: str | None = None) -> Problem:
        """An error at this place."""
        return Problem(source=self.source, message=message, at=self.at, expected=expected, hint=hint)

    def warning(self, message: str, *, expected: str | None = None, hint: str | None = None) -> Problem:
        """A warning at this place."""
        found = self.problem(message, expected=expected, hint=hint)
        return Problem(
            source=found.source, message=message, at=found.at, expected=expected, hint=hint, severity="warning"
        )

    def found(self) -> str:
        """The value in words: "text 'abc'", "a list", "true"."""
        return in_words(self.node)


def in_words(node: Node) -> str:
    """What a node is, for a message."""
    if isinstance(node, ListNode):
        return "a list" if node.items else "an empty list"
    if isinstance(node, MappingNode):
        return "a mapping"
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"text '{_shortened(value)}'"
    if isinstance(value, bool):
        said = str(value).lower()
        return said if node.text.lower() == said else f"{said} (so YAML reads the plain word {node.text})"
    return f"the number {_shortened(node.text)}"


def quoting_hint(node: Node) -> str | None:
    """The spelling that makes text of what YAML reads as something else, None where that is not the matter."""
    if isinstance(node, ScalarNode) and node.plain and not isinstance(node.value, str) and node.text:
        return f"write '{node.text}' in quotes for the text"
    return None


def _below(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MappingNode) and isinstance(step, str):
        return node.values.get(step)
    if isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MOST_SHOWN else f"{flat[: _MOST_SHOWN - 1]}…"
