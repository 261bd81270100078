"""Reads Python's syntax tree into the language's own; what a dialect does not allow is a problem."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Final

from qatrix.arithmetic import within_bounds
from qatrix.declare.language.text import Text
from qatrix.errors import Problem
from qatrix.expressions import (
    Conditional,
    Dictionary,
    Expression,
    Index,
    Literal,
    Operation,
    Sequence,
    Slice,
)

_BINARY: Final[dict[type[ast.operator], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
}
_COMPARE: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_UNARY: Final[dict[type[ast.unaryop], str]] = {ast.USub: "-", ast.UAdd: "+", ast.Not: "not"}
# What is found, in words; any other node is named by its class.
_WORDS: Final[dict[type[ast.AST], str]] = {
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.Attribute: "an attribute",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment inside an expression (:=)",
    ast.Starred: "a starred argument",
    ast.Set: "a set",
    ast.Dict: "a dict",
    ast.List: "a list",
    ast.Tuple: "a tuple",
    ast.Subscript: "an index",
    ast.Slice: "a slice",
    ast.Call: "a call",
    ast.Name: "a name",
    ast.Constant: "a literal",
    ast.Compare: "a comparison",
    ast.BoolOp: "'and' or 'or'",
    ast.IfExp: "a conditional",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.Import: "an import",
    ast.ImportFrom: "an import",
    ast.FunctionDef: "a function definition",
    ast.ClassDef: "a class definition",
    ast.For: "a for loop",
    ast.While: "a while loop",
    ast.If: "an if statement",
    ast.With: "a with block",
    ast.Delete: "del",
    ast.Global: "global",
    ast.Raise: "raise",
    ast.Try: "a try block",
    ast.AnnAssign: "an annotated assignment",
    ast.AugAssign: "an augmented assignment",
    ast.Assign: "an assignment",
    ast.Assert: "an assert",
    ast.Return: "a return",
    ast.Expr: "an expression without a name for its value",
    ast.Pass: "pass",
}
# Above this a power is no size of a layer, and takes long to compute.
_MAX_EXPONENT: Final = 64
# Faults of one text that are told; looking for the nearest name takes a millisecond for each.
_MOST_FAULTS: Final = 20
_NOTHING: Final = Literal(None)


def words(node: ast.AST) -> str:
    """What a node of Python's tree is called in a message."""
    return _WORDS.get(type(node), f"'{type(node).__name__.lower()}'")


