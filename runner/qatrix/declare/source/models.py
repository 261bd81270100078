"""Patterns as classes of torch.nn.Module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from qatrix.declare.source.inputs import drawn_text, reading
from qatrix.declare.source.modules import module_of
from qatrix.declare.source.names import Names
from qatrix.declare.source.packages import package_needed
from qatrix.declare.source.text import argument_texts, call_text, docstring_text, expression_text
from qatrix.declare.spec import Case, ConvKind, LayerSpec, PatternSpec
from qatrix.declare.vocabulary import CONV_POSITIONAL
from qatrix.expressions import Assign, Call, Dictionary, Expression, Return, Sequence, Statement, evaluate
from qatrix.scripts import literal

# What need not be said: the defaults of these arguments, which torch.nn has had since it has the arguments.
_DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    "Conv": {
        "stride": 1,
        "padding": 0,
        "output_padding": 0,
        "dilation": 1,
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    },
    "BatchNorm": {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True},
    "Linear": {"bias": True},
}
_SEVERAL_OUTPUTS: Final = frozenset("GRU LSTM LSTMCell MultiheadAttention RNN".split())
_ONE_OUTPUT: Final = frozenset("torch.add torch.cat torch.relu F.hardtanh F.relu F.softmax".split())
# What a script may import without a word: PyTorch's own packages.
_COMPANIONS: Final = frozenset(("torch", "torchao", "torchvision"))


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """The definitions of classes, innermost first, and the expression that makes the model.

    `module` is the one that the factory stands in where there is one, and `needs` its package and how to come
    by it, unless that is one of PyTorch's. `weights` is the path of the file that has its parameters
    and buffers.
    """

    classes: tuple[str, ...] = ()
    model: str
    module: str | None = None
    needs: str | None = None
    weights: str | None = None


def model_source(case: Case, names: Names) -> ModelSource:
    """The case's float model; layers are made in the declared order, so that one seed gives the same weights."""
    cast = "" if case.dtype == "float32" else f".to(torch.{case.dtype})"
    if case.pattern.factory is not None:
        return _from_factory(case.pattern, cast)
    writer = _ClassWriter(dim=case.dim, conv_kind=case.conv_kind, names=names.beside(["self"]))
    name = writer.write(case.pattern, case.params)
    return ModelSource(classes=tuple(writer.written), model=f"{name}(){cast}")


def _from_factory(pattern: PatternSpec, cast: str) -> ModelSource:
    """The call of a factory by its whole name."""
    module, attribute = pattern.place
    if pattern.registration is None:
        # A class may stand between the module and what makes the model.
        path = f"{module}.{attribute}"
        module = module_of(path)
        attribute = path.removeprefix(f"{module}.")
    package = module.partition(".")[0]
    made = f"{module}.{attribute}({', '.join(argument_texts(pattern.factory_args))})"
    if pattern.weights is not None:
        made = f"with_weights({made}, {reading(pattern.weights.path)})"
    return ModelSource(
        model=f"{made}{cast}",
        weights=None if pattern.weights is None else pattern.weights.path,
        module=module,
        needs=None if package in _COMPANIONS else package_needed(module, pattern.registration),
    )


def is_one_tensor(pattern: PatternSpec) -> bool:
    """Whether the output is a single tensor for certain."""
    layers = {layer.name: layer for layer in pattern.layers}
    returned = next((line.value for line in pattern.forward if isinstance(line, Return)), None)
    if not isinstance(returned, Call):
        return False
    layer = layers.get(returned.function)
    if layer is None:
        return returned.function in _ONE_OUTPUT
    if layer.pattern is not None:
        return is_one_tensor(layer.pattern)
    return layer.call.function not in _SEVERAL_OUTPUTS


