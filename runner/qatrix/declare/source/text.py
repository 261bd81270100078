"""Python source from the small language, and the layout of calls that are too long for a line."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qatrix import expressions as tree
from qatrix.arithmetic import EvaluationError, OutOfBounds
from qatrix.expressions import Expression, evaluate
from qatrix.scripts import literal

LINE_LENGTH: Final = 120
_BINARY: Final[Mapping[str, type[ast.operator]]] = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "%": ast.Mod,
    "**": ast.Pow,
    "@": ast.MatMult,
}
_UNARY: Final[Mapping[str, type[ast.unaryop]]] = {"-": ast.USub, "+": ast.UAdd, "not": ast.Not}

# What a called name is in the script: "conv" → "self.conv", "F.relu" as it is.
Callee = Callable[[str], str]


def expression_text(
    expression: Expression, scope: Mapping[str, object], callee: Callee, called: Mapping[str, str]
) -> str:
    """An expression as source; names of `scope` are replaced by their values, arithmetic on them is worked out.

    `called` has what the other names are called in the script.
    """
    return ast.unparse(_Builder(scope, callee, called).node(expression))


def argument_texts(arguments: Mapping[str, object]) -> list[str]:
    """Keyword arguments as source, those too whose names cannot stand before an equals sign (`class`)."""
    return [
        f"{key}={literal(value)}"
        if key.isidentifier() and not keyword.iskeyword(key)
        else f"**{{{literal(key)}: {literal(value)}}}"
        for key, value in arguments.items()
    ]


def docstring_text(about: str) -> str:
    """A description as a docstring of one line, which nothing in it can end; empty where there is none."""
    plain = " ".join(about.replace("\\", "/").replace('"', "'").split()).rstrip(".")
    sentence = f"{plain[:1].upper()}{plain[1:]}."
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in sentence)
    return f'"""{shown}"""' if plain else ""


def call_text(function: str, arguments: Sequence[str], *, indent: int = 0, prefix: str = "") -> str:
    """A call, on one line where it fits below the indent and after the prefix, else an argument a line."""
    line = f"{prefix}{function}({', '.join(arguments)})"
    if not arguments or (indent + len(line) <= LINE_LENGTH and "\n" not in line):
        return line
    inner = " " * (indent + 4)
    body = "".join(f"{inner}{argument},\n" for argument in arguments)
    return f"{prefix}{function}(\n{body}{' ' * indent})"


class _Builder:
    """Builds Python's tree, so that brackets stand where Python needs them."""

    def __init__(self, scope: Mapping[str, object], callee: Callee, called: Mapping[str, str]) -> None:
        self._scope = scope
        self._callee = callee
        self._called = called

    def node(self, expression: Expression) -> ast.expr:
        match expression:
            case tree.Literal(value):
                return ast.Constant(... if value == "..." else value)
            case tree.Name(id):
                return self._name(id)
            case tree.Sequence(kind, items):
                parts = [self.node(item) for item in items]
                return ast.Tuple(parts, ast.Load()) if kind == "tuple" else ast.List(parts, ast.Load())
            case tree.Dictionary(pairs):
                return ast.Dict([ast.Constant(key) for key, _ in pairs], [self.node(item) for _, item in pairs])
            case tree.Operation():
                return self._operation(expression)
            case tree.Index(value, index):
                return ast.Subscript(self.node(value), self.node(index), ast.Load())
            case tree.Slice(start, stop, step):
                return ast.Slice(*(None if part is None else self.node(part) for part in (start, stop, step)))
            case tree.Call(function, args, kwargs):
                return self._call(_path(self._callee(function)), args, kwargs)
            case tree.MethodCall(value, method, args, kwargs):
                return self._call(ast.Attribute(self.node(value), method, ast.Load()), args, kwargs)
        msg = f"a forward pass cannot hold {expression}"
        raise ValueError(msg)

    def _name(self, name: str) -> ast.expr:
        if name in self._scope:
            return _value(self._scope[name])
        return _path(name if "." in name else self._called[name])

    def _operation(self, operation: tree.Operation) -> ast.expr:
        try:
            return _value(evaluate(operation, self._scope))
        except OutOfBounds:
            # Python would not stop where the language does.
            raise
        except EvaluationError:
            parts = [self.node(part) for part in operation.operands]
        if len(parts) == 1:
            return ast.UnaryOp(_UNARY[operation.operator](), parts[0])
        return ast.BinOp(parts[0], _BINARY[operation.operator](), parts[1])

    def _call(
        self, function: ast.expr, args: Sequence[Expression], kwargs: Sequence[tuple[str, Expression]]
    ) -> ast.Call:
        named = [ast.keyword(key, self.node(value)) for key, value in kwargs]
        return ast.Call(function, [self.node(item) for item in args], named)


def _path(dotted: str) -> ast.expr:
    """A dotted path as attributes."""
    head, *rest = dotted.split(".")
    found: ast.expr = ast.Name(head, ast.Load())
    for part in rest:
        found = ast.Attribute(found, part, ast.Load())
    return found


def _value(value: object) -> ast.expr:
    return ast.parse(literal(value), mode="eval").body
