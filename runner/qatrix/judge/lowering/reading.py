"""The integers that one op of a program works on, read off its graph and the values in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import torch
from torch import Tensor, fx, nn

from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, base_name, called_module, op_name
from qatrix.judge.lowering.facts import Codes, Product

Fused = Literal["none", "relu", "relu6", "hardtanh"]
Kind = Literal["conv", "linear"]
_KINDS: Final[Mapping[str, Kind]] = {
    "conv1d": "conv",
    "conv2d": "conv",
    "conv3d": "conv",
    "convolution": "conv",
    "linear": "linear",
}
_BOUNDS: Final[Mapping[tuple[float, float], Fused]] = {(0.0, 6.0): "relu6", (-1.0, 1.0): "hardtanh"}
_QUANTIZE: Final = ("quantize_per_tensor", "quantize_per_channel")
_DEQUANTIZE: Final = ("dequantize_per_tensor", "dequantize_per_channel")


def last_computed(program: fx.GraphModule) -> fx.Node | None:
    """What a program computes last, before its output is quantized; None where it gives several values."""
    node = _returned(program)
    if node is not None and op_name(node) in _DEQUANTIZE:
        node = operand(node, 0)
        node = operand(node, 0) if isinstance(node, fx.Node) and op_name(node) in _QUANTIZE else node
    return node if isinstance(node, fx.Node) else None


def output_range(program: fx.GraphModule) -> tuple[int | None, int | None]:
    """The least and the greatest code of a program's output, None where it is not quantized."""
    node = _returned(program)
    if node is None or op_name(node) not in _DEQUANTIZE:
        return None, None
    return argument(node, "quant_min"), argument(node, "quant_max")


def _returned(program: fx.GraphModule) -> Any:
    """The one value that a program gives, None where it gives several."""
    given = next(item for item in reversed(program.graph.nodes) if item.op == "output").args[0]
    if isinstance(given, (tuple, list)) and len(given) == 1:
        given = given[0]
    return given if isinstance(given, fx.Node) else None


def product_of(program: fx.GraphModule, values: Mapping[str, object]) -> Product | None:
    """The convolution or linear op that a program is, with its activation; None where it is something else.

    `values` are those of its nodes, by name. A convolution or linear op that FX's reference keeps in a module is none
    of these, nor one whose padding is a word.
    """
    node = last_computed(program)
    fused: Fused = "none"
    if node is not None and (found := _activation(node)) is not None:
        fused, node = found, operand(node, 0)
    kind = _KINDS.get(base_name(node)) if isinstance(node, fx.Node) and node.op == "call_function" else None
    if kind is None or not isinstance(node, fx.Node):
        return None
    activation, weight = (_codes(argument(node, name), values) for name in ("input", "weight"))
    if activation is None or weight is None:
        return None
    if kind == "conv" and isinstance(argument(node, "padding"), str):
        return None
    bias = argument(node, "bias")
    known = values.get(bias.name) if isinstance(bias, fx.Node) else None
    if bias is not None and not isinstance(known, Tensor):
        return None
    sizes = {} if kind == "linear" else _sizes(node, weight.codes.ndim - 2)
    return Product(
        kind=kind,
        activation=activation,
        weight=weight,
        bias=known if isinstance(known, Tensor) else None,
        fused=fused,
        **sizes,
    )


class InFloat64(fx.Interpreter):
    """Runs a program in float64: what it would give without any rounding but that of quantize ops.

    Weights that it quantizes itself keep the codes that they have in float32.
    """

    def __init__(self, program: fx.GraphModule) -> None:
        super().__init__(program, garbage_collect_values=False)
        self._weights: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """A node's value."""
        name = op_name(n)
        if name in _QUANTIZE and operand(n, 0) in self._weights:
            quantize: Any = n.target
            return quantize(*fx.map_arg(n.args, lambda item: self._weights.get(item, self.env[item])), **n.kwargs)
        if name in _QUANTIZE:
            return self._quantized(n)
        if name in _DEQUANTIZE:
            return self._dequantized(n)
        value = super().run_node(n)
        if n.op == "get_attr":
            self._weights[n] = value
        return _doubled(value) if n.op in {"placeholder", "get_attr"} else value

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A module's value, with its parameters in float64."""
        module = self.fetch_attr(target)
        assert isinstance(module, nn.Module)
        return _called(module, args, kwargs)

    def _quantized(self, node: fx.Node) -> Any:
        value: Any = self._known(operand(node, 0))
        scale, zero_point, low, high = self._grid(node, value.ndim)
        return torch.clamp(torch.round(value / scale) + zero_point, low, high)

    def _dequantized(self, node: fx.Node) -> Any:
        codes: Any = self._known(operand(node, 0))
        scale, zero_point, _, _ = self._grid(node, codes.ndim)
        return (codes.double() - zero_point) * scale

    def _grid(self, node: fx.Node, ndim: int) -> tuple[Any, Any, int, int]:
        """Scale and zero point, along their axis where there is one for each channel, and the range of codes."""
        per_channel = op_name(node).endswith("per_channel")
        names = ("scales", "zero_points") if per_channel else ("scale", "zero_point")
        grid: list[Any] = [self._known(argument(node, name)) for name in names]
        if per_channel:
            shape = [1] * ndim
            shape[argument(node, "axis")] = -1
            grid = [item.double().reshape(shape) for item in grid if isinstance(item, Tensor)]
        return grid[0], grid[1], argument(node, "quant_min"), argument(node, "quant_max")

    def _known(self, item: Any) -> Any:
        return self.env[item] if isinstance(item, fx.Node) else item


