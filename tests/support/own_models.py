"""Models as their owners make them: by a method of their class."""

from __future__ import annotations

from torch import Tensor, nn


class Net(nn.Module):
    """A linear layer of some width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, width)

    @classmethod
    def small(cls, width: int = 2) -> Net:
        """The smallest of the family."""
        return cls(width)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's outputs."""
        out: Tensor = self.linear(x)
        return out
