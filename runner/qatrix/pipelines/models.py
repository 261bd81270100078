"""Declared patterns become float models: layers of `torch.nn`, and a forward pass as an FX graph.

A forward pass is built node by node into a `torch.fx.Graph`, so no text from YAML is ever
compiled: what runs is the code that torch generates from that graph. FX and `torch.export`
both trace such a module as they trace a hand-written one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import fx, nn
from torch.nn.parameter import is_lazy

from qatrix.arithmetic import apply, bounded
from qatrix.declare.inputs import InputSpec
from qatrix.declare.spec import Case, ConvKind, LayerSpec, PatternSpec
from qatrix.expressions import (
    Assign,
    Call,
    Dictionary,
    Expression,
    Index,
    Literal,
    MethodCall,
    Name,
    Operation,
    Return,
    Sequence,
    Slice,
    Statement,
    evaluate,
)
from qatrix.pipelines.drawing import draw, shape_of
from qatrix.pipelines.own_code import own_attribute
from qatrix.pipelines.torchenv import seed_generators
from qatrix.pipelines.weights import load_weights

_CONV_ARGUMENTS: Final = ("in_channels", "out_channels", "kernel_size")
# What an operator is in a graph; on plain values `arithmetic` works it out.
_OPERATORS: Final[Mapping[tuple[str, int], Callable[..., object]]] = {
    ("+", 2): operator.add,
    ("-", 2): operator.sub,
    ("*", 2): operator.mul,
    ("/", 2): operator.truediv,
    ("//", 2): operator.floordiv,
    ("%", 2): operator.mod,
    ("**", 2): operator.pow,
    ("@", 2): operator.matmul,
    ("-", 1): operator.neg,
    ("+", 1): operator.pos,
}
_IN_PLACE: Final[Mapping[str, Callable[..., object]]] = {
    "+": operator.iadd,
    "-": operator.isub,
    "*": operator.imul,
    "/": operator.itruediv,
    "@": operator.imatmul,
}


def build_model(case: Case) -> nn.Module:
    """The case's float model, on the CPU, in training mode, with weights made from its seed, or those of its file.

    The same case gives the same weights to the bit in every process, whatever ran before.
    Raises what the layers' constructors or the factory raise, PackageMissing where a registered one cannot be
    imported, and DataFault where the weights do not fit.
    """
    seed_generators(case.seed)
    if case.pattern.factory is not None:
        model = _from_factory(case.pattern, case.pattern.factory)
        if case.pattern.weights is not None:
            load_weights(model, case.pattern.weights)
    else:
        model = _build(case.pattern, case.params, case.dim, case.conv_kind)
    return model if case.dtype == "float32" else model.to(getattr(torch, case.dtype))


def _from_factory(pattern: PatternSpec, path: str) -> nn.Module:
    """The module that a factory such as "torchvision.models.resnet18" makes."""
    makes = own_attribute(pattern.place, pattern.registration, "model")
    if isinstance(makes, nn.Module):
        msg = f"{path} is a {type(makes).__name__} itself, which all cases would change; name what makes one"
        raise TypeError(msg)
    model = makes(**pattern.factory_args)
    if not isinstance(model, nn.Module):
        msg = f"{path} made a {type(model).__name__}, not a torch.nn.Module"
        raise TypeError(msg)
    lazy = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if is_lazy(tensor)]
    if lazy:
        msg = f"{path} made a model that does not know its sizes: {lazy[0]} is uninitialized; give it all of them"
        raise ValueError(msg)
    return model.train()


def _build(pattern: PatternSpec, params: Mapping[str, Any], dim: int | None, conv_kind: ConvKind | None) -> nn.Module:
    root = nn.Module()
    scope = {**params, "dim": dim}
    for spec in pattern.parameters:
        root.register_parameter(spec.name, nn.Parameter(_own(spec, scope)))
    for spec in pattern.buffers:
        root.register_buffer(spec.name, _own(spec, scope))
    for layer in pattern.layers:
        root.add_module(layer.name, _layer(layer, scope, dim, conv_kind))
    for item in pattern.init:
        _fill(root, item.path, evaluate(item.value, scope))
    names = frozenset(layer.name for layer in pattern.layers)
    own = tuple(spec.name for spec in (*pattern.parameters, *pattern.buffers))
    inputs = tuple(item.name for item in pattern.inputs)
    graph = _ForwardGraph(names, scope).build(inputs, own, pattern.forward)
    return fx.GraphModule(root, graph, class_name=pattern.name)


def _own(spec: InputSpec, scope: Mapping[str, Any]) -> torch.Tensor:
    """A tensor of the model itself, drawn as layers draw theirs."""
    return draw(spec, shape_of(spec, scope), torch.default_generator).to(getattr(torch, spec.dtype))


def _fill(root: nn.Module, path: str, value: Any) -> None:
    """Fill a parameter or buffer, in place; raises ValueError where the model has none of that name."""
    tensor = dict(root.named_parameters()).get(path, dict(root.named_buffers()).get(path))
    if tensor is None:
        msg = f"init: the model has no parameter or buffer '{path}'"
        raise ValueError(msg)
    nn.init.constant_(tensor, value)


def _layer(layer: LayerSpec, scope: Mapping[str, Any], dim: int | None, conv_kind: ConvKind | None) -> nn.Module:
    call = layer.call
    args = [evaluate(item, scope) for item in call.args]
    kwargs = {key: evaluate(item, scope) for key, item in call.kwargs}
    if layer.pattern is not None:
        return _build(layer.pattern, {**layer.pattern.params, **kwargs}, dim, conv_kind)
    if call.function == "conv":
        if conv_kind is None:
            msg = f"layer '{layer.name}' is a conv, but the case names no conv kind"
            raise ValueError(msg)
        return _convolution(conv_kind, {**dict(zip(_CONV_ARGUMENTS, args)), **kwargs}, dim)
    return _module_class(call.function, dim)(*args, **kwargs)


def _convolution(kind: ConvKind, arguments: Mapping[str, object], dim: int | None) -> nn.Module:
    """A convolution of the case's kind; what the kind declares wins over the pattern's call."""
    added = {key: evaluate(item, {**arguments, "dim": dim}) for key, item in kind.args.items()}
    return _module_class(kind.module, dim)(**{**arguments, **added})


def _module_class(name: str, dim: int | None) -> Callable[..., nn.Module]:
    """The class of torch.nn; the Nd of a name stands for the case's dim."""
    if name.endswith("Nd"):
        name = f"{name[:-2]}{dim}d"
    found: Callable[..., nn.Module] = getattr(nn, name)
    return found


