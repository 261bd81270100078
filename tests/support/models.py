"""Models that only a factory can make, for cases that YAML alone does not spell out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FunctionalConvBn(nn.Module):
    """Convolution, batch norm and ReLU as functions on the module's own parameters and buffers."""

    mean: Tensor
    var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3) / 5)
        self.bias = nn.Parameter(torch.randn(4) / 5)
        self.gamma = nn.Parameter(torch.rand(4) + 0.5)
        self.beta = nn.Parameter(torch.randn(4))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        """The ReLU of the normalized convolution."""
        y = functional.conv2d(x, self.weight, self.bias)
        y = functional.batch_norm(y, self.mean, self.var, self.gamma, self.beta, training=self.training)
        return functional.relu(y)


def functional_conv_bn() -> nn.Module:
    """A model whose layers are functions."""
    return FunctionalConvBn()
