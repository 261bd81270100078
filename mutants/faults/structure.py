"""Faults of what a converted program computes, and in which order."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import torch
from torch import fx, nn
from torch.nn import functional

from mutants.faults.fault import Fault, Find, Quantity
from mutants.programs import Place, Program, bypass, insert_after, with_argument
from qatrix.judge.diagnosis.quantizing import past_quantizing, quantizes
from qatrix.judge.graphs.ops import called_module

_RELU: Final = ("relu",)
_RELU6: Final = ("relu6", "hardtanh")
# Height and width of an image, which are alike here.
_EXCHANGED: Final = {2: 3, 3: 2}
_MAX_POOL: Final = ("max_pool2d", "maxpool2d")
_STRIDE, _PADDING, _DILATION = 3, 4, 5
_CONV_DEFAULTS: Final = (None, None, None, [1, 1], [0, 0], [1, 1], 1)


def _call(node: fx.Node, target: Any, *args: Any, **kwargs: Any) -> None:
    """Let a node call another function, on other operands."""
    node.op, node.target, node.args, node.kwargs = "call_function", target, args, kwargs


def _without_activation(*names: str) -> Find:
    """An activation that is gone, where it is a node of its own or part of a fused module."""

    def find(program: Program) -> Iterator[Place]:
        for layer, node in program.ops(*names):
            source = node.args[0]
            if isinstance(source, fx.Node):
                yield Place(layer, functools.partial(bypass, program, node, source))
        for layer, _, module in _fused(program, names):
            yield Place(layer, functools.partial(operator.setitem, module, len(module) - 1, nn.Identity()))

    return find


def _fused(program: Program, names: Collection[str]) -> Iterator[tuple[str, fx.Node, Any]]:
    """The fused modules that end in an activation of these names, by the activation's layer."""
    for node in program.nodes:
        module, layer = called_module(node), program.last_of(node)
        if layer is not None and isinstance(module, nn.Sequential) and type(module[-1]).__name__.lower() in names:
            yield layer, node, module


def _activated_again(program: Program) -> Iterator[Place]:
    """ReLU of ReLU, which is the same: these mutants are there to be proven equivalent."""
    for layer, node in program.ops(*_RELU):
        yield Place(layer, functools.partial(insert_after, program, node, torch.relu))
    for layer, node, _ in _fused(program, _RELU):
        yield Place(layer, functools.partial(insert_after, program, node, torch.relu))


def _activated_otherwise(program: Program) -> Iterator[Place]:
    """ReLU in the place of ReLU6, and the other way round."""
    for names, other in ((_RELU6, functional.relu), (_RELU, functional.relu6)):
        for layer, node in program.ops(*names):
            yield Place(layer, functools.partial(_replace, program, node, other, node.args[0]))


def _replace(program: Program, node: fx.Node, target: Any, *args: Any, **kwargs: Any) -> None:
    _call(node, target, *args, **kwargs)
    program.recompile()


def _swapped(program: Program) -> Iterator[Place]:
    """The two operands of an op exchanged."""
    for layer, node in program.ops("sub", "matmul", "div"):
        left, right = node.args[:2]
        if isinstance(left, fx.Node) and isinstance(right, fx.Node):
            yield Place(layer, functools.partial(_replace, program, node, node.target, right, left))
    for layer, node in program.ops("cat"):
        parts, *more = node.args
        assert isinstance(parts, (list, tuple))
        yield Place(layer, functools.partial(_replace, program, node, node.target, list(reversed(parts)), *more))


def _geometry(change: Callable[[str, tuple[int, ...]], tuple[int, ...]]) -> Find:
    """Another stride, padding or dilation of a convolution."""

    def find(program: Program) -> Iterator[Place]:
        for node in program.nodes:
            layer, module = program.layer_of(node), called_module(node)
            inner: Any = module[0] if isinstance(module, nn.Sequential) else module
            if layer is not None and isinstance(inner, nn.Conv2d):
                yield Place(layer, functools.partial(_change_module, inner, change))
        for layer, node in program.ops("conv2d"):
            if node.op == "call_function":
                yield Place(layer, functools.partial(_change_op, program, node, change))

    return find


