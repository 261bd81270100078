"""The dialect of a forward pass: assignments over tensors, and one return."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from qatrix.declare.language.reader import Reader, words
from qatrix.declare.language.text import MOST_PROBLEMS, Text, listed, nearest, syntax_tree
from qatrix.declare.vocabulary import DTYPES, F_FUNCTIONS, MEMORY_FORMATS, TENSOR_METHODS, TORCH_FUNCTIONS
from qatrix.errors import Problem
from qatrix.expressions import Assign, Call, Expression, Literal, MethodCall, Name, Return, Statement

_AUGMENTED: Final[dict[type[ast.operator], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
}
_SPACES: Final = {"torch": TORCH_FUNCTIONS, "F": F_FUNCTIONS}
_STATEMENTS: Final = "y = …, a, b = …, y += …, and at the end: return …"


@dataclass(frozen=True, kw_only=True)
class ForwardScope:
    """What a forward pass may name: its layers, its inputs, and its parameters with their values in `params`.

    `parameters` and `buffers` are tensors of the model itself.
    """

    layers: Collection[str]
    inputs: Collection[str]
    params: Collection[str]
    parameters: Collection[str] = ()
    buffers: Collection[str] = ()

    @property
    def values(self) -> tuple[str, ...]:
        """What has a value before the first line."""
        return (*self.inputs, *self.params, *self.parameters, *self.buffers)

    def has_value(self, name: str) -> bool:
        """Whether a name is one of `values`, which take time to list where there are thousands."""
        return any(name in names for names in (self.inputs, self.params, self.parameters, self.buffers))


class _ForwardReader(Reader):
    dialect: ClassVar[str] = "a forward pass"
    allowed: ClassVar[str] = (
        "names, literals, arithmetic, indexing, calls of layers, of torch.NAME, F.NAME and tensor methods"
    )
    kinds: ClassVar[frozenset[type[ast.AST]]] = frozenset(
        (
            ast.Constant,
            ast.Name,
            ast.Call,
            ast.UnaryOp,
            ast.BinOp,
            ast.Tuple,
            ast.List,
            ast.Dict,
            ast.Subscript,
        )
    )
    operators: ClassVar[frozenset[str]] = frozenset(("+", "-", "*", "/", "//", "%", "**", "@"))

    def __init__(self, text: Text, scope: ForwardScope, assigned: set[str], used: set[str]) -> None:
        super().__init__(text)
        self._scope = scope
        self._assigned = assigned
        self._used = used

    def name(self, node: ast.Name) -> Expression:
        self._used.add(node.id)
        if node.id in self._assigned or self._scope.has_value(node.id):
            return Name(node.id)
        known = {*self._assigned, *self._scope.values}
        hint = f"call it: {node.id}(…)" if node.id in self._scope.layers else nearest(node.id, known)
        message = f"unknown name '{node.id}'"
        if node.id in self._scope.layers:
            message = f"the layer '{node.id}' stands where a value is due"
        self.note(node, message, expected=f"one of {listed(known)}", hint=hint)
        return Name(node.id)

    def attribute(self, node: ast.Attribute) -> Expression:
        if isinstance(node.value, ast.Name) and node.value.id == "torch":
            return self._constant_of_torch(node)
        hints = {"shape": "write x.size(0)", "T": "write x.t()"}
        hint = hints.get(node.attr) or (f"write .{node.attr}()" if node.attr in TENSOR_METHODS else None)
        return self.refuse(node, f"the attribute '.{node.attr}' stands here", hint)

    def _constant_of_torch(self, node: ast.Attribute) -> Expression:
        if node.attr in DTYPES | MEMORY_FORMATS:
            return Name(f"torch.{node.attr}")
        known = [*DTYPES, *MEMORY_FORMATS]
        hint = f"write torch.{node.attr}(…)" if node.attr in TORCH_FUNCTIONS else nearest(node.attr, known)
        kind = "unknown dtype or memory format"
        self.note(node, f"{kind} 'torch.{node.attr}'", expected=f"torch.NAME of {listed(known)}", hint=hint)
        return Literal(None)

    def call(self, node: ast.Call) -> Expression:
        args, kwargs = self.arguments(node)
        match node.func:
            case ast.Name(id=name):
                self._check_layer(node.func, name)
                return Call(name, args, kwargs)
            case ast.Attribute(value=ast.Name(id="torch" | "F" as space), attr=name):
                self._check_function(node.func, space, name)
                return Call(f"{space}.{name}", args, kwargs)
            case ast.Attribute(value=value, attr=method):
                if self._is_module_path(node.func):
                    return Literal(None)
                self._check_method(node.func, method)
                return MethodCall(self.read(value), method, args, kwargs)
        return self.refuse(node.func, f"'{ast.unparse(node.func)}' is called")

    def _check_layer(self, node: ast.AST, name: str) -> None:
        self._used.add(name)
        if name in self._scope.layers:
            return
        hint = nearest(name, self._scope.layers)
        if hint is None:
            space = "F" if name in F_FUNCTIONS else "torch" if name in TORCH_FUNCTIONS else None
            hint = f"write {space}.{name}(…) for torch's function" if space else None
        expected = f"a layer ({listed(self._scope.layers)}), torch.NAME, F.NAME or a tensor method"
        self.note(node, f"unknown layer '{name}'", expected=expected, hint=hint)

    def _check_function(self, node: ast.AST, space: str, name: str) -> None:
        if name in _SPACES[space]:
            return
        other = "F" if space == "torch" else "torch"
        hint = f"write {other}.{name}(…)" if name in _SPACES[other] else nearest(name, _SPACES[space])
        expected = f"a function of {'torch' if space == 'torch' else 'torch.nn.functional'} that computes on tensors"
        self.note(node, f"the function '{space}.{name}' is not allowed", expected=expected, hint=hint)

    def _check_method(self, node: ast.AST, method: str) -> None:
        if method not in TENSOR_METHODS:
            hint = nearest(method, TENSOR_METHODS)
            expected = "a method of tensors that computes"
            self.note(node, f"the tensor method '.{method}()' is not allowed", expected=expected, hint=hint)

    def _is_module_path(self, function: ast.Attribute) -> bool:
        """Whether a call goes through self or a module's dotted path; a problem then."""
        path = ast.unparse(function)
        root, _, rest = path.partition(".")
        if root == "self":
            self._used.add(rest)
            self.note(function, f"'{path}' is called", expected="a layer by its name", hint=f"write {rest}(…)")
        elif path.startswith(("torch.", "nn.", "F.")) and path.replace(".", "").isidentifier():
            last = function.attr
            hint = f"write F.{last}(…)" if last in F_FUNCTIONS else None
            self.note(function, f"the function '{path}' is not allowed", expected="torch.NAME or F.NAME", hint=hint)
        else:
            return False
        return True

    def statement(self, node: ast.stmt) -> Statement | None:
        """The statement of a tree, None where it is none of this dialect's."""
        source = self.text.place(node)
        match node:
            case ast.Return(value=ast.expr() as value):
                return Return(value=self.read(value), source=source)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                return self._assign(node, targets, value)
            case ast.Assign(targets=[target], value=value):
                return self._assign(node, (target,), value)
            case ast.AugAssign(target=ast.Name() as name, op=op, value=value):
                return self._augmented(node, name, op, value)
        hint = "write y = … or return …" if isinstance(node, ast.Expr) else None
        if isinstance(node, ast.Return):
            self.note(node, "return stands without a value", expected="return y")
        else:
            self.note(node, f"{words(node)} stands here", expected=_STATEMENTS, hint=hint)
        return None

    def _assign(self, node: ast.stmt, targets: Sequence[ast.expr], value: ast.expr) -> Statement | None:
        read = self.read(value)
        names = []
        for target in targets:
            if not isinstance(target, ast.Name):
                self.note(target, f"{words(target)} is assigned to", expected="names: y = …, or a, b = …")
                continue
            self._check_target(target)
            names.append(target.id)
        self._assigned.update(names)
        return Assign(targets=tuple(names), value=read, operator=None, source=self.text.place(node))

    def _augmented(self, node: ast.stmt, target: ast.Name, op: ast.operator, value: ast.expr) -> Statement | None:
        symbol = _AUGMENTED.get(type(op))
        if symbol is None:
            self.note(node, "this augmented assignment is not allowed", expected="+=, -=, *=, /= or @=")
        self._name(target)
        if target.id not in self._scope.buffers:
            self._check_target(target)
        return Assign(targets=(target.id,), value=self.read(value), operator=symbol, source=self.text.place(node))

    def _check_target(self, node: ast.Name) -> None:
        taken = {
            "torch": "torch's functions",
            "F": "torch.nn.functional",
            "dim": "the case's dim",
            "self": "the model itself",
        }
        if node.id in self._scope.params:
            taken[node.id] = "a parameter"
        elif node.id in self._scope.parameters:
            taken[node.id] = "a parameter of the model"
        elif node.id in self._scope.buffers:
            taken[node.id] = "a buffer"
        elif node.id in self._scope.layers:
            taken[node.id] = "a layer"
        if node.id in taken or node.id.startswith("__"):
            message = f"'{node.id}' is {taken.get(node.id, 'reserved')} and cannot be assigned to"
            expected = (
                f"{node.id} += …, which writes it in place" if node.id in self._scope.buffers else "a name of its own"
            )
            self.note(node, message, expected=expected)


