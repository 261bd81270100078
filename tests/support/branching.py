"""Models with branches, joins and several outputs, and their quantized programs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from qatrix.declare.load import load
from qatrix.declare.spec import FxPreset, QuantizerSpec
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.resources import folder

# The layers of `Branching` that quantize their output, with the ops that are computed as one with each, by pipeline.
LAYERS: Final = {
    "stem": ("conv2d", "conv2d"),
    "block.c": ("conv2d, relu", "conv2d, relu"),
    "add": ("add", "add"),
    "left": ("conv2d", "conv2d"),
    "right": ("conv2d", "conv2d"),
    "act": ("hardtanh", "relu6"),
    "cat": ("cat", "cat"),
    "pool": ("max_pool2d", "maxpool2d"),
    "avg": ("adaptive_avg_pool2d", "adaptiveavgpool2d"),
    "flatten": ("flatten", "flatten"),
    "f1": ("linear, relu", "linear, relu"),
    "f2": ("linear", "linear"),
}

# A quantizer for the engine qnnpack.
NATIVE: Final = "native_qnnpack_ptq"


class Block(nn.Module):
    """A convolution with its batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.BatchNorm2d(channels)
        self.r = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The block's value."""
        value: Tensor = self.r(self.b(self.c(x)))
        return value


class Branching(nn.Module):
    """Convolutions, linear layers, a residual addition, a concatenation, pools, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = Block(8)
        self.left = nn.Conv2d(8, 4, 1)
        self.right = nn.Conv2d(8, 4, 1)
        self.act = nn.ReLU6()
        self.pool = nn.MaxPool2d(2)
        self.avg = nn.AdaptiveAvgPool2d(1)
        self.f1 = nn.Linear(8, 8)
        self.f2 = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer's value, and the one before it."""
        y = self.stem(x)
        y = self.block(y) + y
        z = torch.cat([self.left(y), self.act(self.right(y))], 1)
        z = self.avg(self.pool(z)).flatten(1)
        z = functional.relu(self.f1(z))
        return self.f2(z), z


class Masking(nn.Module):
    """A ReLU hides the negative values of a convolution from one of two layers that read it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 4, 1)
        self.tail = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the two layers' values."""
        y = self.conv(x)
        z = self.tail(self.head(torch.clamp(y, min=0.0)))
        total: Tensor = z + y
        return total


class Viewing(nn.Module):
    """Sizes that are read of the input, and a linear layer behind a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(4)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """The last layer's value."""
        y = self.pool(torch.relu(self.conv(x)))
        value: Tensor = self.head(y.reshape(x.shape[0], -1))
        return value


class InPlace(nn.Module):
    """A value that is read after it has been changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        y: Tensor = self.conv(x)
        changed: Tensor = torch.relu_(y)
        return changed + y


@functools.lru_cache(maxsize=1)
def _quantizers() -> dict[str, QuantizerSpec]:
    loaded = load([folder("matrix") / "quantizers.yaml"])
    assert loaded.matrix is not None, loaded.problems
    known = dict(loaded.matrix.quantizers)
    # What the kernels of the engine take: activations of 0 to 255.
    native = FxPreset(backend_config="qnnpack", qconfig_mapping="qnnpack")
    known[NATIVE] = replace(known["xnnpack_int8_per_channel_ptq"], name=NATIVE, pt2e=None, fx=native)
    return known


@functools.lru_cache
def prepared(
    pipeline: str,
    model: Callable[[], nn.Module],
    *,
    size: int = 8,
    quantizer: str = "xnnpack_int8_per_channel_ptq",
    dynamic_batch: bool = False,
) -> Program:
    """A calibrated program, with the inputs that calibrated it; nobody may change it."""
    torch.manual_seed(0)
    inputs = Inputs.of(torch.randn(2, 3, size, size))
    spec, stages = _quantizers()[quantizer], PIPELINES[pipeline]
    program = stages.capture(model().eval(), inputs, dynamic_batch=dynamic_batch)()
    program = stages.prepare(program, inputs, spec, skip_modules=())
    with torch.no_grad():
        inputs.call(program)
    return Program(module=program, inputs=inputs, quantizer=spec, dynamic_batch=dynamic_batch)


@functools.lru_cache
def converted(
    pipeline: str,
    model: Callable[[], nn.Module],
    *,
    size: int = 8,
    quantizer: str = "xnnpack_int8_per_channel_ptq",
    dynamic_batch: bool = False,
) -> Program:
    """A converted program, with an example call; nobody may change it."""
    made = prepared.__wrapped__(pipeline, model, size=size, quantizer=quantizer, dynamic_batch=dynamic_batch)
    module = PIPELINES[pipeline].convert(made.module, made.quantizer)
    return Program(module=module, inputs=made.inputs, quantizer=made.quantizer, dynamic_batch=dynamic_batch)


def graph_of(program: Program) -> fx.GraphModule:
    """The program's module, which has a graph."""
    assert isinstance(program.module, fx.GraphModule)
    return program.module
