"""Values that are drawn: of inputs, and of the parameters and buffers that a pattern has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from qatrix.declare.inputs import Drawn, InputSpec, Outlier
from qatrix.expressions import evaluate

# Integer inputs are indices (embeddings, gathers): small, so that any sensible table holds them.
_INTEGER_HIGH: Final = 8


def shape_of(spec: InputSpec, scope: Mapping[str, object]) -> list[Any]:
    """The lengths of a tensor, whose sizes are expressions over the scope."""
    shape: list[Any] = [evaluate(size, scope) for size in spec.shape]
    if spec.spatial is not None:
        dim = scope["dim"]
        shape += [evaluate(spec.spatial, scope)] * (dim if isinstance(dim, int) else 0)
    return shape


def draw(spec: InputSpec, shape: list[Any], generator: torch.Generator) -> Tensor:
    """Random values; those with a fraction in float32, whatever the input's dtype is."""
    if spec.values is not None:
        return _drawn(spec.values, shape, generator)
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator)
    return torch.randint(0, 2 if dtype is torch.bool else _INTEGER_HIGH, shape, generator=generator)


def _drawn(values: Drawn, shape: list[Any], generator: torch.Generator) -> Tensor:
    first, second = values.numbers[0], values.numbers[-1]
    if values.kind == "normal":
        drawn = torch.randn(shape, generator=generator) * second + first
    elif values.kind == "uniform":
        drawn = torch.rand(shape, generator=generator) * (second - first) + first
    elif values.kind == "integers":
        drawn = torch.randint(int(first), int(second), shape, generator=generator)
    else:
        drawn = torch.full(shape, first)
    return drawn if values.outlier is None else _with_outlier(drawn, values.outlier)


def _with_outlier(drawn: Tensor, outlier: Outlier) -> Tensor:
    drawn = drawn.to(torch.float32)
    drawn.select(outlier.axis, outlier.channel).mul_(outlier.factor).add_(outlier.offset)
    return drawn
