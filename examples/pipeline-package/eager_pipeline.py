"""A pipeline without a graph: it replaces linear layers by ones that quantize their inputs dynamically."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the ops below
from torch import Tensor, nn

OPS = torch.ops.quantized_decomposed
EPS = torch.finfo(torch.float32).eps


class DynamicLinear(nn.Module):
    """A linear layer with integer weights and a scale per output channel; each input is quantized by its own range."""

    def __init__(self, linear: nn.Linear, bits: int) -> None:
        super().__init__()
        self.last = 2 ** (bits - 1) - 1
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1) / self.last).clamp(min=EPS)
        zeros = torch.zeros_like(scales, dtype=torch.int64)
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", zeros)
        self.register_buffer("weight", OPS.quantize_per_channel(weight, scales, zeros, 0, *self.symmetric))
        self.bias = linear.bias

    @property
    def symmetric(self) -> tuple[int, int, torch.dtype]:
        """The integers of weights."""
        return -self.last, self.last, torch.int8

    def forward(self, x: Tensor) -> Tensor:
        """What float arithmetic gives on the quantized input and weight."""
        integers = (-self.last - 1, self.last, torch.int8)
        scale, zero = OPS.choose_qparams.tensor(x, *integers[:2], EPS, torch.int8)
        rounded = OPS.quantize_per_tensor.tensor(x, scale, zero, *integers)
        read = OPS.dequantize_per_tensor.tensor(rounded, scale, zero, *integers)
        weight = OPS.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, *self.symmetric)
        return nn.functional.linear(read, weight, self.bias)


class Eager:
    """The pipeline for one quantizer: its mode, and what it says under the pipeline's name."""

    def __init__(self, mode: str, config: Mapping[str, Any]) -> None:
        if unknown := sorted(config.keys() - {"bits"}):
            msg = f"unknown key {unknown[0]!r} under eager; expected bits"
            raise ValueError(msg)
        self.mode, self.bits = mode, config.get("bits", 8)

    def inexpressible(self) -> str | None:
        """Why the pipeline cannot express this quantizer, or None if it can."""
        return None if self.mode == "dynamic" else f"eager knows only mode dynamic, not {self.mode}"

    def prepare(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> nn.Module:
        """The unchanged model, because dynamic quantization needs no observers."""
        return model

    def convert(self, model: nn.Module) -> nn.Module:
        """The model with its linear layers replaced."""
        for name, part in list(model.named_modules()):
            if isinstance(part, nn.Linear):
                model.set_submodule(name, DynamicLinear(part, self.bits))
        return model


def perceptron(width: int = 16) -> nn.Module:
    """Two linear layers: a model that YAML may name."""
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))