class _ForwardGraph:
    """Builds the graph of one forward pass; `scope` holds the pattern's parameters."""

    def __init__(self, layers: frozenset[str], scope: Mapping[str, Any]) -> None:
        self._layers = layers
        self._graph = fx.Graph()
        self._values: dict[str, Any] = dict(scope)

    def build(self, inputs: tuple[str, ...], own: tuple[str, ...], statements: tuple[Statement, ...]) -> fx.Graph:
        """The graph of these inputs and lines; `own` are tensors of the model itself."""
        for name in inputs:
            self._values[name] = self._graph.placeholder(name)
        for name in own:
            self._values[name] = self._graph.get_attr(name)
        for statement in statements:
            if isinstance(statement, Assign):
                self._assign(statement)
            elif isinstance(statement, Return):
                self._graph.output(self._value(statement.value))
        self._graph.lint()
        return self._graph

    def _assign(self, statement: Assign) -> None:
        value = self._value(statement.value)
        if statement.operator is not None:
            (target,) = statement.targets
            operands = (self._values[target], value)
            self._values[target] = self._operation(statement.operator, operands, _IN_PLACE[statement.operator])
        elif len(statement.targets) == 1:
            self._values[statement.targets[0]] = value
        else:
            for position, target in enumerate(statement.targets):
                self._values[target] = self._item(value, position)

    def _operation(self, symbol: str, operands: tuple[Any, ...], function: Callable[..., object]) -> Any:
        """A node of the graph, or a plain value, a list perhaps, where no operand is a tensor."""
        if any(isinstance(operand, fx.Node) for operand in operands):
            return self._graph.call_function(function, operands)
        return apply(symbol, *operands)

    def _item(self, value: Any, index: Any) -> Any:
        """A node of the graph, or a plain value where nothing comes from a tensor."""
        if _mentions_node((value, index)):
            return self._graph.call_function(operator.getitem, (value, index))
        return operator.getitem(value, index)

    def _value(self, expression: Expression) -> Any:
        match expression:
            case Literal(value):
                return ... if value == "..." else value
            case Name(id):
                # A dtype is written torch.NAME; everything else is a plain name.
                return getattr(torch, id.removeprefix("torch.")) if "." in id else self._values[id]
            case Sequence(kind, items):
                parts = [self._value(item) for item in items]
                return bounded(tuple(parts) if kind == "tuple" else parts)
            case Dictionary(items):
                return bounded({key: self._value(item) for key, item in items})
            case Operation(symbol, operands):
                values = tuple(map(self._value, operands))
                return self._operation(symbol, values, _OPERATORS[symbol, len(values)])
            case Index(value, index):
                return self._item(self._value(value), self._value(index))
            case Slice(start, stop, step):
                return slice(*(None if part is None else self._value(part) for part in (start, stop, step)))
            case Call() | MethodCall():
                return self._called(expression)
        msg = f"a forward pass cannot hold {expression}"
        raise ValueError(msg)

    def _called(self, call: Call | MethodCall) -> Any:
        args = tuple(map(self._value, call.args))
        kwargs = {key: self._value(item) for key, item in call.kwargs}
        if isinstance(call, MethodCall):
            return self._graph.call_method(call.method, (self._value(call.value), *args), kwargs)
        if call.function in self._layers:
            return self._graph.call_module(call.function, args, kwargs)
        # Not through _operation: a function without tensor arguments may still make a tensor.
        return self._graph.call_function(_function(call.function), args, kwargs)


def _function(name: str) -> Callable[..., object]:
    """The function that the language writes as torch.NAME or F.NAME."""
    prefix, _, attribute = name.partition(".")
    found: Callable[..., object] = getattr(nn.functional if prefix == "F" else torch, attribute)
    return found


def _mentions_node(value: Any) -> bool:
    found = False

    def note(node: fx.Node) -> fx.Node:
        nonlocal found
        found = True
        return node

    fx.node.map_arg(value, note)
    return found
