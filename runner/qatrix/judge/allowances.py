"""How far a runtime's outputs may be from those of its reference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qatrix.judge.outputs import plain


def allowances(
    converted: object, reference: object, steps: Sequence[float | None], *, within: float
) -> tuple[float | None, ...]:
    """What is allowed beyond the tolerance, for each leaf of a converted program's outputs, None for nothing.

    An output that is quantized may be `within` so many of its steps: a runtime that computes in integers rounds what
    lies between two codes either way. One that is not quantized may be as far off as quantization itself has moved
    it from the float model's, `reference`, at most.
    """
    outputs, expected = pytree.tree_leaves(plain(converted)), pytree.tree_leaves(plain(reference))
    known = dict(enumerate(steps))
    if len(outputs) != len(expected):
        expected = [None] * len(outputs)
    return tuple(
        step * within if (step := known.get(place)) is not None else _moved(output, wanted)
        for place, (output, wanted) in enumerate(zip(outputs, expected))
    )


def _moved(output: object, wanted: object) -> float | None:
    """The greatest difference of two tensors, None where it cannot be told."""
    if not (isinstance(output, Tensor) and isinstance(wanted, Tensor)) or output.shape != wanted.shape:
        return None
    if not output.is_floating_point() or not output.numel():
        return None
    moved = float((output.detach().to(torch.float64) - wanted.detach().to(torch.float64)).abs().max())
    return moved if math.isfinite(moved) else None
