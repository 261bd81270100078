"""The dialect of assertions: what is claimed of the nodes of a graph, and loops over them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from qatrix.declare.language.reader import Reader
from qatrix.declare.language.text import Text, listed, nearest
from qatrix.expressions import Call, Comprehension, Expression, Literal, Loop, Name
from qatrix.facts import ANYTHING, NEIGHBORS, QUESTIONS, Question

# Each goes through all nodes of a graph.
_MOST_LOOPS: Final = 3
_SOURCES: Final = "an op, such as conv or conv(x, weight), _ for every node, users(y) or operands(y)"


class AssertionReader(Reader):
    """Reads one assertion; `asked` are the names that no loop of it binds, with their places.

    `op` reads the call of an op, adds the names that it captures, and notes its problems here. `refused` says
    of functions why they have no answer in this graph, and what would be right.
    """

    dialect: ClassVar[str] = "an assertion"
    allowed: ClassVar[str] = "names, literals, lists, arithmetic, comparisons, and, or, not, a if c else b, functions"
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

    def __init__(
        self,
        text: Text,
        op: Callable[[AssertionReader, ast.Call, set[str]], Expression],
        refused: Mapping[str, tuple[str, str]],
    ) -> None:
        super().__init__(text)
        self.asked: list[tuple[ast.Name, str]] = []
        self._op = op
        self._refused = refused
        self._local: list[set[str]] = []
        self._loops = 0

    def name(self, node: ast.Name) -> Expression:
        if not any(node.id in names for names in self._local):
            self.asked.append((node, node.id))
        return Name(node.id)

    def call(self, node: ast.Call) -> Expression:
        if not isinstance(node.func, ast.Name):
            return self.refuse(node.func, f"'{ast.unparse(node.func)}' is called")
        name = node.func.id
        question = QUESTIONS.get(name)
        if question is None:
            self.note(
                node.func,
                f"unknown function '{name}'",
                expected=listed(QUESTIONS, most=len(QUESTIONS)),
                hint=nearest(name, QUESTIONS),
            )
            return Literal(None)
        if name in self._refused:
            reason, expected = self._refused[name]
            self.note(node.func, f"'{name}' has no answer here: {reason}", expected=expected)
        if question.loops != "never" and len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp):
            return Call(name, (self._comprehension(node.args[0]),))
        self._check_arguments(node, name, question)
        args, kwargs = self.arguments(node)
        return Call(name, args, kwargs)

    def _check_arguments(self, node: ast.Call, name: str, question: Question) -> None:
        given = len(node.args)
        if question.loops == "only":
            self.note(node, f"'{name}' is given no loop", expected=f"{name}(… for y in conv)")
        elif node.keywords:
            self.note(node.keywords[0], f"'{name}' is given an argument by name", expected="arguments without names")
        elif question.arguments not in {None, given}:
            self.note(node, f"'{name}' is given {_counted(given)}", expected=_counted(question.arguments))

    def _comprehension(self, node: ast.GeneratorExp) -> Expression:
        self._local.append(set())
        loops = tuple(map(self._loop, node.generators))
        item = self.read(node.elt)
        self._local.pop()
        return Comprehension(item, loops)

    def _loop(self, node: ast.comprehension) -> Loop:
        self._loops += 1
        if self._loops == _MOST_LOOPS + 1:
            self.note(
                node.iter, f"more than {_MOST_LOOPS} loops stand in one text", expected="fewer, or two assertions"
            )
        source = self._source(node.iter)
        if not isinstance(node.target, ast.Name) or node.target.id.startswith("_") or node.is_async:
            written = ast.unparse(node.target)
            self.note(node.target, f"'{written}' is no name for the nodes of a loop", expected="for y in …")
            return Loop("", source)
        self._local[-1].add(node.target.id)
        return Loop(node.target.id, source, tuple(map(self.read, node.ifs)))

    def _source(self, node: ast.expr) -> Expression:
        match node:
            case ast.Name(id=name) if name == ANYTHING or not name.startswith("__"):
                return Name(name)
            case ast.Call(func=ast.Name(id=name)) if name in NEIGHBORS:
                return self.call(node)
            case ast.Call(func=ast.Name()):
                return self._op(self, node, self._local[-1])
        self.note(node, f"a loop goes through '{ast.unparse(node)}'", expected=_SOURCES)
        return Name(ANYTHING)


def _counted(arguments: int | None) -> str:
    return "1 argument" if arguments == 1 else f"{arguments} arguments"
