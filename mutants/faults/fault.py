"""What a fault is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mutants.programs import Place, Program

# The prepared program before its first forward, the same after calibration or training, the converted one.
Point = Literal["prepared", "calibrated", "converted"]
Quantity = Literal[
    "scale",
    "zero point",
    "range",
    "axis",
    "quantization",
    "rounding",
    "weight",
    "bias",
    "eps",
    "momentum",
    "statistics",
    "norm",
    "activation",
    "operands",
    "geometry",
    "order",
    "constant",
    "output",
    "state",
    "randomness",
]
# Where a program has room for a fault; nothing is changed before a place is planted.
Find = Callable[[Program], Iterator[Place]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of fault: its name, a sentence, when it is planted, what it makes wrong, where there is room for it.

    `in_training` is for faults that a single forward pass is too short for.
    """

    name: str
    about: str
    point: Point
    quantity: Quantity
    find: Find
    in_training: bool = False
