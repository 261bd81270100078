"""The nodes of a YAML tree: value and place, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from qatrix.errors import Source
from qatrix.expressions import Scalar


# Named tuples and not dataclasses: a large matrix has tens of thousands, and these are made four times as fast.
class ScalarNode(NamedTuple):
    """A single value. `text` is what is written, without quotes; `plain` says that there were none.

    `content` is the column of the text's first character, None where the text does not
    stand in the file character by character (escapes, several lines).
    """

    value: Scalar
    text: str
    plain: bool
    file: str
    line: int
    column: int
    content: int | None

    @property
    def source(self) -> Source:
        """The place of the first character, quotes included."""
        return Source(file=self.file, line=self.line, column=self.column)


class ListNode(NamedTuple):
    """A sequence."""

    items: tuple[Node, ...]
    file: str
    line: int
    column: int

    @property
    def source(self) -> Source:
        """The place of the first item or bracket."""
        return Source(file=self.file, line=self.line, column=self.column)


class MappingNode(NamedTuple):
    """A mapping from names; `keys` has the node of each key, in the order of the file."""

    keys: Mapping[str, ScalarNode]
    values: Mapping[str, Node]
    file: str
    line: int
    column: int

    @property
    def source(self) -> Source:
        """The place of the first key or brace."""
        return Source(file=self.file, line=self.line, column=self.column)


Node: TypeAlias = ScalarNode | ListNode | MappingNode


def data(node: Node) -> Any:
    """The node's value as plain Python: dict, list or scalar."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [data(item) for item in node.items]
    return {key: data(value) for key, value in node.values.items()}
