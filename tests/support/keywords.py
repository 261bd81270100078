"""Models that pass what their functions and layers take by keyword."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class KeywordConv(nn.Module):
    """A convolution as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x."""
        return functional.conv2d(input=x, weight=self.w, bias=None, stride=1)


class KeywordLinear(nn.Module):
    """A linear layer as a function, flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 192))

    def forward(self, x: Tensor) -> Tensor:
        """The product of x and the weight."""
        return functional.linear(input=torch.flatten(input=x, start_dim=1), weight=self.w)


class KeywordLayer(nn.Module):
    """A convolution and its ReLU as layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The ReLU of the convolution of x."""
        return torch.flatten(input=self.relu(input=self.conv(input=x)), start_dim=1)
