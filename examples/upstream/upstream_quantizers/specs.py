"""Specs of tensors, and the names that the other modules share."""

from __future__ import annotations

from typing import Any, Final

import torch
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationSpec

ANNOTATION: Final = "quantization_annotation"
TAG: Final = "quantization_tag"
XNNPACK: Final = "torchao.testing.pt2e._xnnpack_quantizer"


def unsigned() -> QuantizationSpec:
    """Unsigned integers of eight bits, with a zero point."""
    return whole_range(torch.uint8)


def signed(qscheme: torch.qscheme) -> QuantizationSpec:
    """Signed integers of eight bits, for weights and buffers."""
    return QuantizationSpec(
        dtype=torch.int8, quant_min=-128, quant_max=127, qscheme=qscheme, observer_or_fake_quant_ctr=MinMaxObserver
    )


def whole_range(dtype: torch.dtype) -> QuantizationSpec:
    limits = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    return QuantizationSpec(
        dtype=dtype,
        quant_min=int(limits.min),
        quant_max=int(limits.max),
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=MinMaxObserver,
    )


def overload(name: str) -> Any:
    """An overload of aten: "add.Tensor"."""
    op, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, op), overload)