def _change_module(module: nn.Conv2d, change: Callable[[str, tuple[int, ...]], tuple[int, ...]]) -> None:
    for name in ("stride", "padding", "dilation"):
        setattr(module, name, change(name, tuple(getattr(module, name))))


def _change_op(program: Program, node: fx.Node, change: Callable[[str, tuple[int, ...]], tuple[int, ...]]) -> None:
    for name, place in (("stride", _STRIDE), ("padding", _PADDING), ("dilation", _DILATION)):
        given: Any = node.args[place] if len(node.args) > place else _CONV_DEFAULTS[place]
        with_argument(node, place, list(change(name, tuple(given))), fill=_CONV_DEFAULTS)
    program.recompile()


def _only(wanted: str, by: int) -> Find:
    return _geometry(lambda name, value: tuple(item + by for item in value) if name == wanted else value)


def _dilated(name: str, value: tuple[int, ...]) -> tuple[int, ...]:
    """One more of dilation and padding: 3x3 filters keep the shape of what they give."""
    return tuple(item + 1 for item in value) if name in {"dilation", "padding"} else value


def _pooled_otherwise(program: Program) -> Iterator[Place]:
    for layer, node in program.ops(*_MAX_POOL):
        yield Place(layer, functools.partial(_replace, program, node, functional.avg_pool2d, node.args[0], 2))


def _rounded_up(program: Program) -> Iterator[Place]:
    for layer, node in program.ops(*_MAX_POOL):
        pool = functional.max_pool2d
        yield Place(layer, functools.partial(_replace, program, node, pool, node.args[0], 2, ceil_mode=True))


def _reordered(program: Program) -> Iterator[Place]:
    """Axes in another order: of what is flattened, permuted, or transposed."""
    for layer, node in program.ops("flatten", "view", "reshape"):
        yield Place(layer, functools.partial(_transpose_before, program, node))
    for layer, node in program.ops("permute"):
        dims: list[Any] = [
            item for arg in node.args[1:] for item in (arg if isinstance(arg, (list, tuple)) else (arg,))
        ]
        turned = [_EXCHANGED.get(dim, dim) for dim in dims]
        yield Place(layer, functools.partial(_replace, program, node, torch.permute, node.args[0], turned))


def _transpose_before(program: Program, node: fx.Node) -> None:
    with program.module.graph.inserting_before(node):
        turned = program.module.graph.call_function(torch.transpose, (node.args[0], 2, 3))
    with_argument(node, 0, turned)
    program.recompile()


def _weighted(program: Program) -> Iterator[Place]:
    """Twice the second operand of an addition."""
    for layer, node in program.ops("add", "iadd"):
        left, right = node.args[:2]
        if isinstance(left, fx.Node) and isinstance(right, fx.Node):
            yield Place(layer, functools.partial(_replace, program, node, torch.add, left, right, alpha=2))


def _other_constant(program: Program) -> Iterator[Place]:
    """A number in the program that is a tenth larger."""
    for layer, node in program.ops("add", "mul", "div", "truediv", "sub"):
        number = node.args[1] if len(node.args) > 1 else None
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            yield Place(layer, functools.partial(_set, program, node, 1, number * 1.1))


def _set(program: Program, node: fx.Node, place: int, value: Any) -> None:
    with_argument(node, place, value)
    program.recompile()


def _other_axis(program: Program) -> Iterator[Place]:
    for layer, node in program.ops("softmax"):
        yield Place(layer, functools.partial(_replace, program, node, torch.softmax, node.args[0], 1))


def _outputs(program: Program) -> tuple[fx.Node, Any]:
    output = program.nodes[-1]
    return output, output.args[0]


