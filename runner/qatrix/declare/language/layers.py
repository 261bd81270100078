"""The dialect of layers and sizes: one call of a layer, or one number, over a pattern's parameters."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import ClassVar, Final

from qatrix.declare.language.reader import Reader, words
from qatrix.declare.language.text import Text, listed, nearest, syntax_tree
from qatrix.declare.vocabulary import CONV_POSITIONAL, CONV_TRANSPOSE_KEYWORDS, LAYERS
from qatrix.errors import Problem
from qatrix.expressions import Call, Expression, Name

_ARITHMETIC: Final = frozenset(("+", "-", "*", "/", "//", "%", "**"))


class _SizeReader(Reader):
    """Literals, names and arithmetic."""

    dialect: ClassVar[str] = "a size"
    allowed: ClassVar[str] = "parameters, numbers, + - * / // % **, tuples and lists"
    kinds: ClassVar[frozenset[type[ast.AST]]] = frozenset(
        (ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.Tuple, ast.List)
    )
    operators: ClassVar[frozenset[str]] = _ARITHMETIC

    def __init__(self, text: Text, names: Collection[str]) -> None:
        super().__init__(text)
        self._names = names

    def name(self, node: ast.Name) -> Expression:
        if node.id not in self._names:
            hint = nearest(node.id, self._names)
            self.note(node, f"unknown name '{node.id}'", expected=f"one of {listed(self._names)}", hint=hint)
        return Name(node.id)

    def call(self, node: ast.Call) -> Expression:
        return self.refuse(node)


class _LayerReader(_SizeReader):
    """The arguments of a layer's call."""

    dialect: ClassVar[str] = "a layer's arguments"


def parse_size(text: Text, *, names: Collection[str]) -> tuple[Expression | None, tuple[Problem, ...]]:
    """A size (of an input, of a conv kind's argument) as an expression over names."""
    tree, problems = syntax_tree(text)
    if tree is None:
        return None, problems
    reader = _SizeReader(text, names)
    if not isinstance(tree, ast.Expr):
        reader.refuse(tree)
        return None, tuple(reader.problems)
    expression = reader.read(tree.value)
    return (None if reader.problems else expression), tuple(reader.problems)


def parse_layer(
    text: Text, *, names: Collection[str], patterns: Mapping[str, Collection[str]]
) -> tuple[Call | None, tuple[Problem, ...]]:
    """A layer as a call: of a class of torch.nn, of `conv`, or of a pattern.

    `names` are the parameters that arguments may use; `patterns` has the parameters of every
    declared pattern.
    """
    tree, problems = syntax_tree(text)
    if tree is None:
        return None, problems
    reader = _LayerReader(text, names)
    call = tree.value if isinstance(tree, ast.Expr) else tree
    if not isinstance(call, ast.Call):
        _refuse_layer(reader, call)
        return None, tuple(reader.problems)
    function = _class_name(reader, call, patterns)
    args, kwargs = reader.arguments(call)
    if function in patterns and function not in LAYERS and function != "conv":
        _check_pattern_call(reader, call, function, patterns[function])
    elif function == "conv":
        _check_conv_call(reader, call)
    return (None if reader.problems else Call(function, args, kwargs)), tuple(reader.problems)


def _refuse_layer(reader: Reader, node: ast.AST) -> None:
    hint = None
    if isinstance(node, ast.Name) and (node.id in LAYERS or node.id == "conv"):
        hint = f"write {node.id}()"
    message = f"{words(node)} stands where a layer is due"
    reader.note(node, message, expected="a call: ReLU(), conv(3, 3, 1) or PATTERN()", hint=hint)


def _class_name(reader: Reader, call: ast.Call, patterns: Collection[str]) -> str:
    """The name that is called; a problem where it is no layer's."""
    expected = "a class of torch.nn by its bare name, conv, or a declared pattern"
    if not isinstance(call.func, ast.Name):
        last = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        hint = f"write {last}(…)" if last in LAYERS else None
        reader.note(call.func, f"unknown layer '{ast.unparse(call.func)}'", expected=expected, hint=hint)
        return ""
    name = call.func.id
    if name not in LAYERS and name != "conv" and name not in patterns:
        hint = nearest(name, [*LAYERS, "conv", *patterns])
        reader.note(call.func, f"unknown layer '{name}'", expected=expected, hint=hint)
    return name


def _check_pattern_call(reader: Reader, call: ast.Call, pattern: str, params: Collection[str]) -> None:
    for node in call.args:
        expected = f"keyword arguments: {listed(params)}"
        reader.note(node, f"pattern '{pattern}' is given an argument without its name", expected=expected)
    for keyword in call.keywords:
        if keyword.arg is not None and keyword.arg not in params:
            message = f"pattern '{pattern}' has no parameter '{keyword.arg}'"
            reader.note(keyword, message, expected=f"one of {listed(params)}", hint=nearest(keyword.arg, params))


def _check_conv_call(reader: Reader, call: ast.Call) -> None:
    """`conv` is one of several classes, so only what all of them call alike may be given."""
    most = len(CONV_POSITIONAL)
    for node in call.args[most:]:
        expected = f"{', '.join(CONV_POSITIONAL)}, then keyword arguments"
        reader.note(node, f"conv is given more than {most} arguments without a name", expected=expected)
    positional = CONV_POSITIONAL[: len(call.args)]
    for keyword in call.keywords:
        if keyword.arg in positional:
            reader.note(keyword, f"the argument '{keyword.arg}' is given twice", expected="each argument once")
        elif keyword.arg is not None and keyword.arg not in CONV_TRANSPOSE_KEYWORDS:
            hint = nearest(keyword.arg, CONV_TRANSPOSE_KEYWORDS)
            expected = f"one of {listed(CONV_TRANSPOSE_KEYWORDS)}"
            reader.note(keyword, f"conv has no argument '{keyword.arg}'", expected=expected, hint=hint)
    given = {*positional, *(keyword.arg for keyword in call.keywords)}
    missing = [name for name in CONV_POSITIONAL if name not in given]
    if missing and None not in given:
        reader.note(call, f"conv lacks {' and '.join(missing)}", expected=f"conv({', '.join(CONV_POSITIONAL)}, …)")
