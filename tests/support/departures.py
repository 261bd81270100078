"""Departures for tests: one op with small numbers, and what a runtime is said to give for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qatrix.judge.lowering import Codes, DepartureFacts, Product
from qatrix.lowerings import Departure

WITHOUT_VNNI = {"vnni": False, "avx512": False, "amx": False, "asimddp": False, "onednn_vnni": False}


def departure(layer: str = "conv", op: str = "conv2d", **fields: Any) -> Departure:
    """The first place where a runtime leaves its reference."""
    return Departure(layer=layer, op=op, sentence=f"{layer} is the first to differ", **fields)


def facts(reference: Tensor, measured: Tensor, **fields: Any) -> DepartureFacts:
    """An op of PT2E's that Inductor gives otherwise, on a processor without VNNI."""
    default: dict[str, Any] = {
        "departure": departure(),
        "pipeline": "pt2e",
        "runtime": "inductor",
        "cpu": WITHOUT_VNNI,
    }
    return DepartureFacts(reference=reference, measured=measured, **(default | fields))


def codes(values: Any, *, scale: Any = 1.0, zero_point: Any = 0, ends: tuple[int, int] = (0, 255)) -> Codes:
    """Integers with their scale and zero point."""
    return Codes(
        codes=torch.as_tensor(values),
        scale=torch.as_tensor(scale, dtype=torch.float64),
        zero_point=torch.as_tensor(zero_point),
        quant_min=ends[0],
        quant_max=ends[1],
    )


def linear(activation: Any, weight: Any, **fields: Any) -> Product:
    """A linear op on unsigned activations and signed weights, both with a scale of one."""
    return Product(kind="linear", activation=codes(activation), weight=codes(weight, ends=(-128, 127)), **fields)