def _reversed_outputs(program: Program) -> Iterator[Place]:
    output, given = _outputs(program)
    if isinstance(given, (list, tuple)) and len(given) > 1:
        layer = _layer_of_value(program, given[0])
        if layer is not None:
            yield Place(layer, functools.partial(_set, program, output, 0, type(given)(reversed(given))))


def _first_output_twice(program: Program) -> Iterator[Place]:
    output, given = _outputs(program)
    if isinstance(given, (list, tuple)) and len(given) > 1:
        layer = _layer_of_value(program, given[1])
        if layer is not None:
            yield Place(
                layer, functools.partial(_set, program, output, 0, type(given)([given[0], *given[:1], *given[2:]]))
            )


def _early_output(program: Program) -> Iterator[Place]:
    """What the last layer reads, in the place of what it computes."""
    output, given = _outputs(program)
    last = given[0] if isinstance(given, (list, tuple)) else given
    if not isinstance(last, fx.Node):
        return
    value = past_quantizing(last)
    layer = program.last_of(value)
    source = next(
        (item for item in value.all_input_nodes if item.op != "get_attr" and program.layer_of(past_quantizing(item))),
        None,
    )
    if layer is not None and source is not None:
        early = [source, *given[1:]] if isinstance(given, (list, tuple)) else source
        yield Place(layer, functools.partial(_set, program, output, 0, early))


def _layer_of_value(program: Program, value: Any) -> str | None:
    return program.last_of(past_quantizing(value)) if isinstance(value, fx.Node) else None


def _of_another_reader(program: Program) -> Iterator[Place]:
    """A layer that reads what the layer before the one that it should read gives, where that has the same shape."""
    for node in program.nodes:
        layer = program.layer_of(node)
        if layer is None or quantizes(node) or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        before = past_quantizing(node.args[0])
        earlier = before.args[0] if before.args and before.op in {"call_function", "call_module"} else None
        if isinstance(earlier, fx.Node) and earlier.op != "get_attr" and program.layer_of(before) not in {None, layer}:
            yield Place(layer, functools.partial(_set, program, node, 0, earlier))


def _fault(name: str, quantity: Quantity, about: str, find: Find) -> Fault:
    return Fault(name=name, about=about, point="converted", quantity=quantity, find=find)


FAULTS: Final = (
    _fault("relu_lost", "activation", "a ReLU is gone", _without_activation(*_RELU)),
    _fault("relu6_lost", "activation", "a ReLU6 is gone", _without_activation(*_RELU6)),
    _fault("relu_doubled", "activation", "a ReLU is there twice", _activated_again),
    _fault(
        "activation_of_another_kind",
        "activation",
        "ReLU6 where ReLU is due, or ReLU where ReLU6 is",
        _activated_otherwise,
    ),
    _fault("operands_swapped", "operands", "the operands of an op are exchanged", _swapped),
    _fault("layer_skipped", "operands", "a layer reads what the layer before its source reads", _of_another_reader),
    _fault("stride", "geometry", "a convolution has one more of stride", _only("stride", 1)),
    _fault("padding", "geometry", "a convolution has one more of padding", _only("padding", 1)),
    _fault("dilation", "geometry", "a convolution has one more of dilation and of padding", _geometry(_dilated)),
    _fault(
        "pooling_of_another_kind",
        "geometry",
        "a max pool is an average pool",
        _pooled_otherwise,
    ),
    _fault("pooling_rounded_up", "geometry", "a pool counts the windows that are not full", _rounded_up),
    _fault("axes_reordered", "order", "axes are in another order", _reordered),
    _fault("softmax_axis", "order", "a softmax is over another axis", _other_axis),
    _fault("addition_weighted", "constant", "an addition takes its second operand twice", _weighted),
    _fault("number_changed", "constant", "a number in the program is a tenth larger", _other_constant),
    _fault("outputs_reversed", "output", "the outputs are in the reverse order", _reversed_outputs),
    _fault("output_repeated", "output", "the first output takes the place of the second", _first_output_twice),
    _fault("output_early", "output", "the program returns what its last layer reads", _early_output),
)
