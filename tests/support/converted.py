"""Small models that PT2E has quantized, as runtimes are given them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qatrix.declare.spec import QuantizerSpec
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program, Runtime
from support.specs import quantizer

# Torchao's copy of XNNPACKQuantizer, ExecuTorch's own class, and Inductor's.
Quantizer = Literal["xnnpack", "executorch", "x86"]


class ConvBn(nn.Module):
    """A convolution with batch norm and ReLU, and one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()
        self.last = nn.Conv2d(16, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.last(self.relu(self.bn(self.conv(x))))
        return last


class Joined(nn.Module):
    """Two convolutions, joined by a function of both."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.left, self.right, self.join = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.left(x), self.right(x))


class Averaged(nn.Module):
    """A mean over the axes of an image, which has them no longer, between a convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(self.conv(x).mean((2, 3)))
        return head


class Nested(nn.Module):
    """Two inputs, one by keyword, and outputs in a dict with a list in it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 6), nn.Linear(8, 6)

    def forward(self, x: Tensor, *, scale: Tensor) -> dict[str, Any]:
        left, right = self.a(x), self.b(x)
        return {"sum": left + right, "parts": [left * scale, right]}


MODELS: Final[Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]] = {
    "conv_bn_relu": (ConvBn, (2, 3, 16, 16)),
    "linear": (lambda: nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)), (4, 16)),
    "add": (lambda: Joined(torch.add), (2, 3, 12, 12)),
    "mul": (lambda: Joined(torch.mul), (2, 3, 12, 12)),
    "cat": (lambda: Joined(lambda a, b: torch.cat([a, b], 1)), (2, 3, 12, 12)),
    "mean": (Averaged, (2, 3, 16, 16)),
    "pool": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1)), (2, 3, 12, 12)),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 4, 3)), (1, 2, 6, 6, 6)),
}
SPEC: Final[QuantizerSpec] = quantizer()


def converted(
    model: nn.Module, inputs: Inputs, by: Quantizer = "xnnpack", *, dynamic_batch: bool = False
) -> tuple[Program, nn.Module]:
    """The converted program, quantized after training, and the float model."""
    pytest.importorskip("torchao")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    model.eval()
    axes = pytree.tree_map_only(Tensor, lambda _: {0: torch.export.Dim("batch")}, (inputs.args, dict(inputs.kwargs)))
    shapes = (*axes[0], *axes[1].values()) if dynamic_batch else None
    captured = torch.export.export(model, inputs.args, dict(inputs.kwargs), dynamic_shapes=shapes).module()
    prepared = prepare_pt2e(captured, _quantizer(by))
    inputs.call(prepared)
    module = convert_pt2e(prepared)
    return Program(module=module, inputs=inputs, quantizer=SPEC, dynamic_batch=dynamic_batch), model


def small(name: str, by: Quantizer = "xnnpack", *, dynamic_batch: bool = False) -> tuple[Program, nn.Module]:
    """One of `MODELS`, converted, with the weights and inputs that it always has."""
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model = make()
    return converted(model, Inputs.of(torch.randn(shape)), by, dynamic_batch=dynamic_batch)


def nested(by: Quantizer = "xnnpack") -> tuple[Program, nn.Module]:
    """`Nested`, converted."""
    torch.manual_seed(0)
    model = Nested()
    return converted(model, Inputs((torch.randn(4, 8),), {"scale": torch.randn(4, 6)}), by)


def outputs_of(module: nn.Module, inputs: Inputs) -> list[Tensor]:
    """A module's tensors for these inputs."""
    with torch.no_grad():
        return pytree.tree_leaves(inputs.call(module))


def sqnr(exact: Tensor, other: Tensor) -> float:
    """The ratio of signal to noise, in decibels."""
    return float(20 * torch.log10(exact.norm() / (exact - other).norm()))


def here(runtime: Runtime) -> None:
    """Skip the test where a runtime is missing, with its own reason."""
    why = runtime.missing()
    if why is not None:
        pytest.skip(why)


def _quantizer(by: Quantizer) -> Any:
    if by == "x86":
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        config = x86.get_default_x86_inductor_quantization_config(reduce_range=True)
        return x86.X86InductorQuantizer().set_global(config)
    module = "executorch.backends.xnnpack.quantizer" if by == "executorch" else "torchao.testing.pt2e"
    names = importlib.import_module(f"{module}.{'' if by == 'executorch' else '_'}xnnpack_quantizer")
    return names.XNNPACKQuantizer().set_global(names.get_symmetric_quantization_config(is_per_channel=True))
