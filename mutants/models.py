"""Models that YAML cannot write: they keep a state of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Counting(nn.Module):
    """A convolution, and beside it how many samples it has seen."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The convolution of x, and how many samples there were up to these."""
        y: Tensor = self.conv1(x)
        return y, self.seen.add_(x.shape[0])