class Reader(ABC):
    """Reads the expressions of one text in one dialect; a subclass says which names and calls there are.

    A fault is noted in `problems` and reading goes on, so that all faults of a text show.
    """

    dialect: ClassVar[str]
    allowed: ClassVar[str]
    kinds: ClassVar[frozenset[type[ast.AST]]]
    operators: ClassVar[frozenset[str]]

    def __init__(self, text: Text) -> None:
        self.text = text
        self.problems: list[Problem] = []

    @abstractmethod
    def name(self, node: ast.Name) -> Expression:
        """The expression that a bare name stands for."""

    @abstractmethod
    def call(self, node: ast.Call) -> Expression:
        """The expression that a call stands for."""

    def attribute(self, node: ast.Attribute) -> Expression:
        """The expression that an attribute stands for; none is allowed unless a dialect says so."""
        return self.refuse(node, f"the attribute '.{node.attr}' stands here")

    def note(self, node: ast.AST, message: str, *, expected: str | None = None, hint: str | None = None) -> None:
        """Note a problem at a node."""
        self.problems.append(self.text.problem(self.text.place(node), message, expected=expected, hint=hint))

    def refuse(self, node: ast.AST, message: str | None = None, hint: str | None = None) -> Expression:
        """Note that a node is outside the dialect; the expression that takes its place."""
        found = message or f"{words(node)} stands here"
        self.note(node, f"{found}, which {self.dialect} may not hold", expected=self.allowed, hint=hint)
        return _NOTHING

    def read(self, node: ast.expr) -> Expression:
        """The expression of a node."""
        if len(self.problems) >= _MOST_FAULTS:
            return _NOTHING
        if type(node) not in self.kinds:
            return self.attribute(node) if isinstance(node, ast.Attribute) else self.refuse(node)
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node)
            case ast.Call():
                return self.call(node)
            case ast.Tuple(elts=items):
                return Sequence("tuple", tuple(map(self.read, items)))
            case ast.List(elts=items):
                return Sequence("list", tuple(map(self.read, items)))
            case ast.Dict():
                return self._dictionary(node)
            case ast.Subscript(value=value, slice=index):
                return Index(self.read(value), self._index(index))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return Conditional(self.read(test), self.read(body), self.read(orelse))
            case _:
                return self._operation(node)

    def arguments(self, node: ast.Call) -> tuple[tuple[Expression, ...], tuple[tuple[str, Expression], ...]]:
        """The positional and the keyword arguments of a call."""
        seen: set[str] = set()
        kwargs = []
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse(keyword, "arguments in '**' stand here")
                continue
            if keyword.arg in seen:
                self.note(keyword, f"the argument '{keyword.arg}' is given twice", expected="each argument once")
            seen.add(keyword.arg)
            kwargs.append((keyword.arg, self.read(keyword.value)))
        return tuple(map(self.read, node.args)), tuple(kwargs)

    def _name(self, node: ast.Name) -> Expression:
        if node.id.startswith("__"):
            return self.refuse(node, f"the name '{node.id}' stands here")
        return self.name(node)

    def _constant(self, node: ast.Constant) -> Expression:
        if not within_bounds(node.value):
            return self.refuse(node, "an integer of more than 64 bits stands here")
        if node.value is None or isinstance(node.value, (bool, int, float, str)):
            return Literal(node.value)
        kind = "'...'" if node.value is ... else f"the literal {ast.unparse(node)}"
        return self.refuse(node, f"{kind} stands here")

    def _dictionary(self, node: ast.Dict) -> Expression:
        items = []
        for key, value in zip(node.keys, node.values):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                items.append((key.value, self.read(value)))
            else:
                self.note(key or node, "a key of a dict is not a text", expected="keys in quotes: {'logits': y}")
        return Dictionary(tuple(items))

    def _index(self, node: ast.expr) -> Expression:
        match node:
            case ast.Tuple(elts=items):
                return Sequence("tuple", tuple(map(self._index, items)))
            case ast.Slice(lower=lower, upper=upper, step=step):
                return Slice(*(None if part is None else self.read(part) for part in (lower, upper, step)))
            case ast.Constant() if node.value is ...:
                return Literal("...")
        return self.read(node)

    def _operation(self, node: ast.expr) -> Expression:
        match node:
            case ast.UnaryOp(op=op, operand=operand):
                return self._applied(node, _UNARY.get(type(op)), (operand,))
            case ast.BinOp(left=left, op=op, right=right):
                return self._applied(node, _BINARY.get(type(op)), (left, right))
            case ast.BoolOp(op=op, values=values):
                return _joined("and" if isinstance(op, ast.And) else "or", map(self.read, values))
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                pairs = zip(ops, sides, others)
                compared = [self._applied(node, _COMPARE.get(type(op)), pair) for op, *pair in pairs]
                return _joined("and", compared)
        return self.refuse(node)

    def _applied(self, node: ast.expr, symbol: str | None, operands: Iterable[ast.expr]) -> Expression:
        parts = tuple(operands)
        if symbol not in self.operators:
            written = ast.unparse(node)
            return self.refuse(node, f"the operator of '{written}' stands here")
        if symbol in ("+", "-", "*", "/", "//", "%", "**", "@"):
            for part in parts:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    self.note(part, f"arithmetic on the text {part.value!r}", expected="numbers and names")
        if symbol == "**":
            self._check_power(*parts)
        return Operation(symbol, tuple(map(self.read, parts)))

    def _check_power(self, base: ast.expr, exponent: ast.expr) -> None:
        """A chain of powers can keep a computer busy for years; one small power cannot."""
        signed = exponent.operand if isinstance(exponent, ast.UnaryOp) else exponent
        number = signed.value if isinstance(signed, ast.Constant) else None
        small = isinstance(number, (int, float)) and abs(number) <= _MAX_EXPONENT
        if not small and not isinstance(exponent, ast.Name):
            self.note(exponent, "this exponent is refused", expected=f"a name, or a number up to {_MAX_EXPONENT}")
        if any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.Pow) for part in ast.walk(base)):
            self.note(base, "a power of a power is refused", expected="one '**'")


def _joined(symbol: str, parts: Iterable[Expression]) -> Expression:
    """Parts joined by "and" or "or", from the left."""
    first, *others = parts
    for other in others:
        first = Operation(symbol, (first, other))
    return first
