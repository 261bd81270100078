"""What a recogniser looks at: one op's operands and values, the processor, and what the runtime says that it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor

from qatrix.lowerings import Departure, Ran

# The kernels that add pairs of u8 x s8 products in 16 bits where the processor has no VNNI, as parts of runtimes'
# and kernels' names, each with the feature that tells. ONNX Runtime and fbgemm do not
# read what holds oneDNN back.
_PAIRING: Final[Mapping[str, str]] = {
    "fbgemm": "vnni",
    "onednn": "onednn_vnni",
    "inductor": "onednn_vnni",
    "native": "onednn_vnni",
    "onnxruntime": "vnni",
}


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Integers that stand for real numbers: `scale * (codes - zero_point)`.

    `scale` and `zero_point` are numbers as tensors, or have one value for each index of axis 0, which is a weight's
    axis of output channels.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor
    quant_min: int
    quant_max: int


@dataclass(frozen=True, kw_only=True)
class Product:
    """A convolution or a linear op on integers, as the program has it.

    `fused` is the activation behind it that belongs to the same kernel. The weight is as torch lays it out; a
    transposed convolution is not one of these.
    """

    kind: Literal["conv", "linear"]
    activation: Codes
    weight: Codes
    bias: Tensor | None = None
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    fused: Literal["none", "relu", "relu6", "hardtanh"] = "none"


@dataclass(frozen=True, kw_only=True)
class DepartureFacts:
    """One op that leaves its reference, by itself: both were given the same integers.

    `reference` and `measured` are the op's values as real numbers, from the reference and from the runtime. `scale`,
    `zero_point`, `quant_min` and `quant_max` are those of its quantized output, None where it leaves as float.
    `product` is what it computes where that is a convolution or linear; `exact` its value in float64 before it is
    quantized, for other ops. `cpu` is what `Environment.cpu` has.
    `each_agrees` says whether what departs are several ops, each of which agrees by itself.
    """

    departure: Departure
    pipeline: str
    runtime: str
    reference: Tensor
    measured: Tensor
    scale: float | None = None
    zero_point: int = 0
    quant_min: int | None = None
    quant_max: int | None = None
    product: Product | None = None
    exact: Tensor | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    cpu: Mapping[str, bool] = field(default_factory=dict)
    each_agrees: bool = False
    ran: Ran | None = None

    @property
    def differs(self) -> Tensor:
        """The elements that the runtime gives otherwise, beyond what float32 cannot hold."""
        return ~near(self.measured, self.reference, self.scale, steps=0.01)

    @property
    def pairing_feature(self) -> str | None:
        """The feature of the processor without which this kernel adds in 16 bits; None where none decides that."""
        names = f"{self.runtime} {self.departure.kernel or ''} {self.options.get('engine', '')}"
        if "qnnpack" in names or "xnnpack" in names:
            return None
        return next((feature for part, feature in _PAIRING.items() if part in names), None)


def near(left: Tensor, right: Tensor, scale: float | None, *, steps: float) -> Tensor:
    """The elements at which two values are that many steps apart at most, or equal in float32 without steps."""
    left, right = left.double(), right.double()
    tolerance = 1e-6 * right.abs() if scale is None else torch.full_like(right, steps * scale)
    return (left - right).abs() <= tolerance
