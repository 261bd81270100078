"""A batch norm in evaluation as a factor and a shift of the layer before it, in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from qatrix.judge.graphs.layers import OUTPUT_AXIS


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer's weight and bias in float64, and the axis of the output channels; `groups` of a transposed one."""

    weight: Tensor
    bias: Tensor | None
    axis: int
    groups: int = 1

    def having(self, weight: Tensor) -> Self:
        """The layer with another weight."""
        return replace(self, weight=weight)

    def single(self) -> Self:
        """The layer in float32."""
        return replace(self, weight=self.weight.float(), bias=None if self.bias is None else self.bias.float())

    def scaled(self, factor: Tensor) -> Self:
        """The layer with the weight of each output channel times its factor, of shape (output channels,)."""
        if self.axis == 0 or self.groups == 1:
            return self.having(self.weight * _along(factor, self.weight, self.axis))
        # Of a transposed convolution each group of input channels has output channels of its own.
        parts = zip(self.weight.chunk(self.groups), factor.chunk(self.groups), strict=True)
        return self.having(torch.cat([part * _along(own, part, self.axis) for part, own in parts]))

    def folded(self, norm: Any) -> Self:
        """The layer that gives what the batch norm gives in evaluation: weight * f and (bias - mean) * f + shift.

        With f = gamma / sqrt(variance + eps): Jacob et al., "Quantization and Training of Neural Networks for
        Efficient Integer-Arithmetic-Only Inference", 2018, equation 14.
        """
        factor = factor_of(norm)
        shift = -norm.running_mean if self.bias is None else self.bias - norm.running_mean
        bias = shift * factor
        bias = bias if norm.bias is None else bias + norm.bias
        return replace(self.scaled(factor), bias=bias)


def factor_of(norm: Any) -> Tensor:
    """What a batch norm in evaluation multiplies each channel with, of shape (channels,)."""
    inverse: Tensor = (norm.running_var + norm.eps).rsqrt()
    return inverse if norm.weight is None else inverse * norm.weight


def layer_of(module: nn.Module, op: str) -> Layer | None:
    """A convolution's or linear layer's weight and bias; None for what has none that is known."""
    weight = getattr(module, "weight", None)
    if op not in OUTPUT_AXIS or not isinstance(weight, Tensor):
        return None
    bias = getattr(module, "bias", None)
    return Layer(
        weight=weight.detach(),
        bias=bias.detach() if isinstance(bias, Tensor) else None,
        axis=OUTPUT_AXIS[op],
        groups=getattr(module, "groups", 1),
    )


def _along(factor: Tensor, weight: Tensor, axis: int) -> Tensor:
    shape = [1] * weight.ndim
    shape[axis] = -1
    return factor.reshape(shape)
