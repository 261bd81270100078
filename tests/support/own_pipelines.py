"""Pipelines of a user's own: one that does as it should, and others that each do one thing wrong."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn


class Rounded(nn.Module):
    """A linear layer whose weight is rounded to a step."""

    def __init__(self, linear: nn.Linear, step: float) -> None:
        super().__init__()
        self.linear = linear
        with torch.no_grad():
            linear.weight.copy_((linear.weight / step).round() * step)

    def forward(self, x: torch.Tensor) -> Any:
        """What the layer gives with the rounded weight."""
        return self.linear(x)


class Rounding:
    """Rounds the weights of linear layers to a declared step."""

    def __init__(self, mode: str, config: Mapping[str, Any]) -> None:
        self.mode, self.config = mode, config

    def prepare(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> nn.Module:
        """The model, once it has run on the example."""
        model(*args, **kwargs)
        return model

    def convert(self, model: nn.Module) -> nn.Module:
        """The model with rounded weights."""
        for name, part in list(model.named_modules()):
            if isinstance(part, nn.Linear):
                setattr(model, name, Rounded(part, float(self.config.get("step", 0.05))))
        return model


class Told(Rounding):
    """Says what it was told."""

    def convert(self, model: nn.Module) -> nn.Module:
        """Fail with the mode and the configuration."""
        frozen = isinstance(self.config, MappingProxyType)
        msg = f"{self.mode} {self.config} frozen={frozen}"
        raise RuntimeError(msg)


class Idle(Rounding):
    """Quantizes nothing."""

    def convert(self, model: nn.Module) -> nn.Module:
        """The float model."""
        return model


class Unable(Rounding):
    """Cannot express any quantizer."""

    def inexpressible(self) -> str:
        """Why not."""
        return "it knows no quantizer"


class Talkative(Rounding):
    """Cannot express any quantizer."""

    def inexpressible(self) -> str:
        """Why not."""
        return "first\nsecond" * 10_000


class Refuses(Rounding):
    """Takes no configuration."""

    def __init__(self, mode: str, config: Mapping[str, Any]) -> None:
        if config:
            msg = f"unknown key {next(iter(config))}"
            raise ValueError(msg)
        super().__init__(mode, config)


class Bare:
    """Takes nothing."""

    def prepare(self) -> None:
        """Nothing."""

    def convert(self) -> None:
        """Nothing."""


class Plain:
    """No pipeline at all."""


class NoConvert:
    """Half a pipeline."""

    def prepare(self) -> None:
        """Nothing."""


not_callable = "no class"


class PreparesNothing(Rounding):
    """Returns nothing where the prepared model is due."""

    def prepare(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:  # type: ignore[override]  # that is the point
        """Nothing."""


class ConvertsToNumber(Rounding):
    """Returns a number where the quantized model is due."""

    def convert(self, model: nn.Module) -> int:  # type: ignore[override]  # that is the point
        """Three."""
        return 3


class Raises(Rounding):
    """Fails at converting."""

    def convert(self, model: nn.Module) -> nn.Module:
        """Raise."""
        msg = "no such backend"
        raise ValueError(msg)


class Leaves(Rounding):
    """Ends the interpreter at preparing."""

    def prepare(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> nn.Module:
        """Exit."""
        sys.exit(3)


class Dies(Rounding):
    """Ends its process at converting, without a word."""

    def convert(self, model: nn.Module) -> nn.Module:
        """Exit at once."""
        os._exit(5)


class Hangs(Rounding):
    """Never comes to an end."""

    def convert(self, model: nn.Module) -> nn.Module:
        """Sleep."""
        while True:
            time.sleep(1)


class Traces(Rounding):
    """Leaves the process other than it was."""

    def convert(self, model: nn.Module) -> nn.Module:
        """Change an environment variable for good."""
        os.environ["LEFT_BY_A_PIPELINE"] = "1"
        return super().convert(model)


def net() -> nn.Module:
    """A model that a distribution may register."""
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
