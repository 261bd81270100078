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


class FrozenStem(nn.Module):
    """Two convolutions, of which the first computes without gradients, as a frozen stem does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.head = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """The head of what the stem computes without gradients."""
        with torch.no_grad():
            y = functional.relu(self.stem(x))
        z: Tensor = self.head(y)
        return z


def frozen_stem() -> nn.Module:
    """A model that the exporter nests a graph in."""
    return FrozenStem()


class SelfAttention(nn.Module):
    """Multi-head attention of an input with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        """A linear layer of what the attention gives."""
        y, _ = self.attention(x, x, x)
        z: Tensor = self.head(y)
        return z


def self_attention() -> nn.Module:
    """A model whose attention is one layer to FX and many ops to the exporter."""
    return SelfAttention()
