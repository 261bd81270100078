"""The dialect of expected graphs: ops, captures, and assertions about what was captured."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from qatrix.declare.language.assertions import AssertionReader
from qatrix.declare.language.reader import Reader, words
from qatrix.declare.language.text import MOST_PROBLEMS, Text, listed, nearest, syntax_tree
from qatrix.errors import Problem
from qatrix.expressions import Assert, Assign, Call, Expression, Name, Return, Statement

_STATEMENTS = "name = op(…), return name, or assert condition"


class _GraphReader(Reader):
    dialect: ClassVar[str] = "an expected graph"
    allowed: ClassVar[str] = "op calls, names, literals, tuples, arithmetic, comparisons, and, or, not, a if c else b"
    kinds: ClassVar[frozenset[type[ast.AST]]] = AssertionReader.kinds
    operators: ClassVar[frozenset[str]] = AssertionReader.operators

    def __init__(self, text: Text) -> None:
        super().__init__(text)
        self.names: set[str] = set()

    def name(self, node: ast.Name) -> Expression:
        self.names.add(node.id)
        return Name(node.id)

    def call(self, node: ast.Call) -> Expression:
        args, kwargs = self.arguments(node)
        if not isinstance(node.func, ast.Name) or node.func.id.startswith("__"):
            return self.refuse(node.func, f"'{ast.unparse(node.func)}' is called", "write an op's bare name: conv(…)")
        return Call(node.func.id, args, kwargs)


def _op_of_a_loop(reader: AssertionReader, node: ast.Call, names: set[str]) -> Expression:
    """The call of an op whose nodes a loop goes through, by which it captures names."""
    inner = _GraphReader(reader.text)
    found = inner.read(node)
    reader.problems += inner.problems
    names |= inner.names
    return found


@dataclass
class _Lines:
    """The lines of one expected graph, as far as they are read."""

    refused: Mapping[str, tuple[str, str]]
    statements: list[Statement] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    captured: set[str] = field(default_factory=set)
    assertions: list[AssertionReader] = field(default_factory=list)

    def add(self, text: Text, node: ast.stmt) -> None:
        """Read the statement of a line; what is wrong with it is noted."""
        reader: Reader
        source = text.place(node)
        match node:
            case ast.Assert(test=test, msg=None):
                reader = AssertionReader(text, _op_of_a_loop, self.refused)
                self.assertions.append(reader)
                self.statements.append(Assert(condition=reader.read(test), source=source))
            case ast.Return(value=ast.expr() as value):
                reader = _GraphReader(text)
                self._check_return(reader, node)
                self.statements.append(Return(value=reader.read(value), source=source))
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if not target.startswith("__"):
                reader = _GraphReader(text)
                reader.names.add(target)
                assigned = Assign(targets=(target,), value=reader.read(value), operator=None, source=source)
                self.statements.append(assigned)
            case _:
                reader = _GraphReader(text)
                reader.note(node, f"{words(node)} stands here", expected=_STATEMENTS)
        self.problems += reader.problems
        self.captured |= reader.names if isinstance(reader, _GraphReader) else set()

    def _check_return(self, reader: Reader, node: ast.stmt) -> None:
        if any(isinstance(statement, Return) for statement in self.statements):
            reader.note(node, "a second return stands here", expected="one return, the graph's output")

    def check_names(self, values: Collection[str]) -> None:
        """Note the names in assertions that nothing captures, and that are no values."""
        known = {*self.captured, *values} - {"_"}
        for reader in self.assertions:
            for node, name in reader.asked:
                if name not in known:
                    place = reader.text.place(node)
                    message = f"nothing captures '{name}'"
                    expected = f"a name that the lines above it capture ({listed(self.captured - {'_'})}), or a value"
                    self.problems.append(
                        reader.text.problem(place, message, expected=expected, hint=nearest(name, known))
                    )


def parse_graph(
    texts: Sequence[Text],
    *,
    values: Collection[str] | None = None,
    refused: Mapping[str, tuple[str, str]] | None = None,
) -> tuple[tuple[Statement, ...] | None, tuple[Problem, ...]]:
    """The lines of an expected graph; names need not be assigned, `_` stands for anything.

    `values` are the names that stand for values, None where they are not known; `refused` says of functions
    why they have no answer in this graph, and what would be right.
    """
    lines = _Lines(refused=refused or {})
    for text in texts:
        if len(lines.problems) >= MOST_PROBLEMS:
            break
        tree, faults = syntax_tree(text)
        lines.problems += faults
        if tree is not None:
            lines.add(text, tree)
    if values is not None and not lines.problems:
        lines.check_names(values)
    return (None if lines.problems else tuple(lines.statements)), tuple(lines.problems)