def _called(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A module's value in float64; a reference module of FX has its weight rounded in float32, as it says."""
    if isinstance(module, nn.Sequential):
        for part in module:
            args, kwargs = (_called(part, args, kwargs),), {}
        return args[0]
    rounded = getattr(module, "get_weight", None)
    if rounded is None:
        doubled = {name: _doubled(item) for name, item in module.state_dict().items() if isinstance(item, Tensor)}
        return torch.func.functional_call(module, doubled, args, kwargs)
    weight, bias = rounded().double(), _doubled(getattr(module, "bias", None))
    if isinstance(module, nn.Linear):
        return nn.functional.linear(args[0], weight, bias)
    forward: Any = getattr(module, "_conv_forward", None)
    if forward is None:
        msg = f"{type(module).__name__} is not computed in float64"
        raise NotImplementedError(msg)
    return forward(args[0], weight, bias)


def _doubled(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _activation(node: fx.Node) -> Fused | None:
    """The activation that a node is, None for other ops."""
    module = called_module(node) if node.op == "call_module" else None
    name = base_name(node).rstrip("_") if module is None else type(module).__name__.lower()
    if name in {"relu", "relu6"}:
        return "relu" if name == "relu" else "relu6"
    if name not in {"hardtanh", "clamp"}:
        return None
    names = ("min_val", "max_val") if name == "hardtanh" else ("min", "max")
    bounds = [argument(node, item) if module is None else getattr(module, item) for item in names]
    known = all(isinstance(item, (int, float)) for item in bounds)
    return _BOUNDS.get((float(bounds[0]), float(bounds[1]))) if known else None


def _codes(node: object, values: Mapping[str, object]) -> Codes | None:
    """The integers of a dequantized value, None where it is none."""
    if not isinstance(node, fx.Node) or op_name(node) not in _DEQUANTIZE:
        return None
    source = operand(node, 0)
    codes = values.get(source.name) if isinstance(source, fx.Node) else None
    per_channel = op_name(node) == "dequantize_per_channel"
    if not isinstance(codes, Tensor) or (per_channel and argument(node, "axis") != 0):
        return None
    names = ("scales", "zero_points") if per_channel else ("scale", "zero_point")
    grid = [_tensor(argument(node, name), values) for name in names]
    if any(item is None for item in grid):
        return None
    return Codes(
        codes=codes.to(torch.int64),
        scale=torch.as_tensor(grid[0]),
        zero_point=torch.as_tensor(grid[1]),
        quant_min=argument(node, "quant_min"),
        quant_max=argument(node, "quant_max"),
    )


def _tensor(item: object, values: Mapping[str, object]) -> Tensor | None:
    found = values.get(item.name) if isinstance(item, fx.Node) else item
    if isinstance(found, (int, float)):
        return torch.tensor(found)
    return found if isinstance(found, Tensor) else None


def _sizes(node: fx.Node, axes: int) -> dict[str, Any]:
    """Stride, padding and dilation for every axis, and groups."""
    sizes: dict[str, Any] = {name: _each(argument(node, name), axes) for name in ("stride", "padding", "dilation")}
    return sizes | {"groups": argument(node, "groups")}


def _each(value: Any, axes: int) -> tuple[int, ...]:
    found = (value,) if isinstance(value, int) else tuple(value)
    return found * axes if len(found) == 1 else found