@dataclass
class _ClassWriter:
    """Writes each different module once; the same pattern with other parameters is another class."""

    dim: int | None
    conv_kind: ConvKind | None
    names: Names
    written: list[str] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def write(self, pattern: PatternSpec, params: Mapping[str, Any]) -> str:
        """The name of the pattern's class, which is written unless it was before."""
        body = "\n".join(self._body(pattern, {**params, "dim": self.dim}))
        if body not in self._names:
            name = self.names.class_of_pattern(pattern.name, self._names.values())
            self._names[body] = name
            self.written.append(f"class {name}(nn.Module):\n{body}")
        return self._names[body]

    def _body(self, pattern: PatternSpec, scope: Mapping[str, Any]) -> Iterator[str]:
        if about := docstring_text(pattern.about):
            yield f"    {about}\n"
        yield "    def __init__(self):"
        yield "        super().__init__()"
        for spec in pattern.parameters:
            yield f"        self.{spec.name} = nn.Parameter({drawn_text(spec, scope)})"
        for spec in pattern.buffers:
            yield f'        self.register_buffer("{spec.name}", {drawn_text(spec, scope)})'
        for layer in pattern.layers:
            function, arguments = self._made(layer, scope)
            yield " " * 8 + call_text(function, arguments, indent=8, prefix=f"self.{layer.name} = ")
        for item in pattern.init:
            yield f"        nn.init.constant_(self.{item.path}, {literal(evaluate(item.value, scope))})"
        yield ""
        inputs = [item.name for item in pattern.inputs]
        called = self.names.renamed([*inputs, *_assigned(pattern.forward)])
        yield f"    def forward({', '.join(['self', *(called[name] for name in inputs)])}):"
        own = {spec.name: f"self.{spec.name}" for spec in (*pattern.parameters, *pattern.buffers)}
        writer = _LineWriter(frozenset(layer.name for layer in pattern.layers), scope, called | own)
        for statement in pattern.forward:
            yield f"        {writer.line(statement)}"

    def _made(self, layer: LayerSpec, scope: Mapping[str, Any]) -> tuple[str, list[str]]:
        """The class that a layer is of, and its arguments."""
        call = layer.call
        args = [evaluate(item, scope) for item in call.args]
        kwargs = {key: evaluate(item, scope) for key, item in call.kwargs}
        if layer.pattern is not None:
            return self.write(layer.pattern, {**layer.pattern.params, **kwargs}), []
        if call.function == "conv":
            return self._convolution({**dict(zip(CONV_POSITIONAL, args)), **kwargs})
        return _class_of(call.function, self.dim), [*map(literal, args), *_told(call.function, kwargs)]

    def _convolution(self, arguments: Mapping[str, object]) -> tuple[str, list[str]]:
        if self.conv_kind is None:
            msg = "a layer is a conv, but the case names no conv kind"
            raise ValueError(msg)
        scope = {**arguments, "dim": self.dim}
        added = {key: evaluate(item, scope) for key, item in self.conv_kind.args.items()}
        merged = {**arguments, **added}
        first = [literal(merged.pop(key)) for key in CONV_POSITIONAL]
        return _class_of(self.conv_kind.module, self.dim), [*first, *_told("Conv", merged)]


def _class_of(name: str, dim: int | None) -> str:
    return f"nn.{name[:-2]}{dim}d" if name.endswith("Nd") else f"nn.{name}"


def _told(function: str, kwargs: Mapping[str, object]) -> list[str]:
    """The keyword arguments, but for those that are the defaults."""
    family = next((name for name in _DEFAULTS if function.startswith(name)), None)
    defaults = _DEFAULTS[family] if family is not None else {}
    return argument_texts({key: value for key, value in kwargs.items() if not _is(value, defaults.get(key, ...))})


def _is(value: object, default: object) -> bool:
    """Whether a value is a default: equal and of its type, since True equals 1."""
    return type(value) is type(default) and value == default


def _assigned(forward: tuple[Statement, ...]) -> list[str]:
    """The names that a forward pass gives to values."""
    return [name for line in forward if isinstance(line, Assign) for name in line.targets]


@dataclass(frozen=True)
class _LineWriter:
    """Writes the lines of a forward pass: `layers` are attributes, `called` has the names of its variables."""

    layers: frozenset[str]
    scope: Mapping[str, object]
    called: Mapping[str, str]

    def line(self, statement: Statement) -> str:
        if isinstance(statement, Assign):
            targets = ", ".join(self.called[name] for name in statement.targets)
            return f"{targets} {statement.operator or ''}= {self._right_side(statement.value)}"
        if isinstance(statement, Return):
            return f"return {self._right_side(statement.value)}"
        msg = f"a forward pass cannot hold {statement}"
        raise ValueError(msg)

    def _right_side(self, expression: Expression) -> str:
        """An expression as it is written there: a tuple without brackets, a dict's keys in double quotes."""
        if isinstance(expression, Dictionary):
            items = (f"{literal(key)}: {self._text(item)}" for key, item in expression.items)
            return "{" + ", ".join(items) + "}"
        text = self._text(expression)
        if isinstance(expression, Sequence) and expression.kind == "tuple" and len(expression.items) > 1:
            return text[1:-1]
        return text

    def _text(self, expression: Expression) -> str:
        return expression_text(expression, self.scope, self._callee, self.called)

    def _callee(self, name: str) -> str:
        return f"self.{name}" if name in self.layers else name
