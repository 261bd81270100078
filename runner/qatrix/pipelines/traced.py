"""Modules that torch traces by their bytecode, in which nothing else may stand, such as a probe of coverage."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qatrix.pipelines.inputs import Inputs


class Sine(nn.Module):
    """A pattern that is in no quantized model, of the form whose nodes have names."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The sine of a tensor of any shape, once by its place and once by its name."""
        result = torch.sin(x)
        return result, {"output": result}


class Positional(nn.Module):
    """A program whose keyword arguments come by position, for what takes positional arguments alone."""

    def __init__(self, program: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.program = program
        self._count, self._names = len(inputs.args), tuple(inputs.kwargs)

    def forward(self, *values: Any) -> Any:
        """What the program gives for the same arguments, the last of them by their names."""
        return self.program(*values[: self._count], **dict(zip(self._names, values[self._count :])))
