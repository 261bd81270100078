"""Models of upstream's tests that the language of patterns has no words for, for the declarations beside this file.

Whoever runs those declarations allows this module: `--allow-module upstream_models`.
"""

from __future__ import annotations

import torch
from torch import nn
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn import functional


class ScaledByIntegers(nn.Module):
    """A sum and a product with an integer that is no parameter and no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.t = torch.tensor([100])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum, times the integer."""
        return (x + self.t) * self.t


class WithAParameter(nn.Module):
    """A linear layer to whose output a transposed parameter is added."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.dont_fold_me = nn.Parameter(torch.randn(2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output and the parameter."""
        found: torch.Tensor = self.linear(x) + self.dont_fold_me.t()
        return found


class TransposedWeight(nn.Module):
    """A linear function whose weight is a tensor that is transposed first."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.randn(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The linear function."""
        return functional.linear(x, self.weight.t())


class MatmulOfAParameter(nn.Module):
    """A product of a parameter and the first input, the second one added, a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(8, 16))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What the ReLU leaves."""
        return functional.relu(torch.matmul(self.w, x) + y)


class Sub(nn.Module):
    """A submodule of a class of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        found: torch.Tensor = self.linear(x)
        return found


class WithSub(nn.Module):
    """A linear layer, then the submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)
        self.sub = Sub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The submodule's output."""
        found: torch.Tensor = self.sub(self.linear(x))
        return found


class Patches(nn.Module):
    """Patches of an image behind a token that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, 768, kernel_size=(16, 16), stride=(16, 16))
        self.cls_token = torch.rand(1, 1, 768)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The token and the patches."""
        return torch.cat((self.cls_token, self.projection(x).flatten(2).transpose(1, 2)), dim=1)


class AddingBuffer(nn.Module):
    """A buffer to which every input is added in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("buf", torch.randn(1, 2, 3, 3))
        self.buf: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the buffer is now."""
        self.buf.add_(x)
        return self.buf


class WrittenBuffer(nn.Module):
    """A buffer, or its first row, some of whose elements are replaced in place."""

    def __init__(self, *, row: bool) -> None:
        super().__init__()
        self.row = row
        self.register_buffer("buf", torch.zeros((2, 4) if row else (4,)))
        self.buf: torch.Tensor

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """What was written into is now."""
        place = self.buf.select(0, 0) if self.row else self.buf
        return place.index_put_((index,), x).clone()


class Scanning(nn.Module):
    """A linear layer inside of a scan, its outputs summed up on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor, init: torch.Tensor) -> torch.Tensor:
        """The output of every step."""

        def step(carry: torch.Tensor, piece: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            out = self.linear(piece)
            return carry + out, out

        _, outputs = scan(step, init=init, xs=x, dim=0)
        found: torch.Tensor = outputs
        return found


class Looping(nn.Module):
    """A linear layer inside of a loop that is passed three times."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the last pass gives."""

        def goes_on(passes: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return passes < 3  # noqa: PLR2004 - upstream's number of passes

        def once(passes: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return passes + 1, self.linear(value)

        _, last = while_loop(goes_on, once, (torch.tensor(0), x))
        found: torch.Tensor = last
        return found


class Clamped(nn.Module):
    """The input, clamped at a tensor that is given by keyword; or at a number, into the input itself."""

    def __init__(self, *, into_input: bool) -> None:
        super().__init__()
        self.into_input = into_input
        self.greatest = torch.randn(1, 2, 3, 3)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        """What is not above."""
        if self.into_input:
            torch.clamp(t, max=0.5, out=t)
            return t
        return torch.clamp(t, max=self.greatest)


class ProductWith(nn.Module):
    """The first input times what a sum over the second one gives: a vector, a tensor without axes or a number."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The product."""
        if self.what == "vector":
            return x * y.sum(-1)
        return x * (y.sum() if self.what == "scalar" else y.sum().item())