def parse_forward(
    texts: Sequence[Text], *, scope: ForwardScope, layers: Sequence[Text], whole: Text
) -> tuple[tuple[Statement, ...] | None, tuple[Problem, ...]]:
    """The lines of a forward pass as statements, None where one is wrong.

    `layers` has the name of each layer as a text, for the problem that it is never called;
    `whole` is the place of the list. A tensor that is never used is a warning.
    """
    assigned: set[str] = set()
    used: set[str] = set()
    statements: list[Statement] = []
    problems: list[Problem] = []
    for text in texts:
        if len(problems) >= MOST_PROBLEMS:
            break
        tree, faults = syntax_tree(text)
        problems += faults
        if tree is None:
            assigned.update(_targets(text.text))
            continue
        reader = _ForwardReader(text, scope, assigned, used)
        if statements and isinstance(statements[-1], Return):
            reader.note(tree, "this stands after return", expected="return as the last line")
        statement = reader.statement(tree)
        problems += reader.problems
        if statement is None:
            assigned.update(name.id for name in ast.walk(tree) if isinstance(name, ast.Name))
        else:
            statements.append(statement)
    if not problems:
        problems += _incomplete(statements, whole)
        problems += [
            layer.problem(layer.source, f"the layer '{layer.text}' is never called", expected="a call in forward")
            for layer in layers
            if layer.text not in used
        ]
    failed = bool(problems)
    return (None if failed else tuple(statements)), (*problems, *_unused(scope, used, whole, failed=failed))


def _targets(text: str) -> list[str]:
    """The names that a line of wrong syntax assigns, so that later lines are not blamed for them."""
    return [name.strip() for name in text.partition("=")[0].split(",")]


def _incomplete(statements: Sequence[Statement], whole: Text) -> list[Problem]:
    if any(isinstance(statement, Return) for statement in statements):
        return []
    return [whole.problem(whole.source, "forward returns nothing", expected="return … as the last line")]


def _unused(scope: ForwardScope, used: set[str], whole: Text, *, failed: bool) -> tuple[Problem, ...]:
    if failed:
        return ()
    kinds = {"input": scope.inputs, "parameter of the model": scope.parameters, "buffer": scope.buffers}
    return tuple(
        replace(whole.problem(whole.source, f"the {kind} '{name}' is never used"), severity="warning")
        for kind, names in kinds.items()
        for name in names
        if name not in used
    )
