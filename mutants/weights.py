"""The quantized weights of a converted program, in both forms that pipelines give them.

PT2E keeps integers in the program and dequantizes them with an op; FX's reference modules keep float
weights beside their scales, and quantize them whenever they run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor, fx, nn

from mutants.programs import Program, with_argument
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import called_module, op_name

_BIAS: Final = 2


class Weight(Protocol):
    """A quantized weight of a layer, and the layer's bias."""

    @property
    def layer(self) -> str:
        """The layer's name in the float model."""

    @property
    def axis(self) -> int | None:
        """Along which axis there is a scale per channel; None where there is one scale."""

    def codes(self) -> Tensor:
        """The integers, as int64."""

    def scales(self) -> Tensor:
        """The scales, one of each channel."""

    def zero_points(self) -> Tensor:
        """The zero points, one of each channel."""

    def put(self, codes: Tensor) -> None:
        """Change the integers."""

    def rescale(self, scales: Tensor, zero_points: Tensor, *, axis: int | None) -> None:
        """Change the scales, the zero points and their axis; the integers stay."""

    def bias(self) -> Tensor | None:
        """The bias, None where there is none."""

    def put_bias(self, bias: Tensor | None) -> None:
        """Change the bias, or take it away."""


@dataclass(frozen=True)
class ExportedWeight:
    """A constant of integers that an op dequantizes."""

    program: Program
    layer: str
    op: fx.Node
    dequantize: fx.Node

    @property
    def axis(self) -> int | None:
        """The op's axis."""
        return int(self.dequantize.args[3]) if "channel" in op_name(self.dequantize) else None  # type: ignore[arg-type]

    def codes(self) -> Tensor:
        """The constant."""
        codes: Tensor = self.program.value_of(self._node(0))
        return codes.long()

    def scales(self) -> Tensor:
        """What the op is given."""
        return self._numbers(1).float()

    def zero_points(self) -> Tensor:
        """What the op is given."""
        return self._numbers(2)

    def put(self, codes: Tensor) -> None:
        """Give the op a new constant."""
        old = self.program.value_of(self._node(0))
        with_argument(self.dequantize, 0, self.program.reading(self.dequantize, "planted_codes", codes.to(old.dtype)))
        self.program.recompile()

    def rescale(self, scales: Tensor, zero_points: Tensor, *, axis: int | None) -> None:
        """Give the op new constants, or numbers where it has those."""
        if axis is None:
            with_argument(self.dequantize, 1, float(scales))
            with_argument(self.dequantize, 2, int(zero_points))
        else:
            for place, name, value in ((1, "planted_scale", scales), (2, "planted_zero_point", zero_points)):
                with_argument(self.dequantize, place, self.program.reading(self.dequantize, name, value))
            with_argument(self.dequantize, 3, axis)
        self.program.recompile()

    def bias(self) -> Tensor | None:
        """What the op reads as its third operand."""
        node = operand(self.op, _BIAS)
        return self.program.value_of(node) if isinstance(node, fx.Node) and node.op == "get_attr" else None

    def put_bias(self, bias: Tensor | None) -> None:
        """Give the op a new constant, or none."""
        made = None if bias is None else self.program.reading(self.op, "planted_bias", bias)
        with_argument(self.op, _BIAS, made)
        self.program.recompile()

    def _node(self, place: int) -> fx.Node:
        node = self.dequantize.args[place]
        assert isinstance(node, fx.Node)
        return node

    def _numbers(self, place: int) -> Tensor:
        value = self.dequantize.args[place]
        return torch.tensor(value) if not isinstance(value, fx.Node) else self.program.value_of(value).clone()


@dataclass(frozen=True)
class ReferenceWeight:
    """A reference module with a float weight and its scales."""

    layer: str
    module: Any

    @property
    def axis(self) -> int | None:
        """The module's axis."""
        return None if self.module.weight_qscheme == torch.per_tensor_affine else int(self.module.weight_axis_int)

    def codes(self) -> Tensor:
        """What the module makes of its weight when it runs."""
        codes: Tensor = self.module.get_quantized_weight()
        return codes.detach().long()

    def scales(self) -> Tensor:
        """The module's buffer."""
        scales: Tensor = self.module.weight_scale
        return scales.detach().clone()

    def zero_points(self) -> Tensor:
        """The module's buffer."""
        zero_points: Tensor = self.module.weight_zero_point
        return zero_points.detach().clone()

    def put(self, codes: Tensor) -> None:
        """Give the module the float weight of these integers."""
        shape = [1] * codes.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        scales, zero_points = self.scales().double().reshape(shape), self.zero_points().reshape(shape)
        with torch.no_grad():
            self.module.weight.copy_((codes - zero_points) * scales)

    def rescale(self, scales: Tensor, zero_points: Tensor, *, axis: int | None) -> None:
        """Change the module's buffers, and the float weight so that its integers stay."""
        codes = self.codes()
        self.module.weight_scale, self.module.weight_zero_point = scales, zero_points
        if axis is not None:
            self.module.weight_axis_int = axis
            self.module.weight_axis.fill_(axis)
        self.put(codes)

    def bias(self) -> Tensor | None:
        """The module's bias."""
        bias: Tensor | None = self.module.bias
        return None if bias is None else bias.detach().clone()

    def put_bias(self, bias: Tensor | None) -> None:
        """Change the module's bias, or take it away."""
        self.module.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)


def quantized_weights(program: Program) -> Iterator[Weight]:
    """The quantized weights of a converted program, in the order in which they are used."""
    for node in program.nodes:
        layer = program.layer_of(node)
        if layer is None:
            continue
        module = called_module(node)
        inner = module[0] if isinstance(module, nn.Sequential) else module
        if hasattr(inner, "get_quantized_weight"):
            yield ReferenceWeight(layer, inner)
        if op_name(node) in {"conv", "conv_transpose", "linear"}:
            source = operand(node, 1)
            if isinstance(source, fx.Node) and op_name(source).startswith("dequantize") and _is_of_constant(source):
                yield ExportedWeight(program, layer, node, source)


def _is_of_constant(dequantize: fx.Node) -> bool:
    source = operand(dequantize, 0)
    return isinstance(source, fx.Node) and source.op == "get_attr"
