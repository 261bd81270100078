"""A part of a program that a runtime computes otherwise than its reference, with the values that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The part that was lowered by itself, what it was given, and what the reference and the runtime made of that.

    `module` is converted or prepared, as the runtime takes it. `inputs` are the reference's own values. `scale`,
    `zero_point`, `quant_min` and `quant_max` are those of the output where it is quantized per tensor, None
    otherwise. `each_agrees` says whether the part has several ops, and each by itself agrees with the reference.
    """

    module: fx.GraphModule
    inputs: tuple[Any, ...]
    reference: Tensor
    lowered: Tensor
    scale: float | None = None
    zero_point: int | None = None
    quant_min: int | None = None
    quant_max: int | None = None
    each_agrees: bool = False
