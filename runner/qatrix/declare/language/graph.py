"""The dialect of expected graphs: ops, captures, and assertions about what was captured."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import ClassVar

from qatrix.declare.language.reader import Reader, words
from qatrix.declare.language.text import MOST_PROBLEMS, Text, syntax_tree
from qatrix.errors import Problem
from qatrix.expressions import Assert, Assign, Call, Expression, Name, Return, Statement

_STATEMENTS = "name = op(…), return name, or assert condition"


class _GraphReader(Reader):
    dialect: ClassVar[str] = "an expected graph"
    allowed: ClassVar[str] = "op calls, names, literals, tuples, arithmetic, comparisons, and, or, not, a if c else b"
    kinds: ClassVar[frozenset[type[ast.AST]]] = frozenset(
        (
            ast.Constant,
            ast.Name,
            ast.Call,
            ast.UnaryOp,
            ast.BinOp,
            ast.BoolOp,
            ast.Compare,
            ast.IfExp,
            ast.Tuple,
            ast.List,
        )
    )
    operators: ClassVar[frozenset[str]] = frozenset(
        ("+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or", "not")
    )

    def name(self, node: ast.Name) -> Expression:
        return Name(node.id)

    def call(self, node: ast.Call) -> Expression:
        args, kwargs = self.arguments(node)
        if not isinstance(node.func, ast.Name) or node.func.id.startswith("__"):
            return self.refuse(node.func, f"'{ast.unparse(node.func)}' is called", "write an op's bare name: conv(…)")
        return Call(node.func.id, args, kwargs)

    def statement(self, node: ast.stmt) -> Statement | None:
        """The statement of a tree, None where it is none of this dialect's."""
        source = self.text.place(node)
        match node:
            case ast.Return(value=ast.expr() as value):
                return Return(value=self.read(value), source=source)
            case ast.Assert(test=test, msg=None):
                return Assert(condition=self.read(test), source=source)
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if not target.startswith("__"):
                return Assign(targets=(target,), value=self.read(value), operator=None, source=source)
        self.note(node, f"{words(node)} stands here", expected=_STATEMENTS)
        return None


def parse_graph(texts: Sequence[Text]) -> tuple[tuple[Statement, ...] | None, tuple[Problem, ...]]:
    """The lines of an expected graph; names need not be assigned, `_` stands for anything."""
    statements: list[Statement] = []
    problems: list[Problem] = []
    returned = False
    for text in texts:
        if len(problems) >= MOST_PROBLEMS:
            break
        tree, faults = syntax_tree(text)
        problems += faults
        if tree is None:
            continue
        reader = _GraphReader(text)
        statement = reader.statement(tree)
        if isinstance(statement, Return):
            if returned:
                reader.note(tree, "a second return stands here", expected="one return, the graph's output")
            returned = True
        problems += reader.problems
        if statement is not None:
            statements.append(statement)
    return (None if problems else tuple(statements)), tuple(problems)
