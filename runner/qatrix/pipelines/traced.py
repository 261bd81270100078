"""Modules whose code dynamo reads: only of these does it trace what qatrix has written.

Coverage leaves this file alone, because it counts lines with calls in the code, which dynamo cannot trace.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qatrix.pipelines.inputs import Inputs


class Sine(nn.Module):
    """A pattern that matches nothing in the models of QAT, of the form whose nodes have names."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        result = torch.sin(x)
        return result, {"output": result}


class Positional(nn.Module):
    """A program whose keyword arguments come by position, because the lowering takes positional arguments alone."""

    def __init__(self, program: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.program = program
        self._count, self._names = len(inputs.args), tuple(inputs.kwargs)

    def forward(self, *values: Any) -> Any:
        return self.program(*values[: self._count], **dict(zip(self._names, values[self._count :])))
